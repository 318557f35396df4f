"""What a batch answered stands in an endpoint's log once; it is found and labelled by the ids of its files."""

import random
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from taut.deploy import record_deployment
from taut.errors import Invalid, NotFound, UsageError
from taut.faces.http.embedded import embedded_server
from taut.govern.trace import trace_prediction
from taut.ground.sealed import make_key
from taut.home import Home, open_home
from taut.serve import find_prediction, log_labels, predicted_rows, traffic
from taut.serve.batch.job import BatchResult, run_batch
from taut.serve.batch.logged import LogTo, PartLog, log_part, logged_parts
from taut.serve.batch.parts import Session
from taut.serve.batch.plan import Options, parts_of
from taut.serve.log import Policy, labelled_rows
from taut.serve.log.expiring import erase_prediction
from taut.serve.log.segments import segments_of
from tests.conftest import home as both_homes
from tests.parts import eventually
from tests.serve.batch.scenes import JOB, read_parts, setup_of, table, willing
from tests.serve.batch.test_kills import begin, kill_tree, parts_there
from tests.serve.log.scenes import said, say

home = both_homes  # On SQLite and on PostgreSQL, unlike the tests beside.


def served(home: Home) -> None:
    """The model, and an endpoint `late` of it."""
    willing(home)
    record_deployment(home, "late", "late", 1, "process", {}, "manual")


@pytest.fixture
def plain(project: Path) -> Any:
    with open_home(project) as opened:
        served(opened)
        yield opened


def run(home: Home, source: Path, output: Path, *, model: str = "late@1", **options: Any) -> BatchResult:
    chosen = Options(**{"part_rows": 20, "log": "late", **options})
    return run_batch(home, model, str(source), str(output), options=chosen, workers=1)


def logged(home: Home) -> Counter[str]:
    return Counter(predicted_rows(home, "late", -(10**12)).ids)


def ids_in(output: Path) -> list[str]:
    return [str(one) for one in read_parts(output)["id"].to_pylist()]


def test_what_a_batch_said_is_found_labelled_traced_and_erased_by_the_ids_of_its_files(home: Home, tmp_path: Path):
    served(home)
    say(home, said("online", event_ms=[7]))
    source, out = tmp_path / "rows.parquet", tmp_path / "out"
    pq.write_table(table(50, carrier={30: "raise"}), source)
    result = run(home, source, out, model="late", on_error="null", event_time="seats", keep=("seats",))
    written = read_parts(out).to_pylist()
    names = {row["seats"]: row["id"] for row in written}
    assert logged(home) == Counter([*(row["id"] for row in written if row["seats"] != 30), "online.0"])
    assert (traffic(home, "late").rows, traffic(home, "late").last_event_ms) == (50, 49)
    assert sorted(predicted_rows(home, "late", 5, 9).ids) == sorted([*(names[row] for row in range(5, 9)), "online.0"])

    found = find_prediction(home, names[33])
    assert (found.id, found.rows, found.event_ms, found.role, found.revision, found.number) == (
        names[33], 1, 33, "batch", 1, 1,
    )  # fmt: skip
    assert found.inputs == {"delay": [33.0], "seats": [33], "carrier": ["AA"]} and found.outputs == {
        "prediction": [66.0]
    }
    with pytest.raises(NotFound):
        find_prediction(home, names[30])

    assert log_labels(home, "late", {names[33]: 1.0, "online.0": 0.0}).new == 2
    assert dict(zip(*(getattr(labelled_rows(home, "late"), name) for name in ("ids", "labels")), strict=True)) == {
        names[33]: 1.0, "online.0": 0.0,
    }  # fmt: skip
    with pytest.raises(Invalid, match="1 of 1 labels are of no prediction"):
        log_labels(home, "late", {f"{result.job}.9.9": 1.0})
    trace = trace_prediction(home, names[33])
    assert [link.point for link in trace.chain[:2]] == [f"prediction:{names[33]}", f"batch:{result.job}"]
    facts = trace.chain[0].facts
    assert "said prediction=66" in facts and "its label came: 1" in facts and "in the log of late" in facts
    assert trace_prediction(home, f"{names[33]}.0") == trace
    assert trace.rows_reached == 49  # All others, those of this job among them.

    erase_prediction(home, "late", names[33], because="asked to")
    assert names[33] not in logged(home) and names[32] in logged(home)
    again = run(home, source, out, model="late", on_error="null", event_time="seats", keep=("seats",))
    assert again.parts_before == 3 and logged(home).total() == 49  # What was erased stays so.


def test_a_part_that_was_done_but_not_logged_is_done_again_and_the_others_are_not_logged_twice(
    plain: Home, tmp_path: Path
):
    source, out = tmp_path / "rows.parquet", tmp_path / "out"
    pq.write_table(table(50), source)
    job = run(plain, source, out, on_error="skip").job
    with plain.meta.transaction() as tx:  # As a kill leaves it that comes after the part's record, before the log's.
        assert tx.execute("DELETE FROM prediction_segment WHERE number = 2", {}) == 1
        assert tx.execute("DELETE FROM prediction_journal WHERE name = :name", {"name": f"{job}.1"}) == 1
    assert len(logged(plain)) == 50 - len(pq.read_table(out / "part-00001.parquet"))
    result = run(plain, source, out, on_error="skip")
    assert (result.parts_before, result.scored) == (2, 50)
    assert logged(plain) == Counter(ids_in(out)) and logged(plain).total() == 50


# One part, in this process


def part_log(home: Home, source: Path, out: Path, policy: Policy, **options: Any) -> PartLog:
    setup = replace(setup_of(home, source, out, log="late", **options), log=LogTo("late", 0, policy))
    with closing(Session(setup)) as made:
        (part,) = parts_of(setup.plan)
        log = made.write(part).log
    assert log is not None
    return log


def test_a_part_is_kept_as_the_policy_says_and_logged_once(plain: Home, tmp_path: Path):
    source, secret = tmp_path / "rows.parquet", "UA9431secret"
    pq.write_table(table(400, carrier={7: secret}), source)
    everything = part_log(plain, source, tmp_path / "all", Policy())
    assert (
        secret.encode() in everything.data
        or secret in pq.read_table(BytesIO(everything.data))["input.carrier"].to_pylist()
    )
    some = part_log(plain, source, tmp_path / "some", Policy(sample=0.5, redact=frozenset({"carrier"})))
    kept = pq.read_table(BytesIO(some.data))
    assert "input.carrier" not in kept.column_names
    assert kept["id"].to_pylist() == sorted(
        f"{JOB}.0.{n}" for n in range(400) if Policy(sample=0.5).keeps(f"{JOB}.0.{n}")
    )
    nothing = part_log(plain, source, tmp_path / "none", Policy(sample=0.0))
    assert nothing == PartLog(b"", None)

    assert plain.folder is not None
    make_key(plain.folder)
    (part,) = parts_of(setup_of(plain, source, tmp_path / "all").plan)
    to = LogTo("late", 0, Policy())
    assert logged_parts(plain, to, JOB, range(1200)) == set()
    for log in (some, everything):  # The first counts.
        log_part(plain, to, JOB, part, log)
    log_part(plain, to, JOB, replace(part, number=1), nothing)
    assert logged_parts(plain, to, JOB, range(1200)) == {0, 1}
    with plain.meta.read() as tx:
        (segment,) = segments_of(tx, "late")
    assert segment.secret and segment.facts.rows == kept.num_rows
    found = find_prediction(plain, kept["id"][3].as_py())
    assert set(found.inputs) == {"delay", "seats"}


MOMENT = datetime(2013, 4, 1, 5, tzinfo=UTC)
AT_MS = int(MOMENT.timestamp() * 1000)


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([MOMENT] * 3, pa.timestamp("us", "UTC")),
        pa.array([MOMENT.replace(tzinfo=None)] * 3, pa.timestamp("s")),
        pa.array([AT_MS] * 3, pa.int64()),
        pa.array([AT_MS] * 3, pa.uint64()),
        pa.array(["2013-04-01T05:00Z", "2013-04-01T05:00", str(AT_MS)]),
        pa.array(["2013-04-01T07:00+02:00"] * 3).dictionary_encode(),
    ],
    ids=["zoned", "naive", "ms", "unsigned", "text", "dictionary"],
)
def test_event_times_are_read_as_those_of_requests(plain: Home, tmp_path: Path, cells: pa.Array):
    pq.write_table(table(3).append_column("at", cells), tmp_path / "rows.parquet")
    log = part_log(plain, tmp_path / "rows.parquet", tmp_path / "out", Policy(), event_time="at")
    assert pq.read_table(BytesIO(log.data))["event_ms"].to_pylist() == [AT_MS] * 3


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (pa.array([1, None, 3]), "it is null"),
        (pa.array([1, 2**60, 3]), "it is past the year 9999"),
        (pa.array([1, 2**64 - 1, 3], pa.uint64()), "it is past the year 9999"),
        (pa.array(["2013-04-01", "soon", "soon"]), "'soon' is no ISO 8601 date or time"),
        (pa.array(["2013-04-01", "", ""]), "it is empty"),
    ],
    ids=["null", "late", "unsigned", "words", "empty"],
)
def test_a_row_without_a_time_is_named(plain: Home, tmp_path: Path, cells: pa.Array, why: str):
    pq.write_table(table(3).append_column("at", cells), tmp_path / "rows.parquet")
    with pytest.raises(Invalid, match=f"row 1: column 'at' is the event time; {why}") as wrong:
        part_log(plain, tmp_path / "rows.parquet", tmp_path / "out", Policy(), event_time="at", on_error="skip")
    assert "--event-time" in wrong.value.hint


def test_cells_have_the_types_that_online_answers_have(plain: Home, tmp_path: Path):
    rows = table(3)
    columns = {
        "delay": pa.array([1, None, 3], pa.uint64()), "seats": rows["seats"].cast(pa.int16()),
        "carrier": pa.chunked_array([rows["carrier"].combine_chunks().dictionary_encode()]),
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    log = part_log(plain, tmp_path / "rows.parquet", tmp_path / "out", Policy())
    read = pq.read_schema(BytesIO(log.data))
    assert [read.field(f"input.{name}").type for name in ("delay", "seats", "carrier")] == [
        pa.int64(), pa.int64(), pa.string(),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "kind", "why"),
    [
        ({"log": "nobody"}, NotFound, "there is no deployment 'nobody'"),
        ({"id_column": "key"}, UsageError, "what is logged has ids that the job makes"),
        ({"log": "", "event_time": "seats"}, UsageError, "--event-time is for the log"),
        ({"event_time": "delay"}, Invalid, "column 'delay' is the event time; it is of type double"),
        ({"event_time": "when"}, Invalid, "column 'when' is missing"),
        ({"part_rows": 1_000_001}, Invalid, "a logged part has 1000000 rows at most"),
        ({"log": "other"}, Invalid, "endpoint 'other' answers by 'else'; 'late' is not for its log"),
    ],
)
def test_what_cannot_be_logged_is_told_before_anything_is_written(
    plain: Home, tmp_path: Path, options: dict[str, Any], kind: type[Exception], why: str
):
    if options.get("log") == "other":
        from taut.models import register_folder
        from tests.serve.batch.scenes import Willing
        from tests.serve.scenes import save_model

        register_folder(plain, "else", save_model(tmp_path / "else", Willing()))
        record_deployment(plain, "other", "else", 1, "process", {}, "manual")
    pq.write_table(table(3), tmp_path / "rows.parquet")
    with pytest.raises(kind, match=why):
        run(plain, tmp_path / "rows.parquet", tmp_path / "out", **options)
    assert not list(tmp_path.glob("out/part-*")) and not (tmp_path / "out" / "_taut" / "plan.json").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_tree_that_is_killed_again_and_again_logs_every_row_once(home: Home, tmp_path: Path):
    served(home)
    source, out, chance = tmp_path / "rows.parquet", tmp_path / "out", random.Random(4)
    pq.write_table(table(600), source)
    for _ in range(10):
        before = parts_there(out)
        process = begin(home, source, out, "--log", "late")
        eventually(lambda: parts_there(out) > before or process.poll() is not None, what="parts")  # noqa: B023
        time.sleep(chance.random() * 0.1)
        kill_tree(process)
        assert max(logged(home).values(), default=1) == 1
    assert run(home, source, out).scored == 600
    assert logged(home) == Counter(ids_in(out)) and logged(home).total() == 600


@pytest.mark.slow
def test_one_file_of_csv_is_logged_in_a_server_elsewhere(plain: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pyarrow.csv.write_csv(table(50), tmp_path / "rows.csv")
    with embedded_server(plain) as url, open_home(url) as far:
        for _ in range(2):
            result = run(far, tmp_path / "rows.csv", tmp_path / "scored.csv")
        assert find_prediction(far, f"{result.job}.0.3").inputs == {"delay": [3.0], "seats": [3], "carrier": ["AA"]}
    assert logged(plain) == Counter(pyarrow.csv.read_csv(tmp_path / "scored.csv")["id"].to_pylist())
    assert logged(plain).total() == 50
