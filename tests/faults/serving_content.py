"""Requests that are well sent and wrong inside: each with the statuses that are right for it."""

import json
from dataclasses import dataclass
from typing import Any

from tests.faults.serving_stand import COLUMNS, Stand, rows

DEEP = 100_000
REFUSED = frozenset({400, 413, 415, 422})
WORDS_MAX = 4096
GOOD = [1.5, 10, "UA"]


@dataclass(frozen=True, slots=True)
class Content:
    """A body; `right` are the statuses that it may have, `answers` the predictions where it has 200."""

    name: str
    body: bytes
    right: frozenset[int] = REFUSED
    kind: str = "application/json"
    path: str = "/invocations"
    answers: list[Any] | None = None

    def __call__(self, stand: Stand) -> str:
        """What is wrong with the answer; empty where nothing is."""
        if self.path.startswith("/v2") and not stand.speaks_oip:
            return "-"
        reply = stand.ask(self.body, self.path, self.kind)
        if reply.status not in self.right:
            return f"{reply.status} {reply.body[:160]!r}"
        if reply.status == 200:
            said = reply.says["predictions"] if self.path == "/invocations" else reply.says["outputs"][0]["data"]
            return "" if self.answers is None or said == self.answers else f"answered {said}"
        if b"Traceback" in reply.body or len(reply.body) > WORDS_MAX:
            return f"{reply.status} with {len(reply.body)} bytes of {reply.body[:60]!r}"
        return ""


def split(columns: list[Any], *cells: list[Any]) -> bytes:
    return json.dumps({"dataframe_split": {"columns": columns, "data": list(cells)}}).encode()


def tensor(name: str, datatype: str, shape: Any, data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def oip(**changed: dict[str, Any]) -> bytes:
    known = {
        "delay": tensor("delay", "FP64", [1], [1.5]), "seats": tensor("seats", "INT64", [1], [10]),
        "carrier": tensor("carrier", "BYTES", [1], ["UA"]),
    }  # fmt: skip
    return json.dumps({"inputs": [*{**known, **changed}.values()]}).encode()


WHOLE = rows(GOOD)
EITHER = REFUSED | {200}
MALFORMED = {
    "nothing": b"",
    "blanks alone": b" \n\t ",
    "cut in the middle": WHOLE[: len(WHOLE) // 2],
    "without its last brace": WHOLE[:-1],
    "a brace too many": WHOLE + b"}",
    "two documents": WHOLE + WHOLE,
    "single quotes": WHOLE.replace(b'"', b"'"),
    "a trailing comma": WHOLE[:-1] + b",}",
    "a comment": b"/* hello */" + WHOLE,
    "keys without quotes": WHOLE.replace(b'"dataframe_split"', b"dataframe_split"),
    "a NUL inside": WHOLE.replace(b'"UA"', b'"U\x00A"'),
    "a half surrogate": WHOLE.replace(b'"UA"', b'"\\ud800"'),
    "a bad escape": WHOLE.replace(b'"UA"', b'"\\x41"'),
    "a number like 01": WHOLE.replace(b"1.5", b"01.5"),
    "a word for a number": WHOLE.replace(b"1.5", b"nul"),
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "invalid UTF-8": WHOLE.replace(b'"UA"', b'"\xff\xfe"'),
    "an overlong NUL": WHOLE.replace(b'"UA"', b'"\xc0\x80"'),
    "gzip that is none": b"\x1f\x8b" + WHOLE,
    "100,000 lists deep": b"[" * DEEP + b"]" * DEEP,
    "100,000 objects deep": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a cell 100,000 deep": WHOLE.replace(b"1.5", b"[" * DEEP + b"]" * DEEP),
    "an unknown key that is 100,000 deep": b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"," + WHOLE[1:],
    "a number of 100,000 digits": WHOLE.replace(b"1.5", b"1" * DEEP),
    "seats of 100,000 digits": WHOLE.replace(b"10", b"1" * DEEP),
}
SHAPES = {
    "a list": b"[]", "a number": b"5", "null": b"null", "a text": b'"x"', "an empty object": b"{}",
    "two forms at once": b'{"instances": [[1.5, 10, "UA"]], "inputs": [[1.5, 10, "UA"]]}',
    "data that is no list": b'{"dataframe_split": {"columns": ["a"], "data": 5}}',
    "ragged rows": split(COLUMNS, GOOD, [1.5, 10], GOOD),
    "a row too long": split(COLUMNS, [*GOOD, 5]),
    "a missing column": split(["delay", "seats"], [1.5, 10]),
    "a renamed column": split(["delay", "seat", "carrier"], GOOD),
    "a column of another case": split(["delay", "Seats", "carrier"], GOOD),
    "a column twice": split([*COLUMNS, "seats"], [*GOOD, 99]),
    "a column named null": split(["delay", "seats", None], GOOD),
    "a column named by an object": split(["delay", "seats", {}], GOOD),
    "a text for a number": rows(["x", 10, "UA"]),
    "a text for an integer": rows([1.5, "ten", "UA"]),
    "a digit text for an integer": rows([1.5, "10", "UA"]),
    "a fraction for an integer": rows([1.5, 10.5, "UA"]),
    "true for an integer": rows([1.5, True, "UA"]),
    "a number for a text": rows([1.5, 10, 5]),
    "a list for a text": rows([1.5, 10, ["UA"]]),
    "an object for a number": rows([{}, 10, "UA"]),
    "null for a needed integer": rows([1.5, None, "UA"]),
    "NaN for an integer": WHOLE.replace(b"10", b"NaN"),
    "Infinity for an integer": WHOLE.replace(b"10", b"Infinity"),
    "1e400 for an integer": WHOLE.replace(b"10", b"1e400"),
    "2^63": rows([1.5, 2**63, "UA"]),
    "beyond 2^64": WHOLE.replace(b"10", str(2**64 + 1).encode()),
    "params of no model": b'{"params": {"x": 1},' + WHOLE[1:],
}  # fmt: skip
LENIENT = {
    "zero rows": (split(COLUMNS), EITHER, []),
    "an extra column": (split([*COLUMNS, "more"], [*GOOD, 1]), EITHER, [20]),
    "one key twice": (WHOLE[:-1] + b"," + WHOLE[1:], EITHER, [20]),
    "NaN": (WHOLE.replace(b"1.5", b"NaN"), EITHER, [20]),
    "Infinity": (WHOLE.replace(b"1.5", b"Infinity"), EITHER, [20]),
    "1e400": (WHOLE.replace(b"1.5", b"1e400"), EITHER, [20]),
    "null for a text": (rows([1.5, 10, None]), EITHER, [20]),
    "null where it may be": (rows([None, 10, "UA"]), frozenset({200}), [20]),
    "beyond 2^53": (rows([1.5, 2**53 + 1, "UA"]), frozenset({200}), [2**54 + 2]),
    "an integer for a number": (rows([2, 10, "UA"]), frozenset({200}), [20]),
    "a megabyte of text": (rows([1.5, 10, "x" * (1 << 20)]), EITHER, [20]),
    "10,000 columns": (split([*COLUMNS, *map(str, range(9997))], [*GOOD, *range(9997)]), EITHER, [20]),
    "100,000 rows": (rows(*[GOOD] * 100_000), EITHER, [20] * 100_000),
}
KINDS = {
    "text/plain": "text/plain",
    "multipart": "multipart/form-data; boundary=x",
    "a type of 4 kB": "application/" + "x" * 4000,
    "UTF-7": "application/json; charset=utf-7",
    "CSV that is JSON": "text/csv",
    "Parquet that is JSON": "application/vnd.apache.parquet",
    "Arrow that is JSON": "application/vnd.apache.arrow.stream",
    "no type but a slash": "/",
}
TENSORS = {
    "a huge shape": oip(seats=tensor("seats", "INT64", [2**62], [10])),
    "a shape that overflows": oip(seats=tensor("seats", "INT64", [2**40, 2**40], [10])),
    "a shape with zero": oip(seats=tensor("seats", "INT64", [0, 2**62], [])),
    "a negative shape": oip(seats=tensor("seats", "INT64", [-1], [10])),
    "a shape of fractions": oip(seats=tensor("seats", "INT64", [1.5], [10])),
    "100,000 dimensions": oip(seats=tensor("seats", "INT64", [1] * DEEP, [10])),
    "a shape of no list": oip(seats=tensor("seats", "INT64", 1, [10])),
    "an unknown datatype": oip(seats=tensor("seats", "INT65", [1], [10])),
    "lengths that differ": oip(seats=tensor("seats", "INT64", [2], [10, 11])),
    "an input twice": oip(more=tensor("seats", "INT64", [1], [99])),
    "data that is deep": oip(seats=tensor("seats", "INT64", [1], [[[[10, 11]]]])),
    "binary data that is not there": oip(
        seats={"name": "seats", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 2**62}}
    ),
    "a negative binary size": oip(
        seats={"name": "seats", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": -8}}
    ),
    "no inputs": b'{"inputs": []}',
    "inputs that are no list": b'{"inputs": 5}',
    "an id of 100,000 letters": oip()[:-1] + b', "id": "' + b"x" * DEEP + b'"}',
    "an id with line ends": oip()[:-1] + b', "id": "a\\r\\nset-cookie: x"}',
}
CONTENTS = [
    *(Content(f"JSON: {name}", body) for name, body in MALFORMED.items()),
    *(Content(f"rows: {name}", body) for name, body in SHAPES.items()),
    *(Content(f"rows: {name}", body, right, answers=said) for name, (body, right, said) in LENIENT.items()),
    *(Content(f"type: {name}", WHOLE, kind=kind) for name, kind in KINDS.items()),
    *(Content(f"tensor: {name}", body, path="/v2/models/late/infer") for name, body in TENSORS.items()),
]
