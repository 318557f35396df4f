"""MLflow's scoring protocol, `/invocations`: four JSON forms and CSV in, `predictions` out."""

import csv
from typing import Any

import msgspec

from taut.errors import Invalid
from taut.ground import wire
from taut.models.signature import Signature
from taut.records import Prediction
from taut.serve.log import Columns
from taut.serve.requests import Request, Scalar, checked_id, columns_of_lists, columns_of_rows, event_time, parsed

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
Row = list[str | float | int | bool | None]
NamedRow = dict[str, str | float | int | bool | None]

MOMENT_DIGITS_MAX = 15  # Milliseconds up to the year 30,000; longer is no time, and Python refuses to read thousands.


class Split(msgspec.Struct):
    """A data frame as pandas splits it; its index is of no use to a model."""

    data: list[Row]
    columns: list[str] | None = None
    index: list[Any] = []


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """One of four forms. `instances` is a list of rows, `inputs` columns or rows."""

    dataframe_split: Split | None = None
    dataframe_records: list[NamedRow] | None = None
    instances: list[Any] | None = None
    inputs: Any = None
    params: dict[str, Any] | None = None


def read_invocation(
    body: bytes, signature: Signature, *, content_type: str, request_id: str = "", moment: str = ""
) -> Request:
    """Parse a request of `application/json` or `text/csv`. Raises Invalid with what is wrong, and where."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/csv":
        columns = parsed(signature, read_csv(body))
    elif kind in ("application/json", ""):
        columns = _columns(wire.decode(body, Body, what="the request"), signature)
    else:
        raise Invalid(f"/invocations takes application/json or text/csv, not {content_type!r}")
    return Request(columns=columns, id=checked_id(request_id), event_ms=event_time(_number_or_text(moment)))


def invocation_body(answered: Prediction) -> bytes:
    """The answer: `predictions` as MLflow's clients read them; beside it what else the model said, and the id."""
    others = {name: values for name, values in answered.outputs.items() if name != "prediction"}
    body = {"predictions": answered.outputs["prediction"], **others, "id": answered.id, "version": answered.number}
    return msgspec.json.encode(body)


def read_csv(body: bytes) -> dict[str, list[str]]:
    """Columns of text from CSV with a heading. Raises Invalid with the line that is ragged."""
    try:
        lines = list(csv.reader(body.decode("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as problem:
        raise Invalid(f"the CSV cannot be read: {problem}") from None
    if len(lines) < 2:
        raise Invalid("the CSV needs a heading and at least one row")
    heading, *rows = lines
    if twice := {name for name in heading if heading.count(name) > 1}:
        raise Invalid(f"the CSV has two columns called {min(twice)!r}")
    for place, row in enumerate(rows):
        if len(row) != len(heading):
            raise Invalid(f"line {place + 2} of the CSV has {len(row)} values, the heading has {len(heading)}")
    return {name: [row[place] for row in rows] for place, name in enumerate(heading)}


def _columns(body: Body, signature: Signature) -> Columns:
    given = [form for form in FORMS if getattr(body, form) is not None]
    if len(given) != 1:
        raise Invalid(f"the request needs exactly one of {', '.join(FORMS)}; it has {', '.join(given) or 'none'}")
    if body.params:
        raise Invalid(f"the model takes no params; the request has {', '.join(sorted(body.params))}")
    if body.dataframe_split is not None:
        split = body.dataframe_split
        return columns_of_lists(list(signature.names) if split.columns is None else split.columns, split.data)
    if body.dataframe_records is not None:
        return columns_of_rows(body.dataframe_records)
    rows = body.instances if body.instances is not None else body.inputs
    if isinstance(rows, dict):
        return _named(rows)
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        return columns_of_rows(wire.convert(rows, list[NamedRow], what=given[0]))
    return columns_of_lists(signature.names, _lists(rows, given[0]))


def _named(columns: dict[str, Any]) -> Columns:
    """`inputs` by names: lists of one length, or one row of plain values."""
    if not any(isinstance(value, list) for value in columns.values()):
        return columns_of_rows([wire.convert(columns, NamedRow, what="inputs")])
    found: Columns = wire.convert(columns, Columns, what="inputs")
    return found


def _lists(rows: object, form: str) -> list[list[Scalar]]:
    """Rows without names; plain values are rows of one column."""
    if isinstance(rows, list) and rows and not isinstance(rows[0], list):
        rows = [[value] for value in rows]
    found: list[list[Scalar]] = wire.convert(rows, list[Row], what=form)
    return found


def _number_or_text(written: str) -> int | str:
    return int(written) if written.isdecimal() and len(written) <= MOMENT_DIGITS_MAX else written
