"""What is plotted: bundles of many windows, means that do not cross versions, gaps that stay gaps."""

from dataclasses import replace

import pytest

from taut.records import Window
from taut.watch.picture.points import mean_of, moving_mean, points_of, usual_range

WINDOW = Window("late", 0, 10, 1, 1, 100, 100, {"roc_auc": 0.7}, {"labels": 1.0}, 0)


def row(*values: float | None, version: int = 1, labelled: int = 100) -> list[Window]:
    """One window after the other, each with its value."""
    made = [replace(WINDOW, version=version, labelled=labelled, measures={"roc_auc": value}) for value in values]
    return [replace(one, start_ms=10 * place, end_ms=10 * place + 10) for place, one in enumerate(made)]


def test_a_moving_mean_looks_back_over_its_own_version_alone():
    points = points_of([*row(0.5, 0.7, 0.9), *row(0.1, 0.3, version=2)])
    assert moving_mean(points, "roc_auc", of=2) == pytest.approx([0.5, 0.6, 0.8, 0.1, 0.2])


def test_a_gap_stays_a_gap_and_counts_in_no_mean():
    points = points_of(row(0.5, None, 0.9))
    assert moving_mean(points, "roc_auc") == [0.5, None, pytest.approx(0.7)]
    assert mean_of(points_of(row(None, None)), "roc_auc") is None


def test_a_mean_weighs_windows_by_their_labels():
    points = points_of([*row(0.5, labelled=300), *row(0.9, labelled=100)])
    assert mean_of(points, "roc_auc") == pytest.approx(0.6)


def test_bundles_hold_all_rows_and_the_largest_evidence_and_mix_no_versions():
    few = [replace(one, evidence={"labels": float(place)}) for place, one in enumerate(row(*[0.5] * 90))]
    points = points_of([*few, *row(*[0.7] * 30, version=2)], most=20)
    assert len(points) == 20
    assert sum(one.rows for one in points) == 12_000
    assert sum(one.windows for one in points) == 120
    assert points[0].evidence == {"labels": 5.0}
    assert (points[0].start_ms, points[0].end_ms) == (0, 60)
    assert [one.version for one in points] == [1] * 15 + [2] * 5
    assert [one.measures["roc_auc"] for one in points] == pytest.approx([0.5] * 15 + [0.7] * 5)


def test_few_windows_are_points_of_their_own():
    assert [one.windows for one in points_of(row(0.5, 0.6))] == [1, 1]


def test_a_window_of_a_handful_of_labels_does_not_stretch_the_axis():
    points = points_of([*row(0.6, 0.7, 0.8), *row(0.0, labelled=3)])
    assert usual_range(points, "roc_auc") == (0.6, 0.8)
    assert usual_range(points_of(row(None)), "roc_auc") is None
