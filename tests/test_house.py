"""The promises of the house: import order, no cycles, documented names, whole verbs, small files."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import click
import grimp
import pytest

from tests.docs_examples import console_blocks

HERE = Path(__file__).parent.parent
SOURCE = HERE / "src" / "taut"
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
HEAVY = {
    "PIL",
    "backports",
    "blake3",
    "cryptography",
    "duckdb",
    "google",
    "graphql",
    "grpc",
    "joserfc",
    "mlflow",
    "numpy",
    "obstore",
    "pandas",
    "psycopg",
    "pyarrow",
    "scipy",
    "sklearn",
    "skops",
    "starlette",
    "uvicorn",
}


@dataclass(frozen=True)
class Function:
    """A function in a file, with its length in lines from `def` to its end, docstring included."""

    file: Path
    name: str
    lines: int


@cache
def python_files(folder: str) -> list[Path]:
    return sorted(p for p in (HERE / folder).rglob("*.py") if "__pycache__" not in p.parts)


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def lines_of(folder: str) -> int:
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in python_files(folder))


def short(file: Path) -> str:
    return str(file.relative_to(HERE))


# Imports


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """The import contracts of pyproject.toml, held against the tree in `folder`."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": "src"}, capture_output=True, text=True)


def test_rooms_import_only_what_is_upstream_of_them_and_below_them():
    done = lint_imports(HERE)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("errors.py", "def later():\n    from taut.faces import verbs\n"),
        ("ground/__init__.py", "if TYPE_CHECKING:\n    from taut.watch import profile\n"),
        ("ground/clock.py", "def later():\n    import numpy\n"),
        ("govern/__init__.py", "import taut.audit\n"),
        ("stray.py", "x = 1\n"),
    ],
)
def test_the_import_contract_sees_imports_in_functions_and_type_checking(tmp_path: Path, room: str, line: str):
    shutil.copytree(HERE / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HERE / "pyproject.toml", tmp_path)
    for module in ("faces/verbs.py", "watch/profile.py"):  # what the violations import, whatever the rooms hold today
        (tmp_path / "src/taut" / module).touch()
    with (tmp_path / "src/taut" / room).open("a") as source:
        source.write(f"\nfrom typing import TYPE_CHECKING\n\n{line}")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout


def cycle_in(imports: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, in order; empty where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle():
    graph = grimp.build_graph("taut", exclude_type_checking_imports=False, cache_dir=None)
    imports = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    assert cycle_in(imports) == []


def test_a_circle_of_three_modules_is_found():
    assert set(cycle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def packages_after(statement: str, *arguments: str) -> set[str]:
    """The top-level packages, beyond the standard library and taut, that a fresh Python holds after a statement."""
    program = (
        "import sys; before = set(sys.modules)\n"
        f"try:\n    {statement}\nexcept SystemExit: pass\n"
        "found = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(found - set(sys.stdlib_module_names) - {'taut'}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


def test_importing_taut_pulls_at_most_msgspec_from_outside_the_standard_library():
    assert packages_after("import taut") <= {"msgspec"}


def test_help_imports_no_heavy_package():
    pytest.importorskip("taut.faces.cli", exc_type=ModuleNotFoundError)
    assert packages_after("from taut.faces.cli import main; main()", "--help") & HEAVY == set()


# Files and functions


def functions(folder: str) -> list[Function]:
    return [
        Function(file, node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for file in python_files(folder)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.parametrize("folder", ["src", "tests", "bench"])
def test_no_file_is_longer_than_600_lines(folder: str):
    lengths = {short(f): len(f.read_text(encoding="utf-8").splitlines()) for f in python_files(folder)}
    assert {file: lines for file, lines in lengths.items() if lines > 600} == {}


def test_functions_of_more_than_50_lines_are_rarer_than_one_in_a_hundred():
    found = functions("src")
    long = [f"{short(f.file)}: {f.name} has {f.lines} lines" for f in found if f.lines > 50]
    assert len(long) * 100 < max(len(found), 1), long


def test_the_tests_are_nearly_as_long_as_the_code_or_longer():
    """Nineteen lines to twenty at least: tables of cases, one row an attack or a program, say more in a line."""
    assert lines_of("tests") * 20 >= lines_of("src") * 19


def test_no_module_is_named_after_nothing():
    modules = [file for folder in ("src", "tests") for file in python_files(folder)]
    assert [short(f) for f in modules if f.stem in FORBIDDEN_NAMES or f.parent.name in FORBIDDEN_NAMES] == []


@pytest.mark.parametrize("folder", ["src", "tests", "bench"])
def test_the_first_line_of_a_file_says_what_it_holds(folder: str):
    silent = [short(f) for f in python_files(folder) if not f.read_text(encoding="utf-8").startswith('"""')]
    assert silent == []


# Names


def undocumented(body: list[ast.stmt], *, inside: str = "") -> Iterator[str]:
    """The public functions and classes of a module or class body that have no docstring."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        # Variants of one overloaded function are documented by the function itself.
        if any(ast.unparse(d).endswith(("overload", ".setter")) for d in node.decorator_list):
            continue
        if not ast.get_docstring(node):
            yield f"{inside}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node.body, inside=f"{node.name}.")


def test_every_public_function_and_class_says_what_it_does():
    missing = [f"{short(f)}: {name}" for f in python_files("src") for name in undocumented(tree(f).body)]
    assert missing == []


def test_an_undocumented_method_is_found():
    source = 'class A:\n    """a"""\n    def b(self): ...\n    def _c(self): ...\ndef d():\n    """d"""\n'
    assert list(undocumented(ast.parse(source).body)) == ["A.b"]


def room_names() -> list[str]:
    return ["taut", *(f"taut.{p.parent.name}" for p in sorted(SOURCE.glob("*/__init__.py")))]


@pytest.mark.parametrize("room", room_names())
def test_every_name_that_a_room_gives_away_exists_and_is_documented(room: str):
    module = importlib.import_module(room)
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        if callable(value) and not hasattr(value, "__supertype__"):
            assert value.__doc__, f"{room}.{name}"


def test_taut_itself_gives_away_about_25_names():
    assert len(getattr(importlib.import_module("taut"), "__all__", [])) <= 30


# Verbs


@cache
def root() -> click.Group | None:
    """The group behind `taut`: `main` itself, or the group beside it; None while there is no CLI."""
    try:
        cli = importlib.import_module("taut.faces.cli")
    except ModuleNotFoundError:
        return None
    candidates = [cli.main, *vars(importlib.import_module(cli.main.__module__)).values()]
    return next((c for c in candidates if isinstance(c, click.Group)), None)


@cache
def commands() -> dict[str, click.Command]:
    """Every command that does something, by what one types after `taut`."""
    group = root()
    return dict(leaves(group, click.Context(group, info_name="taut"), ())) if group else {}


def leaves(group: click.Group, context: click.Context, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        try:
            command = group.get_command(context, name)
        except ImportError as error:  # The promises about this command fail one by one, and say why.
            command = click.Command(name, help=f"cannot be imported: {error}")
        assert command is not None, (path, name)
        if isinstance(command, click.Group):
            yield from leaves(command, click.Context(command, info_name=name, parent=context), (*path, name))
        elif not command.hidden:
            yield " ".join((*path, name)), command


def each_command() -> pytest.MarkDecorator:
    found = sorted(commands())
    skipped = pytest.param("", marks=pytest.mark.skip(reason="taut.faces.cli has no commands yet"))
    return pytest.mark.parametrize("typed", found or [skipped])


def test_the_command_line_is_a_tree_of_commands():
    pytest.importorskip("taut.faces.cli", exc_type=ModuleNotFoundError)
    assert root() is not None, "taut.faces.cli holds no click group"
    assert commands()


@each_command()
def test_a_verb_answers_in_json_too(typed: str):
    assert any("--json" in p.opts for p in commands()[typed].params), f"taut {typed} has no --json"


@each_command()
def test_a_verb_shows_an_example_in_its_help(typed: str):
    command = commands()[typed]
    shown = f"{command.help or ''}\n{command.epilog or ''}"
    assert re.search(rf"\btaut {typed}\b", shown), f"the help of `taut {typed}` has no line that types it: {shown}"


@each_command()
def test_a_verb_stands_in_the_docs(typed: str):
    assert re.search(rf"\btaut {typed}(?![\w-])", pages()), (
        f"no page of docs/ and not README.md mentions `taut {typed}`"
    )


@each_command()
def test_a_verb_is_typed_by_a_test(typed: str):
    assert types_it(typed, texts_of_tests()), f"no test and no tested example types `taut {typed}`"


@cache
def pages() -> str:
    files = [HERE / "README.md", *sorted((HERE / "docs").rglob("*.md"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@cache
def texts_of_tests() -> str:
    """All tests, this file left out, with the quotes and commas of argument lists gone; and the tested examples."""
    own = "\n".join(f.read_text(encoding="utf-8") for f in python_files("tests") if f != Path(__file__))
    docs = (
        line for page in sorted((HERE / "docs").rglob("*.md")) for block in console_blocks(page) for line in block.lines
    )
    return re.sub(r"""["',]+\s*""", " ", own) + "\n".join(docs)


def types_it(typed: str, text: str) -> bool:
    """Whether a text types a command: after `taut`, or as the first words of an argument list."""
    words = r"\s+".join(re.escape(word) for word in typed.split())
    return re.search(rf"(?:\btaut\s|[\[(])\s*(?:\[\s*)?{words}(?![\w-])", text) is not None


def test_typing_a_command_is_told_from_mentioning_its_name():
    assert types_it("data add", "we type `taut data add flights.csv`")
    assert types_it("data add", re.sub(r"""["',]+\s*""", " ", 'taut(["data", "add", path])'))
    assert not types_it("run", "the run is over")
    assert not types_it("run", "taut runs list")


# Permissions


def test_every_verb_that_a_face_may_call_needs_a_known_permission():
    verbs = pytest.importorskip("taut.faces.verbs", exc_type=ModuleNotFoundError)
    from taut.ground.access.roles import PERMISSIONS

    needs = {name: verbs.load_verb(name).needs for name in verbs.VERBS}
    assert {name: need for name, need in needs.items() if need not in PERMISSIONS} == {}


def test_every_route_of_the_mlflow_protocol_needs_a_known_permission():
    routes = pytest.importorskip("taut.faces.mlflow.routes", exc_type=ModuleNotFoundError).ROUTES
    from taut.ground.access.roles import PERMISSIONS

    assert {(r.method, r.path): r.needs for r in routes if r.needs not in PERMISSIONS} == {}
    assert len({(r.method, r.api, r.path) for r in routes}) == len(routes)
