"""Callers' ids that were answered elsewhere or before: they are known here, and answered with what was said then."""

import shutil

import pytest

from taut.errors import Conflict
from taut.home import Home
from taut.serve import log_prediction
from taut.serve.log import Policy, log_place
from taut.serve.log.learning import learn_answers, prepare
from taut.serve.log.sealing import seal
from tests.serve.log.scenes import opened, said, say
from tests.serve.scenes import record, register

POLICY = Policy()


@pytest.fixture
def late(home: Home) -> Home:
    """A home with the deployment `late`."""
    register(home)
    record(home)
    return home


def lose_all(home: Home) -> None:
    """As on another machine, or where somebody removed the folder."""
    shutil.rmtree(log_place(home).folder / "late")


@pytest.mark.parametrize("encrypt", [None, True])
def test_a_machine_that_lost_its_files_learns_ids_from_segments(late: Home, encrypt: bool | None):
    policy = Policy(encrypt=encrypt)
    say(
        late,
        said("a", "b", given=True, counts=[1, 2]),
        said("ours"),
        said("s", given=True, role="shadow"),
        policy=policy,
    )
    seal(late, "late", encrypt=encrypt)
    if encrypt is None:  # Else the digests go with their key: then what was asked cannot be compared any more.
        lose_all(late)
    else:
        for path in (log_place(late).folder / "late").glob("ids.db*"):
            path.unlink()
    prepare(late, "late", policy)
    log = opened(late, policy)
    found = log.answered(["a", "b", "ours", "s"])
    assert sorted(found) == ["a", "b"]
    assert (found["b"].outputs, found["b"].rows) == ({"probability": [0.25, 0.25]}, 2)
    assert log.same("b", found["b"], {"delay": [1.5, 2.5], "carrier": ["UA", "UA"]}) is found["b"]
    with pytest.raises(Conflict):
        log.same("b", found["b"], {"delay": [1.5, 9.0], "carrier": ["UA", "UA"]})
    log.close()


def test_rows_of_the_database_are_known_before_the_first_answer(late: Home):
    log_prediction(late, "late", "row", 1, 5, {"x": [1.0, 2.0]}, {"probability": [0.5, 0.75]})
    prepare(late, "late", POLICY)
    log = opened(late)
    found = log.answered(["row"])["row"]
    assert (found.outputs, found.revision, found.event_ms) == ({"probability": [0.5, 0.75]}, 1, 5)
    assert log.same("row", found, {"x": [1, 2]}) is found
    with pytest.raises(Conflict):
        log.same("row", found, {"x": [1, 3]})
    log.close()


def test_what_is_known_is_not_learnt_again_and_what_is_new_is(late: Home):
    say(late, said("a", given=True))
    seal(late, "late")
    assert learn_answers(late, "late", POLICY) == 0  # This machine answered it.
    folder = log_place(late).folder
    folder.rename(folder.with_name("here"))
    say(late, said("far", "further", given=True))
    seal(late, "late")
    shutil.rmtree(folder)
    folder.with_name("here").rename(folder)
    log_prediction(late, "late", "row", 1, 5, {"x": [1.0]}, {"probability": [0.5]})
    assert learn_answers(late, "late", POLICY) == 3
    assert learn_answers(late, "late", POLICY) == 0
    log_prediction(late, "late", "row2", 1, 5, {"x": [1.0]}, {"probability": [0.5]})
    assert late.clock.now_ms() == 1_700_000_000_000  # In the very same millisecond: it is looked at with the next one.
    late.clock.pass_ms(1)  # type: ignore[attr-defined]  # It is one that is set.
    log_prediction(late, "late", "row3", 1, 5, {"x": [1.0]}, {"probability": [0.5]})
    assert learn_answers(late, "late", POLICY) == 2
    log = opened(late)
    assert sorted(log.answered(["a", "far", "further", "row", "row2", "row3"])) == [
        "a",
        "far",
        "further",
        "row",
        "row2",
        "row3",
    ]
    log.close()


def test_where_nobody_serves_nothing_is_learnt(late: Home):
    log_prediction(late, "late", "row", 1, 5, {"x": [1.0]}, {"probability": [0.5]})
    assert learn_answers(late, "late", POLICY) == 0
    assert not log_place(late).folder.exists()
