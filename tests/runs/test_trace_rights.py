"""Traces under grants: what was given or taken away on an experiment counts for all that is traced in it."""

from collections.abc import Callable

import pytest

from taut.errors import Denied, NotFound
from taut.home import Home
from taut.runs import create_experiment, create_run
from taut.runs.traces import (
    Assessment,
    Trace,
    assess_trace,
    delete_traces,
    get_assessment,
    get_trace,
    link_traces,
    list_traces,
    log_spans,
    page_of_traces,
    resolve_trace,
    start_trace,
    tag_trace,
    trace_detail,
    trace_details,
)
from tests.runs.test_run_rights import granted, user

MINE, THEIRS = f"tr-{1:032x}", f"tr-{2:032x}"
READS = {"get", "detail", "resolve"}
WRITES = READS | {"tag", "assess", "start", "log", "link"}
LEVELS = {"NO_PERMISSIONS": set[str](), "READ": READS, "EDIT": WRITES, "MANAGE": WRITES | {"delete"}}


@pytest.fixture
def ids(home: Home) -> dict[str, str]:
    """Two experiments, a run in one and a trace in each."""
    made = {name: create_experiment(home, name).id for name in ("mine", "theirs")}
    for name, trace_id in (("mine", MINE), ("theirs", THEIRS)):
        create_run(home, experiment=name, run_id=f"{name}-run")
        start_trace(home, Trace(trace_id, made[name], 5, 6, "OK"))
    return made


def acts(home: Home, experiment_id: str) -> dict[str, Callable[[], object]]:
    return {
        "get": lambda: get_trace(home, THEIRS),
        "detail": lambda: trace_detail(home, THEIRS),
        "resolve": lambda: resolve_trace(home, THEIRS),
        "tag": lambda: tag_trace(home, THEIRS, "a", "b"),
        "assess": lambda: assess_trace(home, Assessment("", THEIRS, "good", "feedback", {"value": 1})),
        "start": lambda: start_trace(home, Trace(THEIRS, experiment_id, 5, 6, "OK")),
        "log": lambda: log_spans(home, experiment_id, []),
        "link": lambda: link_traces(home, [THEIRS], "theirs-run"),
        "delete": lambda: delete_traces(home, experiment_id, trace_ids=[THEIRS]),
    }


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_on_an_experiment_lets_do_what_it_says_on_its_traces(home: Home, ids: dict[str, str], level: str):
    vera = user(home)
    granted(home, vera, ids["theirs"], level)
    passed = set()
    for name, act in acts(vera, ids["theirs"]).items():
        try:
            act()
        except Denied:
            continue
        passed.add(name)
    assert passed == LEVELS[level]


def test_lists_and_searches_leave_out_what_is_hidden(home: Home, ids: dict[str, str]):
    vera = user(home)
    granted(home, vera, ids["theirs"], "NO_PERMISSIONS")
    everywhere = list(ids.values())
    assert [trace.id for trace in page_of_traces(vera, everywhere).traces] == [MINE]
    assert [trace.id for trace in list_traces(vera, [MINE, THEIRS])] == [MINE]
    assert [detail.trace.id for detail in trace_details(vera, [MINE, THEIRS])] == [MINE]
    assert page_of_traces(vera, [ids["theirs"]]).traces == ()
    assert len(page_of_traces(home, everywhere).traces) == 2


def test_a_run_of_ones_own_takes_no_trace_of_others(home: Home, ids: dict[str, str]):
    vera = user(home)
    granted(home, vera, ids["mine"], "EDIT")
    link_traces(vera, [MINE], "mine-run")
    with pytest.raises(Denied):
        link_traces(vera, [MINE, THEIRS], "mine-run")
    with pytest.raises(Denied):
        assess_trace(vera, Assessment("", THEIRS, "good", "feedback", {"value": 1}))


def test_what_is_not_there_is_said_not_to_be(home: Home, ids: dict[str, str]):
    vera = user(home)
    granted(home, vera, ids["mine"], "EDIT")
    with pytest.raises(NotFound):
        get_trace(vera, f"tr-{9:032x}")
    with pytest.raises(NotFound):
        get_assessment(vera, MINE, "a-none")
