"""Who answers: keys stay where they were, shares are kept exactly, and nobody hears what a shadow says."""

import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest

from taut.errors import Invalid
from taut.serve.rollout.routing import Router, key_of, point_of

KEYS = 20_000
CHANCE = 1e-6  # Of a test of a right router failing; the keys are fixed, so that it either always does or never.


@dataclass(frozen=True)
class Version:
    number: int
    weight: float = 0.0
    role: Literal["live", "canary", "shadow"] = "live"


def router(weight: float, *, endpoint: str = "late", start: int = 0) -> Router[Version]:
    backends = [Version(3, 1 - weight), Version(4, weight, "canary"), Version(5, role="shadow")]
    return Router(endpoint, backends, start=start)


@pytest.mark.parametrize("form", ["{}", "user{}", "customer-{:08d}", "a{}b", "00000000-0000-4000-8000-{:012x}"])
@pytest.mark.parametrize("endpoint", ["late", "churn"])
def test_keys_that_look_alike_are_spread_evenly(form: str, endpoint: str):
    points = [point_of(endpoint, form.format(number)) for number in range(KEYS)]
    assert kstest(points, "uniform").pvalue > CHANCE
    for weight in (0.01, 0.05, 0.5, 0.99):
        chosen = router(weight, endpoint=endpoint)
        canary = sum(chosen.choose(form.format(number)).number == 4 for number in range(KEYS))
        assert binomtest(canary, KEYS, weight).pvalue > CHANCE
        assert canary == sum(point < weight for point in points)


def test_who_is_in_the_canary_of_one_endpoint_is_no_likelier_in_that_of_another():
    both = [[point_of(endpoint, f"user{number}") for number in range(KEYS)] for endpoint in ("late", "churn")]
    assert abs(np.corrcoef(np.array(both))[0, 1]) < 5 / KEYS**0.5


@given(st.text(max_size=40), st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_a_larger_share_gives_no_key_back(key: str, weights: list[float]):
    chosen = [router(weight).choose(key).number for weight in sorted(weights)]
    assert all(one <= other for one, other in pairwise(chosen))


def test_a_key_is_the_same_in_every_process():
    program = "from taut.serve.rollout.routing import point_of; print(point_of('late', 'ada ä'))"
    said = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                       env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert said == {f"{point_of('late', 'ada ä')}\n"}
    assert point_of("late", "ada ä") == 0.2401729750576717, "whoever changes this moves every key of every endpoint"


@pytest.mark.parametrize("weight", [0.0, 0.001, 0.05, 0.25, 1 / 3, 0.5, 0.999, 1.0])
def test_without_keys_the_share_is_kept_in_every_stretch_of_requests(weight: float):
    chosen = router(weight, start=12345)
    canary = np.cumsum([chosen.choose().number == 4 for _ in range(KEYS)])
    wanted = weight * np.arange(1, KEYS + 1)
    assert np.abs(canary - wanted).max() < 6, "the golden ratio's sequence is off by a logarithm at most"


def test_processes_that_begin_anywhere_keep_the_share_in_expectation():
    first = sum(Router("late", [Version(3, 0.9), Version(4, 0.1, "canary")]).choose().number == 4 for _ in range(2_000))
    assert binomtest(first, 2_000, 0.1).pvalue > CHANCE


def test_a_shadow_answers_nobody_and_is_told_of_everything():
    chosen = router(0.5)
    assert [one.number for one in chosen.shadows] == [5]
    assert {chosen.choose(str(key)).number for key in range(100)} == {3, 4}
    assert [found and found.number for found in map(chosen.named, (3, 4, 5, 6))] == [3, 4, None, None]


def test_without_a_canary_live_answers_whatever_the_key():
    chosen = Router("late", [Version(3, 1.0)])
    assert {chosen.choose(key).number for key in (None, "", "ada", "\ud800")} == {3}


@pytest.mark.parametrize(
    "backends",
    [
        [],
        [Version(3), Version(4)],
        [Version(4, 0.1, "canary")],
        [Version(3), Version(4, 0.1, "canary"), Version(5, 0.1, "canary")],
        [Version(3), Version(4, 1.1, "canary")],
        [Version(3), Version(4, float("nan"), "canary")],
    ],
)
def test_what_is_no_set_of_backends_is_refused(backends: list[Version]):
    with pytest.raises(Invalid):
        Router("late", backends)


HEADERS = {"x-routing-key": "ada", "x-user": "bob"}


@pytest.mark.parametrize(
    ("by_key", "columns", "key"),
    [
        ("", {}, "ada"),
        ("header:", {}, "ada"),
        ("header:X-User", {}, "bob"),
        ("header:x-none", {}, None),
        ("id", {"id": ["c1", "c2"]}, "c1"),
        ("id", {"id": [7]}, "7"),
        ("id", {"id": [7.0]}, "7"),
        ("id", {"id": np.array([7], dtype=np.int64)}, "7"),
        ("id", {"id": [9007199254740993]}, "9007199254740993"),
        ("id", {"id": [True]}, "1"),
        ("id", {"id": [0.5]}, "0.5"),
        ("id", {"id": [float("inf")]}, "inf"),
        ("id", {"id": [None]}, None),
        ("id", {"id": [float("nan")]}, None),
        ("id", {"id": []}, None),
        ("id", {"other": ["c1"]}, None),
    ],
)
def test_the_key_of_a_request(by_key: str, columns: dict[str, list[object]], key: str | None):
    assert key_of(by_key, HEADERS, columns) == key


def test_a_tensor_is_no_key():
    with pytest.raises(Invalid, match="'id', a text or a number, not list"):
        key_of("id", {}, {"id": [[1.0, 2.0]]})
