"""What a request asks, whatever protocol it came in: named columns, an id, an event time.

Whether the columns are those of the model is for the model to say: `Predictor.predict` names the first that is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from taut.errors import Invalid
from taut.ground.clock import moment_ms
from taut.models.signature import Signature
from taut.serve.log import REQUEST_ID, Columns

Scalar = str | float | int | bool | None

INTEGERS = frozenset({"long", "integer"})


@dataclass(frozen=True, slots=True)
class Request:
    """Rows to predict. `id` is empty where the caller gave none; `outputs` names those wanted, empty for all."""

    columns: Columns
    id: str = ""
    event_ms: int | None = None
    outputs: tuple[str, ...] = ()


def parsed(signature: Signature, columns: dict[str, list[str]]) -> Columns:
    """Columns of text, as a CSV file has them, in the kinds of the signature; an empty text is a missing value.

    A text that is no value of its kind stays a text, for the model to name.
    """
    kinds = {column.name: column.kind for column in signature.inputs}
    return {name: [_parse(kinds.get(name, "string"), text) for text in texts] for name, texts in columns.items()}


def columns_of_rows(rows: Sequence[dict[str, Scalar]]) -> Columns:
    """Rows with names as columns. Raises Invalid for the first row that lacks a column or has one too many."""
    if not rows:
        raise Invalid("the request has no rows")
    names = list(rows[0])
    for place, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            odd = sorted(row.keys() ^ rows[0].keys())[0]
            raise Invalid(f"row {place} and row 0 have different columns: only one of them has {odd!r}")
    return {name: [row[name] for row in rows] for name in names}


def columns_of_lists(names: Sequence[str], rows: Sequence[Sequence[Scalar]]) -> Columns:
    """Rows without names as columns. Raises Invalid for the first row of another length, and for a name given twice."""
    if len(set(names)) != len(names):
        raise Invalid(f"column {next(name for name in names if names.count(name) > 1)!r} is given twice")
    for place, row in enumerate(rows):
        if len(row) != len(names):
            raise Invalid(f"row {place} has {len(row)} values, there are {len(names)} columns")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def checked_id(written: str) -> str:
    """A request id that the caller chose, empty for none. Raises Invalid."""
    if written and REQUEST_ID.fullmatch(written) is None:
        raise Invalid(f"{written[:200]!r} cannot be a request id; take up to 128 letters, digits and ._:/+=@-")
    return written


def event_time(written: object) -> int | None:
    """When what a request speaks of happened: ISO 8601 or milliseconds since 1970; None where nothing is said."""
    if written is None or written == "":
        return None
    if isinstance(written, bool) or not isinstance(written, int | str):
        raise Invalid(f"event_time is {written!r}; write ISO 8601, as 2013-04-01T05:00Z, or whole milliseconds")
    return written if isinstance(written, int) else moment_ms(written)


def _parse(kind: str, text: str) -> Scalar:
    if text == "":
        return None
    if kind in ("string", "datetime"):
        return text
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return int(text) if kind in INTEGERS else float(text)
    except ValueError:
        return text
