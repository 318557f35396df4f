"""Counting the log: what is counted is what the rows say one by one, however they are split, sealed and replicated."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from itertools import permutations
from operator import add
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from taut.faces.http.embedded import embedded_server
from taut.home import Home, open_home
from taut.project import MonitorSpec
from taut.records import Prediction
from taut.serve import PredictedRows, Span, log_labels, log_prediction, open_log, predicted_rows
from taut.serve.log import PredictionLog, log_place, parts
from taut.serve.log.parts import logged_parts
from taut.serve.log.sealing import seal
from taut.watch import close_windows, list_windows
from taut.watch.counting import CountedRows, count_log, count_parts
from taut.watch.counts import NO_COUNTS, WindowCounts, count_labels, count_window
from taut.watch.detecting import profile_rows, reference_in, watch_rows
from taut.watch.events import Reference
from taut.watch.profile import make_reference
from tests.serve.log.scenes import said
from tests.serve.scenes import make_home
from tests.watch.served import BEGIN_MS, DAY_MS, ROWS, SPEC, deployed, draw, label, profile, refer, serve, watched

DAY = Span("late", BEGIN_MS, BEGIN_MS + DAY_MS)


def counted(home: Home, reference: Reference, spec: MonitorSpec = SPEC, span: Span = DAY) -> CountedRows:
    with open_log(home, "late") as log:
        return count_log(log, span, reference, spec)


def by_lists(home: Home, reference: Reference, spec: MonitorSpec = SPEC) -> WindowCounts:
    """The counts of the same day, from lists of Python's values."""
    rows = predicted_rows(home, "late", DAY.from_ms, DAY.until_ms)
    scores = rows.scores(spec.score)
    counts = count_window(reference, rows.inputs, scores=scores)
    labels = count_labels(reference, scores, rows.labels)
    return replace(counts + labels, rows=counts.rows)


def journal(home: Home, day_share: float, seed: int, *, rows: int = 40, replica: PredictionLog | None = None) -> str:
    """Answer a request of so many rows as a front does, in a journal; returns its id."""
    drawn = draw(seed, rows)
    name = f"j-{seed}"
    one = said(name, counts=[rows], event_ms=[BEGIN_MS + round(day_share * DAY_MS)])
    one.inputs.clear()
    one.inputs.update(drawn.inputs)
    one.outputs.clear()
    one.outputs.update(drawn.outputs)
    log = replica or PredictionLog.open(log_place(home), "late")
    log.append(one)
    if replica is None:
        log.close()
    return name


@pytest.fixture
def busy(home: Home) -> Home:
    """A day with answers as rows of the database, in a segment and in journals, some of them labelled."""
    deployed(home)
    rows = draw(1)
    serve(home, 0, rows)
    for seed in range(6):
        journal(home, 0.1 * seed, seed)
    seal(home, "late")
    for seed in range(6, 9):
        journal(home, 0.1 * seed, seed)
    journal(home, 1.5, 99)
    log_labels(home, "late", {f"j-{seed}.{row}": float(row % 3 == 0) for seed in (2, 7) for row in range(0, 40, 2)})
    return home


def test_columns_count_what_lists_count(busy):
    reference = reference_in(profile())
    found = counted(busy, reference)
    assert found.counts == by_lists(busy, reference)
    assert (found.rows, found.labelled) == (ROWS + 9 * 40, ROWS + 40)
    assert found.counts.trials["label:error"] == (found.labelled,)


def test_sealing_changes_no_count(busy):
    reference = reference_in(profile())
    before = counted(busy, reference)
    seal(busy, "late")
    after = counted(busy, reference)
    assert (after.counts, after.rows) == (before.counts, before.rows)
    assert watch_rows(reference, after, SPEC, "") == watch_rows(reference, before, SPEC, "")


def test_the_counts_of_parts_in_any_order_are_those_of_all(busy):
    reference = reference_in(profile())
    whole = counted(busy, reference)
    with open_log(busy, "late") as log:
        some = list(logged_parts(log, DAY, outputs=("probability", "prediction")))
    assert len(some) == 3
    for order in permutations(some):
        found = count_parts(order, reference, SPEC)
        assert found.counts == whole.counts
        assert watch_rows(reference, found, SPEC, "") == watch_rows(reference, whole, SPEC, "")


@pytest.mark.parametrize("replicas", [2, 5])
def test_replicas_count_apart_what_one_log_counts_together(tmp_path: Path, replicas: int):
    reference = reference_in(profile())
    together = make_home(tmp_path / "together")
    shares = []
    logs = [PredictionLog.open(log_place(together), "late") for _ in range(replicas)]
    for place in range(replicas):
        with make_home(tmp_path / f"apart-{place}") as apart:
            for seed in range(place, 12, replicas):
                journal(apart, 0.05 * seed, seed)
                journal(together, 0.05 * seed, seed, replica=logs[place])
            if place % 2:
                seal(apart, "late")
            shares.append(counted(apart, reference).counts)
    for log in logs:
        log.close()
    with together:
        whole = msgspec.json.encode(counted(together, reference).counts, order="sorted")
    for order in (shares, shares[::-1]):
        assert msgspec.json.encode(reduce(add, order, NO_COUNTS), order="sorted") == whole


def test_what_a_front_far_away_sends_is_counted_as_what_is_answered_here(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    deployed(home)
    reference = reference_in(profile())
    for seed in range(3):
        journal(home, 0.1 * seed, seed)
    with embedded_server(home) as url, open_home(url) as far:
        for seed in range(3, 6):
            journal(far, 0.1 * seed, seed)
        assert seal(far, "late", also_written=True).rows == 3 * 40
        assert seal(far, "late", also_written=True).rows == 0
    found = counted(home, reference)
    assert found.rows == 6 * 40
    assert found.counts == by_lists(home, reference)


def reference_of(**columns: Any) -> Reference:
    return make_reference(columns, scores=np.linspace(0, 1, len(next(iter(columns.values())))))


WORDS = ["a", "b", "a", "b"]
ODD: list[tuple[dict[str, list], dict[str, list]]] = [
    ({"x": [1.0, 2.0, 3.0, 4.0]}, {"x": [2, None, 9]}),
    ({"x": [1.0, 2.0, 3.0, 4.0]}, {"x": ["2.5", "n/a", None]}),
    ({"x": [1.0, 2.0, 3.0, 4.0]}, {"x": [1.5, "n/a", None]}),
    ({"x": [1.0, 2.0, 3.0, 4.0]}, {"x": [1.5, [2.0], None]}),
    ({"x": [1.0, 0.0, 1.0, 4.0]}, {"x": [True, False, None]}),
    ({"x": [1.0, 0.0, 1.0, 4.0]}, {"x": [True, 4, "2"]}),
    ({"x": ["a", "b", "a", "c"]}, {"x": ["a", "new", None]}),
    ({"x": ["1", "2", "1", "3"]}, {"x": [1, 2.0, None]}),
    ({"x": ["1", "2", "1", "3"]}, {"x": [1, "2", 3.5]}),
    ({"x": ["a", "b", "a", "c"]}, {"x": ["a", ["b"], None]}),
    ({"x": [True, False, True, None]}, {"x": [False, None, True]}),
    ({"x": [1.0, 2.0, 3.0, 4.0], "y": ["a", "b", "a", "b"]}, {"y": ["a", None, "z"]}),
    ({"x": [1.0, 2.0, 3.0, 4.0]}, {"x": [1.0, 2.0, 9.0], "unknown": ["k", "l", "m"]}),
    ({"score": [1.0, 2.0, 3.0, 4.0], "target": WORDS}, {"score": [0.5, 2.5, None], "target": ["a", "b", "c"]}),
]  # fmt: skip


@pytest.mark.parametrize(("known", "asked"), ODD)
@pytest.mark.parametrize("place", ["rows", "journal", "segment", "apart", "rows as lists", "journal as lists"])
def test_odd_cells_count_the_same_wherever_they_lie(
    home: Home, known: dict, asked: dict, place: str, monkeypatch: pytest.MonkeyPatch
):
    reference = reference_of(**known)
    rows = len(next(iter(asked.values())))
    scores: list[str | float | int | bool | None] = [0.2, None, 0.9]
    outputs = {"probability": scores}
    if place.startswith("rows"):
        if any(isinstance(cell, list) for column in asked.values() for cell in column):
            pytest.skip("rows of the database hold no tensors")
        log_prediction(deployed(home), "late", "a", 1, BEGIN_MS, asked, outputs)
    else:
        batches = (
            [({name: [column[row]] for name, column in asked.items()}, [scores[row]]) for row in range(rows)]
            if place == "apart"
            else [(asked, scores)]
        )
        log = PredictionLog.open(log_place(home), "late")
        for number, (inputs, score) in enumerate(batches):
            one = said(f"r{number}", counts=[len(score)], event_ms=[BEGIN_MS + number], **inputs)
            one.outputs["probability"] = score
            log.append(one)
        log.close()
        if not place.startswith("journal"):
            seal(home, "late")
    if place.endswith("lists"):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    plain = {name: [None if isinstance(cell, list) else cell for cell in column] for name, column in asked.items()}
    assert counted(home, reference).counts.hits == count_window(reference, plain, scores=scores).hits


def test_lists_count_what_columns_count_where_arrow_is_missing(home: Home, monkeypatch: pytest.MonkeyPatch):
    reference = reference_in(profile())
    rows = draw(1)
    serve(deployed(home), 0, rows)
    for seed in range(3):
        journal(home, 0.1 * seed, seed)
    log_labels(home, "late", {f"j-1.{row}": 1.0 for row in range(0, 40, 2)})
    whole = counted(home, reference)
    monkeypatch.setattr(parts, "LISTED_ROWS", 50)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = counted(home, reference)
    assert (found.counts, found.rows, found.labelled) == (whole.counts, whole.rows, whole.labelled)
    assert watch_rows(reference, found, SPEC, "") == watch_rows(reference, whole, SPEC, "")


WITHOUT_ARROW = """
import sys
sys.modules["pyarrow"] = None
from taut.home import open_home
from taut.project import MonitorSpec
from taut.watch import close_windows, open_window
with open_home(sys.argv[1]) as home:
    print([one.rows for one in close_windows(home, "late", MonitorSpec(window="1d"))])
    print(open_window(home, "late", MonitorSpec(window="1d")).rows)
"""


def test_windows_close_where_arrow_is_not_installed(tmp_path: Path):
    with make_home(tmp_path / "project") as home:
        watched(home)
        for day in range(3):
            serve(home, day)
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_ARROW, str(home.project)], capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )  # fmt: skip
        assert done.stdout.split() == f"[{ROWS}, {ROWS}] {ROWS}".split(), done.stderr
        assert len(list_windows(home, "late")) == 2


def test_a_column_that_the_monitor_does_not_look_at_is_asked_nothing(busy):
    reference = reference_in(profile())
    narrow = MonitorSpec(window="1d", features=("z",))
    found = counted(busy, reference, narrow).counts
    whole = counted(busy, reference).counts
    assert "plan" not in found.hits
    assert {name: hits for name, hits in whole.hits.items() if name != "plan"} == found.hits


def test_rows_without_the_watched_output_are_scored_by_their_prediction(home: Home):
    reference = reference_of(x=[1.0, 2.0, 3.0, 4.0])
    deployed(home)
    log_prediction(home, "late", "a", 1, BEGIN_MS, {"x": [1.0, 2.0]}, {"probability": [0.25, 0.5]})
    log_prediction(home, "late", "b", 1, BEGIN_MS, {"x": [1.0]}, {"prediction": [1]})
    log_prediction(home, "late", "c", 1, BEGIN_MS, {"x": [1.0]}, {"other": [1]})
    found = counted(home, reference).counts
    assert found.hits["score"] == count_window(reference, {"x": [1.0] * 4}, scores=[0.25, 0.5, 1, None]).hits["score"]


def test_a_span_without_rows_counts_nothing(home: Home):
    reference = reference_in(profile())
    found = counted(home, reference)
    assert (found.counts, found.rows, found.labelled, len(found.scores)) == (NO_COUNTS, 0, 0, 0)
    assert watch_rows(reference, found, SPEC, "").measures["brier"] is None


def one_by_one(home: Home) -> Iterator[Prediction]:
    with open_log(home, "late") as log:
        yield from log.requests(DAY)


def test_a_window_of_sealed_answers_closes_with_what_its_requests_say(busy):
    refer(busy)
    seal(busy, "late")
    (window,) = close_windows(busy, "late", SPEC)
    assert window.rows == sum(one.rows for one in one_by_one(busy)) == ROWS + 9 * 40
    assert window.labelled == ROWS + 40
    rows = predicted_rows(busy, "late", DAY.from_ms, DAY.until_ms)
    known = [
        (mark, score) for mark, score in zip(rows.labels, rows.scores("probability"), strict=True) if mark is not None
    ]
    brier = sum((float(score or 0) - mark) ** 2 for mark, score in known) / len(known)
    assert window.measures["brier"] == pytest.approx(brier)
    assert window.measures["positive_rate"] == pytest.approx(sum(mark for mark, _ in known) / len(known))


def test_a_profile_of_answered_rows_is_the_reference_that_is_read_again(home: Home):
    drawn = draw(5)
    ids = [str(row) for row in range(ROWS)]
    made = profile_rows(
        PredictedRows(ids, [BEGIN_MS] * ROWS, [1] * ROWS, list(drawn.labels), drawn.inputs, drawn.outputs), SPEC
    )
    request = serve(deployed(home), 0, drawn, labels=False)
    label(home, request, drawn)
    reference = reference_in(made)
    found = counted(home, reference)
    events = {one.name: [event.hits for event in one.events if event.kind != "outside"] for one in reference.features}
    hits = found.counts.hits["z"]
    assert [
        hits[place] for place, event in enumerate(reference.features[0].events) if event.kind != "outside"
    ] == events["z"]
