"""The classic measures, held against SciPy on the raw rows, within what binning may lose."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from taut.errors import Invalid
from taut.watch.counts import NO_COUNTS, count_window
from taut.watch.measures import (
    MEASURES,
    chi_squared,
    chi_squared_p,
    cramers_v,
    jensen_shannon,
    kolmogorov_smirnov,
    kolmogorov_smirnov_p,
    measured,
    pooled,
    wasserstein,
)
from taut.watch.measures.table import band_of, binned_of
from taut.watch.profile import make_reference
from tests.faces.shell import taut
from tests.watch.streams import draw

CHANCE = np.random.default_rng(0)
PAIRS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=12).filter(
    lambda pairs: all(map(sum, zip(*pairs, strict=True)))
)
SHAPES = {
    "normal": lambda rows, by: CHANCE.normal(by, 1, rows),
    "lognormal": lambda rows, by: np.exp(CHANCE.normal(by, 1, rows)),
    "tied": lambda rows, by: np.round(CHANCE.normal(3 * by, 3, rows)),
    "uniform": lambda rows, by: CHANCE.uniform(0, 1 + by, rows),
    "atom": lambda rows, by: np.maximum(CHANCE.normal(by, 1, rows), 0.0),
}
each_shape = pytest.mark.parametrize("shape", SHAPES)
each_shift = pytest.mark.parametrize("by", [0.0, 0.1, 0.5, 2.0])


def values(columns: dict, now: dict) -> dict[tuple[str, str], float]:
    reference = make_reference(columns)
    return {(one.feature, one.measure): one.value for one in measured(reference, count_window(reference, now))}


# Of counts


@given(PAIRS)
def test_measures_of_counts_are_those_of_scipy(pairs):
    one, other = (np.array(side) for side in zip(*pairs, strict=True))
    assert jensen_shannon(one.tolist(), other.tolist()) == pytest.approx(jensenshannon(one, other, base=2), abs=1e-6)
    kept = np.array([one, other])[:, one + other > 0]
    statistic, freedom = chi_squared(one.tolist(), other.tolist())
    theirs = stats.chi2_contingency(kept, correction=False)
    assert statistic == pytest.approx(theirs.statistic) and freedom == theirs.dof
    assert chi_squared_p(statistic, freedom) == pytest.approx(theirs.pvalue)
    if freedom:
        v = stats.contingency.association(kept, method="cramer", correction=False)
        assert cramers_v(statistic, int(kept.sum())) == pytest.approx(v, abs=1e-12)
    places = np.arange(len(one))
    raw = stats.ks_2samp(np.repeat(places, one), np.repeat(places, other), method="asymp")
    assert kolmogorov_smirnov(one.tolist(), other.tolist()) == pytest.approx(raw.statistic)


@given(PAIRS)
def test_measures_are_the_same_both_ways_and_nothing_for_equal_shares(pairs):
    one, other = (list(side) for side in zip(*pairs, strict=True))
    edges = [float(place) for place in range(len(one) - 1)]
    for of in (
        kolmogorov_smirnov,
        jensen_shannon,
        lambda a, b: chi_squared(a, b)[0],
        lambda a, b: wasserstein(edges, a, b),
    ):
        assert of(one, other) == pytest.approx(of(other, one)) and of(one, other) >= 0
        assert of(one, [3 * k for k in one]) == pytest.approx(0, abs=1e-7)


@given(PAIRS)
def test_pooling_loses_no_row_and_leaves_no_rare_bin(pairs):
    one, other = (list(side) for side in zip(*pairs, strict=True))
    before, now = pooled(one, other)
    assert (sum(before), sum(now)) == (sum(one), sum(other))
    smaller = min(sum(one), sum(other)) / (sum(one) + sum(other))
    assert len(before) == 1 or all((a + b) * smaller >= 5 for a, b in zip(before, now, strict=True))


@pytest.mark.parametrize(("one", "other"), [([1, 2], [1]), ([0, 0], [1, 2]), ([1, 2], [0, 0]), ([], [])])
def test_samples_that_share_no_bins_are_refused(one, other):
    for of in (kolmogorov_smirnov, jensen_shannon, chi_squared):
        with pytest.raises(Invalid, match="over the same bins"):
            of(one, other)
    with pytest.raises(Invalid):
        wasserstein([0.0], one, other)
    with pytest.raises(Invalid, match="2 edges make 3 bins"):
        wasserstein([0.0, 1.0], [1, 2], [2, 1])


# Of features, against the raw rows


@each_shape
@each_shift
def test_kolmogorov_smirnov_is_low_by_at_most_the_share_of_a_bin(shape: str, by: float):
    before, now = SHAPES[shape](8_000, 0.0), SHAPES[shape](3_000, by)
    reference = make_reference({"x": before})
    (binned,) = [binned_of(reference.features[0], count_window(reference, {"x": now}))]
    assert binned is not None
    raw = stats.ks_2samp(before, now, method="asymp").statistic
    found = kolmogorov_smirnov(binned.before, binned.now)
    widest = max(max(binned.before) / 8_000, max(binned.now) / 3_000)
    assert raw - widest - 1e-12 <= found <= raw + 1e-12
    if by == 0.1:
        assert raw - found < 0.02


@each_shape
@each_shift
def test_wasserstein_is_within_half_a_bin_of_the_raw_rows(shape: str, by: float):
    before, now = SHAPES[shape](8_000, 0.0), SHAPES[shape](3_000, by)
    reference = make_reference({"x": before})
    binned = binned_of(reference.features[0], count_window(reference, {"x": now}))
    assert binned is not None
    edges = np.array(reference.features[0].edges)
    inside = np.clip(now, edges[0], edges[-1])  # What lies beyond counts at the edge.
    shares = np.array(binned.before) / 8_000 + np.array(binned.now) / 3_000
    bound = float((np.diff(edges) * shares[1:-1]).sum()) / 2
    found = wasserstein(edges.tolist(), binned.before, binned.now)
    assert abs(found - stats.wasserstein_distance(before, inside)) <= bound + 1e-9
    assert found <= stats.wasserstein_distance(before, now) + bound


def test_a_shift_of_a_normal_column_is_measured_as_what_it_is():
    found = values({"x": CHANCE.normal(size=20_000)}, {"x": CHANCE.normal(0.5, 1, size=20_000)})
    assert found["x", "wasserstein_sd"] == pytest.approx(0.5, abs=0.03)
    assert found["x", "wasserstein"] == pytest.approx(0.5, abs=0.03)
    assert found["x", "ks"] == pytest.approx(2 * stats.norm.cdf(0.25) - 1, abs=0.015)


def test_the_p_values_of_stationary_windows_are_chances():
    """Uniform, or larger: binning and ties make the first conservative."""
    ks, chi = [], []
    for seed in range(150):
        chance = np.random.default_rng(seed)
        known = draw(chance, 1_000).columns
        reference = make_reference({name: known[name] for name in ("z", "plan")})
        now = draw(chance, 500).columns
        found = measured(reference, count_window(reference, {"z": now["z"], "plan": now["plan"]}))
        ks += [one.p for one in found if one.measure == "ks"]
        chi += [one.p for one in found if one.measure == "cramers_v"]
    assert (len(ks), len(chi)) == (150, 300)
    assert np.mean(np.array(ks) < 0.05) <= 0.09
    assert 0.02 <= np.mean(np.array(chi) < 0.05) <= 0.09


def test_windows_of_some_hundred_rows_without_a_change_are_called_nothing():
    chance = np.random.default_rng(2)
    reference = make_reference(draw(chance, 5_000).columns)
    found = measured(reference, count_window(reference, draw(chance, 400).columns))
    assert {one.band for one in found if one.feature != "shop"} <= {None, "none"}


# Border cases


def test_sides_without_a_value_have_no_measure():
    reference = make_reference({"x": [1.0, 2.0, 3.0], "holes": [None, None, None]})
    assert measured(reference, NO_COUNTS) == ()
    assert measured(reference, count_window(reference, {"x": [None, None], "holes": [1.0, 2.0]})) == ()


def test_a_constant_is_as_far_as_it_is_seen_to_be():
    same = values({"x": [3.0] * 50}, {"x": [3.0] * 20})
    assert {name: value for (_, name), value in same.items()} == {
        "psi": 0.0, "ks": 0.0, "wasserstein": 0.0, "jensen_shannon": 0.0, "cramers_v": 0.0
    }  # fmt: skip
    other = values({"x": [3.0] * 50}, {"x": [4.0] * 50})
    assert (other["x", "ks"], other["x", "wasserstein"]) == (1.0, 0.0)  # Where beyond the range it went is not known.
    assert other["x", "jensen_shannon"] == other["x", "cramers_v"] == 1.0


def test_levels_have_no_order_and_a_new_one_is_a_bin():
    found = values({"plan": ["a"] * 60 + ["b"] * 40}, {"plan": ["a"] * 30 + ["new"] * 70})
    assert {name for _, name in found} == {"psi", "jensen_shannon", "cramers_v"}
    before, now = [60, 40, 0], [30, 0, 70]
    assert found["plan", "jensen_shannon"] == pytest.approx(jensenshannon(before, now, base=2), rel=1e-5)
    one = values({"plan": ["a"] * 60}, {"plan": ["a"] * 60})
    assert set(one.values()) == {0.0}


def test_what_is_missing_is_a_bin_of_its_own():
    known = CHANCE.permutation(1_000).astype(float)
    now = known.copy()
    now[known % 2 == 0] = np.nan
    found = values({"x": known}, {"x": now})
    assert found["x", "cramers_v"] > 0.5 and found["x", "ks"] < 0.01


def test_infinite_values_cannot_be_moved():
    found = values({"x": [5.0, float("-inf"), *map(float, range(99))]}, {"x": [1.0, float("inf")]})
    assert ("x", "wasserstein") not in found and ("x", "ks") in found


def test_bands_are_the_conventions_of_the_field():
    by_name = {one.name: one for one in MEASURES}
    assert [band_of(by_name["psi"], value) for value in (0.05, 0.1, 0.25)] == ["none", "medium", "large"]
    assert [band_of(by_name["cramers_v"], value) for value in (0.09, 0.1, 0.3, 0.5)] == [
        "none",
        "small",
        "medium",
        "large",
    ]
    assert band_of(by_name["ks"], 0.9) is None


def test_p_values_are_kolmogorovs():
    one, other = CHANCE.normal(size=400), CHANCE.normal(0.1, 1, size=300)
    raw = stats.ks_2samp(one, other, method="asymp")
    limit = stats.kstwobign.sf(raw.statistic * np.sqrt(400 * 300 / 700))
    found = kolmogorov_smirnov_p(raw.statistic, 400, 300)
    assert found == pytest.approx(limit) and found == pytest.approx(
        raw.pvalue, abs=0.03
    )  # Theirs corrects for few rows.


# On the command line


def test_a_check_prints_the_table_where_it_is_asked_for(tmp_path: Path):
    for name, seed, by in (("known", 0, 0.0), ("now", 1, 12.0)):
        columns = draw(np.random.default_rng(seed), 2_000).columns
        columns["age"] += by
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    told = taut(tmp_path, "watch", "check", "now.parquet", "--against", "known.parquet", "--measures").out
    lines = [line for line in told.splitlines() if line.startswith(("column  ", "age"))]
    assert lines[-2].split() == ["column", "psi", "ks", "wasserstein", "wasserstein_sd", "jensen_shannon", "cramers_v"]
    assert lines[-1].split()[2] == "large" and lines[-1].count("(p ") == 2
    shown = taut(tmp_path, "watch", "check", "now.parquet", "--against", "known.parquet", "--json").json
    age = {one["measure"]: one for one in shown["measures"] if one["feature"] == "age"}
    assert age["wasserstein_sd"]["value"] == pytest.approx(1.0, abs=0.06) and age["wasserstein_sd"]["band"] == "large"
    assert "wasserstein" not in taut(tmp_path, "watch", "check", "now.parquet", "--against", "known.parquet").out
