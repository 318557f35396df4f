"""The log by columns: the same rows as the requests that readers see, wherever they lie, with the same labels."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from taut.home import Home
from taut.serve import log_labels, log_prediction, open_log
from taut.serve.log import columnar
from taut.serve.log.compacting import compact
from taut.serve.log.parts import listed_parts, logged_parts
from taut.serve.log.said import EVERY_ROLE
from taut.serve.log.sealing import seal
from taut.serve.log.spans import Span
from tests.serve.log.scenes import said, say
from tests.serve.scenes import record, register


def as_text(cell: object) -> str:
    """A cell so that it can be compared: NaN and None are one, and 1 is 1.0."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "nothing"
    return json.dumps(float(cell) if isinstance(cell, int) and not isinstance(cell, bool) else cell)


def row(inputs: dict[str, Any], output: object, label: float | None) -> str:
    there = sorted((name, as_text(cell)) for name, cell in inputs.items() if as_text(cell) != "nothing")
    return f"{there} {as_text(output)} {as_text(label)}"


def by_columns(home: Home, *outputs: str, **span: Any) -> Counter[str]:
    """The rows as they are read by columns, each with one of these outputs and with its label."""
    found: Counter[str] = Counter()
    with open_log(home, "late") as log:
        for part in logged_parts(log, Span("late", **span), outputs=outputs):
            columns = {name: plain(column) for name, column in part.inputs().items()}
            answered = plain(part.output(*outputs))
            assert part.labels.shape == (part.rows,)
            assert {len(column) for column in columns.values()} | {len(answered)} == {part.rows}
            for place in range(part.rows):
                inputs = {name: column[place] for name, column in columns.items()}
                found[row(inputs, answered[place], float(part.labels[place]))] += 1
    return found


def by_lists(home: Home, *outputs: str, **span: Any) -> Counter[str]:
    """The same from lists, as where Arrow is not installed."""
    found: Counter[str] = Counter()
    with open_log(home, "late") as log:
        for part in listed_parts(log, Span("late", **span)):
            answered = part.output(*outputs)
            for place in range(part.rows):
                inputs = {name: column[place] for name, column in part.inputs().items()}
                found[row(inputs, answered[place], float(part.labels[place]))] += 1
    return found


def plain(column: pa.ChunkedArray | list[object]) -> list[object]:
    return column if isinstance(column, list) else column.to_pylist()


def by_requests(home: Home, *outputs: str, **span: Any) -> Counter[str]:
    """The same rows as requests say them."""
    return Counter(_rows(home, outputs, Span("late", **span)))


def _rows(home: Home, outputs: tuple[str, ...], span: Span) -> Iterator[str]:
    labels = {}
    with home.meta.read() as tx:
        for name, place, value in tx.rows("SELECT id, row_index, value FROM label"):
            labels[str(name), int(str(place))] = float(str(value))
    with open_log(home, "late") as log:
        for one in log.requests(span):
            answer = next((one.outputs[name] for name in outputs if name in one.outputs), [None] * one.rows)
            for place in range(one.rows):
                inputs = {name: cells[place] for name, cells in one.inputs.items()}
                yield row(inputs, answer[place], labels.get((one.id, place)))


@pytest.fixture
def mixed(home: Home) -> Home:
    """Answers as rows of the database, in two segments, and in journals; some with labels, some of a shadow."""
    register(home)
    record(home)
    log_prediction(home, "late", "row", 1, 1_500, {"delay": [1.0, None], "x": ["a", 3]}, {"probability": [0.1, 0.2]})
    say(home, said("a", "b", counts=[2, 3], event_ms=[1_000, 2_000]), said("c", event_ms=[2_500], number=2))
    say(home, said("s", event_ms=[1_700], role="shadow"), said("k", event_ms=[1_800], role="canary", number=2))
    seal(home, "late")
    say(home, said("d", event_ms=[1_200], wind=[2.5], carrier=["AA"]), said("e", event_ms=[1_900], delay=float("nan")))
    say(home, said("m", "n", event_ms=[1_300, 1_400], x=[0.5, "gone"], flag=[True, None]))
    seal(home, "late")
    say(home, said("f", "g", counts=[1, 2], event_ms=[1_100, 3_000]), said("t", event_ms=[1_650], tensor=[[1.0, 2.0]]))
    log_labels(home, "late", {"row.1": 1.0, "a.0": 0.0, "b.2": 1.0, "d.0": 0.5, "g.1": 1.0, "f.0": 0.0})
    return home


SPANS: list[dict[str, Any]] = [
    {}, {"from_ms": 1_200, "until_ms": 2_000}, {"number": 1}, {"number": 2}, {"model": "late", "number": 1},
    {"model": "other"}, {"roles": EVERY_ROLE}, {"roles": ("shadow",)}, {"from_ms": 1_101, "until_ms": 1_102},
]  # fmt: skip


@pytest.mark.parametrize("span", SPANS)
def test_columns_hold_the_rows_that_requests_hold(mixed, span: dict[str, Any]):
    wanted = by_requests(mixed, "probability", **span)
    assert by_columns(mixed, "probability", **span) == by_lists(mixed, "probability", **span) == wanted
    assert wanted.total() == {0: 17, 1: 8}.get(SPANS.index(span), wanted.total())


@pytest.mark.parametrize("span", SPANS[:4])
def test_sealing_and_joining_segments_changes_no_row(mixed, span: dict[str, Any]):
    before = by_columns(mixed, "probability", **span)
    seal(mixed, "late")
    assert by_columns(mixed, "probability", **span) == before
    assert compact(mixed, "late", at_least=1) == 3
    assert by_columns(mixed, "probability", **span) == before


def test_parts_stay_small_and_hold_the_same(mixed, monkeypatch):
    whole = by_columns(mixed, "probability")
    monkeypatch.setattr(columnar, "PART_ROWS", 2)
    monkeypatch.setattr(columnar, "TOGETHER", 1)
    assert by_columns(mixed, "probability") == whole
    with open_log(mixed, "late") as log:
        assert sum(1 for _ in logged_parts(log, Span("late"))) >= 5


def test_a_part_of_a_file_that_lies_in_the_span_as_a_whole_is_not_filtered(home: Home):
    many = [
        said(*(f"r{n}-{i}" for i in range(64)), event_ms=[1_000 + n * 64 + i for i in range(64)]) for n in range(600)
    ]
    say(home, *many)
    seal(home, "late")
    spans: list[dict[str, Any]] = [{}, {"from_ms": 5_000, "until_ms": 30_000}, {"until_ms": 1_001}]
    for span in spans:
        assert by_columns(home, "probability", **span) == by_requests(home, "probability", **span)
    assert by_columns(home, until_ms=1_001).total() == 1


def test_a_callers_id_that_two_machines_answered_counts_once_as_it_will_when_it_is_sealed(home: Home):
    say(home, said("own", "other", given=True, event_ms=[1_000, 1_001]))
    seal(home, "late")
    say(home, said("own", "third", given=True, event_ms=[1_500, 1_501], delay=7.0))
    before = by_columns(home)
    assert before.total() == 3
    seal(home, "late")
    assert by_columns(home) == before == by_requests(home)


def test_each_row_has_the_first_of_the_outputs_that_its_request_has(home: Home):
    one = said("a", event_ms=[1_000])
    say(home, one)
    register(home)
    record(home)
    log_prediction(home, "late", "b", 1, 1_000, {"delay": [1.0]}, {"prediction": [1]})
    seal(home, "late")
    log_prediction(home, "late", "c", 1, 1_000, {"delay": [1.0]}, {"probability": [0.75], "prediction": [1]})
    names = ("probability", "prediction")
    assert by_columns(home, *names) == by_requests(home, *names)
    assert by_columns(home, "prediction").total() == 3
    assert by_columns(home, "nothing") == by_requests(home, "nothing")


def test_requests_that_differ_in_their_outputs_are_told_apart_in_one_file(home: Home):
    plain_one = said("p", event_ms=[1_000])
    only = said("q", event_ms=[1_001])
    only.outputs.clear()
    only.outputs["prediction"] = [1.0]
    say(home, plain_one, only)
    seal(home, "late")
    names = ("probability", "prediction")
    assert by_columns(home, *names) == by_requests(home, *names)
    assert by_columns(home, "prediction") == by_requests(home, "prediction")


def test_only_the_columns_that_are_wanted_are_read(mixed):
    with open_log(mixed, "late") as log:
        for part in logged_parts(log, Span("late"), inputs={"delay"}, outputs=()):
            assert part.inputs().keys() <= {"delay"}
            assert isinstance(part, columnar.ArrowPart)
            assert not [name for name in part.table.column_names if name.startswith("output.")]


def test_labels_are_joined_by_request_and_row_at_any_later_time(home: Home):
    ids = [f"r{number}" for number in range(300)]
    say(home, said(*ids, counts=[2] * 300))
    seal(home, "late")
    with open_log(home, "late") as log:
        assert all(np.isnan(part.labels).all() for part in logged_parts(log, Span("late")))
    log_labels(home, "late", {f"r{number}.1": number % 2 for number in range(0, 300, 3)})
    with open_log(home, "late") as log:
        (part,) = logged_parts(log, Span("late"))
    known = ~np.isnan(part.labels)
    assert (int(known.sum()), float(part.labels[known].sum())) == (100, 50.0)
    assert by_columns(home, "probability") == by_requests(home, "probability")
