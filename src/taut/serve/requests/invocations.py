"""MLflow's scoring protocol, `/invocations`: four JSON forms, CSV, Parquet and Arrow in; `predictions` out."""

import json
from codecs import BOM_UTF8
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec

from taut.errors import Invalid, Unsupported
from taut.models.signature import Signature
from taut.records import Prediction
from taut.serve.requests.arrow import FORMS as ARROW_FORMS
from taut.serve.requests.arrow import arrow_answer, read_arrow, wants_arrow
from taut.serve.requests.asked import (
    JSON,
    Body,
    Columns,
    Request,
    checked_id,
    decoded,
    event_time_of_header,
    must_have_few,
)
from taut.serve.requests.rows import columns_of_lists, columns_of_rows
from taut.serve.requests.text import parsed, read_csv

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
CSV = "text/csv"
TAKEN = (JSON, CSV, *ARROW_FORMS)


class Split(msgspec.Struct, forbid_unknown_fields=True):
    """A data frame as pandas splits it; its index is of no use to a model."""

    data: list[list[Any]]
    columns: list[str] | None = None
    index: Any = None


class OddSplit(Split, forbid_unknown_fields=True):
    """The same with rows that are plain values, and columns called by numbers."""

    data: list[Any]
    columns: list[str | int] | None = None  # type: ignore[assignment]  # Wider than what nearly all write.


class Forms(msgspec.Struct):
    """One of four forms. `instances` and `inputs` are rows or columns; what else stands here is left alone."""

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: Any = None
    inputs: Any = None
    params: dict[str, Any] | None = None


class OddForms(Forms):
    """The same around the odd form of a data frame."""

    dataframe_split: OddSplit | None = None


_decoder = msgspec.json.Decoder(Forms)
_odd_decoder = msgspec.json.Decoder(OddForms)
_encoder = msgspec.json.Encoder()


class InvocationReader:
    """Reads requests for one signature; `params` names what the model takes beside its columns."""

    def __init__(self, signature: Signature, params: Collection[str] = ()) -> None:
        self._signature = signature
        self._names = signature.names
        self._params = frozenset(params)

    def read(
        self, body: bytes, *, content_type: str = "", request_id: str = "", moment: str = "", accept: str = ""
    ) -> Request:
        """Parse a request; the last four are its headers Content-Type, X-Request-Id, X-Event-Time and Accept.

        Raises Unsupported for a type that is not taken, Invalid with what is wrong, and where.
        """
        kind = kind_of(content_type)
        params: dict[str, Any] = {}
        if kind == JSON:
            forms = _forms(body)
            columns, params = self._columns(forms, body), self._checked(forms.params)
        elif kind == CSV:
            columns = parsed(self._signature, read_csv(body))
        else:
            columns = read_arrow(body, kind)
        return Request(
            columns,
            checked_id(request_id) if request_id else "",
            event_time_of_header(moment) if moment else None,
            params=params,
            arrow=wants_arrow(accept),
        )

    def _checked(self, params: dict[str, Any] | None) -> dict[str, Any]:
        if params and (unknown := sorted(params.keys() - self._params)):
            takes = ", ".join(sorted(self._params)) or "no params"
            raise Invalid(f"the model takes {takes}; the request has {', '.join(unknown):.200}")
        return params or {}

    def _columns(self, forms: Forms, body: bytes) -> Columns:
        split, records = forms.dataframe_split, forms.dataframe_records
        instances, inputs = forms.instances, forms.inputs
        if (split is None) + (records is None) + (instances is None) + (inputs is None) != 3:
            raise Invalid(f"the request needs exactly one of {', '.join(FORMS)}; it has {_found(forms, body)}")
        if split is not None:
            if not isinstance(split, OddSplit):
                return (
                    self._of_lists(split.data) if split.columns is None else columns_of_lists(split.columns, split.data)
                )
            rows = _lists(split.data, "dataframe_split.data")
            return self._of_lists(rows) if split.columns is None else columns_of_lists([*map(str, split.columns)], rows)
        if records is not None:
            return columns_of_rows(records)
        if instances is not None:
            return self._of_tensors("instances", instances)
        return self._of_tensors("inputs", inputs)

    def _of_tensors(self, form: str, given: Any) -> Columns:
        """`instances` or `inputs`: rows with or without names, or columns."""
        if isinstance(given, dict):
            return _named(given, form)
        if not isinstance(given, list):
            raise Invalid(f"{form} is {given!r:.80}; it takes rows, or columns by name")
        if given and isinstance(given[0], dict):
            return columns_of_rows(_objects(given, form))
        if len(self._names) == 1:
            return {self._names[0]: _cells(given)}
        return self._of_lists(_lists(given, form))

    def _of_lists(self, rows: Sequence[list[Any]]) -> Columns:
        """Rows in the order of the signature; by their places where the model was saved without one."""
        return columns_of_lists(self._names or [str(place) for place in range(len(rows[0]) if rows else 0)], rows)


def read_invocation(
    body: bytes, signature: Signature, *, content_type: str, request_id: str = "", moment: str = "", accept: str = ""
) -> Request:
    """`InvocationReader.read` for a signature that is asked once."""
    reader = InvocationReader(signature)
    return reader.read(body, content_type=content_type, request_id=request_id, moment=moment, accept=accept)


def invocation_body(answered: Prediction) -> bytes:
    """The answer: `predictions` as MLflow's clients read them; beside it what else the model said, and the id.

    A model with one output gives a list, a value a row; one with several gives a list of objects, as MLflow writes a
    data frame. A value that is no number is null.
    """
    outputs = answered.outputs
    if "prediction" in outputs:
        body: dict[str, Any] = {"predictions": outputs["prediction"], **outputs}
        del body["prediction"]
    else:
        names = tuple(outputs)
        body = {"predictions": [dict(zip(names, row, strict=True)) for row in zip(*outputs.values(), strict=True)]}
    body["id"], body["version"], body["revision"] = answered.id, answered.number, answered.revision
    return _encoder.encode(body)


def invocation_answer(answered: Prediction, request: Request) -> Body:
    """The answer as it was asked for: JSON, or an Arrow stream of the outputs with the id in its schema."""
    return arrow_answer(answered, answered.outputs) if request.arrow else Body(invocation_body(answered))


@lru_cache(32)
def kind_of(content_type: str) -> str:
    """The media type of a body, JSON where none is said. Raises Unsupported for one that is not taken, or not UTF-8."""
    kind, *parameters = [part.strip() for part in content_type.split(";")]
    for name, _, value in (parameter.partition("=") for parameter in parameters if parameter):
        if name.strip().lower() != "charset":
            raise Unsupported(f"/invocations takes no {name.strip()!r:.80} beside a content type, only a charset")
        if value.strip(' "').lower() not in ("utf-8", "utf8"):
            raise Unsupported(f"/invocations takes UTF-8, not {value!r:.80}")
    if kind.lower() in TAKEN:
        return kind.lower()
    if kind:
        raise Unsupported(f"/invocations takes {', '.join(TAKEN)}, not {content_type!r:.80}")
    return JSON


def _forms(body: bytes) -> Forms:
    """The JSON of a request; with NaN, Infinity and a byte order mark, as MLflow's clients write it."""
    must_have_few(body)
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # Read again, by readers that take more forms and say where they fail.
    if b"NaN" in body or b"Infinity" in body or body.startswith(BOM_UTF8):
        try:
            return msgspec.convert(json.loads(body.decode("utf-8-sig")), OddForms)
        except (ValueError, msgspec.ValidationError, RecursionError) as problem:  # No JSON or text is a ValueError.
            raise Invalid(f"the request cannot be read: {problem!s:.200}") from None
    forms: Forms = decoded(_odd_decoder, body)
    return forms


def _found(forms: Forms, body: bytes) -> str:
    """Which forms a request has; where there is none, what stands in their place."""
    given = [form for form in FORMS if getattr(forms, form) is not None]
    if given:
        return ", ".join(given)
    try:  # It was read once already; but what stands under other names was not looked at, or may be NaN.
        others = list(msgspec.json.decode(body.decode(errors="replace"), type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, RecursionError):
        return "none"
    return f"none, but {', '.join(others[:5])[:200]}" if others else "none"


def _lists(rows: Sequence[Any], form: str) -> Sequence[list[Any]]:
    """Rows without names; plain values are rows of one column."""
    kinds = set(map(type, rows))
    if kinds == {list}:
        return rows
    if kinds.isdisjoint((list, dict)):
        return [[value] for value in rows]
    place = next(place for place, row in enumerate(rows) if type(row) is not list)
    raise Invalid(f"{form}: row {place} is {rows[place]!r:.80}; each row is a list of values, as the others are")


def _objects(rows: Sequence[Any], form: str) -> Sequence[dict[str, Any]]:
    for place, row in enumerate(rows):
        if type(row) is not dict:
            raise Invalid(f"{form}: row {place} is {row!r:.80}; each row is an object, as row 0 is")
    return rows


def _cells(rows: Sequence[Any]) -> list[Any]:
    """The only column: plain values, each alone or in a list of its own, or whole tensors."""
    if set(map(type, rows)) == {list} and set(map(len, rows)) == {1}:
        return list(chain.from_iterable(rows))
    return list(rows)


def _named(columns: dict[str, Any], form: str) -> Columns:
    """Columns by name: lists of one length; plain values alone are one row."""
    are_lists = [isinstance(values, list) for values in columns.values()]
    if all(are_lists):
        return columns
    if not any(are_lists):
        return columns_of_rows([columns])
    name = next(name for name, values in columns.items() if not isinstance(values, list))
    raise Invalid(f"{form}: {name!r:.80} is {columns[name]!r:.80}, and other columns are lists")
