"""The detector: calm while nothing changes, for life; quick when something does; exact whoever counted."""

import json
from functools import reduce
from itertools import pairwise
from math import exp, log
from operator import add

import msgspec
import numpy as np
import pytest
from scipy.stats import betabinom

from taut.errors import Invalid
from taut.watch.counts import NO_COUNTS, WindowCounts
from taut.watch.detectors import EwinState, discoveries, e_value, ewin_of, is_alarm, start, suspects, update
from taut.watch.detectors.ewin import Ewin, _is_kept, log_weights
from taut.watch.events import Event, Feature
from taut.watch.profile import make_reference
from tests.watch import streams

# Alpha 0.01 allows an alarm on 1 of 100 streams. More than these has a chance below 1 in 1,000.
FAST_STREAMS, FAST_ALARMS_MAX = 100, 5
SLOW_STREAMS, SLOW_ALARMS_MAX = 1_000, 21


def alarms_of(streams_count: int, **shape: int) -> tuple[int, int]:
    """How many stationary streams alarm, ever, for features and for labels."""
    found = [streams.watched(seed, **shape) for seed in range(streams_count)]
    return sum(is_alarm(*each[0]) for each in found), sum(is_alarm(*each[1]) for each in found)


def test_stationary_mixed_streams_alarm_no_more_often_than_alpha_over_their_life():
    features, labels = alarms_of(FAST_STREAMS, rows=2_000, window=250, windows=12)
    assert features <= FAST_ALARMS_MAX
    assert labels <= FAST_ALARMS_MAX


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shape", [{"rows": 2_000, "window": 200, "windows": 60}])
def test_a_thousand_long_stationary_streams_alarm_no_more_often_than_alpha(shape):
    features, labels = alarms_of(SLOW_STREAMS, **shape)
    assert features <= SLOW_ALARMS_MAX
    assert labels <= SLOW_ALARMS_MAX


def shift(size):
    def broken(columns, scores, targets, chance):
        columns["z"] += size

    return broken


def unit(columns, scores, targets, chance):
    columns["amount"][chance.random(len(scores)) < 0.05] *= 1_000


def new_level(columns, scores, targets, chance):
    columns["plan"][chance.random(len(scores)) < 0.01] = "trial"


def more_missing(columns, scores, targets, chance):
    columns["z"][chance.random(len(scores)) < 0.04] = np.nan


def flip(columns, scores, targets, chance):
    targets[:] = 1 - targets


@pytest.mark.parametrize(
    ("broken", "rows_max", "budget"),
    [
        pytest.param(shift(0.25), 1_600, "features", id="mean-a-quarter-sd"),
        pytest.param(shift(0.5), 600, "features", id="mean-half-an-sd"),
        pytest.param(unit, 1_000, "features", id="unit-x1000-in-5-percent"),
        pytest.param(new_level, 1_000, "features", id="new-category-1-percent"),
        pytest.param(more_missing, 1_000, "features", id="missing-4-percent"),
        pytest.param(flip, 400, "labels", id="concept-flip"),
    ],
)
def test_a_change_is_seen_soon(broken, rows_max, budget):
    delays = [streams.rows_until_alarm(seed, budget, broken) for seed in range(5)]
    assert sorted(delay or 10**9 for delay in delays)[2] <= rows_max
    assert None not in delays


def test_a_change_of_concept_alone_is_invisible_to_the_features():
    assert streams.rows_until_alarm(1, "features", flip) is None


def test_the_feature_that_moved_is_named_first():
    chance = np.random.default_rng(3)
    reference = streams.profiled(streams.draw(chance, 5_000))
    detector = ewin_of(reference, "features")
    state = update(detector, start(detector), streams.counted(reference, streams.draw(chance, 2_000, shift(0.5))))
    assert suspects(detector, state)[0] == "z"
    assert not {"age", "plan", "shop", "constant"} & set(suspects(detector, state))


def one_event(event: Event, *, tolerance: float = 0.0, alpha: float = 0.01, per: int = 0) -> Ewin:
    return Ewin((Feature("f", "numeric", (event,)),), alpha, tolerance, per)


def window(hits: int, trials: int) -> WindowCounts:
    return WindowCounts(trials, {"f": (hits,)}, {"f": (trials,)})


TWO_SIDED = Event("below", "f <= 1", 20.0, 60.0, 20, 79, at=1.0)
ERROR = Event("error", "the predicted class is wrong", 20.0, 60.0, 20, 79, one_sided=True)
ONE_SIDED = Event("outside", "f outside", 2.0, 78.0, 0, 79, one_sided=True)


@pytest.mark.parametrize("event", [TWO_SIDED, ONE_SIDED, ERROR], ids=["two-sided", "one-sided", "error"])
@pytest.mark.parametrize("trials", [1, 7, 60])
def test_the_first_window_is_a_fair_bet_against_the_beta_binomial_law(event, trials):
    detector = one_event(event)
    law = betabinom(trials, event.a, event.b)
    values = [e_value(update(detector, start(detector), window(k, trials))) for k in range(trials + 1)]
    assert sum(law.pmf(k) * e for k, e in enumerate(values)) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("event", [TWO_SIDED, ONE_SIDED, ERROR], ids=["two-sided", "one-sided", "error"])
def test_every_later_window_is_a_fair_bet_given_what_came_before(event):
    detector = one_event(event)
    state = reduce(lambda s, k: update(detector, s, window(k, 30)), [9, 5, 12], start(detector))
    law = betabinom(20, event.a + 26, event.b + 64)
    after = sum(law.pmf(k) * e_value(update(detector, state, window(k, 20))) for k in range(21))
    assert after == pytest.approx(e_value(state), abs=1e-9)


def test_dropping_old_starts_can_only_lose_evidence():
    detector = one_event(TWO_SIDED)
    state = reduce(lambda s, _: update(detector, s, window(8, 30)), range(40), start(detector))
    law = betabinom(30, TWO_SIDED.a + 320, TWO_SIDED.b + 880)
    after = sum(law.pmf(k) * e_value(update(detector, state, window(k, 30))) for k in range(31))
    assert after <= e_value(state) + 1e-9


def test_a_one_sided_event_is_no_news_when_it_stays_away():
    detector = one_event(ONE_SIDED)
    states = [start(detector)]
    for _ in range(200):
        states.append(update(detector, states[-1], window(0, 1_000)))
    assert all(later.log_e["f"] <= sooner.log_e["f"] + 1e-12 for sooner, later in pairwise(states))


def test_fewer_errors_are_no_news_and_more_are():
    detector = one_event(ERROR)
    better = reduce(lambda s, _: update(detector, s, window(10, 100)), range(50), start(detector))
    assert e_value(better) < 1.5
    assert is_alarm(detector, reduce(lambda s, _: update(detector, s, window(55, 100)), range(5), start(detector)))


@pytest.mark.parametrize("per", [1, 7, 500])
def test_a_budget_of_so_many_checks_is_a_fair_bet_for_as_many(per):
    """The stakes are worth 1 in all until the last of them; beyond it each new check puts down one more."""
    detector = one_event(TWO_SIDED, per=per)
    law = betabinom(20, TWO_SIDED.a, TWO_SIDED.b)
    first = sum(law.pmf(k) * e_value(update(detector, start(detector), window(k, 20))) for k in range(21))
    assert first == pytest.approx(1.0, abs=1e-9)
    weights, waiting = log_weights(list(range(min(per, 5))), per)
    assert np.exp(weights).sum() + np.exp(waiting) == pytest.approx(1.0)


def test_with_a_budget_a_year_a_late_change_is_found_as_soon_as_an_early_one():
    chance = np.random.default_rng(9)

    def delay(calm: int, per: int) -> int:
        detector = one_event(Event("below", "f <= 1", 5_000.0, 5_001.0, 5_000, 10_000, at=1.0), per=per)
        state = start(detector)
        for _ in range(calm):
            state = update(detector, state, window(int(chance.binomial(200, 0.5)), 200))
        assert not is_alarm(detector, state)
        number = 0
        while not is_alarm(detector, state):
            number += 1
            state = update(detector, state, window(int(chance.binomial(200, 0.6)), 200))
        return number

    early, late = (float(np.median([delay(calm, 52) for _ in range(5)])) for calm in (40, 300))
    assert late <= early + 2


@pytest.mark.slow
def test_false_alarms_of_a_yearly_budget_are_as_rare_as_promised():
    """Per 40 checks alpha 0.1, so 400 checks on average until a false alarm at least."""
    chance = np.random.default_rng(10)
    detector = one_event(Event("below", "f <= 1", 500.0, 501.0, 500, 1_000, at=1.0), per=40, alpha=0.1)
    lives = []
    for _ in range(60):
        share, state, checks = chance.beta(500, 501), start(detector), 0
        while checks < 400 and not is_alarm(detector, state):
            state, checks = update(detector, state, window(int(chance.binomial(100, share)), 100)), checks + 1
        lives.append(checks)
    assert np.mean(lives) > 300
    assert sum(life <= 40 for life in lives) <= 60 * 0.1 + 3


def test_shifts_below_the_tolerance_never_alarm_and_larger_ones_do():
    event = Event("below", "f <= 1", 500_000.0, 500_001.0, 500_000, 1_000_000, at=1.0)
    chance = np.random.default_rng(4)

    def alarmed(share: float, tolerance: float) -> bool:
        detector = one_event(event, tolerance=tolerance)
        state = start(detector)
        for _ in range(60):
            state = update(detector, state, window(int(chance.binomial(10_000, share)), 10_000))
        return is_alarm(detector, state)

    assert alarmed(0.53, 0.0)
    assert alarmed(0.53, 0.01)
    assert alarmed(0.508, 0.0)
    assert not any(alarmed(0.508, 0.01) for _ in range(20))


def test_over_dispersion_divides_the_evidence():
    calm = Event("below", "f <= 1", 20.0, 60.0, 20, 79, at=1.0, deff=3.0)
    loud, quiet = one_event(TWO_SIDED), one_event(calm)
    after = window(80, 100)
    assert 1 < e_value(update(quiet, start(quiet), after)) < e_value(update(loud, start(loud), after))


def test_an_alarm_stays_an_alarm_after_the_stream_has_recovered():
    detector = one_event(TWO_SIDED)
    state = update(detector, start(detector), window(95, 100))
    assert is_alarm(detector, state)
    for _ in range(30):
        state = update(detector, state, window(25, 100))
    assert is_alarm(detector, state)
    assert state.peak_at == 1


def test_replicas_that_count_apart_alarm_as_one_that_counted_all():
    chance = np.random.default_rng(5)
    reference = streams.profiled(streams.draw(chance, 1_000))
    detector = ewin_of(reference, "features")
    parts = [streams.counted(reference, streams.draw(chance, size)) for size in (10, 400, 1, 77)]
    there = update(detector, start(detector), reduce(add, parts, NO_COUNTS))
    back = update(detector, start(detector), reduce(add, reversed(parts)))
    assert there == back


def test_a_state_written_as_json_goes_on_as_if_it_had_never_stopped():
    chance = np.random.default_rng(6)
    reference = streams.profiled(streams.draw(chance, 1_000))
    detector = ewin_of(reference, "labels")
    state = start(detector)
    for _ in range(12):
        counts = streams.counted(reference, streams.draw(chance, 100))
        stored = json.loads(msgspec.json.encode(state))
        state, resumed = update(detector, state, counts), update(detector, msgspec.convert(stored, EwinState), counts)
        assert state == resumed


def test_a_window_that_asked_nothing_changes_nothing():
    detector = one_event(TWO_SIDED)
    state = update(detector, start(detector), window(9, 30))
    assert update(detector, state, NO_COUNTS) is state


def test_starts_thin_out_with_age_but_the_first_and_the_latest_stay():
    for checks in (0, 7, 100, 5_000):
        kept = [begun for begun in range(checks + 1) if _is_kept(begun, checks)]
        assert kept[0] == 0
        assert kept[-1] == checks
        assert set(range(max(checks - 7, 0), checks + 1)) <= set(kept)
        assert len(kept) <= 8 + 5 * log(checks + 2, 2)
    for later in range(200):
        assert not any(_is_kept(begun, later + 1) and not _is_kept(begun, later) for begun in range(later))


def test_a_fresh_state_is_worth_nothing_yet():
    detector = one_event(TWO_SIDED)
    assert e_value(start(detector)) == 1.0
    assert not is_alarm(detector, start(detector))
    assert suspects(detector, start(detector)) == []


def test_counts_of_another_reference_are_refused():
    with pytest.raises(Invalid, match="1 events"):
        update(one_event(TWO_SIDED), start(one_event(TWO_SIDED)), WindowCounts(5, {"f": (1, 2)}, {"f": (5, 5)}))


@pytest.mark.parametrize("options", [{"alpha": 0.0}, {"alpha": 1.0}, {"tolerance": -0.1}, {"tolerance": 1.0}])
def test_a_budget_that_is_no_probability_is_refused(options):
    reference = streams.profiled(streams.draw(np.random.default_rng(7), 100))
    with pytest.raises(Invalid):
        ewin_of(reference, "features", **options)


def test_labels_cannot_be_watched_without_a_reference_that_has_them():
    rows = streams.draw(np.random.default_rng(8), 100)
    reference = make_reference(rows.columns)
    with pytest.raises(Invalid, match="no labels") as refused:
        ewin_of(reference, "labels")
    assert "scores and targets" in refused.value.hint


def test_e_bh_names_nobody_at_even_odds_and_everybody_beyond_the_bound():
    assert discoveries({}, fdr=0.05) == []
    assert discoveries({"a": 0.0, "b": 0.0}, fdr=0.05) == []
    bound = log(1 / 0.05)
    assert discoveries({"a": bound, "b": bound + 1e-9}, fdr=0.05) == ["b", "a"]
    assert exp(bound) == pytest.approx(20)
