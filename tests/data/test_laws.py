"""Laws of the data room, on trees that hypothesis thinks of: what is added comes back, and equal is equal."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from taut.data import add_dataset, checkout_dataset, dataset_diff, dataset_status
from taut.ground.settings import make_folder
from taut.home import Home, open_home

NAMES = st.text("abcü -._[]*é", min_size=1, max_size=6).filter(lambda name: name not in {".", ".."} and name.strip())
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(PATHS, st.binary(max_size=40), min_size=1, max_size=6).filter(
    lambda tree: not any(f"{one}/" in f"{other}/" and one != other for one in tree for other in tree)
)


@contextmanager
def new_home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="taut-law-") as made:
        make_folder(Path(made))
        with open_home(made) as home:
            yield home


def write(folder: Path, tree: dict[str, bytes]) -> None:
    for path, data in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def read(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@settings(max_examples=25)
@given(TREES, TREES)
def test_what_was_added_comes_back_whatever_came_after(first: dict[str, bytes], second: dict[str, bytes]):
    with new_home() as home:
        place = home.project / "tree"
        write(place, first)
        add_dataset(home, place)
        assert dataset_status(home, home.project)[0].state == "unchanged"
        shutil.rmtree(place)
        write(place, second)
        latest = add_dataset(home, place).number
        assert latest == (1 if first == second else 2)
        assert checkout_dataset(home, "tree", 1) == place
        assert read(place) == first
        assert dataset_status(home, home.project)[0].state == "unchanged"
        checkout_dataset(home, "tree", latest)
        assert read(place) == second


@settings(max_examples=25)
@given(TREES, TREES)
def test_a_diff_is_empty_for_equal_trees_and_tells_every_file_of_others(
    first: dict[str, bytes], second: dict[str, bytes]
):
    with new_home() as home:
        for tree in (first, second):
            shutil.rmtree(home.project / "tree", ignore_errors=True)
            write(home.project / "tree", tree)
            latest = add_dataset(home, home.project / "tree").number
        assert dataset_diff(home, "tree", 1, 1).modified == ()
        diff = dataset_diff(home, "tree", 1, latest)
        assert set(diff.added) == second.keys() - first.keys()
        assert set(diff.removed) == first.keys() - second.keys()
        assert set(diff.modified) == {path for path in first.keys() & second.keys() if first[path] != second[path]}
