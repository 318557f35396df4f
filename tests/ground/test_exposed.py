"""Families of samples, read back by Prometheus' own parser."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from taut.ground import wire
from taut.ground.exposed import Family, Sample, family_lines, merged_families, written_labels


def parsed(*families: Family) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    text = "".join(f"{line}\n" for line in family_lines(families))
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.mark.parametrize("word", ['a"b', "a\\b", "a\nb", "\\n", "ü", "", "{}", "a,b=c"])
def test_a_label_is_read_as_it_was_written(word: str):
    assert parsed(Family("a", "gauge", "What.", (Sample({"of": word}, 1.0),))) == {"a": {(("of", word),): 1.0}}


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, 1e300, 1.7e9 + 0.001, math.inf, -math.inf])
def test_a_value_is_read_as_it_was_written(value: float):
    assert parsed(Family("a", "gauge", "What.", (Sample({}, value),))) == {"a": {(): value}}


def test_what_is_no_number_stays_none():
    (found,) = parsed(Family("a", "gauge", "What.", (Sample({}, math.nan),)))["a"].values()
    assert math.isnan(found)


def test_families_of_one_name_are_told_as_one():
    one, other = (Family("a_total", "counter", "What.", (Sample({"of": name}, 1.0),)) for name in "xy")
    between = Family("b", "gauge", "Else.", ())
    assert [family.name for family in merged_families([one, between, other])] == ["a_total", "b"]
    lines = list(family_lines([one, between, other]))
    assert lines == ["# HELP a_total What.", "# TYPE a_total counter", 'a_total{of="x"} 1.0', 'a_total{of="y"} 1.0']


def test_families_are_stored_and_read_again():
    one = Family("a", "gauge", "What.", (Sample({"of": "b"}, 0.1),))
    assert wire.decode(wire.text([one]), list[Family]) == [one]


def test_no_labels_are_no_braces():
    assert written_labels({}) == ""
