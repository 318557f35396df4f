"""Windows over the prediction log: journals and segments count as rows do, canaries and shadows bring no reference."""

from typing import Any

import pytest

from taut.home import Home
from taut.serve.log import PredictionLog, Said, log_place
from taut.serve.log.sealing import seal
from taut.watch import close_windows, find_successor, watch_report
from taut.watch.exports import export_labelled, record_source
from tests.serve.scenes import record, register
from tests.watch.served import BEGIN_MS, DAY_MS, SPEC, Rows, draw, label, watched


def front(home: Home, day: float, rows: Rows, *, number: int = 1, role: Any = "live", revision: int = 1) -> str:
    """Answer a request of rows about noon of a day, as a front does it; returns its id."""
    event_ms = BEGIN_MS + round((day + 0.5) * DAY_MS)
    request = f"front-{event_ms}-{role}"
    size = len(rows.labels)
    log = PredictionLog.open(log_place(home), "late")
    log.append(
        Said(
            [request],
            [False],
            [size],
            [event_ms],
            event_ms,
            [100],
            revision,
            "late",
            number,
            role,
            rows.inputs,
            rows.outputs,
        )
    )
    log.close()
    return request


@pytest.mark.parametrize("is_sealed", [False, True])
def test_windows_count_what_fronts_answered(home: Home, is_sealed: bool):
    watched(home)
    for day in range(3):
        rows = draw(day)
        label(home, front(home, day, rows), rows)
        if is_sealed:
            seal(home, "late")
    front(home, 3, draw(3))
    closed = close_windows(home, "late", SPEC)
    assert [(window.rows, window.labelled) for window in closed] == [(200, 200)] * 3
    assert all((window.measures["roc_auc"] or 0) > 0.8 for window in closed)
    assert "<dd>800" in watch_report(home, "late") or ">800<" in watch_report(home, "late")


def test_harm_in_segments_pages_as_harm_in_rows_does(home: Home):
    watched(home)
    for day in range(8):
        rows = draw(day, flipped=day >= 2)
        label(home, front(home, day, rows), rows)
        seal(home, "late")
    closed = close_windows(home, "late", SPEC)
    assert 3 <= len(closed) < 8  # It stops at the window that raised the page.


@pytest.mark.parametrize(("role", "brings_one"), [("live", True), ("canary", False), ("shadow", False)])
@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_version_on_trial_is_no_successor(home: Home, role: str, brings_one: bool, is_sealed: bool):
    watched(home)
    register(home, factor=0.2)
    assert record(home, 2) == 2
    front(home, 0, draw(0))
    front(home, 0.1, draw(1), number=2, role=role, revision=2)
    front(home, 1.1, draw(2))
    if is_sealed:
        seal(home, "late")
    found = find_successor(home, "late", SPEC)
    assert (found is not None) == brings_one
    if found is not None:
        assert (found.revision, found.version, found.from_ms) == (2, 2, BEGIN_MS)
    else:
        assert [window.rows for window in close_windows(home, "late", SPEC)] == [200]


def test_labelled_rows_of_segments_become_training_data(home: Home, tmp_path):
    watched(home)
    rows = draw(0)
    label(home, front(home, 0, rows), rows)
    before, after = tmp_path / "before.csv", tmp_path / "after.csv"
    span: dict[str, Any] = {"target": "label", "from_ms": BEGIN_MS, "until_ms": BEGIN_MS + DAY_MS}
    assert export_labelled(home, "late", before, **span) == 200
    seal(home, "late")
    assert export_labelled(home, "late", after, **span) == 200
    assert before.read_bytes() == after.read_bytes()
    record_source(home, "flights", 1, "late")
    with home.meta.read() as tx:
        arrows = tx.rows("SELECT source FROM lineage WHERE target = :target", {"target": "data:flights@1"})
    assert [source for (source,) in arrows] == ["deployment:late@1"]
