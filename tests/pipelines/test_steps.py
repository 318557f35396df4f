"""The memory of the loop: a step is recorded once, whoever races for it, and its facts stand on either database."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taut.errors import NotFound
from taut.govern import check_home, show_ledger
from taut.ground.access import Actor
from taut.ground.clock import SetClock, new_id
from taut.home import Home, open_home
from taut.pipelines.steps import Facts, close_plan, list_steps, record_step
from taut.records import Alert
from taut.watch import list_alerts
from taut.watch.alerts import raise_alert

PLAN = "alert:late:1"
FACTS = st.dictionaries(
    st.text(max_size=9),
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    max_size=5,
)


def pass_ms(home: Home, milliseconds: int) -> None:
    assert isinstance(home.clock, SetClock)
    home.clock.pass_ms(milliseconds)


def test_a_plan_that_nobody_began_has_no_steps(home: Home):
    assert list_steps(home, PLAN) == {}
    assert show_ledger(home, kind="loop.step") == []


def test_a_step_is_recorded_once_and_its_first_facts_stand(home: Home):
    assert record_step(home, PLAN, "export", {"learn": 1})
    assert not record_step(home, PLAN, "export", {"learn": 2})
    assert list_steps(home, PLAN) == {"export": {"learn": 1}}


def test_steps_are_listed_in_the_order_they_were_done(home: Home):
    for name in ("snapshot", "export", "run", "close"):
        record_step(home, PLAN, name, {})
        pass_ms(home, 1)
    assert list(list_steps(home, PLAN)) == ["snapshot", "export", "run", "close"]


def test_steps_of_one_moment_are_listed_by_name(home: Home):
    for name in ("run", "close", "export"):
        record_step(home, PLAN, name, {})
    assert list(list_steps(home, PLAN)) == ["close", "export", "run"]


def test_a_step_recorded_again_later_keeps_its_place(home: Home):
    for name in ("run", "close", "run"):
        record_step(home, PLAN, name, {})
        pass_ms(home, 1)
    assert list(list_steps(home, PLAN)) == ["run", "close"]


def test_plans_do_not_see_the_steps_of_each_other(home: Home):
    assert record_step(home, PLAN, "export", {"learn": 1})
    assert record_step(home, PLAN + "0", "export", {"learn": 2})
    assert list_steps(home, PLAN) == {"export": {"learn": 1}}
    assert list_steps(home, PLAN + "0") == {"export": {"learn": 2}}


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"none": None, "yes": True, "no": False},
        {"zero": 0, "large": 2**63 - 1, "small": -(2**63)},
        {"third": 1 / 3, "tiny": 5e-324, "whole": 1.0},
        {"text": "naïve ✓ \n\t\"quoted\" 'too'", "empty": "", "": "nameless"},
    ],
)
def test_facts_survive_with_their_kinds(home: Home, facts: Facts):
    record_step(home, PLAN, "export", facts)
    found = list_steps(home, PLAN)["export"]
    assert found == facts
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in facts.items()}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(FACTS)
def test_any_facts_are_read_as_they_were_recorded(home: Home, facts: Facts):
    plan = new_id()
    assert record_step(home, plan, "export", facts)
    assert list_steps(home, plan) == {"export": facts}


def test_two_racing_recorders_store_one(home: Home):
    begin = Barrier(2)

    def record(who: int) -> bool:
        begin.wait(10)
        return record_step(home, PLAN, "run", {"who": who})

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(record, range(2)))
    assert sorted(said) == [False, True]
    assert list_steps(home, PLAN) == {"run": {"who": said.index(True)}}
    assert len(show_ledger(home, kind="loop.step")) == 1


def test_two_homes_on_one_project_store_one(home: Home):
    begin = Barrier(2)

    def record(who: int) -> bool:
        with open_home(home.project, actor=Actor(f"loop{who}", "owner")) as own:
            begin.wait(10)
            return record_step(own, PLAN, "run", {"who": who})

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(record, range(2)))
    assert sorted(said) == [False, True]
    (entry,) = show_ledger(home, kind="loop.step")
    assert entry.actor == f"loop{said.index(True)}"
    assert list_steps(home, PLAN) == {"run": {"who": said.index(True)}}


def test_steps_are_there_after_the_home_was_closed(home: Home):
    record_step(home, PLAN, "export", {"learn": 3})
    with open_home(home.project, actor=Actor("ben", "owner")) as again:
        assert list_steps(again, PLAN) == {"export": {"learn": 3}}
        assert not record_step(again, PLAN, "export", {"learn": 4})


def test_the_ledger_has_one_entry_for_each_step(home: Home):
    for name in ("export", "run", "export", "run", "close"):
        record_step(home, PLAN, name, {"secret": name})
    entries = show_ledger(home, kind="loop.step")
    assert [(entry.subject, entry.body) for entry in entries] == [
        (PLAN, '{"step":"export"}'),
        (PLAN, '{"step":"run"}'),
        (PLAN, '{"step":"close"}'),
    ]
    assert check_home(home).problems == ()


def test_an_alert_is_handled_and_its_last_step_recorded_together_or_not_at_all(home):
    alert = Alert("1", "late", 1, 0, "errors", "page", "", {}, "open", 0)
    with home.meta.transaction() as tx:
        raise_alert(home, tx, alert)
    assert close_plan(home, alert.id, "close", "retrained") == {"verdict": "retrained"}
    assert close_plan(home, alert.id, "close", "again") == {"verdict": "again"}  # What was recorded first stands.
    assert list_steps(home, alert.point) == {"close": {"verdict": "retrained"}}
    assert [one.status for one in list_alerts(home)] == ["handled"]
    with pytest.raises(NotFound):
        close_plan(home, "nothing", "close", "retrained")
    assert list_steps(home, "alert:nothing") == {}
