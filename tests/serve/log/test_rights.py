"""Who may do what with a log: fronts write it and read none of it, who reads it may not write, privacy alone erases."""

from collections.abc import Callable
from typing import Any

import pytest

from taut.errors import Conflict, Denied
from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.home import Home, open_home
from taut.serve import (
    find_answer,
    find_prediction,
    list_predictions,
    log_labels,
    log_prediction,
    predicted_rows,
    traffic,
)
from taut.serve.log.expiring import erase_prediction
from taut.serve.log.rows import known_requests
from taut.serve.log.sealing import seal
from taut.serve.log.segments import Sealing, forget_journals, record_segment, sealing_progress
from taut.serve.log.taking import take_records
from tests.serve.log.scenes import said, say
from tests.serve.scenes import record, register

ACTS: dict[str, Callable[[Home], Any]] = {
    "log": lambda home: log_prediction(home, "late", "new", 1, 5, {"x": [1.0]}, {"probability": [0.5]}),
    "stored": lambda home: find_answer(home, "late", "a"),
    "known": lambda home: known_requests(home, "late", ["a"]),
    "progress": lambda home: sealing_progress(home, "late", []),
    "seal": lambda home: record_segment(home, "late", b"", None, [Sealing("j", 0, 1)], 1),
    "take": lambda home: take_records(home, "late", [], [Sealing("k", 0, 0)]),
    "unsealed": lambda home: forget_journals(home, "late", ["j"]),
    "show": lambda home: find_prediction(home, "a"),
    "list": lambda home: list_predictions(home, "late"),
    "rows": lambda home: predicted_rows(home, "late"),
    "traffic": lambda home: traffic(home, "late"),
    "label": lambda home: log_labels(home, "late", {"a.0": 1.0}),
    "erase": lambda home: erase_prediction(home, "late", "a", because="asked to"),
}
# Written out, and held against what the verbs say: + may, - may not.
WANTED = """
          viewer data-scientist ml-engineer approver auditor dpo project-admin scope:predict scope:read serving
log       -      +              +           -        -       -   +             +             -          +
stored    -      +              +           -        -       -   +             +             -          +
known     -      +              +           -        -       -   +             +             -          +
progress  -      +              +           -        -       -   +             +             -          +
seal      -      +              +           -        -       -   +             +             -          +
take      -      +              +           -        -       -   +             +             -          +
unsealed  -      +              +           -        -       -   +             +             -          +
show      -      +              +           -        -       +   +             -             -          -
list      -      +              +           -        -       +   +             -             -          -
rows      -      +              +           -        -       +   +             -             -          -
traffic   -      +              +           -        -       +   +             -             -          -
label     -      +              +           -        -       -   +             +             -          +
erase     -      -              -           -        -       +   -             -             -          -
"""
ROLES, *LINES = [line.split() for line in WANTED.strip().splitlines()]
CASES = [
    (act, role, mark == "+") for act, *marks in LINES for role, mark in zip(ROLES, marks, strict=True)
]  # fmt: skip


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory):
    """A home with an answer in a segment; no act here changes what another one asks."""
    from taut.ground.settings import make_folder

    project = tmp_path_factory.mktemp("rights")
    make_folder(project)
    with open_home(project, actor=Actor("ada", "owner"), clock=SetClock(1_700_000_000_000)) as home:
        register(home)
        record(home)
        say(home, said("a"))
        seal(home, "late")
        yield home


def test_the_table_names_every_act():
    assert [act for act, *_ in LINES] == list(ACTS)


@pytest.mark.parametrize(("act", "role", "may"), [case for case in CASES if case[0] != "erase"])
def test_who_may_do_what(late: Home, act: str, role: str, may: bool):
    home = late.as_actor(Actor("eve", role))
    if may:
        try:
            ACTS[act](home)
        except Conflict:
            assert act == "seal"  # It was done by somebody before.
    else:
        with pytest.raises(Denied):
            ACTS[act](home)


@pytest.mark.parametrize(("role", "may"), [case[1:] for case in CASES if case[0] == "erase"])
def test_who_may_erase(late: Home, role: str, may: bool):
    name = f"of-{role}"
    say(late, said(name))
    home = late.as_actor(Actor("eve", role))
    if may:
        erase_prediction(home, "late", name, because="asked to")
        assert find_answer(late, "late", name) is None
    else:
        with pytest.raises(Denied):
            erase_prediction(home, "late", name, because="asked to")
        assert find_answer(late, "late", name) is not None
