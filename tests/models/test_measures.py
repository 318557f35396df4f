"""Measures agree with scikit-learn; the bootstrap is paired, seeded, honest about days, and quick."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from taut.errors import Invalid
from taut.models.measures import (
    HIGHER_IS_BETTER,
    MEASURES,
    accuracy,
    brier,
    calibration_error,
    log_loss,
    paired_bootstrap,
    roc_auc,
)


@st.composite
def scored(draw):
    """Targets of both classes with scores that tie often."""
    rows = draw(st.integers(2, 40))
    target = draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows).filter(lambda y: 0 < sum(y) < len(y)))
    score = draw(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]), min_size=rows, max_size=rows))
    weight = draw(st.lists(st.integers(1, 4), min_size=rows, max_size=rows))
    return np.array(target), np.array(score), np.array(weight)


@given(scored())
def test_roc_auc_is_that_of_scikit_learn_with_ties_and_weights(sample):
    target, score, weight = sample
    assert roc_auc(target, score) == pytest.approx(metrics.roc_auc_score(target, score))
    weighted = metrics.roc_auc_score(target, score, sample_weight=weight)
    assert roc_auc(target, score, weights=weight) == pytest.approx(weighted)


@given(scored())
def test_brier_log_loss_and_accuracy_are_those_of_scikit_learn(sample):
    target, score, weight = sample
    assert brier(target, score, weights=weight) == pytest.approx(
        metrics.brier_score_loss(target, score, sample_weight=weight)
    )
    assert log_loss(target, score) == pytest.approx(metrics.log_loss(target, score, labels=[0, 1]))
    assert accuracy(target, score, weights=weight) == pytest.approx(
        metrics.accuracy_score(target, score >= 0.5, sample_weight=weight)
    )


@given(scored(), st.sampled_from(sorted(MEASURES)))
def test_a_weight_of_two_is_the_row_written_twice(sample, name):
    target, score, weight = sample
    repeated = MEASURES[name](np.repeat(target, weight), np.repeat(score, weight))
    assert MEASURES[name](target, score, weights=weight) == pytest.approx(float(repeated))


@given(scored(), st.sampled_from(sorted(MEASURES)))
def test_many_weightings_at_once_are_each_of_them_alone(sample, name):
    target, score, weight = sample
    both = MEASURES[name](target, score, weights=np.array([weight, weight[::-1]]))
    alone = [MEASURES[name](target, score, weights=w) for w in (weight, weight[::-1])]
    assert both == pytest.approx(np.array(alone))


@given(scored())
def test_roc_auc_sees_only_the_order_of_the_scores(sample):
    target, score, _ = sample
    assert roc_auc(target, score**3 / 2) == pytest.approx(float(roc_auc(target, score)))
    assert roc_auc(1 - target, score) == pytest.approx(1 - float(roc_auc(target, score)))


def test_calibration_error_is_the_weighted_gap_of_each_bin():
    target, score = [0, 1, 1, 1, 0], [0.05, 0.15, 0.15, 1.0, 1.0]
    assert calibration_error(target, score) == pytest.approx((0.05 + 2 * 0.85 + 2 * 0.5) / 5)


def test_roc_auc_of_one_class_has_no_value_and_the_bootstrap_says_so():
    assert np.isnan(roc_auc([1, 1], [0.2, 0.3]))
    with pytest.raises(Invalid, match="one class"):
        paired_bootstrap([1, 1], [0.2, 0.3], [0.1, 0.4], "roc_auc")


@pytest.mark.parametrize(
    ("target", "score"), [([0, 1], [0.5]), ([], []), ([0, 1], [0.5, float("nan")]), ([0, float("nan")], [0.1, 0.2])]
)
def test_rows_that_do_not_fit_together_are_refused(target, score):
    with pytest.raises(Invalid):
        brier(target, score)


def flips(rows, seed, noise):
    """A target, its true score, and a worse one."""
    chance = np.random.default_rng(seed)
    truth = chance.random(rows)
    target = (chance.random(rows) < truth).astype(float)
    return target, truth, np.clip(truth + noise * chance.normal(size=rows), 0, 1)


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_a_model_against_itself_differs_by_nothing_in_every_resample(name):
    target, score, _ = flips(500, 1, 0.2)
    interval = paired_bootstrap(target, score, score, name, resamples=50)
    assert (interval.difference, interval.low, interval.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["roc_auc", "brier", "log_loss", "accuracy"])
def test_a_plainly_better_model_is_told_apart(name):
    target, good, bad = flips(4_000, 2, 0.5)
    interval = paired_bootstrap(target, bad, good, name, resamples=200)
    assert interval.low > 0 if name in HIGHER_IS_BETTER else interval.high < 0
    assert interval.low <= interval.difference <= interval.high


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    target, a, b = flips(300, 3, 0.1)
    one, two, other = (paired_bootstrap(target, a, b, "brier", seed=seed) for seed in (5, 5, 6))
    assert one == two
    assert one != other


def test_swapping_the_models_turns_the_interval_round():
    target, a, b = flips(300, 4, 0.1)
    there, back = paired_bootstrap(target, a, b, "roc_auc"), paired_bootstrap(target, b, a, "roc_auc")
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


def test_the_interval_has_the_width_that_theory_gives_a_mean_of_differences():
    target, a, b = flips(2_000, 5, 0.1)
    interval = paired_bootstrap(target, a, b, "brier", resamples=2_000)
    differences = (b - target) ** 2 - (a - target) ** 2
    half = 1.96 * differences.std() / np.sqrt(len(differences))
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)


def test_rows_that_share_a_day_widen_the_interval():
    chance = np.random.default_rng(6)
    days = np.repeat(np.arange(20), 100)
    shift = np.repeat(chance.normal(0, 0.2, 20), 100)
    target = (chance.random(2_000) < 0.5 + shift.clip(-0.4, 0.4)).astype(float)
    by_rows = paired_bootstrap(target, np.full(2_000, 0.5), np.full(2_000, 0.6), "brier")
    by_days = paired_bootstrap(target, np.full(2_000, 0.5), np.full(2_000, 0.6), "brier", blocks=list(days))
    assert by_days.difference == by_rows.difference
    assert by_days.high - by_days.low > 2 * (by_rows.high - by_rows.low)


def test_as_many_blocks_as_rows_are_needed():
    with pytest.raises(Invalid, match="one block for each row"):
        paired_bootstrap([0, 1], [0.1, 0.2], [0.2, 0.3], "brier", blocks=["mon"])


def test_five_thousand_rows_and_five_hundred_resamples_take_little_processor_time():
    target, a, b = flips(5_000, 7, 0.1)
    begun = time.process_time()
    paired_bootstrap(target, a, b, "roc_auc")
    paired_bootstrap(target, a, b, "brier")
    assert time.process_time() - begun < 5.0  # About 0.8 s; the bound only catches a loop over resamples.
