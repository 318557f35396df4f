"""Rows that are broken are told from rows that drift, from counts over the reference's events and with figures."""

from typing import Any

import numpy as np
import pytest

from taut.pipelines.quality import Finding, is_broken, quality_of_rows
from taut.watch.profile import make_reference

ROWS = 1_000


def rows_of(seed: int, *, shift: float = 0.0) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    return {
        "distance": (chance.gamma(3.0, 300.0, ROWS) + shift).tolist(),
        "temp": (chance.normal(10.0, 8.0, ROWS) + shift / 100).tolist(),
        "carrier": chance.choice(["UA", "AA", "DL"], ROWS).tolist(),
    }


REFERENCE = make_reference(rows_of(0))


def found_in(rows: dict[str, Any]) -> tuple[Finding, ...]:
    return quality_of_rows(REFERENCE, rows)


@pytest.mark.parametrize("seed", range(5))
def test_rows_as_the_reference_has_them_are_whole(seed: int):
    assert found_in(rows_of(seed)) == ()
    assert not is_broken(found_in(rows_of(seed)))


def test_drift_is_no_damage():
    assert found_in(rows_of(1, shift=1_500.0)) == ()


def test_another_unit_in_one_row_of_twenty_is_damage():
    rows = rows_of(1)
    rows["distance"][::20] = [value * 1000 for value in rows["distance"][::20]]
    (finding,) = found_in(rows)
    assert (finding.check, finding.feature, finding.trials) == ("range", "distance", ROWS)
    assert finding.hits == pytest.approx(50, abs=3)
    assert "of 1,000 values are beyond 10 times the largest of the reference" in finding.text
    assert is_broken((finding,))


def test_single_strays_are_not():
    rows = rows_of(1)
    rows["distance"][7] = 1e9
    assert found_in(rows) == ()


def test_a_column_that_is_gone_is_damage():
    rows = rows_of(1)
    del rows["temp"]
    assert found_in(rows) == (Finding("schema", "temp", "the column is not there", ROWS, ROWS),)


def test_holes_in_a_quarter_of_the_rows_are_damage_and_in_a_tenth_are_not():
    rows = rows_of(1)
    rows["temp"][::10] = [None] * len(rows["temp"][::10])
    assert found_in(rows) == ()
    rows["temp"][::4] = [None] * len(rows["temp"][::4])
    (finding,) = found_in(rows)
    assert (finding.check, finding.hits, finding.text) == ("missing", 300, "30.0 % missing, 0.0 % in the reference")


def test_levels_written_in_another_way_are_damage_and_one_new_level_is_not():
    rows = rows_of(1)
    rows["carrier"][::20] = ["B6"] * len(rows["carrier"][::20])
    assert found_in(rows) == ()
    rows["carrier"] = [level.lower() for level in rows["carrier"]]
    (finding,) = found_in(rows)
    assert (finding.check, finding.feature, finding.hits) == ("unseen", "carrier", ROWS)
    assert finding.text == "100.0 % levels never seen, 0.0 % in the reference"


def test_no_rows_are_nobodys_damage():
    assert found_in({"distance": [], "temp": [], "carrier": []}) == ()


def test_a_column_that_was_always_zero_has_no_size_to_hold_others_against():
    reference = make_reference({"zero": [0.0] * 50})
    rows = {"zero": [5.0] * 50}
    assert quality_of_rows(reference, rows) == ()
