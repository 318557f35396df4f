"""The Merkle log's hashes and proofs: the words of RFC 9162 written down naively, and vectors of other programs."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.ground.ledger import Tree, append_events, size_of, tiles
from taut.ground.ledger.events import Happening
from taut.ground.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_spans,
    fold,
    inclusion_spans,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
    spans,
    whole_root,
)

# The entries and roots of the tests of the Certificate Transparency reference implementation.
CT_ENTRIES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_PATH_OF_FIRST_IN_EIGHT = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]
LARGE = 300
ALL = [leaf_hash(b"entry %d" % number) for number in range(LARGE)]


# What section 2.1 says, as it says it


def mth(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    return subproof(m, leaves, True)


def subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def over(start: int, end: int) -> bytes:
    """The root over a run of leaves by our own parts."""
    runs = [b"".join(ALL[index << height : (index + 1) << height]) for height, index in spans(start, end)]
    return fold([whole_root(run) for run in runs])


def test_the_roots_are_those_of_certificate_transparency():
    leaves = [leaf_hash(bytes.fromhex(entry)) for entry in CT_ENTRIES]
    frontier = Frontier()
    for number, root in enumerate(CT_ROOTS, 1):
        frontier.add([leaves[number - 1]])
        assert frontier.root().hex() == root
        assert mth(leaves[:number]).hex() == root
    assert [step.hex() for step in path(0, leaves)] == CT_PATH_OF_FIRST_IN_EIGHT
    assert is_included(leaves[0], 0, 8, [bytes.fromhex(step) for step in CT_PATH_OF_FIRST_IN_EIGHT], frontier.root())


def test_roots_of_every_size_are_what_the_rfc_says():
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT == mth([])
    for size in range(1, LARGE + 1):
        frontier.add([ALL[size - 1]])
        assert frontier.size == size
        assert frontier.root() == over(0, size) == mth(ALL[:size])


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65, 127, 128, 129, 255, 256, 257, 299, 300])
def test_each_leaf_of_a_tree_has_the_path_of_the_rfc_and_no_other_leaf_fits_it(size):
    root = mth(ALL[:size])
    for index in range(size):
        ours = [over(start, end) for start, end in inclusion_spans(index, size)]
        assert ours == path(index, ALL[:size])
        assert is_included(ALL[index], index, size, ours, root)
        assert not is_included(ALL[index], (index + 1) % size, size, ours, root) or size == 1
        assert not is_included(leaf_hash(b"other"), index, size, ours, root)
        assert not is_included(ALL[index], index, size, ours[:-1], root) or size == 1
        assert not is_included(ALL[index], index, size, [*ours, root], root)
        assert not is_included(ALL[index], size, size, ours, root)


@pytest.mark.parametrize("second", [*range(1, 34), 64, 65, 100, 128, 255, 256, 257, 300])
def test_each_earlier_size_has_the_proof_of_the_rfc_and_no_other_root_fits_it(second):
    new = mth(ALL[:second])
    for first in range(1, second + 1):
        old = mth(ALL[:first])
        ours = [over(start, end) for start, end in consistency_spans(first, second)]
        assert ours == proof(first, ALL[:second])
        assert is_consistent(first, old, second, new, ours)
        other = mth([*ALL[: first - 1], leaf_hash(b"other")])
        assert not is_consistent(first, other, second, new, ours)
        assert not is_consistent(first, old, second, other, ours)
        assert not is_consistent(first, old, second, new, [*ours, new])
        assert not is_consistent(second + 1, old, second, new, ours)
    assert is_consistent(0, EMPTY_ROOT, second, new, [])
    assert not is_consistent(0, new, second, new, [])


def test_a_proof_between_two_sizes_is_never_empty():
    assert not is_consistent(4, mth(ALL[:4]), 7, mth(ALL[:7]), [])
    assert not is_consistent(3, mth(ALL[:3]), 7, mth(ALL[:7]), [])


@given(st.integers(1, 2**40), st.data())
def test_a_path_is_as_long_as_a_tree_is_high_and_covers_all_other_leaves(size, data):
    index = data.draw(st.integers(0, size - 1))
    runs = inclusion_spans(index, size)
    assert len(runs) <= (size - 1).bit_length()
    assert sum(end - start for start, end in runs) == size - 1
    assert all(end <= index or start > index for start, end in runs)


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20), st.binary(min_size=32, max_size=32))
def test_a_node_is_no_leaf(hashes, other):
    assert node_hash(hashes[0], other) != leaf_hash(hashes[0] + other)


# The tree in the store, with tiles so small that a few hundred entries fill four levels of them


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiles, "TILE", 4)
    monkeypatch.setattr(tiles, "TILE_HEIGHT", 2)


def append(home, count: int, *, at_once: int = 1) -> None:
    with home.meta.transaction() as tx:
        start = size_of(tx)
        for first in range(start, start + count, at_once):
            numbers = range(first, min(first + at_once, start + count))
            append_events(tx, [Happening("thing.done", f"thing:{number}", "ada", number) for number in numbers])


def leaves_in(tx) -> list[bytes]:
    return [leaf for (leaf,) in tx.rows("SELECT leaf FROM ledger ORDER BY seq")]


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("at_once", [1, 3, 16, 90])
def test_the_tree_in_the_store_is_the_tree_of_the_rfc_at_every_size(home, at_once):
    append(home, 90, at_once=at_once)
    with home.meta.read() as tx:
        leaves = leaves_in(tx)
        assert len(leaves) == size_of(tx) == 90
        levels = {level for (level,) in tx.rows("SELECT DISTINCT level FROM ledger_tile")}
        assert levels == {0, 1, 2, 3}
        for size in range(1, 91):
            tree = Tree(tx)
            assert tree.root(size) == mth(leaves[:size])
            for index in {0, size // 3, size // 2, size - 1}:
                assert tree.inclusion(index, size) == path(index, leaves[:size])
            for first in {1, (size + 1) // 2, size}:
                assert tree.consistency(first, size) == proof(first, leaves[:size])


def test_a_tile_holds_256_hashes_and_is_written_with_the_entry_that_fills_it(home):
    with home.meta.transaction() as tx:
        append_events(tx, [Happening("thing.done", "thing:1", "ada", 1)] * 255)
        assert tx.rows("SELECT level FROM ledger_tile") == []
        append_events(tx, [Happening("thing.done", "thing:1", "ada", 1)])
        leaves = leaves_in(tx)
        found = dict(tx.rows("SELECT level, hashes FROM ledger_tile"))
        assert found == {0: b"".join(leaves), 1: mth(leaves)}
        append_events(tx, [Happening("thing.done", "thing:1", "ada", 1)] * 600)
        leaves = leaves_in(tx)
        places = tx.rows("SELECT level, place FROM ledger_tile ORDER BY level, place")
        assert places == [(0, 0), (0, 1), (0, 2), (1, 0)]
        assert Tree(tx).root(856) == mth(leaves)


@pytest.mark.usefixtures("small_tiles")
def test_a_proof_reads_no_more_rows_than_a_tile_holds(home):
    append(home, 90)
    with home.meta.read() as tx:
        asked: list[int] = []

        class Counting:
            dialect = tx.dialect

            def rows(self, sql, parameters=None):
                found = tx.rows(sql, parameters)
                asked.append(len(found))
                return found

            def row(self, sql, parameters=None):
                asked.append(1)
                return tx.row(sql, parameters)

        Tree(Counting()).inclusion(17, 90)  # type: ignore[arg-type]  # It writes nothing.
    assert max(asked) <= 4
    assert sum(asked) <= 14
