"""Changes of unit: named where the whole shape says so, and never taken for a drift."""

import numpy as np
import pytest

from taut.watch.events import Feature, numeric_feature
from taut.watch.quality.facts import size_of, sizes
from taut.watch.quality.units import multiplied

CHANCE = np.random.default_rng(0)
SHAPES = {
    "normal": lambda rows: CHANCE.normal(size=rows),
    "height": lambda rows: CHANCE.normal(170, 10, size=rows),
    "lognormal": lambda rows: np.exp(CHANCE.normal(size=rows)),
    "uniform": lambda rows: CHANCE.uniform(0, 5_000, size=rows),
    "years": lambda rows: np.round(CHANCE.uniform(18, 90, size=rows)),
    "negative": lambda rows: -np.exp(CHANCE.normal(3, 0.5, size=rows)),
}
each_shape = pytest.mark.parametrize("shape", SHAPES)


def known(shape: str) -> Feature:
    return numeric_feature("x", SHAPES[shape](10_000))


@each_shape
@pytest.mark.parametrize("factor", [10, 60, 100, 1_000, 1_024, 3_600, 1e6])
@pytest.mark.parametrize("turned", [False, True])
def test_all_values_in_another_unit(shape: str, factor: float, turned: bool):
    by = 1 / factor if turned else factor
    found = multiplied(known(shape), sizes(SHAPES[shape](2_000) * by))
    assert found is not None and found.is_all and found.is_large
    assert found.factor == pytest.approx(by, rel=0.03)
    assert found.name.startswith("1/") is turned


@pytest.mark.parametrize("factor", [1.609, 2.54, 3.281])
def test_units_of_people_are_named_and_are_no_error(factor: float):
    found = multiplied(known("height"), sizes(SHAPES["height"](2_000) * factor))
    assert found is not None and found.is_all and not found.is_large
    assert found.factor == factor


@each_shape
@pytest.mark.parametrize("factor", [100, 1_000, 1e6])
def test_some_values_in_another_unit(shape: str, factor: float):
    now = SHAPES[shape](2_000)
    now[:100] *= factor
    found = multiplied(known(shape), sizes(now))
    assert found is not None and not found.is_all and found.factor == factor
    assert 70 <= found.hits <= 102  # The smallest, multiplied, lie inside the range.


@each_shape
@pytest.mark.parametrize("by", [1.0, 1.2, 1.4, 5.0, 30.0, 300.0])
def test_another_scale_is_no_unit(shape: str, by: float):
    assert multiplied(known(shape), sizes(SHAPES[shape](2_000) * by)) is None


@each_shape
@pytest.mark.parametrize("by", [0.25, 0.5, 1.0, 3.0])
def test_a_shift_is_no_unit(shape: str, by: float):
    before = SHAPES[shape](10_000)
    for rows in (50, 2_000):
        assert multiplied(numeric_feature("x", before), sizes(SHAPES[shape](rows) + by * before.std())) is None


@each_shape
def test_stationary_rows_of_any_number_have_no_other_unit(shape: str):
    for rows in (10, 30, 100, 1_000):
        for reference in (20, 100, 1_000):
            feature = numeric_feature("x", SHAPES[shape](reference))
            assert multiplied(feature, sizes(SHAPES[shape](rows))) is None


def test_what_says_too_little_says_nothing():
    few, constant = numeric_feature("x", [1.0, 2.0] * 50), numeric_feature("x", [3.0] * 100)
    assert multiplied(few, sizes(np.array([1_000.0, 2_000.0] * 50))) is None
    assert multiplied(constant, sizes(np.full(100, 3_000.0))) is None
    assert multiplied(known("normal"), sizes(CHANCE.normal(size=20) * 1_000)) is None
    assert multiplied(known("normal"), {}) is None


def test_values_that_are_infinite_or_missing_have_no_part_in_it():
    now = SHAPES["height"](2_000) * 100
    now[:50], now[50:60] = np.nan, np.inf
    found = multiplied(known("height"), sizes(now))
    assert found is not None and found.factor == 100 and found.hits == 1_940


@pytest.mark.parametrize("rows", [3, 5_000])
def test_a_size_is_an_eighth_of_an_octave_whichever_way_it_is_counted(rows: int):
    values = np.concatenate([CHANCE.normal(size=rows), [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324]])
    found = sizes(values)
    assert sum(found.values()) == rows + 5
    for value in values[:3]:
        ends = [size_of(place) for place in sizes(np.array([value]))]
        assert min(ends[0]) <= value <= max(ends[0]) and abs(ends[0][1] / ends[0][0]) <= 1.125
