"""Rows that a signature allows, for the first call of a model, which sets up what is set up only once."""

from typing import Any

from taut.models.signature import Field, Kind, Signature, SignatureColumn, Type

VALUES: dict[Kind, Any] = {
    "double": 0.0, "float": 0.0, "long": 0, "integer": 0, "boolean": False, "string": "", "binary": b"",
    "datetime": "2000-01-01", "array": [], "map": {}, "any": None,
}  # fmt: skip


def made_up_rows(signature: Signature, rows: int = 1) -> dict[str, list[Any]]:
    """Columns of so many equal rows, or of as many as each call must have; empty for a model without a signature.

    >>> made_up_rows(Signature((SignatureColumn("delay", "double"),)), 2)
    {'delay': [0.0, 0.0]}
    """
    count = rows if signature.rows == -1 else signature.rows
    return {column.name: [_cell(column)] * count for column in signature.inputs}


def _cell(column: SignatureColumn) -> Any:
    if column.kind == "object":
        return _object(column.fields)
    cell = VALUES[column.kind]
    for size in reversed(column.shape):
        cell = [cell] * (1 if size == -1 else size)
    return cell


def _object(fields: tuple[Field, ...]) -> dict[str, Any]:
    return {field.name: _value(field.type) for field in fields if field.required}


def _value(wanted: Type) -> Any:
    return _object(wanted.fields) if wanted.kind == "object" else VALUES[wanted.kind]
