"""Files against a reference, at once and as windows: calm where nothing changed, and what changed is named."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.watch.detectors import is_alarm, suspects
from taut.watch.offline import Watching, check_table, profile_of, replay
from taut.watch.tables import Names
from tests.faces.shell import taut
from tests.watch.streams import Broken, draw, watched

WINDOWS, WINDOW = 6, 500


def write(path: Path, seed: int, rows: int, broken: Broken | None = None) -> Path:
    drawn = draw(np.random.default_rng(seed), rows, broken)
    pq.write_table(pa.table({**drawn.columns, "score": drawn.scores, "target": drawn.targets}), path)
    return path


def aged(columns: dict[str, np.ndarray], scores: np.ndarray, targets: np.ndarray, chance: np.random.Generator) -> None:
    columns["age"] += 12


def turned(
    columns: dict[str, np.ndarray], scores: np.ndarray, targets: np.ndarray, chance: np.random.Generator
) -> None:
    targets[:] = 1 - targets


def stream(folder: Path, seed: int, broken: Broken | None = None, since: int = 3) -> Path:
    """A reference of 5,000 rows and windows, broken from one on."""
    folder.mkdir()
    write(folder / "reference.parquet", seed, 5_000)
    for number in range(WINDOWS):
        write(folder / f"w{number:05d}.parquet", 1_000 * seed + number + 1, WINDOW, broken if number >= since else None)
    return folder


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write(tmp_path / "january.parquet", 1, 5_000)


def test_a_table_like_the_reference_raises_nothing_and_one_that_is_not_names_its_column(
    tmp_path: Path, reference: Path
):
    profile = profile_of(reference)
    calm = check_table(write(tmp_path / "calm.parquet", 2, 2_000), profile)
    assert (calm.rows, calm.labelled, calm.reference_rows) == (2_000, 2_000, 5_000)
    assert calm.alarms == {"features": False, "labels": False}
    assert not any(one.is_named for one in calm.features)
    older = check_table(write(tmp_path / "older.parquet", 3, 2_000, aged), profile)
    assert older.alarms == {"features": True, "labels": False}
    assert [one.name for one in older.features if one.is_named] == ["age"]
    assert older.features[0].name == "age"
    assert older.features[0].psi is not None and older.features[0].psi > 0.5
    assert check_table(write(tmp_path / "turned.parquet", 4, 1_000, turned), profile).alarms["labels"]


def test_a_profile_in_a_file_takes_the_place_of_its_table(tmp_path: Path, reference: Path):
    profile = profile_of(reference)
    kept = tmp_path / "january.json"
    kept.write_bytes(wire.encode(profile))
    assert kept.stat().st_size < 100_000
    assert profile_of(kept) == profile
    with pytest.raises(NotFound):
        profile_of(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(Invalid, match="the profile"):
        profile_of(tmp_path / "other.json")


def test_what_the_reference_has_not_is_told_and_what_the_table_lacks_counts_as_missing(tmp_path: Path, reference: Path):
    profile = profile_of(reference)
    table = pq.read_table(write(tmp_path / "other.parquet", 5, 1_000)).drop(["plan", "score"]).append_column(
        "extra", pa.array([1] * 1_000)
    )  # fmt: skip
    pq.write_table(table, tmp_path / "other.parquet")
    found = check_table(tmp_path / "other.parquet", profile)
    assert found.unknown == ("extra",)
    assert found.labelled == 0
    assert [one.name for one in found.features if one.is_named] == ["plan"]


def test_windows_are_watched_in_their_order_and_an_alarm_stays(tmp_path: Path):
    found = list(replay(stream(tmp_path / "older", 7, aged)))
    assert [one.window for one in found] == [f"w{number:05d}" for number in range(WINDOWS)]
    assert [one.alarms["features"] for one in found] == [False] * 3 + [True] * 3
    assert found[-1].features == ("age",)
    assert not any(one.alarms["labels"] for one in found)
    assert all(one.rows == WINDOW and one.seconds > 0 for one in found)
    calm = list(replay(stream(tmp_path / "calm", 8)))
    assert not any(any(one.alarms.values()) for one in calm)
    assert all(one.features == () for one in calm)


def test_a_replay_says_what_the_detectors_say(tmp_path: Path):
    """The same rows, counted from arrays."""
    folder = tmp_path / "same"
    folder.mkdir()
    chance = np.random.default_rng(9)
    for name, rows in [("reference", 2_000), *((f"w{number:05d}", 300) for number in range(4))]:
        drawn = draw(chance, rows)
        pq.write_table(
            pa.table({**drawn.columns, "score": drawn.scores, "target": drawn.targets}), folder / f"{name}.parquet"
        )
    (*_, last) = replay(folder)
    for budget, (detector, state) in zip(
        ("features", "labels"), watched(9, rows=2_000, window=300, windows=4), strict=True
    ):
        assert last.alarms[budget] == is_alarm(detector, state)
        assert set(suspects(detector, state)) <= set(last.features)


def test_a_tolerance_lets_small_shifts_be(tmp_path: Path):
    def nudged(columns, scores, targets, chance):
        columns["z"] += 0.15

    folder = stream(tmp_path / "nudged", 10, nudged, since=0)
    (*_, strict) = replay(folder)
    (*_, lenient) = replay(folder, Watching(tolerance=0.1))
    assert strict.evidence["features"] > lenient.evidence["features"]


def test_folders_without_windows_or_reference_are_told(tmp_path: Path):
    with pytest.raises(NotFound, match="has no windows"):
        list(replay(tmp_path))
    write(tmp_path / "w00000.parquet", 1, 50)
    with pytest.raises(NotFound, match="there is no file"):
        list(replay(tmp_path))


def test_days_as_blocks_make_a_reference_that_knows_its_swings(tmp_path: Path):
    days = np.repeat(np.arange(40), 50)
    chance = np.random.default_rng(11)
    table = pa.table({"x": chance.normal(size=2_000) + chance.normal(size=40)[days], "day": days})
    pq.write_table(table, tmp_path / "days.parquet")
    known = profile_of(tmp_path / "days.parquet", Names(block="day"))
    assert [feature.name for feature in known.features] == ["x"]
    assert max(event.deff for event in known.features[0].events) > 5


def wave(rows: int, since: int, swing: float) -> np.ndarray:
    return swing * np.sin(2 * np.pi * (since + np.arange(rows)) / 1_600)


@pytest.mark.parametrize(("shift", "alarms"), [(0.0, False), (1.5, True)])
def test_what_swings_as_its_reference_did_is_calm_and_a_shift_beyond_it_is_found(
    tmp_path: Path, shift: float, alarms: bool
):
    """A season of 1,600 rows, which the reference has seen six times, and windows of a part of one."""
    chance = np.random.default_rng(12)
    parts = [("reference", 10_000), *((f"w{number:05d}", 500) for number in range(20))]
    since = 0
    for name, rows in parts:
        moved = shift if name > "w00010" else 0.0
        values = wave(rows, since, 0.5) + chance.normal(size=rows) + moved
        pq.write_table(pa.table({"x": values, "y": chance.normal(size=rows)}), tmp_path / f"{name}.parquet")
        since += rows
    found = list(replay(tmp_path))
    assert not any(one.alarms["features"] for one in found[:11])
    assert found[-1].alarms["features"] is alarms
    assert found[-1].features == (("x",) if alarms else ())


# On the command line


@pytest.mark.slow
def test_check_profile_and_replay_are_typed_without_a_home(tmp_path: Path, reference: Path):
    assert taut(tmp_path, "watch", "profile", "january.parquet").out == "the profile is in january.json\n"
    write(tmp_path / "older.parquet", 3, 2_000, aged)
    told = taut(tmp_path, "watch", "check", "older.parquet", "--against", "january.json").out
    assert told.splitlines()[1].split()[:2] == ["age", "numeric"]
    assert "2,000 rows against 5,000: drift in features" in told.replace("2000", "2,000").replace("5000", "5,000")
    shown = taut(tmp_path, "watch", "check", "older.parquet", "--against", "january.parquet", "--json").json
    assert shown["alarms"] == {"features": True, "labels": False}
    stream(tmp_path / "a", 7, aged)
    stream(tmp_path / "b", 8)
    lines = [json.loads(line) for line in taut(tmp_path, "watch", "replay", "a", "b", "--json").out.splitlines()]
    assert [(one["dir"], one["window"]) for one in lines] == [
        (name, f"w{number:05d}") for name in "ab" for number in range(WINDOWS)
    ]
    assert lines[5]["alarms"] == {"features": True, "labels": False} and lines[5]["features"] == ["age"]
    assert "features ALARM; age" in taut(tmp_path, "watch", "replay", "a").out
