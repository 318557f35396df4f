"""The measures: known values, what they are held to by scikit-learn, coverage, and rows that say nothing."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from taut.errors import Invalid
from taut.watch.performance import figures as measuring
from taut.watch.performance.figures import NO_FIGURE, Kind, _block_areas, _block_ends, kind_of

STREAMS = 300


def figures_of(kind: Kind, target: Any, score: Any, alpha: float) -> Any:
    return measuring.figures_of(kind, target, score, alpha)


def rows(seed: int, count: int, sharpness: float = 2.0):
    chance = np.random.default_rng(seed)
    s = 1 / (1 + np.exp(-sharpness * chance.normal(size=count)))
    return (chance.random(count) < s).astype(float), s


def test_values_are_those_of_scikit_learn():
    y, s = rows(0, 2_000)
    figures, said = figures_of("binary", y, s, 0.05), s >= 0.5
    wanted = {
        "accuracy": metrics.accuracy_score(y, said), "precision": metrics.precision_score(y, said),
        "recall": metrics.recall_score(y, said), "f1": metrics.f1_score(y, said),
        "roc_auc": metrics.roc_auc_score(y, s),
        "brier": metrics.brier_score_loss(y, s),
        "log_loss": metrics.log_loss(y, s), "positive_rate": y.mean(),
        "error_rate": 1 - metrics.accuracy_score(y, said),
    }  # fmt: skip
    for name, value in wanted.items():
        assert figures[name].value == pytest.approx(value), name
        assert figures[name].low <= value <= figures[name].high, name
        assert figures[name].bounds == "proven"
    assert figures["precision"].rows == said.sum()
    assert figures["recall"].rows == y.sum()


def test_values_of_a_regression_are_those_of_scikit_learn():
    chance = np.random.default_rng(1)
    y = chance.normal(10, 3, 1_000)
    p = y + chance.normal(0.2, 1, 1_000)
    figures = figures_of("regression", y, p, 0.05)
    wanted = {
        "mae": metrics.mean_absolute_error(y, p), "rmse": metrics.root_mean_squared_error(y, p),
        "mape": metrics.mean_absolute_percentage_error(y, p), "bias": (p - y).mean(), "r2": metrics.r2_score(y, p),
    }  # fmt: skip
    for name, value in wanted.items():
        assert figures[name].value == pytest.approx(value), name
        assert figures[name].low < value < figures[name].high, name
        assert figures[name].bounds == "approximate"
    assert figures["bias"].low > 0.0, "it is off by 0.2 on average, and a thousand rows show that"


@pytest.mark.slow
def test_the_true_measures_lie_in_the_bounds_at_every_look_of_nearly_all_streams():
    y, s = rows(99, 400_000)
    truth = {name: one.value for name, one in figures_of("binary", y, s, 0.5).items()}
    missed = dict.fromkeys(("accuracy", "precision", "recall", "f1", "roc_auc", "brier", "log_loss"), 0)
    for seed in range(STREAMS):
        y, s = rows(seed, 400)
        looks = [figures_of("binary", y[:count], s[:count], 0.1) for count in (50, 150, 400)]
        for name in missed:
            missed[name] += any(
                one.low is not None and not one.low <= truth[name] <= one.high for one in (look[name] for look in looks)
            )
    assert {name: count for name, count in missed.items() if count > 0.07 * STREAMS} == {}


def test_an_area_is_that_of_pairs_within_blocks_that_the_labels_alone_cut():
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0] * 20, dtype=float)
    s = np.random.default_rng(2).random(len(y)).round(1)
    ends = _block_ends(y)
    assert ends[0] == 8
    spans = list(zip([0, *ends], ends, strict=False))
    assert all((y[begin:end] == one).sum() >= 4 for begin, end in spans for one in (0, 1))
    wanted = [metrics.roc_auc_score(y[begin:end], s[begin:end]) for begin, end in spans]
    assert _block_areas(y, s) == pytest.approx(wanted)
    assert len(_block_ends(np.ones(50))) == len(_block_areas(np.ones(50), np.ones(50))) == 0


def test_a_miscalibrated_score_is_shown_to_be_one_and_a_calibrated_one_is_not():
    y, s = rows(3, 20_000)
    assert figures_of("binary", y, s, 0.05)["calibration_error"].low == 0.0
    off = figures_of("binary", y, s**3, 0.05)["calibration_error"]
    assert 0.0 < off.low < off.value < off.high


def test_no_row_one_row_and_one_class_say_what_they_can():
    nothing = figures_of("binary", np.array([np.nan]), np.array([0.3]), 0.05)
    assert set(nothing.values()) == {NO_FIGURE}
    assert set(figures_of("regression", np.empty(0), np.empty(0), 0.05).values()) == {NO_FIGURE}
    one = figures_of("binary", np.array([1.0]), np.array([0.9]), 0.05)
    assert one["accuracy"].value == 1.0
    assert one["accuracy"].low < 0.05
    assert one["roc_auc"] == NO_FIGURE
    zeros = figures_of("binary", np.zeros(100), np.full(100, 0.1), 0.05)
    assert (zeros["precision"], zeros["recall"], zeros["f1"], zeros["roc_auc"]) == (NO_FIGURE,) * 4
    assert zeros["brier"].value == pytest.approx(0.01)
    few = figures_of("regression", np.arange(5.0), np.arange(5.0) + 1, 0.05)
    assert (few["mae"].value, few["mae"].low, few["mae"].bounds) == (1.0, None, "none")
    assert few["mape"].rows == 4, "the target 0 has no share to be off by"
    assert figures_of("regression", np.ones(40), np.ones(40), 0.05)["r2"] == NO_FIGURE


def test_certain_and_wrong_costs_much_and_not_infinitely():
    figures = figures_of("binary", np.array([0.0, 1.0]), np.array([1.0, 1.0]), 0.05)
    assert 18.0 < figures["log_loss"].value < 18.1


@pytest.mark.parametrize(
    ("target", "score", "kind"),
    [
        ([0, 1, None], [0.1, 0.9, 0.5], "binary"),
        ([None, None], [0.1, 0.9], "binary"),
        ([None], [7.5], "regression"),
        ([0, 1, 2], [0, 2, 2], "classes"),
        ([0.5, 1], [0.1, 0.9], "regression"),
        (list(range(50)), list(range(50)), "regression"),
    ],
)
def test_the_kind_is_told_by_targets_and_scores(target, score, kind):
    assert kind_of(np.array(target, dtype=float), np.array(score, dtype=float)) == kind


def test_classes_are_right_or_wrong_and_what_is_no_probability_is_told():
    figures = figures_of("classes", np.array([0.0, 1, 2, 2]), np.array([0.0, 1, 1, np.nan]), 0.05)
    assert figures["accuracy"].value == pytest.approx(2 / 3)
    assert figures["accuracy"].rows == 3
    with pytest.raises(Invalid, match="0 or 1"):
        figures_of("binary", np.array([2.0]), np.array([0.5]), 0.05)
    with pytest.raises(Invalid, match="0 or 1"):
        figures_of("binary", np.array([1.0]), np.array([1.5]), 0.05)
