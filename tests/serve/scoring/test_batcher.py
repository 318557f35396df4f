"""Micro-batches: what arrives together is answered and logged together, each with its own answer."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.errors import Conflict, Corrupt, Invalid, NotFound, Unavailable
from taut.records import Prediction
from taut.serve.requests import Request
from taut.serve.scoring.batcher import LOOP_ROWS, ROWS_MAX
from taut.serve.scoring.limits import Limits
from taut.serve.scoring.pending import RequestFailed, TimedOut
from tests.serve.scoring.scenes import NOW_MS, KeptLog, Scene, asks, in_a_loop, outcome_of, until

# The property: answers are never mixed up


@dataclass(frozen=True)
class Asked:
    """A request of a drawn story: how many turns of the loop later it comes, what it asks, what it must get."""

    turns: int
    rows: int
    do: str
    id: str
    odd: bool


STORIES = st.lists(
    st.builds(
        Asked,
        turns=st.integers(0, 2),
        rows=st.integers(1, 5),
        do=st.sampled_from(["", "", "", "refuse", "raise"]),
        id=st.sampled_from(["", "", "", "a", "b"]),
        odd=st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=25,
)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
@given(story=STORIES)
@settings(max_examples=60, deadline=None)
def test_every_request_gets_its_own_answer_and_what_is_answered_is_logged(
    story: list[Asked], compiled: bool, blocks: bool
):
    asyncio.run(_told(story, KeptLog(blocks=blocks), compiled=compiled))


async def _told(story: list[Asked], log: KeptLog, *, compiled: bool) -> None:
    scene = Scene(compiled=compiled, log=log)
    waiting: list[tuple[Asked, Request, asyncio.Future[Any]]] = []
    for place, asked in enumerate(story):
        for _ in range(asked.turns):
            await asyncio.sleep(0)
        values = [1000.0 * place + row for row in range(asked.rows)]  # No two requests share a value.
        more: dict[str, list[Any]] = {"odd": [1] * asked.rows} if asked.odd else {}
        request = asks(*values, do=asked.do, request_id=asked.id, **more)
        waiting.append((asked, request, asyncio.ensure_future(outcome_of(scene.batcher, request))))
    async with asyncio.timeout(20):
        outcomes = [(asked, request, await future) for asked, request, future in waiting]
    good = [(asked, request, got) for asked, request, got in outcomes if isinstance(got, Prediction)]
    for asked, request, got in outcomes:
        if isinstance(got, Prediction):
            assert (asked.do, asked.odd) == ("", False)
            assert got.outputs == {"prediction": [value * 2 for value in numbers(request)]}
            assert got.id == asked.id if asked.id else len(got.id) == 32
            assert log.kept[got.id].inputs == request.columns
            assert log.kept[got.id].outputs == got.outputs
        elif asked.id and any(other.id == asked.id for other, _, _ in good):
            assert isinstance(got, Conflict | Invalid | RequestFailed)
        else:
            assert isinstance(got, RequestFailed if asked.do == "raise" and not asked.odd else Invalid)
    assert len({got.id for _, _, got in good}) == len(good) == len(log.kept)
    assert scene.meter.rows == sum(got.rows for _, _, got in good)
    assert (scene.batcher.waiting, scene.under_way.waiting) == (0, 0)
    scene.batcher.close()


def numbers(request: Request) -> list[Any]:
    """What a request asks to have doubled."""
    return [*request.columns["x"]]


# One turn, one call, one append


@in_a_loop
async def test_one_turn_is_one_call_and_one_append():
    log = KeptLog()
    scene = Scene(log=log)
    answers = await asyncio.gather(*(scene.batcher.answer(asks(float(n), n + 0.5)) for n in range(50)))
    assert [one.outputs["prediction"] for one in answers] == [[2.0 * n, 2 * n + 1.0] for n in range(50)]
    assert scene.model.calls == [100]
    (said,) = log.said
    assert (said.ids, said.counts, said.given) == ([one.id for one in answers], [2] * 50, [False] * 50)
    assert (said.revision, said.model, said.number, said.role, said.at_ms) == (3, "flights", 2, "live", NOW_MS)
    assert said.event_ms == [NOW_MS] * 50
    assert all(latency >= 0 for latency in said.latency_us)
    assert log.looked_up == []
    assert scene.meter.batches == [50]


@in_a_loop
async def test_a_call_has_so_many_rows_at_most_and_a_large_request_has_one_of_its_own():
    scene = Scene()
    sizes = [ROWS_MAX - 1, 1, 1, LOOP_ROWS + 1, 7]
    answers = await asyncio.gather(*(scene.batcher.answer(asks(*[1.0] * size)) for size in sizes))
    assert [one.rows for one in answers] == sizes
    assert sorted(scene.model.calls) == [8, ROWS_MAX, LOOP_ROWS + 1]
    scene.batcher.close()


@in_a_loop
async def test_one_bad_request_costs_its_neighbours_nothing_but_a_second_call():
    log = KeptLog()
    scene = Scene(log=log)
    asked = [asks(float(n), do="refuse" if n == 3 else "") for n in range(8)]
    outcomes = await asyncio.gather(*(outcome_of(scene.batcher, one) for one in asked))
    assert isinstance(outcomes[3], Invalid)
    assert sum(isinstance(one, Prediction) for one in outcomes) == 7
    assert len(log.said) == 1
    assert len(log.said[0].ids) == 7


# Ids that callers choose


@in_a_loop
async def test_an_id_asked_twice_in_one_turn_is_answered_once():
    log = KeptLog()
    scene = Scene(log=log)
    first, second, other = await asyncio.gather(
        outcome_of(scene.batcher, asks(1.0, request_id="a")),
        outcome_of(scene.batcher, asks(1.0, request_id="a")),
        outcome_of(scene.batcher, asks(2.0, request_id="a")),
    )
    assert first == second
    assert isinstance(other, Conflict)
    assert scene.model.calls == [1]
    assert [said.given for said in log.said] == [[True]]


@pytest.mark.parametrize("blocks", [False, True])
@in_a_loop
async def test_an_id_that_was_answered_before_gets_the_stored_answer(blocks: bool):
    scene = Scene(log=KeptLog(blocks=blocks))
    first = await scene.batcher.answer(asks(1.0, request_id="a"))
    again = await scene.batcher.answer(asks(1.0, request_id="a"))
    assert (again.id, again.outputs) == (first.id, first.outputs)
    assert isinstance(await outcome_of(scene.batcher, asks(3.0, request_id="a")), Conflict)
    assert scene.model.calls == [1]
    scene.batcher.close()


@in_a_loop
async def test_who_asks_other_things_under_the_id_of_a_request_that_fails_is_asked_himself():
    scene = Scene(log=KeptLog())
    failed, same, other = await asyncio.gather(
        outcome_of(scene.batcher, asks(1.0, do="raise", request_id="a")),
        outcome_of(scene.batcher, asks(1.0, do="raise", request_id="a")),
        outcome_of(scene.batcher, asks(2.0, request_id="a")),
    )
    assert isinstance(failed, RequestFailed)
    assert isinstance(same, RequestFailed)
    assert isinstance(other, Prediction)
    assert other.outputs["prediction"] == [4.0]


@in_a_loop
async def test_ids_without_a_log_are_only_names():
    scene = Scene()
    first, second = await asyncio.gather(*(scene.batcher.answer(asks(n, request_id="a")) for n in (1.0, 2.0)))
    assert (first.outputs["prediction"], second.outputs["prediction"]) == ([2.0], [4.0])
    assert first.id == second.id == "a"


@in_a_loop
async def test_an_id_that_cannot_be_looked_up_is_not_answered():
    log = KeptLog()
    log.fails = OSError("no disk")
    scene = Scene(log=log)
    problem = await outcome_of(scene.batcher, asks(1.0, request_id="a"))
    assert isinstance(problem, Unavailable)
    assert "no disk" not in problem.message
    assert scene.model.calls == []


@pytest.mark.parametrize("blocks", [False, True])
@in_a_loop
async def test_an_id_that_another_process_answers_in_this_moment_gets_that_answer(blocks: bool):
    log = KeptLog(blocks=blocks)
    theirs = Prediction("late", "a", 2, "flights", 1, 5, 6, 1, {"x": [1.0], "do": [""]}, {"prediction": [99.0]})
    log.elsewhere["a"] = theirs
    scene = Scene(log=log)
    got = await scene.batcher.answer(asks(1.0, request_id="a"))
    assert (got.outputs, got.revision, got.number, got.at_ms, got.event_ms) == (theirs.outputs, 2, 1, 5, 6)
    assert isinstance(await outcome_of(scene.batcher, asks(3.0, request_id="a")), Conflict)
    assert log.said == []
    scene.batcher.close()


# The log


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize(("fails", "kind"), [(OSError("no space"), Unavailable), (NotFound("no such"), NotFound)])
@in_a_loop
async def test_what_cannot_be_written_down_was_not_said(blocks: bool, fails: Exception, kind: type[Exception]):
    log = KeptLog(blocks=blocks)
    log.fails = fails
    scene = Scene(log=log)
    outcomes = await asyncio.gather(*(outcome_of(scene.batcher, asks(float(n))) for n in range(5)))
    assert [type(one) for one in outcomes] == [kind] * 5
    assert scene.batcher.writer.fails
    assert scene.meter.rows == 0
    scene.batcher.close()


@pytest.mark.parametrize("blocks", [False, True])
@in_a_loop
async def test_an_entry_that_the_log_refuses_harms_no_other(blocks: bool):
    log = KeptLog(blocks=blocks)
    log.fails, log.bad = Corrupt("this one"), {"bad"}
    scene = Scene(log=log)
    ids = ["good-1", "bad", "good-2"]
    outcomes = await asyncio.gather(*(outcome_of(scene.batcher, asks(1.0, request_id=one)) for one in ids))
    assert [type(one) for one in outcomes] == [Prediction, Corrupt, Prediction]
    assert log.kept.keys() == {"good-1", "good-2"}
    scene.batcher.close()


@in_a_loop
async def test_the_meter_knows_since_when_an_answer_waits_for_the_log():
    scene = Scene(log=KeptLog(blocks=True))
    await scene.batcher.answer(asks(1.0))
    begun, ended = scene.meter.since
    assert begun > 0
    assert ended == 0
    scene.batcher.close()


# Deadlines and bounds


@pytest.mark.parametrize("compiled", [False, True])
@in_a_loop
async def test_a_log_that_hangs_is_not_waited_for_and_keeps_what_it_gets(compiled: bool):
    log = KeptLog(blocks=True)
    scene = Scene(compiled=compiled, log=log, limits=Limits(answer_s=0.05))
    log.gate.clear()
    problem = await outcome_of(scene.batcher, asks(1.0))
    assert isinstance(problem, TimedOut)
    log.gate.set()
    await until(lambda: scene.batcher.waiting == 0)
    assert log.kept.keys() == {problem.request_id}
    scene.batcher.close()


@in_a_loop
async def test_an_engine_that_breaks_its_word_is_an_error_and_no_wait(monkeypatch: pytest.MonkeyPatch):
    scene = Scene(compiled=False)

    async def raises(*_: object, **named: object) -> list[Any]:
        raise RuntimeError("not supposed to")

    monkeypatch.setattr(scene.batcher.backend.engine, "score", raises)  # As a defect would.
    problem = await outcome_of(scene.batcher, asks(1.0))
    assert isinstance(problem, RuntimeError)
    assert (scene.batcher.waiting, scene.under_way.waiting) == (0, 0)
    scene.batcher.close()


@in_a_loop
async def test_a_defect_in_a_batch_ends_it_with_errors(monkeypatch: pytest.MonkeyPatch):
    scene = Scene()

    def breaks(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(scene.batcher.writer, "say", breaks)
    outcomes = await asyncio.gather(*(outcome_of(scene.batcher, asks(float(n))) for n in range(3)))
    assert [type(one) for one in outcomes] == [RuntimeError] * 3
    assert (scene.batcher.waiting, scene.under_way.waiting) == (0, 0)


@in_a_loop
async def test_a_late_answer_is_kept_under_the_id_that_was_told():
    log = KeptLog()
    scene = Scene(compiled=False, log=log, limits=Limits(answer_s=0.05))
    scene.model.gate.clear()
    problem = await outcome_of(scene.batcher, asks(1.0, do="wait"))
    assert isinstance(problem, TimedOut)
    scene.model.gate.set()
    await until(lambda: scene.batcher.waiting == 0)
    assert log.kept.keys() == {problem.request_id}
    scene.batcher.close()


@in_a_loop
async def test_who_waited_too_long_goes_and_the_late_answer_is_kept_for_the_next_try():
    scene = Scene(compiled=False, log=KeptLog(), limits=Limits(answer_s=0.05))
    scene.model.gate.clear()
    assert isinstance(await outcome_of(scene.batcher, asks(1.0, do="wait", request_id="a")), TimeoutError)
    assert scene.batcher.waiting == 1  # The model still has it.
    scene.model.gate.set()
    await until(lambda: scene.batcher.waiting == 0)
    again = await scene.batcher.answer(asks(1.0, do="wait", request_id="a"))
    assert again.outputs["prediction"] == [2.0]
    assert scene.model.calls == [1]
    scene.batcher.close()


@in_a_loop
async def test_who_follows_a_request_that_hangs_goes_at_his_own_deadline():
    scene = Scene(compiled=False, log=KeptLog(), limits=Limits(answer_s=0.05))
    scene.model.gate.clear()
    asked = [outcome_of(scene.batcher, asks(1.0, do="wait", request_id="a")) for _ in range(3)]
    assert [type(one) for one in await asyncio.gather(*asked)] == [TimedOut] * 3
    scene.model.gate.set()
    await until(lambda: scene.batcher.waiting == 0)
    assert scene.under_way.waiting == 0
    scene.batcher.close()


@in_a_loop
async def test_a_client_that_left_leaves_nothing_behind():
    scene = Scene(compiled=False, log=KeptLog())
    scene.model.gate.clear()
    leaves = asyncio.ensure_future(outcome_of(scene.batcher, asks(1.0, do="wait")))
    await until(lambda: scene.model.calls == [1])
    leaves.cancel()
    scene.model.gate.set()
    await until(lambda: scene.batcher.waiting == 0)
    assert (await scene.batcher.answer(asks(2.0))).outputs["prediction"] == [4.0]
    scene.batcher.close()


@in_a_loop
async def test_a_full_queue_takes_no_more_and_uneven_columns_are_no_part_of_it():
    scene = Scene(limits=Limits(waiting=1))
    uneven = await outcome_of(scene.batcher, Request({"x": [1.0], "do": []}))
    assert "'do' has 0 rows" in str(uneven)
    first = asyncio.ensure_future(scene.batcher.answer(asks(1.0)))
    await asyncio.sleep(0)
    assert isinstance(await outcome_of(scene.batcher, asks(2.0)), Unavailable)
    assert (await first).outputs["prediction"] == [2.0]
    assert (await scene.batcher.answer(asks(2.0))).outputs["prediction"] == [4.0]


@in_a_loop
async def test_a_failure_of_the_model_is_told_by_an_id_and_written_by_it(capfd: pytest.CaptureFixture[str]):
    scene = Scene(log=KeptLog())
    problem = await outcome_of(scene.batcher, asks(1.0, do="raise"))
    assert isinstance(problem, RequestFailed)
    assert problem.request_id in str(problem)
    assert f"request {problem.request_id}: the model failed\nTraceback" in (written := capfd.readouterr().err)
    assert "RuntimeError: told to" in written


@in_a_loop
async def test_warming_up_is_seen_by_nobody():
    log = KeptLog()
    scene = Scene(log=log)
    assert await scene.batcher.warm_up({"x": [1.0], "do": [""]}) == {"prediction": [2.0]}
    assert (log.said, scene.meter.batches, scene.meter.rows) == ([], [], 0)
    scene.batcher.close()
