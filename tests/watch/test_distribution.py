"""The small pictures: areas are shares, bars are in proportion, words keep apart, and each says what it shows."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.watch.picture.distribution import (
    BARS,
    LETTER,
    WIDTH,
    _by_density,
    _by_rank,
    _tick_names,
    described,
    distribution,
    kept_bars,
)
from taut.watch.picture.shares import Bin, shares_of
from taut.watch.picture.svg import joined
from tests.watch.drawn import column
from tests.watch.pages import HOSTILE, SVG, parsed, told

CHANCE = np.random.default_rng(7)
NORMAL = CHANCE.normal(size=2_000)
TICKS = st.lists(st.tuples(st.floats(0, WIDTH), st.text("0123456789.,-e", min_size=1, max_size=9)), max_size=12)


def drawn(then: np.ndarray, now: np.ndarray, name: str = "x"):
    """The picture of a column as a tree."""
    one = column(name, then, now)
    return parsed(distribution(one.feature, shares_of(one.feature, one.counts)))


def classes(tree) -> list[str]:
    return [str(one.get("class")) for one in tree.iter() if one.get("class")]


def test_areas_are_shares_of_the_rows():
    one = column("x", NORMAL, NORMAL[:1_000] + 0.3)
    parts = [part for part in shares_of(one.feature, one.counts) if part.kind == "part"]
    steps = _by_density(one.feature, parts)
    widths = np.array([right - left for left, right in pairwise(steps.edges)])
    areas = widths * np.array(steps.then)
    assert areas / areas.sum() == pytest.approx([part.then for part in parts])
    moved = widths * np.array(steps.now)
    assert moved / moved.sum() == pytest.approx([part.now for part in parts])
    assert steps.edges == sorted(steps.edges)
    assert (steps.edges[0], steps.edges[-1]) == pytest.approx((6, WIDTH - 6))


def test_numbers_are_drawn_as_steps_then_filled_and_now_over_it():
    tree = drawn(NORMAL, NORMAL + 1)
    shown = [kind for kind in classes(tree) if kind in {"then", "now"}]
    assert shown == ["then", "now"]
    ticks = [float(told(one)) for one in tree.iter(f"{SVG}text")]
    assert 0.0 in ticks and len(ticks) >= 3


def test_a_spike_that_would_flatten_all_else_makes_the_parts_equally_wide():
    spiked = np.where(CHANCE.random(2_000) < 0.2, 5 + NORMAL * 1e-6, NORMAL)
    one = column("x", spiked, spiked)
    parts = [part for part in shares_of(one.feature, one.counts) if part.kind == "part"]
    steps = _by_rank(parts)
    assert len({round(right - left, 6) for left, right in pairwise(steps.edges)}) == 1
    assert steps.then == [part.then for part in parts]
    path = next(one for one in drawn(spiked, spiked).iter(f"{SVG}path"))
    assert path.get("d", "").count("H") == len(parts)


@pytest.mark.parametrize("then", [np.array([0.0, 1.0] * 50), np.array([1.0, 2.0, 3.0] * 50), np.ones(50)])
def test_a_handful_of_numbers_are_drawn_as_bars_with_their_names(then):
    tree = drawn(then, then[:7])
    assert "now bar" in classes(tree)
    assert list(tree.iter(f"{SVG}path")) == []


@pytest.mark.parametrize(
    "column_", [np.zeros(100), np.r_[np.zeros(90), NORMAL[:90]], np.r_[np.zeros(20), np.arange(200.0)]]
)
def test_many_equal_numbers_are_drawn_too(column_):
    assert "then" in " ".join(classes(drawn(column_, column_ + 1)))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12, 1e300])
def test_every_size_of_number_stays_inside_the_picture(scale: float):
    tree = drawn(NORMAL * scale, NORMAL * scale)
    for one in tree.iter(f"{SVG}text"):
        half = len(told(one)) * LETTER / 2
        assert half - 1 <= float(one.get("x", "")) <= WIDTH - half + 1
    assert "nan" not in str(told(tree)) and "inf" not in str(told(tree))


@given(TICKS)
def test_names_below_the_axis_never_touch(ticks):
    named = parsed(f"<g>{joined(_tick_names(sorted(ticks)))}</g>")
    placed = [(float(one.get("x", "")), len(one.text or "") * LETTER / 2) for one in named]
    for (x, half), (other, other_half) in pairwise(placed):
        assert other - other_half >= x + half


# Bars


def test_bars_are_in_proportion_thick_then_and_thin_now():
    tree = drawn(np.array(["a", "b"] * 50, dtype=object), np.array(["a"] * 3 + ["b"], dtype=object))
    found = [(str(one.get("class")), float(one.get("width", ""))) for one in tree.iter(f"{SVG}rect")]
    (_, then_a), (_, now_a), (_, then_b), (_, now_b) = found
    assert [kind for kind, _ in found] == ["then", "now bar"] * 2
    assert (then_a / now_a, then_b / now_a, now_b / now_a) == pytest.approx((2 / 3, 2 / 3, 1 / 3), abs=0.01)
    assert [told(one) for one in tree.iter(f"{SVG}text")] == ["a", "75 %", "b", "25 %"]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_bars_that_do_not_fit_are_one_bar_and_no_share_is_lost(shares):
    bins = [Bin(f"level {place}", "level", then, now) for place, (then, now) in enumerate(shares)]
    bins += [
        Bin("all other levels", "rest", 0.1, 0.2),
        Bin("new levels", "unseen", 0.0, 0.1),
        Bin("missing", "missing", 0, 0),
    ]
    kept = kept_bars(bins)
    assert len(kept) <= BARS
    assert sum(one.then for one in kept) == pytest.approx(sum(one.then for one in bins))
    assert sum(one.now for one in kept) == pytest.approx(sum(one.now for one in bins))
    assert [one.name for one in kept].count("all other levels") == 1
    assert kept[-1].name == "new levels"
    moved = max(bins[: len(shares)], key=lambda one: abs(one.now - one.then))
    assert len(shares) == 1 or moved in kept or any(abs(k.now - k.then) == abs(moved.now - moved.then) for k in kept)


def test_rates_that_do_not_fit_are_left_to_the_table_for_they_add_to_nothing():
    bins = [Bin(f"bin {place}", "rate", 0.5, 0.5 + place / 100) for place in range(20)]
    kept = kept_bars(bins)
    assert [one.name for one in kept] == [f"bin {place}" for place in range(13, 20)]


def test_long_and_hostile_names_are_clipped_with_the_whole_in_a_title():
    levels = np.array([HOSTILE, "plain"] * 50, dtype=object)
    tree = drawn(levels, levels[:3], name=HOSTILE)
    shown = [told(one) for one in tree.iter(f"{SVG}text")]
    assert any(name.endswith("…") and len(name) <= 16 for name in shown)
    assert any(HOSTILE in told(one) for one in tree.iter(f"{SVG}title"))
    assert {one.tag for one in tree.iter()} <= {
        f"{SVG}{kind}" for kind in ("svg", "title", "desc", "g", "text", "rect", "line")
    }


def test_a_picture_says_in_words_what_moved_most():
    bins = [Bin("a", "level", 0.5, 0.25), Bin("b", "level", 0.5, 0.5), Bin("new levels", "unseen", 0, 0.25)]
    assert described(bins) == "Moved most: a 25 %, 50 % then; new levels 25 %, 0 % then."
    assert described([Bin("a", "level", 0.5, 0.5)]) == "The shares are the same then and now."
