"""Two versions by their labels: as pairs where a shadow answered too, else as arms, with evidence at any time."""

from typing import Any

import msgspec
import numpy as np
import pytest

from taut.errors import Invalid, NotFound
from taut.serve import log_labels
from taut.serve.rollout.judging import Evidence, Limits, Standing, look_at_labels, weigh
from taut.watch.performance.comparing import compare_rows, compare_versions
from taut.watch.performance.rows import Rows
from tests.serve.log.scenes import said, say
from tests.serve.scenes import record, register

HOUR = 3_600_000
STREAMS = 200


@pytest.fixture
def late(home):
    """`late` with two versions rolled out, nobody asked yet."""
    for number, factor in enumerate((0.1, 0.2), 1):
        register(home, factor=factor)
        record(home, number)
    return home


def answer(home, number: int, role: Any, scores: list[float], *, name: str = "a", begin_ms: int = 0) -> list[str]:
    """A request of one row for each score, a second apart; returns the predictions' ids."""
    names = [f"{name}-{place}" for place in range(len(scores))]
    batch = said(*names, number=number, role=role, event_ms=[begin_ms + 1_000 * place for place in range(len(scores))])
    say(home, msgspec.structs.replace(batch, outputs={"probability": scores}))
    return [f"{one}.0" for one in names]


def test_a_shadow_is_compared_on_the_very_same_rows(late):
    chance = np.random.default_rng(0)
    labels = (chance.random(300) < 0.5).astype(float)
    live = answer(late, 1, "live", [0.5] * 300)
    answer(late, 2, "shadow", np.abs(labels - 0.3).tolist())
    before: Any = compare_versions(late, "late")
    assert (before.one.rows, before.other.rows, before.difference) == (0, 0, None)
    assert "nothing can be said" in before.text
    log_labels(late, "late", dict(zip(live, labels.tolist(), strict=True)))
    found: Any = compare_versions(late, "late")
    assert (found.how, found.one.version, found.other.version) == ("pairs", "late@1", "late@2")
    assert (found.one.rows, found.one.loss) == (300, 0.25)
    assert found.other.loss == pytest.approx(0.09)
    assert found.low <= found.difference <= found.high < 0.0
    assert found.e_better > 40
    assert found.e_worse < 1
    assert found.text == "late@2 loses less than late@1"
    turned: Any = compare_versions(late, "late", 2, 1)
    assert (turned.one.version, turned.text) == ("late@2", "late@1 loses more than late@2")
    assert turned.difference == pytest.approx(-found.difference)


def test_labels_in_any_order_say_the_same_of_pairs(late):
    chance = np.random.default_rng(1)
    labels = (chance.random(100) < 0.5).astype(float).tolist()
    live = answer(late, 1, "live", chance.random(100).tolist())
    answer(late, 2, "shadow", chance.random(100).tolist())
    for place in chance.permutation(100).tolist():
        log_labels(late, "late", {live[place]: labels[place]})
    found: Any = compare_versions(late, "late")
    rows: Any = tuple(Rows(np.arange(100), np.array(s), np.array(labels)) for s in _scores_again())
    again = compare_rows("late", ("late@1", "late@2"), "pairs", rows, "binary", 0.05, 24 * HOUR)
    assert (again.e_better, again.low, again.high) == pytest.approx((found.e_better, found.low, found.high))


def _scores_again() -> tuple[list[float], list[float]]:
    chance = np.random.default_rng(1)
    chance.random(100)
    return chance.random(100).tolist(), chance.random(100).tolist()


def test_a_canary_and_live_are_compared_as_the_rollout_judges_them(late):
    chance = np.random.default_rng(2)
    labels: dict[str, float] = {}
    for hour in range(0, 72, 6):
        for number, role, wrong in ((1, "live", 0.1), (2, "canary", 0.5)):
            name = f"{role}-{hour}"
            ids = answer(late, number, role, [0.0] * 40, name=name, begin_ms=hour * HOUR)
            labels |= {one: float(chance.random() < wrong) for one in ids}
    log_labels(late, "late", labels)
    found: Any = compare_versions(late, "late", 1, 2)
    assert (found.how, found.one.rows, found.other.rows) == ("arms", 480, 480)
    assert found.low <= found.difference <= found.high
    assert found.low > 0.0
    assert found.text == "late@2 loses more than late@1"
    evidence = Evidence()
    for day in range(3):
        hours = range(day * 24, day * 24 + 24, 6)
        losses = [
            [labels[f"{role}-{hour}-{place}.0"] for hour in hours for place in range(40)] for role in ("canary", "live")
        ]
        evidence = weigh(evidence, 0.0, *losses)
    assert found.e_worse == pytest.approx(np.exp(evidence.log_e))


def test_the_judge_of_rollouts_and_the_comparison_weigh_by_the_same_function():
    canary, live = [0.9, 0.2, 0.7] * 9, [0.1, 0.3] * 9
    standing = look_at_labels(Limits(harm=0.05), Standing(), live, canary)
    assert standing.labels == weigh(Evidence(), 0.05, canary, live)
    assert weigh(Evidence(), 0.0, [], [0.5]) == weigh(Evidence(), 0.0, [0.5], []) == Evidence()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["pairs", "arms"])
def test_equal_versions_are_hardly_ever_told_apart_at_any_look(how: Any):
    told = missed = 0
    for seed in range(STREAMS):
        chance = np.random.default_rng(seed)
        labels = (chance.random(240) < 0.4).astype(float)
        both: Any = tuple(Rows(np.arange(240) * HOUR, chance.random(240), labels) for _ in range(2))
        looks = [
            compare_rows(
                "late", ("one", "other"), how, tuple(rows.between(0, hour * HOUR) for rows in both), "binary", 0.1,
                24 * HOUR,
            )
            for hour in (48, 120, 240)
        ]  # fmt: skip
        told += any("nothing shows" not in look.text for look in looks)
        missed += any(not look.low <= 0.0 <= look.high for look in looks)
    assert told <= 0.07 * STREAMS
    assert missed <= 0.07 * STREAMS


def test_regressions_are_compared_by_errors_that_saturate():
    chance = np.random.default_rng(3)
    truth = chance.normal(100, 20, 2_000)
    both: Any = tuple(Rows(np.arange(2_000) * HOUR, truth + chance.normal(0, off, 2_000), truth) for off in (5.0, 10.0))
    found: Any = compare_rows("late", ("one", "other"), "pairs", both, "regression", 0.05, 240 * HOUR)
    assert found.text == "other loses more than one"
    assert found.one.rows == found.other.rows == 2_000 - 240, "the first window gave the scale"
    assert 0.0 < found.one.loss < found.other.loss < 1.0
    arms = compare_rows("late", ("one", "other"), "arms", both, "regression", 0.05, 240 * HOUR)
    assert arms.text == "other loses more than one"
    exact: Any = tuple(Rows(rows.event_ms, truth, truth) for rows in both)
    assert compare_rows("late", ("one", "other"), "pairs", exact, "regression", 0.05, 24 * HOUR).difference == 0.0


def test_versions_that_never_answered_are_told(late):
    with pytest.raises(NotFound, match="fewer than two versions: of none yet"):
        compare_versions(late, "late")
    answer(late, 1, "live", [0.5])
    with pytest.raises(NotFound, match="fewer than two versions: late@1"):
        compare_versions(late, "late")
    with pytest.raises(NotFound, match="version 7 of 'late' answered nothing; who did: late@1"):
        compare_versions(late, "late", 1, 7)
    with pytest.raises(Invalid, match="the same as itself"):
        compare_versions(late, "late", 1, 1)
    answer(late, 2, "shadow", [0.5])
    with pytest.raises(Invalid, match="alpha is a chance"):
        compare_versions(late, "late", alpha=0.0)
