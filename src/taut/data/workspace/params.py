"""Files of parameters, as DVC reads them: YAML, JSON, TOML and the assignments of a Python file."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from taut.errors import Invalid, NotFound
from taut.ground.yaml import read_yaml

PARAMS = "params.yaml"

ParamState = Literal["modified", "deleted", "new"]


def load_params(path: str) -> dict[str, Any]:
    """Every parameter of a file, by the end of its name. Raises NotFound, Denied, Invalid."""
    place = Path(path)
    suffix = place.suffix.lower()
    if suffix not in (".json", ".toml", ".py"):
        return read_yaml(place, dict[str, Any])
    try:
        text = place.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"no file {path}") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise Invalid(f"{path} cannot be read: {problem}") from None
    try:
        found = _parsed(text, suffix)
    except (ValueError, SyntaxError) as problem:
        raise Invalid(f"{path} cannot be read: {str(problem).splitlines()[0]}") from None
    if not isinstance(found, dict):
        raise Invalid(f"{path} holds no parameters by name")
    return found


def param_states(
    path: str, wanted: Iterable[str], recorded: dict[str, Any] | None
) -> dict[str, ParamState] | ParamState | None:
    """How parameters stand to those that a lock recorded, by name; all of the file where none are wanted.

    One word where it is true of the whole file: `deleted`, or `new` where nothing was recorded. None where nothing
    changed. Raises Denied, Invalid.
    """
    try:
        actual = load_params(path)
    except NotFound:
        return "deleted"
    if recorded is None:
        return "new"
    names = list(wanted)
    states: dict[str, ParamState] = {}
    for name in names or dict.fromkeys([*actual, *recorded]):
        is_there, value = _value_of(actual, name) if names else (name in actual, actual.get(name))
        if not is_there:
            states[name] = "deleted"
        elif name not in recorded:
            states[name] = "new"
        elif (list(value) if isinstance(value, tuple) else value) != recorded[name]:
            states[name] = "modified"
    return states or None


def _value_of(values: Any, name: str) -> tuple[bool, Any]:
    """Whether there is a parameter `a.b.0`, and what it is."""
    found = values
    for step in name.split("."):
        try:
            found = found[int(step) if isinstance(found, list | tuple) else step]
        except (LookupError, ValueError, TypeError):
            return False, None
    return True, found


def _parsed(text: str, suffix: str) -> Any:
    if suffix == ".py":
        return _assigned(ast.parse(text).body)
    if not text.strip():
        return {}
    if suffix == ".json":
        import json

        return json.loads(text)
    import tomllib

    return tomllib.loads(text)


def _assigned(body: Iterable[ast.stmt], *, of_self: bool = False) -> dict[str, Any]:
    """What a module, a class or its `__init__` gives names to, where that is a constant; classes by their names."""
    found: dict[str, Any] = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = _assigned(node.body)
        elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
            found |= _assigned(node.body, of_self=True)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if len(targets) == 1 and (name := _name_of(targets[0], of_self=of_self)):
                try:
                    found[name] = ast.literal_eval(node.value)
                except (ValueError, TypeError):  # It is computed, and no parameter.
                    continue
    return found


def _name_of(target: ast.expr, *, of_self: bool) -> str:
    if isinstance(target, ast.Name) and not of_self:
        return target.id
    is_own = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self"
    return target.attr if isinstance(target, ast.Attribute) and is_own else ""
