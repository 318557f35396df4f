"""Tables and streams to be drawn: calm and broken ones, and one whose every name wants to be markup."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from taut.watch.columns import is_numeric
from taut.watch.counts import count_window
from taut.watch.events import Reference, categorical_feature, numeric_feature
from taut.watch.offline import Check, Tally, Watching, check_tally, follow, profile_of, tally
from taut.watch.picture.checked import check_page
from taut.watch.picture.columns import Column
from taut.watch.picture.course import Course
from tests.watch.pages import HOSTILE
from tests.watch.streams import draw

Table = dict[str, np.ndarray]
LONG = "a_column_whose_name_goes_on_" * 12


def table(seed: int, rows: int, *, broken: bool = False, more: int = 0) -> Table:
    """Mixed columns with scores and labels; `broken` moves `age`, brings a new `plan` and holes in `amount`."""
    chance = np.random.default_rng(seed)
    drawn = draw(chance, rows)
    columns: Table = {
        **drawn.columns,
        "score": drawn.scores,
        "target": drawn.targets,
        LONG: chance.integers(0, 2, rows),
    }
    columns |= {f"n{place}": chance.normal(size=rows) for place in range(more)}
    if broken:
        columns["age"] = columns["age"] + 12
        columns["plan"] = np.where(chance.random(rows) < 0.1, "enterprise", columns["plan"])
        columns["amount"] = np.where(chance.random(rows) < 0.2, np.nan, columns["amount"])
    return columns


def hostile(rows: int, moved: float = 0.0) -> Table:
    """Columns and levels whose names would be markup, were they not escaped."""
    chance = np.random.default_rng(3)
    levels = np.array([HOSTILE, "b&amp;", "c\x00\x1b"], dtype=object)
    return {HOSTILE: chance.normal(moved, 1, rows), f"{HOSTILE}2": levels[chance.integers(0, 3 if moved else 2, rows)]}


def write(place: Path, columns: Table) -> Path:
    """The columns as a Parquet file."""
    pq.write_table(pa.table(columns), place)
    return place


def checked(folder: Path, then: Table, now: Table, watching: Watching | None = None) -> tuple[Check, Tally, Reference]:
    """What a check of two tables finds."""
    reference = profile_of(write(folder / "then.parquet", then))
    found = tally(write(folder / "now.parquet", now), reference)
    return check_tally(found, reference, watching), found, reference


def page_of(folder: Path, then: Table, now: Table, watching: Watching | None = None) -> str:
    """The page of that check."""
    return check_page(*checked(folder, then, now, watching), "now.parquet", "then.parquet")


def stream(folder: Path, windows: int, *, since: int | None, rows: int = 400) -> Path:
    """A reference and windows in `folder`, broken from one on."""
    folder.mkdir(exist_ok=True)
    write(folder / "reference.parquet", table(1, 4_000))
    for number in range(windows):
        broken = since is not None and number >= since
        write(folder / f"w{number:05d}.parquet", table(100 + number, rows, broken=broken))
    return folder


def course_of(folder: Path, watching: Watching | None = None) -> Course:
    """The course of a stream on the disk."""
    course = Course()
    for seen in follow(folder, watching):
        course.add(seen)
    return course


def column(name: str, then, now) -> Column:
    """One column of two samples, without evidence."""
    feature = (numeric_feature if is_numeric(then) else categorical_feature)(name, then)
    counts = count_window(Reference(len(then), (feature,)), {name: now})
    return Column(feature, counts, None, None, is_named=False)
