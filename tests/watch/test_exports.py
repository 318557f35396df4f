"""Labelled rows as training data: in order, to the byte, whole or not at all."""

import csv
import errno
import os
from pathlib import Path

import pytest

from taut.errors import Denied, Invalid
from taut.ground.ledger import Arrow, upstream
from taut.home import Home
from taut.serve import log_labels, log_prediction
from taut.watch import export_labelled, record_source
from tests.watch.served import BEGIN_MS, DAY_MS, ROWS, deployed, draw, serve


def export(home: Home, path: Path, *, from_ms: int = 0, until_ms: int = BEGIN_MS + 100 * DAY_MS) -> int:
    return export_labelled(home, "late", path, target="late", from_ms=from_ms, until_ms=until_ms)


def test_an_export_holds_labelled_rows_alone_in_the_order_of_their_events(home):
    rows = draw(0)
    serve(deployed(home), 1, draw(1))
    serve(home, 0, rows)
    serve(home, 2, labels=False)
    path = home.project / "data" / "labelled.csv"
    assert export(home, path) == 2 * ROWS
    with path.open(newline="") as stream:
        head, *found = csv.reader(stream)
    assert set(head) == {"event_time", "z", "plan", "late"}
    assert (head[0], head[-1]) == ("event_time", "late")
    assert [one[0] for one in found] == ["2022-01-08T12:00:00.000Z"] * ROWS + ["2022-01-09T12:00:00.000Z"] * ROWS
    assert [float(one[head.index("z")]) for one in found[:ROWS]] == rows.inputs["z"]
    assert [one[-1] for one in found[:ROWS]] == [str(int(value)) for value in rows.labels]


def test_a_range_holds_its_first_moment_and_not_its_last(home):
    for day in range(3):
        serve(home if day else deployed(home), day)
    noon = BEGIN_MS + DAY_MS // 2
    path = home.project / "some.csv"
    assert export(home, path, from_ms=noon, until_ms=noon + DAY_MS) == ROWS
    assert export(home, path, from_ms=noon + 1, until_ms=noon + DAY_MS) == 0
    assert len(path.read_text().splitlines()) == 1


def test_an_export_is_the_same_to_the_byte_when_it_is_repeated(home):
    for day in range(3):
        serve(home if day else deployed(home), day)
    once, twice = home.project / "once.csv", home.project / "twice.csv"
    export(home, once)
    export(home, twice)
    assert once.read_bytes() == twice.read_bytes()


def test_rows_with_other_inputs_than_before_leave_holes_and_shift_no_column(home):
    serve(deployed(home), 0)
    log_prediction(home, "late", "other", 1, BEGIN_MS + DAY_MS, {"z": [1.5], "new": ["x, y"]}, {"prediction": [1]})
    log_labels(home, "late", {"other.0": 0.25})
    path = home.project / "labelled.csv"
    export(home, path)
    with path.open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert (found[0]["new"], found[-1]["new"], found[-1]["plan"], found[-1]["z"]) == ("", "x, y", "", "1.5")
    assert found[-1]["late"] == "0.25"


@pytest.mark.parametrize("taken", ["event_time", "late"])
def test_an_input_of_the_name_that_the_export_needs_is_refused(home, taken):
    log_prediction(deployed(home), "late", "one", 1, BEGIN_MS, {taken: [1.5]}, {"prediction": [1]})
    log_labels(home, "late", {"one.0": 1})
    path = home.project / "labelled.csv"
    with pytest.raises(Invalid, match=f"called '{taken}'"):
        export(home, path)
    assert not path.exists()


@pytest.mark.parametrize("before", [None, b"what was there\n"])
def test_an_export_onto_a_full_disk_leaves_what_was_there_and_nothing_else(home, monkeypatch, before):
    serve(deployed(home), 0)
    path = home.project / "data" / "labelled.csv"
    path.parent.mkdir()
    if before is not None:
        path.write_bytes(before)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Denied, match="No space left"):
        export(home, path)
    monkeypatch.undo()
    assert [one.read_bytes() for one in path.parent.iterdir()] == ([] if before is None else [before])


def test_a_dataset_knows_every_revision_that_said_its_rows(home):
    from tests.serve.scenes import record, register

    serve(deployed(home), 0)
    register(home, factor=0.2)
    serve(home, 1, revision=record(home, 2))
    record_source(home, "labelled", 1, "late")
    record_source(home, "labelled", 1, "late")
    with home.meta.read() as tx:
        said = {arrow for arrow in upstream(tx, "data:labelled@1") if arrow.relation == "said"}
    assert said == {Arrow(f"deployment:late@{revision}", "said", "data:labelled@1") for revision in (1, 2)}
