"""A canary and its counters, on both databases: nothing is counted twice, and what is too bad is taken back once."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from math import log
from pathlib import Path

import pytest

from taut.deploy import Changed, find_deployment, list_revisions, record_deployment, roll_back, told
from taut.errors import Denied, Invalid, NotFound
from taut.ground import wire
from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.ground.ledger import events
from taut.ground.meta import connect_metadata
from taut.ground.objects import connect_objects
from taut.home import Home
from taut.records import Backend, Deployment
from taut.serve.rollout.canaries import Judged, Tally, judge_rollout, show_standing
from taut.serve.rollout.counted import tally_of
from taut.serve.rollout.judging import Counts
from tests.marks import POSTGRESQL_SLOW
from tests.serve.scenes import register

BOUNDS_MS = (5.0, 50.0)


@pytest.fixture(params=POSTGRESQL_SLOW)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """A home whose endpoint `late` has version 1 live and 2 as its canary, in revision 1."""
    here = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'meta.db'}" if here else request.getfixturevalue("migrated_postgres_url")
    folder = tmp_path / "project" / ".taut"
    folder.mkdir(parents=True)
    made = Home(
        str(folder.parent), folder, connect_metadata(url), connect_objects(f"file://{folder / 'objects'}"),
        Actor("ada", "owner"), SetClock(1_000),
    )  # fmt: skip
    with made:
        for factor in (0.1, 0.2):
            register(made, factor=factor)
        share(made, 0.05)
        yield made


def share(home: Home, weight: float, **rollback: object) -> int:
    """Give the canary a share; returns the revision."""
    config = {"rollout": {"rollback": rollback}}
    others = (Backend("late", 2, weight, "canary"),)
    return record_deployment(home, "late", "late", 1, "process", config, "manual", others=others).revision


def counts(requests: int, errors: int = 0, slow: int = 0) -> Counts:
    return Counts(requests, errors, (requests - slow, 0, slow))


def tally(live: Counts, canary: Counts, *, source: str = "7:1", revision: int = 1) -> Tally:
    return Tally(source, revision, BOUNDS_MS, live, canary)


GOOD = tally(counts(950, 9), counts(50, 1))
BAD = tally(counts(9_500, 90), counts(500, 100))


def test_a_canary_that_does_as_well_stays(home: Home):
    judged = judge_rollout(home, "late", GOOD)
    assert (judged.canary, judged.answered, judged.at_this_share, judged.taken_back) == ("late@2", 50, 50, False)
    assert (judged.revision, judged.text) == (1, "nothing speaks against it")
    assert show_standing(home, "late") == judged


def test_counts_that_were_seen_are_counted_once_whoever_brings_them(home: Home):
    first = judge_rollout(home, "late", GOOD)
    assert judge_rollout(home, "late", GOOD) == first
    more = judge_rollout(home, "late", tally(counts(1_900, 18), counts(100, 2)))
    assert more.answered == 100
    other = judge_rollout(home, "late", tally(counts(950, 9), counts(50), source="8:2"))
    assert other.answered == 150
    begun_anew = judge_rollout(home, "late", tally(counts(95), counts(5)))
    assert begun_anew.answered == 155


def test_a_look_at_requests_of_one_alone_is_put_off_and_loses_nothing(home: Home):
    assert judge_rollout(home, "late", tally(counts(500), counts(0))).answered == 0
    assert judge_rollout(home, "late", tally(counts(500), counts(20))).answered == 20
    assert judge_rollout(home, "late", tally(counts(500), counts(40))).answered == 20
    assert judge_rollout(home, "late", tally(counts(501), counts(40))).answered == 40


def test_a_canary_that_fails_is_taken_back_with_the_evidence_in_the_ledger(home: Home):
    judge_rollout(home, "late", GOOD)
    judged = judge_rollout(home, "late", BAD)
    assert (judged.taken_back, judged.revision) == (True, 2)
    assert judged.evidence["errors"] > log(200)
    newest = find_deployment(home, "late")
    assert (told(newest.backends), newest.cause) == ("late@1", "rollback:errors")
    assert newest.reason.startswith("late@2: 100 of 500 requests failed, where 90 of 9500 of live's did")
    with home.meta.read() as tx:
        (event,) = events(tx, kind="deployment.rolled_back", subject="deployment:late@1")
    evidence = json.loads(event.body)["evidence"]
    assert (evidence["canary"], evidence["requests"], evidence["error_hits"]) == ("late@2", 500, 90)
    assert evidence["e_value"] > 200
    again = judge_rollout(home, "late", BAD)
    assert (again.taken_back, again.canary, again.text) == (False, "", "it has no canary")
    assert find_deployment(home, "late").revision == 2


def test_a_slow_canary_is_taken_back_too(home: Home):
    judged, looks = judge_rollout(home, "late", tally(counts(950), counts(50))), 1
    while not judged.taken_back and looks < 5:
        looks += 1
        slow = 40 * (looks - 1)
        judged = judge_rollout(home, "late", tally(counts(looks * 950), counts(looks * 50, slow=slow)))
    assert (judged.taken_back, looks) == (True, 2)
    assert find_deployment(home, "late").cause == "rollback:latency"
    assert "took longer than 50 ms, where 0 of" in find_deployment(home, "late").reason


def test_where_the_policy_says_so_a_bad_canary_stays_and_the_verdict_is_told(home: Home):
    revision = share(home, 0.05, automatic=False)
    judged = judge_rollout(home, "late", replace(BAD, revision=revision))
    assert (judged.taken_back, judged.revision) == (False, revision)
    assert "100 of 500 requests failed" in judged.text
    assert show_standing(home, "late").text == judged.text


def test_what_is_allowed_is_what_the_revision_says(home: Home):
    revision = share(home, 0.05, errors=0.3)
    assert not judge_rollout(home, "late", replace(BAD, revision=revision)).taken_back
    revision = share(home, 0.05, min_requests=1_001)
    assert not judge_rollout(home, "late", replace(BAD, revision=revision)).taken_back


def test_the_evidence_goes_on_over_the_steps_and_anew_for_another_try(home: Home):
    before = judge_rollout(home, "late", GOOD)
    revision = share(home, 0.25)
    assert show_standing(home, "late").at_this_share == 0
    late = judge_rollout(home, "late", tally(counts(9_999), counts(9_999, 9_999), revision=1))
    assert late.answered == before.answered, "counts of the share before come too late"
    after = judge_rollout(home, "late", tally(counts(950), counts(250), revision=revision))
    assert (after.answered, after.at_this_share) == (300, 250)
    roll_back(home, "late")
    revision = share(home, 0.05)
    assert judge_rollout(home, "late", replace(GOOD, revision=revision)).answered == 50


def test_a_judge_that_was_killed_before_the_rollback_finds_the_same_evidence(home: Home):
    """What it had stored is stored; here the rollback is what somebody else's revision kept from happening."""
    revision = share(home, 0.05, automatic=False)
    judge_rollout(home, "late", replace(BAD, revision=revision))
    revision = share(home, 0.05)
    judged = judge_rollout(home, "late", tally(counts(95), counts(5), source="9:9", revision=revision))
    assert judged.taken_back


def test_of_many_judges_at_once_one_takes_it_back(home: Home):
    begin, found, problems = threading.Barrier(6), [], []

    def judge() -> None:
        begin.wait(10)
        try:
            found.append(judge_rollout(home, "late", BAD))
        except Exception as problem:  # noqa: BLE001  # Told below.
            problems.append(problem)

    threads = [threading.Thread(target=judge) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert [one.revision for one in list_revisions(home, "late")] == [2, 1]
    assert sum(judged.taken_back for judged in found) >= 1
    assert {judged.answered for judged in found} <= {0, 500}


def test_what_is_no_canary_or_no_count_is_told(home: Home):
    with pytest.raises(NotFound):
        judge_rollout(home, "lat", GOOD)
    with pytest.raises(Invalid, match="do not fit"):
        judge_rollout(home, "late", replace(GOOD, bounds_ms=(1.0,)))
    assert show_standing(home, "late").answered == 0
    record_deployment(home, "late", "late", 1, "process", {}, "manual")
    assert judge_rollout(home, "late", GOOD).text == show_standing(home, "late").text == "it has no canary"


def test_a_viewer_may_see_how_it_stands_and_not_judge(home: Home):
    viewer = home.as_actor(Actor("eve", "viewer"))
    assert show_standing(viewer, "late").canary == "late@2"
    with pytest.raises(Denied):
        judge_rollout(viewer, "late", GOOD)


EXPOSED = r"""# HELP taut_requests_total Prediction requests answered, by HTTP status.
# TYPE taut_requests_total counter
taut_requests_total{deployment="late",model="late",version="1",revision="1",code="200"} 900
taut_requests_total{deployment="late",model="late",version="1",revision="1",code="400"} 40
taut_requests_total{deployment="late",model="late",version="1",revision="1",code="503"} 10 1700000000
taut_requests_total{deployment="late",model="late",version="2",revision="1",role="canary",code="200"} 5e1
taut_requests_total{deployment="late",model="late",version="2",revision="0",code="500"} 70
taut_requests_total{deployment="late",model="la\"te",version="2",revision="1",code="500"} 70
taut_request_seconds_bucket{deployment="late",model="late",version="1",revision="1",le="0.005"} 900
taut_request_seconds_bucket{deployment="late",model="late",version="1",revision="1",le="0.05"} 945
taut_request_seconds_bucket{deployment="late",model="late",version="1",revision="1",le="+Inf"} 950
taut_request_seconds_bucket{deployment="late",model="late",version="2",revision="1",le="0.005"} 50
taut_request_seconds_bucket{deployment="late",model="late",version="2",revision="1",le="0.05"} 50
taut_request_seconds_bucket{deployment="late",model="late",version="2",revision="1",le="+Inf"} 50
taut_request_seconds_count{deployment="late",model="late",version="2",revision="1"} 50
taut_log_lag_seconds{deployment="late"} NaN
"""


def test_counters_are_read_off_what_prometheus_reads(home: Home):
    deployment = find_deployment(home, "late")
    read = tally_of(EXPOSED, deployment, "7:1")
    assert read == Tally("7:1", 1, (5.0, 50.0), Counts(950, 10, (900, 45, 5)), Counts(50, 0, (50, 0, 0)))
    assert judge_rollout(home, "late", read).answered == 50
    assert tally_of("", deployment, "7:1") is None
    assert tally_of(EXPOSED.replace('revision="1"', 'revision="3"'), deployment, "7:1") is None
    assert tally_of(EXPOSED, roll_back(home, "late").deployment, "7:1") is None


@pytest.mark.parametrize(("good", "bad"), [("} 900", "} many"), ("} 900", "} NaN"), ('le="0.05"', 'le="soon"')])
def test_a_counter_that_cannot_be_read_is_told(home: Home, good: str, bad: str):
    with pytest.raises(Invalid, match="cannot be read"):
        tally_of(EXPOSED.replace(good, bad), find_deployment(home, "late"), "7:1")


def test_all_of_it_can_be_asked_for_over_http(home: Home):
    """The words of each verb as a client sends them, and its answer as one reads it."""
    said = wire.decode(judge_rollout.receive(home, wire.encode({"deployment": "late", "tally": GOOD})), Judged)
    assert (said.answered, said.canary) == (50, "late@2")
    body = {"name": "late", "cause": "rollback", "evidence": {"e_value": 300.5, "seen": [1, 2]}}
    done = wire.decode(roll_back.receive(home, wire.encode(body)), Changed)
    assert (done.changed, told(done.deployment.backends)) == (True, "late@1")
    others = [{"model": "late", "number": 2, "weight": 0.05, "role": "canary"}]
    made = {"name": "late", "model": "late", "number": 1, "target": "process", "config": {}, "cause": "x"}
    answer = record_deployment.receive(home, wire.encode({**made, "others": others, "after": 2}))
    assert wire.decode(answer, Deployment) == find_deployment(home, "late")
    with pytest.raises(Invalid):
        record_deployment.receive(home, wire.encode({**made, "others": [{"model": "late", "number": "2"}]}))
