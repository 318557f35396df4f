"""YAML files of people: parsed safely, checked against a type, and every mistake told with its line and column."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from taut.errors import Denied, Invalid, NotFound

T = TypeVar("T")
LINE = 1 << 20  # No line is ever folded.

TAG = "tag:yaml.org,2002:"
BOOL, INT, FLOAT = f"{TAG}bool", f"{TAG}int", f"{TAG}float"
# `_` between digits and `0b` are no part of the core schema, but what DVC reads.
PATTERNS = (
    (BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    (INT, re.compile(r"^[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)$"), "-+0123456789"),
    (
        FLOAT,
        re.compile(
            r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        "-+0123456789.",
    ),
)


def _loader() -> Any:
    """The safe loader, with the truth values and numbers of YAML 1.2: `on` and `1:30` are words, `1e-3` is a number.

    Source: YAML 1.2.2, section 10.3.2, tag resolution of the core schema.
    """
    made: Any = type("Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})
    made.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag not in (BOOL, INT, FLOAT)]
        for first, known in made.yaml_implicit_resolvers.items()
    }
    for tag, pattern, first in PATTERNS:
        made.add_implicit_resolver(tag, pattern, list(first))
    made.add_constructor(INT, lambda loader, node: _int(loader.construct_scalar(node)))
    return made


def _int(text: str) -> int:
    digits = text.replace("_", "").lower()
    return int(digits, 0 if digits.lstrip("-+")[:2] in ("0b", "0o", "0x") else 10)


Loader: Any = _loader()


def dump_yaml(value: object) -> bytes:
    r"""YAML in the order of the keys, one line a value, whose words no reader of YAML 1.1 or 1.2 takes for a number.

    >>> dump_yaml({"path": "1e5"})
    b"path: '1e5'\n"
    """
    made: Any = type("Dumper", (yaml.SafeDumper,), {})
    for tag, pattern, first in PATTERNS:
        made.add_implicit_resolver(tag, pattern, list(first))
    written: str = yaml.dump(value, Dumper=made, sort_keys=False, allow_unicode=True, width=LINE)
    return written.encode()


def read_yaml(path: Path, into: type[T]) -> T:
    """Read a YAML file into a type; an empty file is an empty mapping.

    Raises NotFound where there is none, Invalid (`FILE:LINE:COLUMN: …`) for broken syntax, duplicates and wrong values,
    Denied where it may not be read.
    """
    try:
        source = path.read_text()
    except FileNotFoundError:
        raise NotFound(f"no file {path}", hint="taut init") from None
    except PermissionError:
        raise Denied(f"{path} may not be read by this user", hint=f"ls -l {path}") from None
    except OSError as problem:
        raise Invalid(f"{path} cannot be read: {problem.strerror}", hint=f"ls -l {path}") from None
    except UnicodeDecodeError as problem:
        raise Invalid(f"{path} is no text in UTF-8: {problem.reason} at byte {problem.start}") from None
    return parse_yaml(source, into, name=path.name)


def parse_yaml(source: str, into: type[T], *, name: str) -> T:
    """The same for text; `name` stands where a file's name would."""
    try:
        root = yaml.compose(source, Loader)
        _refuse_duplicates(root, name)
        values = yaml.load(source, Loader)  # noqa: S506  # It is a safe loader, see above.
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        at = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise Invalid(f"{at}: {problem.problem or problem.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        raise Invalid(f"{name}: {str(problem).splitlines()[0]}") from None
    try:
        return msgspec.convert({} if values is None else values, into)
    except msgspec.ValidationError as problem:
        said, _, path = str(problem).partition(" - at `")
        node = _node_at(root, path.rstrip("`"), said)
        at = f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}" if node is not None else name
        where = path.rstrip("`").removeprefix("$").removeprefix(".")
        raise Invalid(f"{at}: {said[0].lower()}{said[1:]}" + (f" (in {where})" if where else "")) from None


def _refuse_duplicates(node: yaml.Node | None, name: str) -> None:
    for mapping in _mappings(node):
        seen: set[str] = set()
        for key, _ in mapping.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise Invalid(
                        f"{name}:{key.start_mark.line + 1}:{key.start_mark.column + 1}: {key.value!r} stands here twice"
                    )
                seen.add(key.value)


def _mappings(root: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Every mapping below a node; an alias is walked once."""
    waiting, seen = [root] if root is not None else [], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            waiting.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)


def _node_at(root: yaml.Node | None, path: str, said: str) -> yaml.Node | None:
    """The node that a path as `$.models[...].gate.checks[0]` means; a misspelt key itself where the message names one.

    The path says `[...]` for a key that it does not name, so every branch is tried and the first that fits is taken.
    """
    steps = re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", path.removeprefix("$"))
    unknown = re.search(r"unknown field `([^`]+)`", said)
    for node in _branches(root, [name or index for name, index in steps]):
        if unknown is None:
            return node
        if isinstance(node, yaml.MappingNode):
            for key, _ in node.value:
                if key.value == unknown[1]:
                    return _as_node(key)
    return root


def _branches(node: yaml.Node | None, steps: list[str]) -> Iterator[yaml.Node]:
    if node is None:
        return
    if not steps:
        yield node
        return
    step, rest = steps[0], steps[1:]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if step in ("...", key.value):
                yield from _branches(value, rest)
    elif isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
        yield from _branches(node.value[int(step)], rest)


def _as_node(key: Any) -> yaml.Node:
    assert isinstance(key, yaml.Node)
    return key
