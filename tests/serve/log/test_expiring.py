"""Answers that leave: by age as the policy says, by id as a person asks; and segments that are joined meanwhile."""

from typing import Any

import msgspec
import pytest

from taut.deploy import config_of, find_deployment, record_deployment, spec_of
from taut.errors import Conflict, Denied, NotFound
from taut.govern import anchor_ledger, check_home, collect, verify_home
from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.ground.ledger import events
from taut.home import Home
from taut.project import DeploymentSpec, LogSpec
from taut.serve import find_prediction, log_labels, log_prediction, predicted_rows, traffic
from taut.serve.log import Policy, log_place, rewriting
from taut.serve.log import compacting as stages
from taut.serve.log.compacting import compact
from taut.serve.log.expiring import count_expired, erase_prediction, expire
from taut.serve.log.keeping import keep_in_order, policy_for
from taut.serve.log.sealing import seal
from taut.serve.log.segments import segments_of
from tests.serve.log.scenes import ids_in, opened, said, say
from tests.serve.scenes import register

DAY_MS = 86_400_000


@pytest.fixture
def late(home: Home) -> Home:
    """A home with the deployment `late`, whose log keeps answers for ten days."""
    register(home)
    record_deployment(home, "late", "late", 1, "process", config_of(spec(retain="10d")), "manual")
    return home


def spec(**log: Any) -> DeploymentSpec:
    return DeploymentSpec("late@1", log=LogSpec(**log))


def answer(home: Home, *names: str, days_ago: int = 0, **more: Any) -> None:
    """Answer requests so many days ago."""
    batch = said(*names, **more)
    at_ms = home.clock.now_ms() - days_ago * DAY_MS
    say(home, msgspec.structs.replace(batch, at_ms=at_ms))


def segments(home: Home) -> list:
    with home.meta.read() as tx:
        return segments_of(tx, "late")


def kinds(home: Home) -> list[str]:
    with home.meta.read() as tx:
        return [one.kind for one in events(tx) if one.kind.startswith(("prediction.", "label."))]


# Policy of a deployment


def test_a_deployment_keeps_its_policy_with_its_revision(late: Home):
    wanted = spec(sample=0.5, redact=("ssn",), encrypt=True, retain="90d", fsync="batch", asynchronous="5ms")
    record_deployment(late, "late", "late", 1, "process", config_of(wanted), "manual")
    found = find_deployment(late, "late")
    assert spec_of(found) == wanted
    assert found.revision == 2
    assert policy_for(late, "late").redact == {"ssn"}
    assert policy_for(late, "other") == Policy()


def test_the_usual_policy_makes_no_new_revision_of_what_was_deployed_before_there_was_one(late: Home):
    assert "log" not in config_of(DeploymentSpec("late@1"))
    assert spec_of(record_deployment(late, "old", "late", 1, "process", {"port": 0}, "manual")).log == LogSpec()


# By age


@pytest.mark.parametrize("sealed", [False, True])
def test_what_is_older_than_the_policy_keeps_leaves_with_its_labels(late: Home, sealed: bool):
    now = late.clock.now_ms()
    log_prediction(late, "late", "row", 1, 5, {"x": [1.0]}, {"probability": [0.5]})
    answer(late, "old", "older", days_ago=12, given=True)
    answer(late, "border", days_ago=11)
    answer(late, "young", days_ago=3, given=True)
    if sealed:
        seal(late, "late")
    log_labels(late, "late", {"old.0": 1.0, "young.0": 0.0, "row.0": 1.0})
    assert count_expired(late, "late", now - 10 * DAY_MS) == 3
    assert collect(late, dry_run=True).predictions == 3
    assert collect(late).predictions == 3
    assert ids_in(late) == ["row", "young"]
    assert predicted_rows(late, "late").labels == [1.0, 0.0]
    assert traffic(late, "late").labelled == 2
    log = opened(late)
    assert list(log.answered(["old", "older", "young"])) == ["young"]
    log.close()
    assert isinstance(late.clock, SetClock)
    late.clock.pass_ms(11 * DAY_MS)
    assert collect(late).predictions == 2
    assert (ids_in(late), segments(late), traffic(late, "late").labelled) == ([], [], 0)
    assert collect(late).predictions == 0


def test_objects_of_what_left_are_collected_and_no_others(late: Home):
    answer(late, "old", days_ago=12)
    seal(late, "late")
    answer(late, "young")
    seal(late, "late")
    kept = segments(late)[1].oid
    collect(late, grace_ms=-DAY_MS)
    assert late.objects.missing([kept]) == set()
    assert [one.oid for one in segments(late)] == [kept]
    assert len(list(late.objects.list())) == len({kept} | _others(late))
    assert check_home(late).problems == ()


def _others(home: Home) -> set[str]:
    """Every object but those of segments."""
    oids = {one.oid for one in segments(home)}
    return {oid for oid in home.objects.list() if oid not in oids}


def test_who_is_killed_while_answers_leave_goes_on_when_asked_again(late: Home, monkeypatch):
    answer(late, "old", days_ago=12)
    answer(late, "young")
    seal(late, "late")
    with monkeypatch.context() as patched:
        patched.setattr(rewriting, "add_segment", _dies)
        with pytest.raises(KeyboardInterrupt):
            expire(late, "late", before_ms=late.clock.now_ms() - 10 * DAY_MS)
    assert ids_in(late) == ["old", "young"]
    assert expire(late, "late", before_ms=late.clock.now_ms() - 10 * DAY_MS).requests == 1
    assert ids_in(late) == ["young"]


def _dies(*_: object) -> None:
    raise KeyboardInterrupt


# By id


@pytest.mark.parametrize("encrypt", [False, True])
@pytest.mark.parametrize("where", ["row", "sealed", "live"])
def test_one_answer_is_erased_wherever_it_is(late: Home, where: str, encrypt: bool):
    log_prediction(late, "late", "row", 1, 5, {"x": [1.0]}, {"probability": [0.5]})
    log = opened(late, Policy(encrypt=encrypt))
    log.append(said("sealed", "stays", given=True))
    seal(late, "late", also_written=True, encrypt=encrypt)
    log.append(said("live", given=True))
    log_labels(late, "late", {f"{where}.0": 1.0, "stays.0": 0.0})
    erase_prediction(late, "late", where, because="asked to")
    with pytest.raises(NotFound):
        find_prediction(late, where)
    assert sorted(ids_in(late)) == sorted({"row", "sealed", "live", "stays"} - {where})
    assert traffic(late, "late").labelled == 1
    assert where not in log.answered([where])
    stored = log.answered(["stays"])["stays"]
    assert (stored.outputs, stored.rows) == ({"probability": [0.25]}, 1)
    log.append(said("after"))
    log.close()
    seal(late, "late", encrypt=encrypt)
    assert where not in ids_in(late)
    assert "after" in ids_in(late)
    with pytest.raises(NotFound):
        erase_prediction(late, "late", where, because="again")
    assert ("prediction.erased" in kinds(late), "label.removed" in kinds(late)) == (True, True)


def test_who_may_erase_is_the_one_for_privacy(late: Home):
    answer(late, "a")
    with pytest.raises(Denied):
        erase_prediction(late.as_actor(Actor("eve", "ml-engineer")), "late", "a", because="")
    erase_prediction(late.as_actor(Actor("dee", "dpo")), "late", "a", because="asked to")
    assert ids_in(late) == []


# Joining


def test_many_small_segments_become_one(late: Home):
    for number in range(5):
        columns: dict[str, Any] = {"x": [number], f"only{number}": ["here"]}
        answer(late, f"r{number}", **columns)
        seal(late, "late")
    before = [find_prediction(late, f"r{number}") for number in range(5)]
    assert compact(late, "late") == 0
    assert compact(late, "late", at_least=2) == 5
    assert [(one.number, one.facts.requests) for one in segments(late)] == [(6, 5)]
    assert [find_prediction(late, f"r{number}") for number in range(5)] == before
    assert compact(late, "late", at_least=0) == 0
    assert check_home(late).problems == ()


def test_joined_segments_stay_below_their_size_and_large_ones_are_let_alone(late: Home, monkeypatch):
    monkeypatch.setattr(stages, "JOINED_ROWS", 4)
    monkeypatch.setattr(stages, "SMALL_ROWS", 4)
    for number, count in enumerate([1, 2, 5, 1, 3, 1]):
        answer(late, f"r{number}", counts=[count])
        seal(late, "late")
    compact(late, "late", at_least=1)
    assert sorted(one.facts.rows for one in segments(late)) == [4, 4, 5]
    assert len(ids_in(late)) == 6


def test_segments_of_wide_rows_are_large_by_their_bytes(late: Home, monkeypatch):
    for number in range(4):
        answer(late, f"r{number}")
        seal(late, "late")
    size_bytes = max(one.size_bytes for one in segments(late))
    monkeypatch.setattr(stages, "JOINED_BYTES", 2 * size_bytes)
    compact(late, "late", at_least=1)
    assert [one.facts.rows for one in segments(late)] == [2, 2]
    monkeypatch.setattr(stages, "SMALL_BYTES", 1)
    assert compact(late, "late", at_least=1) == 0


def test_joining_beside_somebody_who_seals_changes_nothing(late: Home, monkeypatch):
    for number in range(3):
        answer(late, f"r{number}")
        seal(late, "late")
    real = rewriting.replace_segments

    def beaten(*args: Any, **kwargs: Any) -> int:
        with monkeypatch.context() as patched:
            patched.setattr(rewriting, "replace_segments", real)
            compact(late, "late", at_least=1)
        raise Conflict("in the meantime")

    monkeypatch.setattr(rewriting, "replace_segments", beaten)
    assert compact(late, "late", at_least=1) == 0
    assert len(segments(late)) == 1
    assert sorted(ids_in(late)) == ["r0", "r1", "r2"]


def test_a_round_seals_and_joins(late: Home, monkeypatch):
    monkeypatch.setattr(stages, "TOGETHER", 2)
    monkeypatch.setattr(compact, "__kwdefaults__", {"encrypt": None, "at_least": 2})
    for number in range(4):
        answer(late, f"r{number}")
        keep_in_order(late, "late")
    assert len(segments(late)) == 2
    assert sorted(ids_in(late)) == [f"r{number}" for number in range(4)]


# The ledger


def test_what_leaves_by_the_house_is_no_flaw_and_what_is_taken_by_hand_is(late: Home):
    log_prediction(late, "late", "row", 1, 5, {"x": [1.0]}, {"probability": [0.5]})
    answer(late, "old", days_ago=12)
    seal(late, "late")
    answer(late, "young", "erased")
    seal(late, "late")
    signed = anchor_ledger(late)
    erase_prediction(late, "late", "row", because="asked to")
    erase_prediction(late, "late", "erased", because="asked to")
    collect(late)
    compact(late, "late", at_least=0)
    assert verify_home(late, anchors=[signed.note], key=signed.key).flaws == ()
    again = anchor_ledger(late)
    with late.meta.transaction() as tx:
        tx.execute("UPDATE prediction_segment SET row_count = row_count + 1")
    assert verify_home(late, anchors=[again.note], key=again.key).flaws != ()


def test_a_deployment_without_a_log_has_none(late: Home):
    assert ids_in(late) == []
    assert traffic(late, "late").requests == 0
    assert not (log_place(late).folder / "late").exists()
