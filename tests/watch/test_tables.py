"""Files as columns: the same counts as from lists, whatever the file, and what is no table is told."""

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv, feather

from taut.errors import Invalid, NotFound
from taut.watch.columns import categorical_counts, is_numeric, numeric_array
from taut.watch.counts import NO_COUNTS, count_window
from taut.watch.profile import make_reference
from taut.watch.tables import Levels, Names, frame_of, frames_of, read_frame
from tests.watch.streams import draw

TABLE = pa.table({
    "age": [1, 2, None], "share": [0.5, None, 2.0], "plan": ["a", None, "b"], "is_new": [True, False, None],
    "score": [0.1, 0.2, 0.3], "target": [0, 1, None],
})  # fmt: skip


def written(path: Path, table: pa.Table) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=100)
    elif path.suffix == ".csv":
        csv.write_csv(table, path)
    else:
        feather.write_feather(table, path, compression="uncompressed")
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".feather", ".arrow"])
def test_a_file_of_any_kind_has_the_same_columns(tmp_path: Path, suffix: str):
    frame = read_frame(written(tmp_path / f"rows{suffix}", TABLE))
    assert (frame.rows, list(frame.columns), frame.left_out) == (3, ["age", "share", "plan", "is_new"], ())
    assert numeric_array(frame.columns["age"])[:2].tolist() == [1.0, 2.0]
    assert categorical_counts(frame.columns["plan"]) == (
        {"a": 1, "b": 1} if suffix != ".csv" else {"a": 1, "": 1, "b": 1},
        suffix != ".csv",
    )
    assert frame.scores is not None and frame.targets is not None
    assert np.isnan(numeric_array(frame.targets)[2])


def test_counts_of_a_file_are_those_of_its_columns_in_parts_and_whole(tmp_path: Path, monkeypatch):
    rows = draw(np.random.default_rng(1), 1_000)
    table = pa.table({**rows.columns, "score": rows.scores, "target": rows.targets})
    path = written(tmp_path / "rows.parquet", table)
    reference = make_reference(rows.columns, scores=rows.scores)
    later = draw(np.random.default_rng(2), 700)
    current = written(tmp_path / "later.parquet", pa.table({**later.columns, "score": later.scores}))
    wanted = count_window(reference, later.columns, scores=later.scores)
    monkeypatch.setattr("taut.watch.tables.PART_ROWS", 64)
    counts = NO_COUNTS
    parts = list(frames_of(current))
    assert len(parts) > 7
    for part in parts:
        counts += count_window(reference, part.columns, scores=part.scores)
    assert counts == wanted
    whole = read_frame(path)
    assert make_reference(whole.columns, scores=whole.scores) == reference


def test_kinds_of_columns_are_numbers_or_levels():
    moment = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    table = pa.table({
        "small": pa.array([1, 2], pa.int8()), "large": pa.array([1, 2**63], pa.uint64()),
        "price": pa.array([1, 2], pa.decimal128(5, 2)), "day": [datetime.date(2026, 1, 2)] * 2, "moment": [moment] * 2,
        "time": [datetime.time(1)] * 2, "nothing": pa.nulls(2), "coded": pa.array(["a", None]).dictionary_encode(),
        "long": pa.array(["a", "b"], pa.large_string()), "list": [[1], [2]], "bytes": [b"a", b"b"],
    })  # fmt: skip
    frame = frame_of(table, Names())
    numbers = [name for name, column in frame.columns.items() if is_numeric(column)]
    assert numbers == ["small", "large", "price", "day", "moment", "time", "nothing"]
    assert frame.left_out == ("list", "bytes")
    assert categorical_counts(frame.columns["coded"]) == ({"a": 1}, 1)
    assert isinstance(frame.columns["long"], Levels)


def test_words_in_a_column_of_numbers_are_missing_and_numbers_in_one_of_words_are_levels():
    words = Levels(pa.array(["1.5", "n/a", None, "2"]))
    assert numeric_array(words).tolist()[::3] == [1.5, 2.0]
    assert np.isnan(numeric_array(words)[1:3]).all()
    assert len(words[1::2]) == 2
    assert categorical_counts(words[1::2]) == ({"n/a": 1, "2": 1}, 0)
    assert numeric_array(Levels(pa.array([None, None], pa.string()))).tolist() == pytest.approx(
        [np.nan] * 2, nan_ok=True
    )
    assert categorical_counts(np.array([1.0, 2.0, np.nan, 1.0])) == ({"1": 2, "2": 1}, 1)
    assert categorical_counts(np.array([3, 3])) == ({"3": 2}, 0)
    assert categorical_counts(np.array([0.5])) == ({"0.5": 1}, 0)


def test_a_block_is_no_input_and_names_may_be_others():
    frame = frame_of(TABLE, Names(score="share", target="none", block="plan"))
    assert list(frame.columns) == ["age", "is_new", "score", "target"]
    assert frame.blocks == ["a", None, "b"]
    assert frame.scores is not None and frame.targets is None


def test_an_empty_file_has_its_columns(tmp_path: Path):
    path = written(tmp_path / "none.parquet", TABLE.slice(0, 0))
    assert [(one.rows, list(one.columns)) for one in frames_of(path)] == [(0, ["age", "share", "plan", "is_new"])]


def test_what_is_no_table_is_told(tmp_path: Path):
    with pytest.raises(NotFound, match="there is no file"):
        read_frame(tmp_path / "none.parquet")
    with pytest.raises(Invalid, match="its name ends in none of"):
        read_frame(tmp_path / "rows.txt")
    for suffix in (".parquet", ".arrow"):
        (tmp_path / f"bad{suffix}").write_bytes(b"no table at all")
        with pytest.raises(Invalid, match="cannot be read"):
            read_frame(tmp_path / f"bad{suffix}")
    (tmp_path / "bad.csv").write_text("a,b\n1\n")
    with pytest.raises(Invalid, match="cannot be read"):
        read_frame(tmp_path / "bad.csv")
    (tmp_path / "twice.csv").write_text("a,a\n1,2\n")
    with pytest.raises(Invalid, match="two columns are called 'a'"):
        read_frame(tmp_path / "twice.csv")
    with pytest.raises(Invalid, match="cannot be read"):
        read_frame(_folder(tmp_path))


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "folder.csv").mkdir()
    return tmp_path / "folder.csv"
