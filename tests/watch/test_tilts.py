"""Bets on a column's shape: fair whatever is counted, good where a mean or a spread moves."""

from itertools import product
from math import exp, lgamma, log

import numpy as np
import pytest

from taut.watch.counts import WindowCounts, count_window
from taut.watch.detectors import e_value, ewin_of, is_alarm, start, update
from taut.watch.detectors.ewin import Ewin
from taut.watch.detectors.tilts import Tilts
from taut.watch.events import Event, Feature, numeric_feature
from taut.watch.profile import make_reference

CUTS = (3.0, 5.0)
ROWS = 9


def cut(place: int, deff: float = 1.0) -> Event:
    a = CUTS[place]
    return Event("below", f"x <= {place}", a, ROWS + 1 - a, int(a), ROWS, at=float(place), deff=deff)


def dirichlet_multinomial(law: list[float], counts: tuple[int, ...]) -> float:
    """The chance of these counts, in any order, when the shares are Dirichlet(`law`)."""
    n, total = sum(counts), sum(law)
    log_p = lgamma(n + 1) + lgamma(total) - lgamma(total + n)
    log_p += sum(lgamma(a + k) - lgamma(a) - lgamma(k + 1) for a, k in zip(law, counts, strict=True))
    return exp(log_p)


@pytest.mark.parametrize("rows", [1, 4, 9])
def test_the_bets_are_fair_against_the_law_of_the_reference(rows):
    feature = Feature("x", "numeric", (cut(0), cut(1)))
    law = [3.0, 2.0, 5.0]
    a, b = np.array([[3.0, 5.0]]), np.array([[7.0, 5.0]])
    total = 0.0
    for first, second in product(range(rows + 1), repeat=2):
        if first + second > rows:
            continue
        hits = np.array([[first, first + second]], dtype=float)
        ratio = Tilts([feature]).log_ratios(a, b, hits, rows - hits)[0, 0]
        total += dirichlet_multinomial(law, (first, second, rows - first - second)) * exp(ratio)
    assert total == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("windows", [(4,), (3, 2)])
def test_a_feature_with_a_shape_is_a_fair_bet_in_every_window(windows):
    """Half on events, half on the shape, over all starts: the mean over all that may be counted is what it was."""
    detector = Ewin((Feature("x", "numeric", (cut(0), cut(1))),))
    law, state, before = [3.0, 2.0, 5.0], start(detector), 1.0
    for place, rows in enumerate(windows):
        mean = 0.0
        for first, second in product(range(rows + 1), repeat=2):
            if first + second <= rows:
                counts = WindowCounts(rows, {"x": (first, first + second)}, {"x": (rows, rows)})
                third = rows - first - second
                mean += dirichlet_multinomial(law, (first, second, third)) * e_value(update(detector, state, counts))
        assert mean == pytest.approx(before, abs=1e-9), place
        seen = WindowCounts(rows, {"x": (1, 2)}, {"x": (rows, rows)})
        state = update(detector, state, seen)
        law, before = [law[0] + 1, law[1] + 1, law[2] + rows - 2], e_value(state)


def evidence(chance: np.random.Generator, values: np.ndarray) -> float:
    """Log evidence of the shape alone, of rows against a normal reference."""
    feature = numeric_feature("x", chance.normal(size=5_000))
    laws = np.array([[(event.a, event.b) for event in feature.events]], dtype=float)
    below = [event.at for event in feature.events if event.kind == "below"]
    hits = np.array([[*(np.count_nonzero(values <= at) for at in below), 0, 0]], dtype=float)
    return float(Tilts([feature]).log_ratios(laws[:, :, 0], laws[:, :, 1], hits, len(values) - hits)[0, 0])


@pytest.mark.parametrize(("mean", "spread"), [(0.25, 1.0), (-0.25, 1.0), (0.0, 1.3), (0.0, 0.75)])
def test_a_mean_or_a_spread_that_moves_is_seen(mean, spread):
    chance = np.random.default_rng(5)
    found = [evidence(chance, chance.normal(mean, spread, 2_000)) for _ in range(20)]
    assert sorted(found)[2] > 10.0


def test_the_same_law_gives_no_evidence():
    chance = np.random.default_rng(6)
    found = [evidence(chance, chance.normal(size=2_000)) for _ in range(200)]
    assert sum(one > log(10.0) for one in found) <= 200 / 10
    assert np.median(found) < 0


def test_over_dispersion_divides_what_the_shape_tells():
    hits = np.array([[85.0, 95.0]])
    a, b = np.array([[3.0, 5.0]]), np.array([[7.0, 5.0]])
    alone = Tilts([Feature("x", "numeric", (cut(0), cut(1)))]).log_ratios(a, b, hits, 100 - hits)
    wild = Tilts([Feature("x", "numeric", (cut(0), cut(1, deff=4.0)))]).log_ratios(a, b, hits, 100 - hits)
    assert 0 < wild[0, 0] < alone[0, 0]


def test_features_of_different_numbers_of_cuts_stand_beside_each_other():
    chance = np.random.default_rng(7)
    columns = {"wide": chance.normal(size=900), "few": chance.integers(0, 4, 900), "flag": chance.integers(0, 2, 900)}
    reference = make_reference(columns)
    tilts = Tilts(reference.features)
    assert [reference.features[place].name for place in tilts.features] == ["wide", "few"]
    alone = {name: Tilts(make_reference({name: columns[name]}).features) for name in ("wide", "few")}
    of = {feature.name: feature for feature in reference.features}
    events = [event for feature in reference.features for event in feature.events]
    a, b = (np.array([[getattr(event, side) for event in events]], dtype=float) for side in "ab")
    together = tilts.log_ratios(a, b, a * 3, b * 2)
    for place, (name, single) in enumerate(alone.items()):
        below, above = (np.array([[getattr(event, side) for event in of[name].events]], dtype=float) for side in "ab")
        expected = single.log_ratios(below, above, below * 3, above * 2)
        assert together[0, place] == pytest.approx(expected[0, 0], abs=1e-9)


def test_with_a_tolerance_the_shape_is_not_bet_on():
    """A shift that is tolerated moves all cuts at once, and no bound is known for that."""
    chance = np.random.default_rng(8)
    reference = make_reference({"x": chance.normal(size=50_000)})
    detectors = [ewin_of(reference, "features", tolerance=tolerance) for tolerance in (0.0, 0.03)]
    states = [start(detector) for detector in detectors]
    for _ in range(20):
        counts = count_window(reference, {"x": chance.normal(0.05, 1.0, 5_000)})
        states = [update(detector, state, counts) for detector, state in zip(detectors, states, strict=True)]
    assert [is_alarm(detector, state) for detector, state in zip(detectors, states, strict=True)] == [True, False]


def test_a_column_of_many_cuts_costs_no_overflow():
    law = np.full((1, 2), 1e7)
    ratio = Tilts([Feature("x", "numeric", (cut(0), cut(1)))]).log_ratios(law, law, law, law)
    assert np.isfinite(ratio).all()
