"""Values that are lists and objects, as MLflow's types array, object, map and any describe them."""

import base64
import binascii
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taut.errors import Invalid
from taut.models.signature import SignatureColumn, Type
from taut.models.values import is_missing, objects, shown

FLOAT_MAX = sys.float_info.max
INTEGER_MAX = {"integer": 2**31, "long": 2**63}
TEXTS = {"string": str, "boolean": bool}


class Wrong(Exception):
    """Where in a value something is wrong: the way to it, what was expected, what was found."""

    def __init__(self, path: str, expected: str, value: object) -> None:
        super().__init__(f"{path}: expected {expected}, found {shown(value)}" if path else "")
        self.path, self.expected, self.value = path, expected, value


def nested_column(column: SignatureColumn, values: Any) -> Any:
    """A column of lists or objects [rows], each checked. Raises Invalid naming the row and the place in it."""
    made = []
    wanted = Type(column.kind, column.items, column.fields)
    for row, value in enumerate(values):
        try:
            made.append(checked_value(wanted, value, "", required=column.required))
        except Wrong as problem:
            at = f"row {row}{f', {problem.path}' if problem.path else ''}"
            raise Invalid(
                f"column {column.name!r} takes {column.kind}; {at}: expected {problem.expected},"
                f" found {shown(problem.value)}"
            ) from None
    return objects(made)


def checked_value(wanted: Type, value: Any, path: str, *, required: bool = True) -> Any:
    """A value of a type, in the types that a model is given. Raises Wrong.

    Whole numbers are taken for floats. What MLflow does not demand may be null or empty.
    """
    if wanted.kind == "any" or (not required and (is_missing(value) or value in ([], {}))):
        return value
    if hasattr(value, "tolist"):
        value = value.tolist()
    if wanted.kind == "array":
        if not isinstance(value, list):
            raise Wrong(path, "array", value)
        items = wanted.items or Type("any")
        return [checked_value(items, held, f"{path}[{place}]", required=required) for place, held in enumerate(value)]
    if wanted.kind == "map":
        items = wanted.items or Type("any")
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise Wrong(path, "map of names", value)
        return {key: checked_value(items, held, _below(path, key), required=required) for key, held in value.items()}
    if wanted.kind == "object":
        return _object(wanted, value, path)
    return _plain(wanted, value, path)


def _object(wanted: Type, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Wrong(path, "object", value)
    known = {field.name: field for field in wanted.fields}
    for field in wanted.fields:
        if field.required and field.name not in value:
            raise Wrong(_below(path, field.name), field.type.kind, None)
    if strange := [key for key in value if key not in known]:
        raise Wrong(_below(path, str(strange[0])), f"one of {', '.join(list(known)[:20])}", value[strange[0]])
    return {
        key: checked_value(known[key].type, held, _below(path, key), required=known[key].required)
        for key, held in value.items()
    }


def _plain(wanted: Type, value: Any, path: str) -> Any:
    kind = wanted.kind
    if kind in TEXTS:
        if type(value) is TEXTS[kind]:
            return value
    elif kind in ("double", "float"):
        if type(value) in (int, float) and abs(value) <= FLOAT_MAX:
            return float(value)
        if is_missing(value) and value is not None:
            return value
    elif kind in INTEGER_MAX:
        whole = type(value) is int or (type(value) is float and value.is_integer())
        if whole and -INTEGER_MAX[kind] <= value < INTEGER_MAX[kind]:
            return int(value)
    elif kind == "binary":
        if isinstance(value, bytes):
            return value
        try:
            return base64.b64decode(value, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise Wrong(path, "bytes in base64", value) from None
    elif kind == "datetime":
        try:
            return value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise Wrong(path, "a time in ISO 8601", value) from None
    raise Wrong(path, kind, value)


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
