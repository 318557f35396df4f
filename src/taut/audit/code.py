"""Facts of Python code, modules and notebooks alike: parsed, walked once, never imported or run."""

import ast
import json
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from taut.audit.files import LINE_CHARACTERS_MAX, File, Unread
from taut.audit.remember import remembered

Function = ast.FunctionDef | ast.AsyncFunctionDef
Node = TypeVar("Node", bound=ast.AST)


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its dotted name with imports resolved, its line, and the function that it stands in.

    `node` is None where the file had to be read word by word because it did not parse.
    """

    name: str
    line: int
    node: ast.Call | None
    scope: str

    @property
    def last(self) -> str:
        """The last part of the name: `fit` of `model.fit`."""
        return self.name.rpartition(".")[2]

    @property
    def receiver(self) -> str:
        """What stands before the last part: `model` of `model.fit`."""
        return self.name.rpartition(".")[0]

    def keyword(self, name: str) -> ast.expr | None:
        """The expression given for a keyword."""
        keywords = self.node.keywords if self.node else []
        return next((one.value for one in keywords if one.arg == name), None)

    def unpacks(self) -> bool:
        """Whether keywords come from a mapping (`**settings`), so that what is set cannot be seen."""
        return self.node is not None and any(one.arg is None for one in self.node.keywords)

    def arguments(self) -> list[ast.expr]:
        """The positional arguments."""
        return list(self.node.args) if self.node else []


@dataclass(frozen=True, slots=True)
class Source:
    """One module or notebook: what it imports, calls, defines and says. Lines are those of the file on disk."""

    path: str
    text: str
    tree: ast.Module
    parsed: bool
    is_notebook: bool
    imports: frozenset[str] = frozenset()
    calls: tuple[Call, ...] = ()
    functions: tuple[Function, ...] = ()
    strings: tuple[tuple[int, str], ...] = ()
    made_by: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    lines: tuple[int, ...] = ()
    nodes: dict[type[ast.AST], list[ast.AST]] = field(default_factory=dict, repr=False)
    known: dict[object, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, kind: type[Node]) -> list[Node]:
        """Every node of exactly this kind, in the order of the text; none where the file did not parse."""
        return cast("list[Node]", self.nodes.get(kind, []))

    def place(self, line: int) -> str:
        """`path:line` of a line of the parsed code."""
        return f"{self.path}:{self.lines[line - 1] if 0 < line <= len(self.lines) else line}"

    def imports_any(self, packages: frozenset[str]) -> bool:
        """Whether one of the packages, or a module of one, is imported."""
        return not packages.isdisjoint(_with_roots(self))

    @property
    def is_test(self) -> bool:
        """Whether the file lies where tests lie; whether it holds any is another question."""
        return is_test_path(self.path)


@remembered
def _with_roots(source: Source) -> frozenset[str]:
    """What a source imports, with the package that each module belongs to."""
    return source.imports | {name.split(".")[0] for name in source.imports}


def is_test_path(path: str) -> bool:
    """Whether a path is a test's by the common conventions.

    >>> [is_test_path(path) for path in ("tests/a.py", "src/test_a.py", "a_test.py", "src/contest.py")]
    [True, True, True, False]
    """
    *folders, name = path.lower().split("/")
    return (
        any(folder in {"test", "tests", "testing"} for folder in folders)
        or name.startswith("test_")
        or name.endswith(("_test.py", "_tests.py", "conftest.py"))
    )


def read_source(file: File) -> Source | Unread:
    """Parse one file; what does not parse is read word by word, so that it can still show what is there."""
    text, is_notebook = file.text or "", file.suffix == ".ipynb"
    lines: tuple[int, ...] = ()
    if is_notebook:
        cells = _notebook_code(text)
        if cells is None:
            return Unread(file.path, "is no notebook")
        text, lines = cells
    tree = _parse(text)
    if tree is None:
        return _guess(file.path, text, lines, is_notebook)
    return _facts(file.path, text, tree, lines, is_notebook)


def _parse(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _notebook_code(text: str) -> tuple[str, tuple[int, ...]] | None:
    """The code cells as one module, and for each of its lines the line of the notebook file; None for what is none."""
    import msgspec

    class Cell(msgspec.Struct):
        cell_type: str = ""
        source: str | list[str] = ""

    class Notebook(msgspec.Struct):
        cells: list[Cell]

    try:
        notebook = msgspec.json.decode(text.encode(), type=Notebook)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None
    code: list[str] = []
    lines: list[int] = []
    offset, line = 0, 1
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        source = cell.source if isinstance(cell.source, str) else "".join(cell.source)
        kept = _runnable(source)
        for raw, shown in zip(source.split("\n"), kept, strict=True):
            found = text.find(json.dumps(raw, ensure_ascii=False)[1:-1], offset) if raw.strip() else -1
            if found >= 0:
                line += text.count("\n", offset, found)
                offset = found
            code.append(shown)
            lines.append(line)
    return "\n".join(code), tuple(lines)


def _runnable(source: str) -> list[str]:
    """The lines of a cell without the notebook's own commands; a cell in another language becomes blank lines."""
    lines = source.split("\n")
    kept = [re.sub(r"^(\s*)[%!].*$", r"\1pass", line) for line in lines]
    if source.lstrip().startswith("%%") and not source.lstrip().startswith(("%%time", "%%capture")):
        return [""] * len(lines)
    return kept if _parse("\n".join(kept)) is not None else [""] * len(lines)


def _guess(path: str, text: str, lines: tuple[int, ...], is_notebook: bool) -> Source:
    """Imports and calls found by their looks alone: enough to see that something is there, never that it is missing."""
    imports = frozenset(re.findall(r"^[ \t]*(?:from|import)[ \t]+([\w.]+)", text, re.MULTILINE))
    calls = tuple(
        Call(found.group(1), number, None, "")
        for number, line in enumerate(text.split("\n"), start=1)
        for found in re.finditer(r"(?<![\w.])([A-Za-z_][\w.]*)[ ]?\(", line)
    )
    return Source(path, text, ast.Module([], []), False, is_notebook, imports, calls, lines=lines)


def _facts(path: str, text: str, tree: ast.Module, lines: tuple[int, ...], is_notebook: bool) -> Source:
    """All that checks ask of one module, from one walk over its tree."""
    nodes: dict[type[ast.AST], list[ast.AST]] = defaultdict(list)
    called: list[tuple[ast.Call, str]] = []
    functions: list[Function] = []
    for node, scope in _scoped(tree):
        nodes[type(node)].append(node)
        if isinstance(node, ast.Call):
            called.append((node, scope))
        elif isinstance(node, Function):
            functions.append(node)
    found = Source(path, text, tree, True, is_notebook, functions=tuple(functions), lines=lines, nodes=dict(nodes))
    imports, aliases = _imports(found)
    return replace(
        found,
        imports=imports,
        aliases=aliases,
        calls=tuple(Call(dotted(node.func, aliases), node.lineno, node, scope) for node, scope in called),
        made_by=_makers(found, aliases),
        strings=_strings(found),
    )


def _imports(source: Source) -> tuple[frozenset[str], dict[str, str]]:
    """What a source imports, and the names under which it knows it."""
    imports: set[str] = set()
    aliases: dict[str, str] = {}
    for plain in source.of(ast.Import):
        imports |= {name.name for name in plain.names}
        aliases |= {name.asname: name.name for name in plain.names if name.asname}
    for node in source.of(ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        imports |= {module} | {f"{module}.{name.name}" for name in node.names}
        aliases |= {name.asname or name.name: f"{module}.{name.name}" for name in node.names}
    return frozenset(imports), aliases


def _makers(source: Source, aliases: dict[str, str]) -> dict[str, str]:
    """For each plain name that a call is assigned to, what was called."""
    return {
        target.id: dotted(node.value.func, aliases)
        for node in source.of(ast.Assign)
        if isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _strings(source: Source) -> tuple[tuple[int, str], ...]:
    """The texts of a source with their lines, docstrings left out."""
    homes = (source.tree, *source.of(ast.ClassDef), *source.functions)
    said = {id(first.value) for home in homes for first in home.body[:1] if isinstance(first, ast.Expr)}
    return tuple(
        (node.lineno, node.value[:LINE_CHARACTERS_MAX])
        for node in source.of(ast.Constant)
        if isinstance(node.value, str) and id(node) not in said
    )


_LEAVES = frozenset(
    ["ctx", "op", "ops", "id", "attr", "arg", "module", "level", "asname", "kind", "type_comment", "conversion"]
)
"""Fields that hold no node, or one that no check asks for; half of all nodes of a tree stand in them."""


def _children_fields() -> dict[type[ast.AST], tuple[str, ...]]:
    """For each kind of node its fields that may hold nodes of interest, the last first."""
    kinds = [kind for kind in vars(ast).values() if isinstance(kind, type) and issubclass(kind, ast.AST)]
    found = {kind: tuple(name for name in reversed(kind._fields) if name not in _LEAVES) for kind in kinds}
    return found | {ast.Constant: (), ast.Name: (), ast.arg: ("annotation",), ast.alias: ()}


_CHILDREN = _children_fields()


def _children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below one, the last first; operators and contexts left out."""
    found: list[ast.AST] = []
    for name in _CHILDREN[type(node)]:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [item for item in value[::-1] if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def _scoped(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every node in the order of the text, with the dotted name of the function that it stands in."""
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, scope = waiting.pop()
        yield node, scope
        if isinstance(node, Function):
            scope = f"{scope}.{node.name}" if scope else node.name
        if _CHILDREN[type(node)]:
            waiting += [(child, scope) for child in _children(node)]


def nodes_in(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it in the order of the text, without operators and contexts: `ast.walk` at half the price.

    >>> [type(one).__name__ for one in nodes_in(ast.parse("f(a + 1)"))]
    ['Module', 'Expr', 'Call', 'Name', 'BinOp', 'Name', 'Constant']
    """
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        if _CHILDREN[type(found)]:
            waiting += _children(found)


def dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    """The name of what is called, with imports resolved; a call inside it is written `()`.

    >>> dotted(ast.parse("np.random.seed", mode="eval").body, {"np": "numpy"})
    'numpy.random.seed'
    >>> dotted(ast.parse("Model(depth=3).fit", mode="eval").body, {})
    'Model().fit'
    """
    parts: list[str] = []
    ending = ""
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr + ending)
            node, ending = node.value, ""
        elif isinstance(node, ast.Call):
            node, ending = node.func, "()"
        elif isinstance(node, ast.Subscript):
            node, ending = node.value, "[]"
        elif isinstance(node, ast.Await):
            node = node.value
        else:
            break
    first = aliases.get(node.id, node.id) if isinstance(node, ast.Name) else "?"
    return ".".join([first + ending, *reversed(parts)])


def names_in(node: ast.AST) -> frozenset[str]:
    """The plain names that an expression or statement mentions."""
    return frozenset(found.id for found in nodes_in(node) if isinstance(found, ast.Name))


def words_in(node: ast.AST) -> frozenset[str]:
    """Names, attributes and short texts that an expression mentions, in lower case."""
    words: set[str] = set()
    for found in nodes_in(node):
        if isinstance(found, ast.Name):
            words.add(found.id.lower())
        elif isinstance(found, ast.Attribute):
            words.add(found.attr.lower())
        elif isinstance(found, ast.Constant) and isinstance(found.value, str) and len(found.value) < 80:
            words.add(found.value.lower())
    return frozenset(words)


def constant_text(node: ast.expr | None) -> str | None:
    """The text of a literal; None for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def is_constant(node: ast.expr | None, *values: object) -> bool:
    """Whether an expression is one of these literals, compared with their type (True is not 1)."""
    return isinstance(node, ast.Constant) and any(
        type(node.value) is type(value) and node.value == value for value in values
    )
