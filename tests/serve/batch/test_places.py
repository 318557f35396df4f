"""Folders and buckets as a batch uses them: files found in order, written whole, and told apart once they changed."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from taut.errors import Conflict, Invalid, NotFound
from taut.home import Home
from taut.serve.batch import buckets
from taut.serve.batch.buckets import Bucket, without_options
from taut.serve.batch.job import run_batch
from taut.serve.batch.jobs import find_batch
from taut.serve.batch.places import Folder, Place, connect_place, find_files, mark_of, open_file
from taut.serve.batch.plan import Options
from tests.serve.batch.scenes import table, willing

NAMES = ["a.csv", "b/c.csv", "b/_skipped.csv", "_temporary/0/d.csv", ".e.csv"]


def url_below(url: str, name: str) -> str:
    """The URL of what lies below a place, whose options come last."""
    path, _, options = url.partition("?")
    return f"{path.rstrip('/')}/{name}?{options}" if options else f"{path.rstrip('/')}/{name}"


@pytest.fixture(params=["folder", "bucket"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place of either kind."""
    return str(tmp_path / "place") if request.param == "folder" else str(request.getfixturevalue("s3_url"))


@pytest.fixture
def place(where: str) -> Place:
    return connect_place(where)


def made(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "made"
    path.write_bytes(data)
    return path


def test_files_are_found_by_name_without_what_others_leave_there(where: str, place: Place):
    for name in NAMES:
        place.create(name, name.encode())
    found = find_files(where)
    assert [one.name.removeprefix(f"{place.url.rstrip('/')}/") for one in found] == ["a.csv", "b/c.csv"]
    assert [one.size_bytes for one in found] == [5, 7]
    assert [mark_of(where, one.name) for one in found] == [one.mark for one in found]
    with open_file(where, found[1].name) as file:
        assert file.read() == b"b/c.csv"
    (one,) = find_files(url_below(where, "a.csv"))
    assert one == found[0]
    assert sorted(place.list()) == sorted(NAMES)
    assert list(place.list("b/c")) == ["b/c.csv"]


def test_nothing_found_is_told_without_keys(where: str):
    with pytest.raises(NotFound) as missing:
        find_files(url_below(where, "nothing"))
    assert "access_key" not in str(missing.value)


def test_a_file_is_created_once_and_published_again(place: Place, tmp_path: Path):
    assert place.read("plan.json") is None and place.mark("plan.json") == ""
    assert place.create("plan.json", b"first")
    assert not place.create("plan.json", b"second")
    assert place.read("plan.json") == b"first"
    first = place.publish("deep/part", made(tmp_path, b"one"))
    assert first == place.mark("deep/part") != ""
    second = place.publish("deep/part", made(tmp_path, b"two, of other bytes"))
    assert second == place.mark("deep/part") != first
    assert place.read("deep/part") == b"two, of other bytes"
    place.remove(["deep/part", "deep/part", "nothing"])
    assert place.read("deep/part") is None


def test_other_places_are_told_apart_from_files():
    with pytest.raises(Invalid, match="is no place for a batch"):
        connect_place("gs://bucket/x")
    with pytest.raises(Invalid, match="cannot be read"):
        find_files("http://example.org/rows.csv")


def test_a_folder_takes_files_from_another_disk(tmp_path: Path):
    other = Path("/dev/shm") / f"taut-batch-test-{os.getpid()}"
    if not other.parent.is_dir() or other.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has one disk")
    other.write_bytes(b"from afar")
    try:
        Folder(tmp_path / "out").publish("part", other)
    finally:
        other.unlink(missing_ok=True)
    assert (tmp_path / "out" / "part").read_bytes() == b"from afar"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["part"]


def test_patterns_name_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a1.csv", "a2.csv", "b1.csv"):
        (tmp_path / name).write_text("x\n1\n")
    monkeypatch.chdir(tmp_path)
    assert [Path(one.name).name for one in find_files("a*.csv")] == ["a1.csv", "a2.csv"]
    assert find_files("a1.csv")[0].name == str(tmp_path / "a1.csv")


def test_an_object_is_read_at_many_places_in_turn(s3_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(buckets, "BLOCK_BYTES", 100)
    monkeypatch.setattr(buckets, "BLOCKS", 3)
    data = bytes(range(256)) * 4
    Bucket(s3_url).create("object", data)
    url = url_below(s3_url, "object")
    with open_file(url, find_files(url)[0].name) as file:
        for start, size in [(0, 10), (1000, 50), (95, 10), (0, 1024), (1024, 5), (500, 0), (99, 2)]:
            file.seek(start)
            assert file.read(size) == data[start : start + size]
        assert file.seek(-4, os.SEEK_END) == 1020 and file.read() == data[-4:]


def test_keys_are_in_no_name():
    assert without_options("s3://b/in?access_key_id=a") == "s3://b/in"
    assert without_options("/folder/what?") == "/folder/what?"


@pytest.mark.parametrize("single", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_batch_reads_a_bucket_and_writes_one(home: Home, s3_url: str, tmp_path: Path, single: bool):
    willing(home)
    source, out = url_below(s3_url, "rows"), url_below(s3_url, "scored")
    store = connect_place(source)
    pq.write_table(table(60), tmp_path / "a.parquet", row_group_size=20)
    pyarrow.csv.write_csv(table(40, first=60), tmp_path / "b.csv")
    with pa.ipc.new_file(tmp_path / "c.arrow", table(1).schema) as file:
        file.write_table(table(20, first=100), max_chunksize=7)
    for name in ("a.parquet", "b.csv", "c.arrow"):
        store.publish(name, tmp_path / name)
    target = str(tmp_path / "scored.parquet") if single else out
    options = Options(part_rows=25, id_column="key")
    result = run_batch(home, "late@1", source, target, options=options, workers=1)
    assert (result.scored, result.parts_before) == (120, 0)
    again = run_batch(home, "late@1", source, target, options=options, workers=1)
    assert (again.job, again.parts_before) == (result.job, result.parts)
    told = find_batch(home, result.job)
    assert told.source == without_options(source) and "access_key" not in told.output
    if single:
        found = pq.read_table(target)
    else:
        written = connect_place(out)
        names = sorted(name for name in written.list() if name.startswith("part-"))
        found = pa.concat_tables(pq.read_table(pa.BufferReader(written.read(name))) for name in names)
        assert b"access_key" not in (written.read("_taut/plan.json") or b"")
    assert found["id"].to_pylist() == [f"k{row}" for row in range(120)]
    assert found["prediction"].to_pylist() == [2.0 * row for row in range(120)]


@pytest.mark.slow
def test_an_object_that_was_put_anew_is_refused(home: Home, s3_url: str, tmp_path: Path):
    willing(home)
    source = url_below(s3_url, "rows")
    for first in (0, 5):
        pq.write_table(table(10, first=first), tmp_path / "a.parquet")
        connect_place(source).publish("a.parquet", tmp_path / "a.parquet")
        if not first:
            run_batch(home, "late@1", source, str(tmp_path / "out"), workers=1)
    with pytest.raises(Conflict, match=r"a.parquet has other content"):
        run_batch(home, "late@1", source, str(tmp_path / "out"), workers=1)
