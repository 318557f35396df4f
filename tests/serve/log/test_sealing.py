"""Journals become segments: what is read is the same before, in between and after, whoever dies at which step."""

import io
import math
import os
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taut.errors import Conflict, Corrupt, Unavailable
from taut.govern import rotate_secret_key
from taut.ground.objects import read_object
from taut.ground.sealed import make_key
from taut.home import Home
from taut.serve import find_prediction, open_log, traffic
from taut.serve.log import Policy, log_place, log_prediction
from taut.serve.log import sealing as stages
from taut.serve.log.bloom import filter_of, may_hold
from taut.serve.log.building import Builder, facts_of
from taut.serve.log.journal import Journal, journals_in
from taut.serve.log.parquet import requests_in, tables_in, written
from taut.serve.log.rows import known_requests
from taut.serve.log.said import Role, pack
from taut.serve.log.sealing import DAMAGED, seal
from taut.serve.log.segments import Sealing, record_segment, segments_of
from taut.serve.log.spans import Span, requests_of
from tests.serve.log.scenes import ids_in, opened, said, say
from tests.serve.scenes import record, register


def folder_of(home: Home) -> Path:
    return log_place(home).folder / "late"


def own_folder(home: Home) -> Path:
    assert home.folder is not None
    return home.folder


def segments(home: Home) -> list:
    with home.meta.read() as tx:
        return segments_of(tx, "late")


def answers(home: Home, **span) -> list:
    with open_log(home, "late") as log:
        return list(log.requests(Span("late", **span)))


# The filter


@pytest.mark.parametrize("count", [1, 3, 64, 65, 5_000])
def test_a_filter_knows_all_that_was_put_in_and_little_else(count: int):
    names = [f"id-{number}" for number in range(count)]
    known = filter_of(pa.chunked_array([names], pa.string()))
    assert may_hold(known, names) == names
    assert [name for name in names[:200] if may_hold(known, [name])] == names[:200]
    others = [f"other-{number}" for number in range(5_000)]
    found = may_hold(known, others)
    assert len(found) < 150
    assert [name for name in others[:300] if may_hold(known, [name])] == [one for one in found if one in others[:300]]
    assert len(known) <= max(8, count * 10 // 8 + 1)


# One file

CELLS = st.one_of(
    st.none(), st.floats(allow_nan=False), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.text(max_size=3),
    st.lists(st.one_of(st.floats(allow_nan=False), st.text(max_size=2)), max_size=2),
)  # fmt: skip


def alike(value: object) -> object:
    """Among floats a whole number is a float."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53 else value


@example([("x", [math.inf, 2**53 + 1])])
@given(st.lists(st.tuples(st.sampled_from("xy"), st.lists(CELLS, min_size=1, max_size=4)), min_size=1, max_size=6))
def test_a_file_holds_every_cell_of_every_kind(batches: list[tuple[str, list]]):
    builder, wanted = Builder(), {}
    for number, (name, values) in enumerate(batches):
        columns: dict[str, Any] = {name: values}
        batch = said(f"r{number}", counts=[len(values)], event_ms=[number], **columns)
        builder.add(pack(batch))
        builder.flush()  # Each in a table of its own, whose types need not agree.
        wanted[f"r{number}"] = {name: [alike(value) for value in values]}
    found = {one.id: one.inputs for one in requests_in(tables_in(written(builder.table())), "late")}
    assert {key: {n: [alike(v) for v in vs] for n, vs in one.items()} for key, one in found.items()} == wanted


def test_a_file_is_sorted_typed_and_says_what_is_in_it():
    builder = Builder()
    builder.add(pack(said("b", "a", counts=[2, 1], event_ms=[5, 4], given=True, x=[1, 2, 3], c=["u", None, "w"])))
    builder.add(pack(said("s", event_ms=[9], role="shadow", number=2, x=[math.nan], c=["z"])))
    table = builder.table()
    facts, data = facts_of(table), written(table)
    assert (facts.requests, facts.rows, facts.given, facts.first_event_ms, facts.last_event_ms) == (3, 4, 2, 4, 9)
    assert [(one.number, one.role, one.requests, one.rows) for one in facts.versions] == [
        (1, "live", 2, 3),
        (2, "shadow", 1, 1),
    ]
    read = pq.read_table(io.BytesIO(data))
    assert read["id"].to_pylist() == ["a", "b", "b", "s"]
    assert read["row"].to_pylist() == [0, 0, 1, 0]
    assert [str(read.schema.field(name).type) for name in ("input.x", "input.c", "event_ms")] == [
        "double",
        "string",
        "int64",
    ]
    assert pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).compression == "ZSTD"
    assert [one.id for one in requests_in(tables_in(data, Span("late", from_ms=5)), "late")] == ["b"]
    roles: tuple[Role, ...] = ("live", "shadow")
    assert [one.id for one in requests_in(tables_in(data, Span("late", number=2, roles=roles)), "late")] == ["s"]
    assert [one.rows for one in requests_in(tables_in(data, ids=["b", "other"]), "late")] == [2]


def test_a_request_of_more_rows_than_a_part_of_a_file_is_one_request():
    builder = Builder()
    rows = 70_000
    batch = said("a", "big", "z", counts=[1, rows, 1], event_ms=[1, 2, 3], x=list(range(rows + 2)))
    builder.add(pack(batch))
    found = list(requests_in(tables_in(written(builder.table())), "late"))
    assert [(one.id, one.rows) for one in found] == [("a", 1), ("big", rows), ("z", 1)]
    assert found[1] == list(requests_of(batch, Span("late")))[1]


# Sealing


@pytest.mark.parametrize("encrypt", [False, True])
def test_what_is_read_is_the_same_before_and_after(home: Home, encrypt: bool):
    say(
        home,
        said("a", "b", counts=[1, 2]),
        said("c", x=["only here"]),
        said("s", role="shadow"),
        policy=Policy(encrypt=encrypt),
    )
    log = opened(home, Policy(encrypt=encrypt))
    log.append(said("d", event_ms=[1], given=True))
    before, total = answers(home), traffic(home, "late")
    assert seal(home, "late", encrypt=encrypt).segments == 1
    assert len(journals_in(folder_of(home))) == 1  # Somebody writes the other.
    assert (answers(home), traffic(home, "late")) == (before, total)
    assert seal(home, "late", also_written=True, encrypt=encrypt).rows == 1
    log.append(said("e", event_ms=[2]))
    log.close()
    assert seal(home, "late", encrypt=encrypt).rows == 1
    assert journals_in(folder_of(home)) == []
    assert answers(home)[:1] + answers(home)[2:] == before
    assert [one.id for one in answers(home, roles=("shadow",))] == ["s"]
    assert ids_in(home, after=(2, "e"), until_ms=1_001) == ["a", "c"]
    assert (find_prediction(home, "b.1").rows, known_requests(home, "late", ["b", "e", "x"])) == (2, {"b": 2, "e": 1})
    assert bool(segments(home)[0].secret) == encrypt
    data = read_object(home.objects, segments(home)[0].oid)
    assert (data[:4] == b"PAR1") != encrypt
    assert seal(home, "late").segments == 0


def test_versions_are_counted_between_any_two_moments(home: Home):
    say(
        home,
        said("a", "b", event_ms=[10, 20]),
        said("c", event_ms=[30], number=2),
        said("s", event_ms=[30], role="shadow"),
    )
    with open_log(home, "late") as log:
        before = [log.versions(), log.versions(15, 31), log.versions(15, 30), log.versions(40)]
    seal(home, "late")
    with open_log(home, "late") as log:
        assert [log.versions(), log.versions(15, 31), log.versions(15, 30), log.versions(40)] == before
    assert [(one.revision, one.role, one.requests, one.first_event_ms) for one in before[1]] == [
        (1, "live", 1, 20), (1, "shadow", 1, 30), (2, "live", 1, 30),
    ]  # fmt: skip


def test_of_two_answers_to_a_callers_id_the_first_is_kept(home: Home):
    register(home)
    record(home)
    log_prediction(home, "late", "table", 1, 5, {"x": [1.0]}, {"probability": [0.5]})
    say(home, said("a", given=True, delay=1.0), said("table", given=True))
    seal(home, "late")
    for path in folder_of(home).glob("ids.db*"):  # As on another machine, which knows nothing of it.
        path.unlink()
    say(home, said("a", "b", given=True, delay=2.0), said("c", "c", given=True))
    assert seal(home, "late").rows == 2
    assert sorted(ids_in(home)) == ["a", "b", "c", "table"]
    assert find_prediction(home, "a").inputs["delay"] == [1.0]
    assert find_prediction(home, "table").inputs == {"x": [1.0]}
    say(home, said("c", given=True))
    for path in folder_of(home).glob("ids.db*"):
        path.unlink()
    say(home, said("c", given=True))
    assert seal(home, "late").segments == 0
    assert journals_in(folder_of(home)) == []


@pytest.mark.parametrize("step", ["record_segment", "_remove", "forget_journals"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_whoever_dies_between_two_steps_loses_nothing_and_doubles_nothing(home, monkeypatch, step: str, moment: str):
    say(home, said("a", "b", given=True), said("c"))
    log = opened(home)
    log.append(said("d"))
    before = sorted(ids_in(home))

    def dies(*args, **kwargs):
        if moment == "after":
            real(*args, **kwargs)
        raise KeyboardInterrupt

    real = getattr(stages, step)
    with monkeypatch.context() as patched:
        patched.setattr(stages, step, dies)
        with pytest.raises(KeyboardInterrupt):
            seal(home, "late", also_written=True)
    assert sorted(ids_in(home)) == before
    log.append(said("e"))
    log.close()
    seal(home, "late")
    assert sorted(ids_in(home)) == [*before, "e"]
    assert journals_in(folder_of(home)) == []
    assert sum(one.facts.requests for one in segments(home)) == 5


def test_two_that_seal_at_once_never_store_the_same(home: Home):
    say(home, said("a"))
    facts_like = Builder()
    facts_like.add(pack(said("a")))
    facts = facts_of(facts_like.table())
    journals = [Sealing("0-1-x.journal", 0, 10)]
    assert record_segment(home, "late", b"PAR1", facts, journals, 0) == 1
    with pytest.raises(Conflict):
        record_segment(home, "late", b"PAR1", facts, [Sealing("other.journal", 0, 10)], 0)
    with pytest.raises(Conflict):
        record_segment(home, "late", b"PAR1", facts, journals, 1)
    assert record_segment(home, "late", b"PAR1", facts, [Sealing("0-1-x.journal", 10, 12)], 1) == 2
    with stages._alone(folder_of(home)) as is_ours:
        assert is_ours
        done: list[int] = []
        thread = threading.Thread(target=lambda: done.append(seal(home, "late").segments))
        thread.start()
        thread.join(30)
    assert done == [0]


def test_a_torn_end_is_cut_and_a_damaged_middle_is_told_and_kept_aside(home: Home):
    say(home, said("a"), said("b"), said("c"))
    (path,) = journals_in(folder_of(home))
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + b"?" + data[middle + 1 :] + b"tlog torn")
    assert seal(home, "late").damaged == 1
    assert ids_in(home) == ["a", "c"]
    assert path.with_suffix(DAMAGED).exists()
    assert journals_in(folder_of(home)) == []


def test_an_empty_journal_is_removed(home: Home):
    say(home, said("a"))
    Journal(folder_of(home), None, fsync=False).close()
    assert seal(home, "late").segments == 1
    assert journals_in(folder_of(home)) == []


def test_a_journal_larger_than_a_segment_becomes_several(home: Home, monkeypatch):
    monkeypatch.setattr(stages, "SEGMENT_BYTES", 3 * len(pack(said("r0"))))
    say(home, *(said(f"r{number}") for number in range(10)))
    assert 3 <= seal(home, "late").segments <= 5
    assert sorted(ids_in(home)) == sorted(f"r{number}" for number in range(10))


def test_another_key_of_the_home_opens_what_the_one_before_sealed(home: Home):
    make_key(own_folder(home))
    say(home, said("a", given=True))
    seal(home, "late")
    log = opened(home)
    log.append(said("b", given=True))
    assert rotate_secret_key(home).secrets == 2
    log.append(said("c"))
    log.close()
    assert sorted(ids_in(home)) == ["a", "b", "c"]
    again = opened(home)
    assert sorted(again.answered(["a", "b"])) == ["a", "b"]
    again.close()
    seal(home, "late")
    assert sorted(ids_in(home)) == ["a", "b", "c"]


def test_without_the_key_of_the_home_nothing_is_read_and_nothing_is_lost(home: Home):
    key = own_folder(home) / "secret.key"
    make_key(own_folder(home))
    say(home, said("a"))
    seal(home, "late")
    say(home, said("b"))
    key.rename(key.with_name("away"))
    for act in (lambda: ids_in(home), lambda: seal(home, "late"), lambda: opened(home)):
        with pytest.raises(Unavailable):
            act()
    key.with_name("away").rename(key)
    assert ids_in(home) == ["a", "b"]


def test_a_damaged_object_is_told(home: Home):
    say(home, said("a"))
    seal(home, "late")
    oid = segments(home)[0].oid
    path = own_folder(home) / "objects" / oid[:2] / oid[2:]
    os.chmod(path, 0o600)
    path.write_bytes(path.read_bytes()[:-9] + b"?" * 9)
    with pytest.raises(Corrupt):
        ids_in(home)
