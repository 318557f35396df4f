"""A job is done once: by real workers, again and again over what was there, whatever died meanwhile."""

import fcntl
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from taut.deploy import record_deployment
from taut.errors import Conflict, Denied, Invalid, NotFound, Unavailable, UsageError
from taut.home import Home
from taut.serve.batch.job import BatchResult, run_batch
from taut.serve.batch.jobs import find_batch
from taut.serve.batch.plan import Options
from tests.faults.disks import small_disk
from tests.serve.batch.scenes import read_parts, table, willing

ROWS = 100


@pytest.fixture
def rows(home: Home, tmp_path: Path) -> Path:
    """A folder of two tables, with what a batch leaves alone, and the model that scores them."""
    willing(home)
    folder = tmp_path / "rows"
    (folder / "deep").mkdir(parents=True)
    (folder / "_temporary").mkdir()
    pq.write_table(table(60), folder / "a.parquet")
    pyarrow.csv.write_csv(table(40, first=60), folder / "deep" / "b.csv")
    (folder / "_temporary" / "c.csv").write_text("no table")
    (folder / ".hidden").write_text("nor this")
    return folder


def run(home: Home, source: Path | str, output: Path, **more: Any) -> BatchResult:
    options = {name: more.pop(name) for name in ("on_error", "keep", "id_column", "part_rows") if name in more}
    return run_batch(
        home, more.pop("model", "late@1"), str(source), str(output), workers=more.pop("workers", 1),
        options=Options(**{"part_rows": 25, **options}), **more,
    )  # fmt: skip


def predictions(output: Path) -> list[float]:
    return sorted(read_parts(output)["prediction"].to_pylist())


EXPECTED = [2.0 * row for row in range(ROWS)]


def test_a_job_is_done_by_workers_and_only_what_is_missing_is_done_again(home: Home, rows: Path, tmp_path: Path):
    out = tmp_path / "out"
    result = run(home, rows, out, workers=2, keep=())
    assert (result.rows, result.scored, result.parts, result.parts_before) == (ROWS, ROWS, 5, 0)
    first = read_parts(out)
    assert predictions(out) == EXPECTED and len(set(first["id"].to_pylist())) == ROWS
    assert sorted(path.name for path in out.iterdir()) == [
        "_SUCCESS", "_taut", *(f"part-0000{number}.parquet" for number in range(5)),
    ]  # fmt: skip

    (out / "part-00001.parquet").unlink()
    damaged = out / "part-00003.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    (out / "part-00004.parquet").touch()  # Another time, and the same bytes.
    (out / "_taut" / "done" / "00000.json").write_text("{")
    (out / "_taut" / "tmp" / "9-part-00001.parquet").write_text("of one that was killed")
    again = run(home, rows, out)
    assert (again.job, again.parts_before, again.scored) == (result.job, 2, ROWS)
    assert read_parts(out).equals(first)
    assert list((out / "_taut" / "tmp").iterdir()) == []
    told = find_batch(home, first["id"][3].as_py())
    assert (told.id, told.status, told.scored, told.parts) == (result.job, "FINISHED", ROWS, 5)


def test_another_job_is_not_mixed_into_an_output(home: Home, rows: Path, tmp_path: Path):
    out = tmp_path / "out"
    run(home, rows / "a.parquet", out)
    others: list[tuple[dict[str, Any], str]] = [
        ({"on_error": "skip"}, '"on_error":"skip"'),
        ({"part_rows": 30}, '"part_rows":30'),
        ({"source": rows}, f"source is '{rows}'"),
    ]
    for wanted, said in others:
        with pytest.raises(Conflict, match="belongs to another job") as refused:
            run(home, wanted.pop("source", rows / "a.parquet"), out, **wanted)
        assert said in str(refused.value)
    pq.write_table(table(60, delay={3: 7.0}), rows / "a.parquet")
    with pytest.raises(Conflict, match=r"a.parquet has other content"):
        run(home, rows / "a.parquet", out)
    (rows / "a.parquet").unlink()
    with pytest.raises(NotFound, match="there is no file to score"):
        run(home, rows / "a.parquet", out)


def test_an_output_that_is_somebody_elses_is_refused(home: Home, rows: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("secret")
    with pytest.raises(Conflict, match=r"mine is not empty: it holds diary.txt"):
        run(home, rows, tmp_path / "mine")
    with pytest.raises(Conflict, match="lies in the input"):
        run(home, rows, rows / "out")
    with pytest.raises(Conflict, match=r"diary.txt is no folder"):
        run(home, rows, tmp_path / "mine" / "diary.txt")
    (tmp_path / "busy" / "_taut").mkdir(parents=True)
    with (tmp_path / "busy" / "_taut" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="another batch works at"):
            run(home, rows, tmp_path / "busy")


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"model": "late@9"}, NotFound, "has no version 9"),
        ({"model": "nobody"}, NotFound, "there is no deployment 'nobody'"),
        ({"keep": ("colour",)}, Invalid, "column 'colour' is missing; there are key, delay, seats, carrier"),
        ({"id_column": "colour"}, Invalid, "column 'colour' is missing"),
        ({"on": "mars"}, UsageError, "not on 'mars'"),
        ({"part_rows": 0}, Invalid, "a part has one row at least"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_written(
    home: Home, rows: Path, tmp_path: Path, more: dict[str, Any], kind: type[Exception], said: str
):
    with pytest.raises(kind, match=said):
        run(home, rows, tmp_path / "out", **more)
    assert not list(tmp_path.glob("out/[!_]*")) and not (tmp_path / "out" / "_taut" / "plan.json").exists()


def test_a_column_that_would_stand_twice_is_refused(home: Home, rows: Path, tmp_path: Path):
    pq.write_table(table(3).append_column("prediction", [[1.0, 2.0, 3.0]]), rows / "a.parquet")
    with pytest.raises(Invalid, match="column 'prediction' cannot be kept"):
        run(home, rows / "a.parquet", tmp_path / "out", keep=("prediction",))
    pq.write_table(table(3).append_column("extra", [[1.0, 2.0, 3.0]]), rows / "a.parquet")
    pq.write_table(table(3).append_column("extra", [["1", "2", "3"]]), rows / "b.parquet")
    with pytest.raises(Invalid, match="column 'extra' is of type string, in files before it of double"):
        run(home, rows / "[ab].parquet", tmp_path / "out", keep=("extra",))
    pq.write_table(table(0), rows / "a.parquet")
    with pytest.raises(Invalid, match="there are no rows to score"):
        run(home, rows / "a.parquet", tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_output_may_be_one_file(home: Home, rows: Path, tmp_path: Path, ending: str):
    out = tmp_path / f"scored.{ending}"
    record_deployment(home, "late", "late", 1, "process", {}, "manual")
    result = run(home, rows, out, model="late", id_column="key")
    read = pyarrow.csv.read_csv(out) if ending == "csv" else pq.read_table(out)
    assert read["id"].to_pylist() == [f"k{row}" for row in range(ROWS)]
    assert read["prediction"].to_pylist() == EXPECTED
    assert result.output == str(out) and find_batch(home, result.job).deployment == "late@1"
    again = run(home, rows, out, model="late", id_column="key")
    assert (again.parts_before, again.job) == (5, result.job)
    assert not list(tmp_path.glob(".scored*/part-*"))


def test_a_worker_that_dies_is_replaced_and_its_part_done_again(home: Home, rows: Path, tmp_path: Path):
    pq.write_table(table(60, carrier={30: f"once:{tmp_path / 'died'}"}), rows / "a.parquet")
    result = run(home, rows, tmp_path / "out")
    assert (tmp_path / "died").exists() and result.scored == ROWS
    assert predictions(tmp_path / "out") == EXPECTED


@pytest.mark.slow
def test_rows_that_kill_every_worker_end_the_job_and_are_named(home: Home, rows: Path, tmp_path: Path):
    pq.write_table(table(60, carrier={30: "kill"}), rows / "a.parquet")
    with pytest.raises(Unavailable) as ended:
        run(home, rows, tmp_path / "out")
    assert str(ended.value) == f"rows 20 to 39 of {rows / 'a.parquet'} ended their worker 2 times, at last by SIGKILL"
    assert (tmp_path / "out" / "part-00000.parquet").exists()  # What was done before is there, and stays.


@pytest.mark.slow
def test_wrong_rows_stop_a_job_with_file_and_row_and_it_is_recorded(home: Home, rows: Path, tmp_path: Path):
    pq.write_table(table(60, seats={30: None}), rows / "a.parquet")
    with pytest.raises(Invalid, match=r"a.parquet, row 30: column 'seats' takes long; it is null"):
        run(home, rows, tmp_path / "out")
    from taut.serve.batch.jobs import list_batches

    assert [job.status for job in list_batches(home, "late")] == ["FAILED"]
    result = run(home, rows, tmp_path / "other", on_error="null")
    assert (result.scored, result.nulled, result.skipped) == (ROWS - 1, 1, 0)
    assert result.said == f"{rows / 'a.parquet'}: row 30: column 'seats' takes long; it is null"


@pytest.mark.slow
def test_a_disk_that_takes_no_more_ends_a_job_and_room_lets_it_go_on(home: Home, tmp_path: Path):
    willing(home)
    pq.write_table(table(30_000), tmp_path / "rows.parquet")
    with small_disk(tmp_path / "disk", "120k") as disk:
        with pytest.raises(Unavailable, match=r"did not take .*: No space left on device") as full:
            run(home, tmp_path / "rows.parquet", disk / "out", part_rows=5_000, keep=("key", "delay", "seats"))
        assert full.value.hint.startswith("df -h ")
        written = sum(pq.read_metadata(path).num_rows for path in (disk / "out").glob("part-*"))
        assert 0 < written < 30_000
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        result = run(home, tmp_path / "rows.parquet", disk / "out", part_rows=5_000, keep=("key", "delay", "seats"))
        assert result.scored == 30_000 and 0 < result.parts_before < 6
        assert predictions(disk / "out") == [2.0 * row for row in range(30_000)]


def test_a_file_that_may_not_be_read_is_told(home: Home, rows: Path, tmp_path: Path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (rows / "a.parquet").chmod(0)
    with pytest.raises(Denied, match=r"a.parquet cannot be read"):
        run(home, rows, tmp_path / "out")
