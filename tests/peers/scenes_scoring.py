"""The bodies that two scoring servers are asked about: every form of MLflow's `/invocations`, good and bad."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"

ROWS: list[dict[str, Any]] = [
    {"delay": 2.5, "seats": 10, "carrier": "UA", "late": True},
    {"delay": -1.0, "seats": 20, "carrier": "AA", "late": False},
    {"delay": 0.1, "seats": -3, "carrier": "DL", "late": True},
]
NAMES = list(ROWS[0])
LISTS = [list(row.values()) for row in ROWS]
COLUMNS = {name: [row[name] for row in ROWS] for name in NAMES}
NUMBERS = [[0.5, 1.5, -2.0], [3.0, 0.0, 1e-3]]
"""For a model that was trained on an array of three columns."""


STRICTER = {
    "ragged-split": "a row that is too short is not filled up with nothing",
    "fraction-long": "1.5 is no whole number; MLflow makes 1 of it",
    "text-bool": "'maybe' is no truth value; MLflow makes true of it",
    "extra": "a column that the model does not take may be a misspelt one",
    "csv-extra": "as extra", "parquet-extra": "as extra",
    "unknown-param": "a param that the model does not take may be a misspelt one",
    "bytes-utf16": "JSON is UTF-8",
}  # fmt: skip
LAXER = {
    "single-nested": "a value in a list of its own is the value", "single-inputs-nested": "as single-nested",
    "unnamed": "rows without names are in the order of the signature",
    "parquet-dictionary": "a dictionary of texts is texts",
}  # fmt: skip
"""By how a name begins: where taut differs on purpose, and why."""


@dataclass(frozen=True)
class Asked:
    """A body for the model `table` (named columns), `array` (three numbers a row) or `single` (one named column)."""

    name: str
    model: str
    body: bytes
    content_type: str = JSON

    @property
    def taken(self) -> bool | None:
        """Whether taut takes what MLflow does not, or refuses what MLflow takes; None where both do the same."""
        for names, taken in ((STRICTER, False), (LAXER, True)):
            if any(self.name == name or self.name.startswith(f"{name}-") for name in names):
                return taken
        return None


def asked() -> Iterator[Asked]:
    """All of them; the names are unique."""
    yield from _forms()
    yield from _values()
    yield from _shapes()
    yield from _bytes()
    yield from _arrays()
    yield from _texts()
    yield from _tables()


def _body(value: object) -> bytes:
    return json.dumps(value).encode()


def forms_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The same rows in every JSON form that carries names."""
    names = list(rows[0])
    lists = [list(row.values()) for row in rows]
    columns = {name: [row[name] for row in rows] for name in names}
    return {
        "split": {"dataframe_split": {"columns": names, "data": lists}},
        "split-index": {"dataframe_split": {"columns": names, "data": lists, "index": list(range(len(rows)))}},
        "records": {"dataframe_records": rows},
        "instances-rows": {"instances": rows},
        "instances-columns": {"instances": columns},
        "inputs-columns": {"inputs": columns},
        "inputs-rows": {"inputs": rows},
    }


def _forms() -> Iterator[Asked]:
    for count in (1, 2, 3):
        for form, value in forms_of(ROWS[:count]).items():
            yield Asked(f"{form}-{count}", "table", _body(value))
    shuffled = [{name: row[name] for name in reversed(NAMES)} for row in ROWS]
    for form, value in forms_of(shuffled).items():
        yield Asked(f"{form}-other-order", "table", _body(value))
        yield Asked(f"{form}-unknown-key", "table", _body({**value, "usage": {"a": 1}}))
        yield Asked(f"{form}-no-params", "table", _body({**value, "params": {}}))
        yield Asked(f"{form}-null-params", "table", _body({**value, "params": None}))
        yield Asked(f"{form}-indented", "table", json.dumps(value, indent=4).encode())
        yield Asked(f"{form}-utf8", "table", _body(value), f"{JSON}; charset=utf-8")
        yield Asked(f"{form}-UTF8", "table", _body(value), f"{JSON};charset=UTF-8")
        yield Asked(f"{form}-latin", "table", _body(value), f"{JSON}; charset=latin-1")
        yield Asked(f"{form}-format", "table", _body(value), f"{JSON}; format=pandas-split")
    for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "application/jsonlines", "x"):
        yield Asked(f"type-{kind}", "table", _body({"dataframe_records": ROWS}), kind)
    yield Asked("inputs-one-row", "table", _body({"inputs": ROWS[0]}))
    yield Asked("instances-one-row", "table", _body({"instances": ROWS[0]}))


def _values() -> Iterator[Asked]:
    """One value changed in the second row; what is a number for one is one for the other, or is told apart here."""
    changes: dict[str, tuple[str, Any]] = {
        "whole-double": ("delay", 4), "large-double": ("delay", 1e300), "exact-long": ("seats", 2**53 + 1),
        "fraction-long": ("seats", 1.5), "text-long": ("seats", "many"), "null-long": ("seats", None),
        "text-double": ("delay", "soon"), "list-double": ("delay", [1.0]), "object-double": ("delay", {"a": 1}),
        "huge-long": ("seats", 2**70), "text-bool": ("late", "maybe"), "unicode": ("carrier", "Ünïcødé ✈"),
        "empty-text": ("carrier", ""),
    }  # fmt: skip
    for name, (column, value) in changes.items():
        rows = [ROWS[0], {**ROWS[1], column: value}]
        for form, body in forms_of(rows).items():
            yield Asked(f"{name}-{form}", "table", _body(body))
    for word in ("NaN", "Infinity", "-Infinity", "1e400", "null"):
        body = _body({"dataframe_split": {"columns": NAMES, "data": LISTS}}).replace(b"2.5", word.encode())
        yield Asked(f"word-{word}", "table", body)


def _shapes() -> Iterator[Asked]:
    short = [LISTS[0], LISTS[1][:3]]
    lacking = [ROWS[0], {name: ROWS[1][name] for name in NAMES[1:]}]
    renamed = [{("deley" if name == "delay" else name): value for name, value in row.items()} for row in ROWS]
    without = [{name: row[name] for name in NAMES if name != "seats"} for row in ROWS]
    extra = [{**row, "other": 1} for row in ROWS]
    yield Asked("ragged-split", "table", _body({"dataframe_split": {"columns": NAMES, "data": short}}))
    yield Asked("long-split", "table", _body({"dataframe_split": {"columns": NAMES, "data": [[*LISTS[0], 1]]}}))
    yield Asked("ragged-records", "table", _body({"dataframe_records": lacking}))
    yield Asked("ragged-columns", "table", _body({"inputs": {**COLUMNS, "seats": [1]}}))
    for kind, rows in (("renamed", renamed), ("without", without), ("extra", extra)):
        for form, body in forms_of(rows).items():
            yield Asked(f"{kind}-{form}", "table", _body(body))
    yield Asked(
        "twice-split", "table", _body({"dataframe_split": {"columns": [*NAMES, "delay"], "data": [[*LISTS[0], 1]]}})
    )
    for name, value in {
        "no-rows-split": {"dataframe_split": {"columns": NAMES, "data": []}},
        "no-rows-records": {"dataframe_records": []},
        "no-rows-instances": {"instances": []},
        "no-rows-inputs": {"inputs": []},
        "no-columns": {"inputs": {}},
        "null-split": {"dataframe_split": None},
        "list-split": {"dataframe_split": LISTS},
        "object-records": {"dataframe_records": COLUMNS},
        "text-split": {"dataframe_split": "x"},
        "number-inputs": {"inputs": 5},
        "text-inputs": {"inputs": "x"},
        "no-data": {"dataframe_split": {"columns": NAMES}},
        "odd-split": {"dataframe_split": {"data": LISTS, "colums": NAMES}},
        "two-forms": {"inputs": COLUMNS, "instances": ROWS},
        "no-form": {"rows": ROWS},
        "empty": {},
        "top-list": LISTS,
        "top-text": "x",
        "top-null": None,
        "mixed-rows": {"instances": [ROWS[0], LISTS[1]]},
        "unnamed-split": {"dataframe_split": {"data": LISTS}},
        "unnamed-instances": {"instances": LISTS},
        "unnamed-inputs": {"inputs": LISTS},
        "unknown-param": {"inputs": COLUMNS, "params": {"top": 1}},
    }.items():
        yield Asked(name, "table", _body(value))


def _bytes() -> Iterator[Asked]:
    good = _body({"dataframe_records": ROWS})
    for name, body in {
        "nothing": b"",
        "space": b" ",
        "brace": b"{",
        "cut": good[:-1],
        "comma": good[:-1] + b",}",
        "more": good + b"x",
        "single-quotes": good.replace(b'"', b"'"),
        "not-utf8": good.replace(b"UA", b"\xff\xfe"),
        "bom": b"\xef\xbb\xbf" + good,
        "comment": b"/* */" + good,
        "plus": good.replace(b"2.5", b"+2.5"),
        "leading-zero": good.replace(b"2.5", b"02.5"),
        "dot": good.replace(b"2.5", b".5"),
        "hex": good.replace(b"2.5", b"0x5"),
        "true": good.replace(b"2.5", b"True"),
        "deep": b'{"dataframe_records":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "deep-open": b"[" * 100_000,
        "deep-objects": b'{"inputs":' * 50_000,
        "control": good.replace(b"UA", b"U\x01A"),
        "escape": good.replace(b"UA", b"\\u0055A"),
        "bad-escape": good.replace(b"UA", b"\\xUA"),
        "surrogate": good.replace(b"UA", b"\\ud800"),
        "twice": good.replace(b'"seats": 10', b'"seats": 5, "seats": 10'),
        "utf16": good.decode().encode("utf-16"),
        "number": b"5",
        "huge-number": good.replace(b"2.5", b"9" * 5000),
        "zero-bytes": b"\0" * 20,
    }.items():
        yield Asked(f"bytes-{name}", "table", body)


def _arrays() -> Iterator[Asked]:
    for name, value in {
        "instances": {"instances": NUMBERS},
        "inputs": {"inputs": NUMBERS},
        "one": {"inputs": NUMBERS[:1]},
        "split": {"dataframe_split": {"data": NUMBERS}},
        "split-names": {"dataframe_split": {"columns": [0, 1, 2], "data": NUMBERS}},
        "whole": {"instances": [[1, 2, 3]]},
        "narrow": {"instances": [[1.0, 2.0]]},
        "wide": {"instances": [[1.0, 2.0, 3.0, 4.0]]},
        "ragged": {"instances": [[1.0, 2.0, 3.0], [1.0]]},
        "deep": {"instances": [[[1.0, 2.0, 3.0]]]},
        "flat": {"instances": [1.0, 2.0, 3.0]},
        "texts": {"instances": [["a", "b", "c"]]},
        "nulls": {"instances": [[None, 1.0, 2.0]]},
    }.items():
        yield Asked(f"array-{name}", "array", _body(value))
    for name, value in {
        "flat": {"instances": [1.5, 2.5]},
        "nested": {"instances": [[1.5], [2.5]]},
        "inputs-flat": {"inputs": [1.5, 2.5]},
        "inputs-nested": {"inputs": [[1.5], [2.5]]},
        "named": {"inputs": {"delay": [1.5, 2.5]}},
        "rows": {"instances": [{"delay": 1.5}]},
        "split": {"dataframe_split": {"columns": ["delay"], "data": [[1.5], [2.5]]}},
        "split-flat": {"dataframe_split": {"columns": ["delay"], "data": [1.5, 2.5]}},
        "one": {"inputs": {"delay": 1.5}},
        "scalar": {"inputs": 1.5},
    }.items():
        yield Asked(f"single-{name}", "single", _body(value))


HEADING = ",".join(NAMES)


def _texts() -> Iterator[Asked]:
    lines = ["2.5,10,UA,True", "-1.0,20,AA,False"]
    good = "\n".join([HEADING, *lines]) + "\n"
    for name, text in {
        "plain": good,
        "crlf": good.replace("\n", "\r\n"),
        "no-end": good[:-1],
        "quoted": good.replace("UA", '"UA"'),
        "comma": good.replace("UA", '"U,A"'),
        "newline": good.replace("UA", '"U\nA"'),
        "quote": good.replace("UA", '"U""A"'),
        "blank-lines": good.replace("\n", "\n\n"),
        "order": "carrier,late,seats,delay\nUA,True,10,2.5\n",
        "empty-number": good.replace("2.5", ""),
        "na": good.replace("2.5", "NA"),
        "nan": good.replace("2.5", "nan"),
        "null": good.replace("2.5", "null"),
        "na-text": good.replace("UA", "NA"),
        "empty-text": good.replace("UA", ""),
        "inf": good.replace("2.5", "inf"),
        "spaces": good.replace("2.5", " 2.5 "),
        "underscore": good.replace("2.5", "2_5.0"),
        "exponent": good.replace("2.5", "2.5E1"),
        "hex": good.replace("10", "0x10"),
        "word": good.replace("2.5", "soon"),
        "fraction": good.replace("10", "1.5"),
        "whole-fraction": good.replace("10", "10.0"),
        "missing-long": good.replace("10", ""),
        "big-long": good.replace("10", str(2**70)),
        "lower-bool": good.replace("True", "true"),
        "upper-bool": good.replace("True", "TRUE"),
        "one-bool": good.replace("True", "1"),
        "yes-bool": good.replace("True", "yes"),
        "number-text": good.replace("UA", "007"),
        "unicode": good.replace("UA", "Ünïcødé"),
        "other-digits": good.replace("10", "١٠"),
        "short": good.replace(",True", ""),
        "long": good.replace("True", "True,1"),
        "renamed": good.replace("delay", "deley"),
        "extra": good.replace("\n", ",1\n").replace("late,1", "late,x"),
        "no-rows": HEADING + "\n",
        "nothing": "",
        "twice": good.replace("late", "delay"),
        "semicolons": good.replace(",", ";"),
        "missing-column": "delay,seats,carrier\n2.5,10,UA\n",
    }.items():
        yield Asked(f"csv-{name}", "table", text.encode(), CSV)
    yield Asked("csv-bom", "table", b"\xef\xbb\xbf" + good.encode(), CSV)
    yield Asked("csv-latin", "table", good.replace("UA", "ä").encode("latin-1"), CSV)
    yield Asked("csv-charset", "table", good.encode(), f"{CSV}; charset=utf-8")


def _tables() -> Iterator[Asked]:
    def written(table: Any) -> bytes:
        sink = io.BytesIO()
        pq.write_table(table, sink)
        return sink.getvalue()

    good = pa.table(COLUMNS)
    for name, table in {
        "plain": good,
        "order": good.select(NAMES[::-1]),
        "dictionary": good.set_column(2, "carrier", good["carrier"].dictionary_encode()),
        "int32": good.set_column(1, "seats", good["seats"].cast(pa.int32())),
        "renamed": good.rename_columns(["deley", *NAMES[1:]]),
        "null": good.set_column(0, "delay", pa.array([None, 1.0, 2.0])),
        "no-rows": good.slice(0, 0),
        "text": good.set_column(0, "delay", pa.array(["x", "y", "z"])),
        "extra": good.append_column("other", pa.array([1, 2, 3])),
    }.items():
        yield Asked(f"parquet-{name}", "table", written(table), PARQUET)
    yield Asked("parquet-cut", "table", written(good)[:-8], PARQUET)
    yield Asked("parquet-none", "table", b"x", PARQUET)
