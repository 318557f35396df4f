"""Performance from the log: late labels change past windows, versions stand apart, estimates say what they assume."""

from typing import Any

import numpy as np
import pytest

from taut.errors import Denied, Invalid, NotFound
from taut.ground.access import Actor
from taut.serve import log_labels
from taut.watch import list_alerts, list_windows
from taut.watch.events import Reference
from taut.watch.performance import ASSUMPTION, measure_performance, measure_slices
from taut.watch.performance.estimates import ENOUGH, Learned, calibration_of, estimates_of
from taut.watch.performance.sequences import share_of_alpha
from taut.watch.profile import make_reference
from tests.watch.served import DAY_MS, draw, label, serve, watched


@pytest.fixture
def late(home):
    """`late` watched, with three days of answers of which the second has no labels yet."""
    watched(home)
    for day in range(3):
        serve(home, day, labels=day != 1)
    return home


def test_windows_and_the_whole_life_are_measured(late):
    found: Any = measure_performance(late, "late", window="1d")
    (whole,) = found.versions
    assert (found.kind, whole.version, whole.rows, whole.labelled, whole.alpha) == ("binary", "late@1", 600, 400, 0.05)
    assert [(one.rows, one.labelled) for one in found.windows] == [(200, 200), (200, 0), (200, 200)]
    assert [one.end_ms - one.start_ms for one in found.windows] == [DAY_MS] * 3
    assert [one.alpha for one in found.windows] == [share_of_alpha(0.05, place) for place in (1, 2, 3)]
    accuracy = whole.figures["accuracy"]
    assert 0.6 < accuracy.low < accuracy.value < accuracy.high < 0.95
    assert found.windows[1].figures["accuracy"].value is None


def test_a_late_label_and_a_corrected_one_change_the_figures_of_their_window_alone(late):
    before = measure_performance(late, "late", window="1d")
    request = serve(late, 1, labels=False)
    label(late, request, draw(1))
    after = measure_performance(late, "late", window="1d")
    assert after.windows[1].figures["accuracy"].rows == 200
    assert (after.windows[0], after.windows[2].figures) == (before.windows[0], before.windows[2].figures)
    log_labels(late, "late", {f"{request}.{row}": 1.0 for row in range(200)})
    corrected = measure_performance(late, "late", window="1d").windows[1].figures
    assert corrected["positive_rate"].value == 1.0
    assert corrected["roc_auc"].value is None


def test_labels_in_any_order_give_the_same_figures(late):
    request, rows = serve(late, 1, labels=False), draw(1)
    names = [f"{request}.{row}" for row in range(200)]
    for some in np.random.default_rng(0).permutation(200).reshape(4, 50):
        log_labels(late, "late", {names[place]: rows.labels[place] for place in some})
    found: Any = measure_performance(late, "late", window="1d").windows[1].figures
    right = (np.array(rows.outputs["probability"]) >= 0.5) == (np.array(rows.labels) == 1)
    assert found["accuracy"].value == pytest.approx(right.mean())


def test_windows_lie_as_those_of_the_monitor_and_without_one_at_whole_multiples(late, home):
    found: Any = measure_performance(late, "late", window="2d")
    assert [one.rows for one in found.windows] == [400, 200]
    assert found.windows[0].start_ms % DAY_MS == 0


def test_what_scores_alone_say_is_near_the_truth_and_says_what_it_assumes(late):
    windows: Any = measure_performance(late, "late", window="1d").windows
    first, second, third = windows
    for one in (first, second, third):
        assert one.estimates is not None
        assert one.estimates.assumption == ASSUMPTION == "assumes that what the score means has not changed"
        assert one.estimates.rows == 200
        assert one.estimates.source == "4000 labelled rows of the reference"
    assert first.estimates.accuracy == pytest.approx(first.figures["accuracy"].value, abs=0.08)
    assert first.estimates.roc_auc == pytest.approx(first.figures["roc_auc"].value, abs=0.08)
    assert first.estimates.brier == pytest.approx(first.figures["brier"].value, abs=0.05)
    assert second.figures["accuracy"].value is None
    assert second.estimates.positive_rate == pytest.approx(np.mean(draw(1).labels), abs=0.1)


def test_estimates_never_alarm_not_even_where_labels_say_the_opposite(home):
    watched(home)
    for day in range(3):
        serve(home, day, draw(day, flipped=True))
    found: Any = measure_performance(home, "late", window="1d")
    assert found.windows[0].estimates.accuracy > 0.7
    assert found.windows[0].figures["accuracy"].value < 0.4
    assert list_alerts(home, "late") == []
    assert list_windows(home, "late") == []


def test_earlier_labels_say_what_a_score_means_once_there_are_enough():
    learned = Learned()
    chance = np.random.default_rng(0)
    score = chance.random(ENOUGH - 1)
    learned.add((chance.random(len(score)) < score**2).astype(float), score)
    assert learned.calibration() is None
    score = chance.random(20_000)
    learned.add((chance.random(len(score)) < score**2).astype(float), score)
    known: Any = learned.calibration()
    assert known.source == "20499 labelled rows of earlier windows"
    assert known.rate(np.array([0.2, 0.5, 0.9])) == pytest.approx([0.04, 0.25, 0.81], abs=0.05)
    assert (np.diff(known.rates) >= 0).all()
    assert estimates_of(np.array([np.nan]), known) is None


def test_a_reference_without_labels_gives_nothing_to_expect():
    assert calibration_of(Reference(1, ())) is None
    scores = np.random.default_rng(0).random(500)
    made = make_reference({"z": scores}, scores=scores, targets=(scores > 0.5).astype(float))
    known: Any = calibration_of(made)
    assert known.rate(np.array([0.05, 0.95])) == pytest.approx([0.0, 1.0], abs=0.02)


def test_no_answers_are_no_windows_and_nonsense_is_told(home, monkeypatch):
    watched(home)
    found: Any = measure_performance(home, "late")
    assert (found.versions, found.windows) == ((), ())
    with pytest.raises(NotFound):
        measure_performance(home, "lat")
    for wrong in ({"alpha": 0.0}, {"alpha": 1.5}, {"window": "0 s"}, {"window": "soon"}):
        with pytest.raises(Invalid):
            measure_performance(home, "late", **wrong)
    for day in range(3):
        serve(home, day, draw(day, rows=1))
    monkeypatch.setattr("taut.watch.performance.measuring.WINDOWS_MAX", 2)
    with pytest.raises(Invalid, match="3 windows are more than anybody reads"):
        measure_performance(home, "late", window="1d")


def test_slices_are_named_where_they_are_worse_and_only_there(home):
    watched(home)
    for day in range(6):
        rows = draw(day)
        wrong = [(score < 0.5) for score in rows.outputs["probability"]]
        rows.labels = [
            float(bad) if plan == "plus" else one
            for plan, bad, one in zip(rows.inputs["plan"], wrong, rows.labels, strict=True)
        ]
        serve(home, day, rows)
    found: Any = measure_slices(home, "late", "plan", window="1d")
    assert [one.name for one in found.slices] == ["plan = plus", "plan = free"]
    worse, other = found.slices
    assert (worse.is_worse, worse.error_rate, other.is_worse) == (True, 1.0, False)
    assert worse.rows + other.rows == 1_200
    assert worse.figures["accuracy"].high < 0.1 < other.figures["accuracy"].low
    sizes = measure_slices(home, "late", "z", window="1d")
    assert len(sizes.slices) == 5
    with pytest.raises(NotFound, match="had a column 'plane'"):
        measure_slices(home, "late", "plane")
    with pytest.raises(NotFound, match="version 7 of deployment"):
        measure_slices(home, "late", "plan", number=7)


def test_calm_slices_are_hardly_ever_named(home):
    watched(home)
    for day in range(10):
        serve(home, day)
    for by in ("plan", "z"):
        found: Any = measure_slices(home, "late", by, window="1d", alpha=0.01)
        # Scores near a half are wrong more often than others: that is no accident, and the only thing to be named.
        named = [one.name for one in found.slices if one.is_worse]
        assert by == "z" or named == []


def test_whoever_may_only_see_the_deployment_sees_sums_and_no_inputs(late):
    viewer = late.as_actor(Actor("vera", "viewer"))
    assert measure_performance(viewer, "late", window="1d").versions
    with pytest.raises(Denied, match="prediction:read"):
        measure_slices(viewer, "late", "plan")
