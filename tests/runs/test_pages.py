"""Pages by place: whatever is written meanwhile, no row comes twice and none that stayed is left out."""

import base64
import random
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.runs import (
    MetricPoint,
    create_logged_model,
    create_run,
    delete_run,
    log_batch,
    metric_history,
    page_of,
    page_of_runs,
    search_logged_models,
)
from taut.runs.pages import check_page_size, read_token, token_of

PLACES = st.lists(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=8), st.floats(-1e9, 1e9)), max_size=4
)
# Tokens that nobody was given: no base64, no JSON, no list, another length, other kinds, numbers past any column.
FORGED = [
    "x",
    "????",
    "\ud800",
    "ü",
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    base64.urlsafe_b64encode(b'{"a":1}').decode(),
    base64.urlsafe_b64encode(b"[[1]]").decode(),
    base64.urlsafe_b64encode(b"[true, {}]").decode(),
    token_of([]),
    token_of([1]),
    token_of([1, 2, 3, 4, 5, 6, 7]),
    token_of([2**63, 0, 0]),
    token_of([0, -(2**63) - 1]),
]


def ids(page) -> list[str]:
    return [detail.run.id for detail in page.runs]


# Tokens


@given(PLACES)
def test_a_token_says_again_what_it_was_made_of(place):
    assert read_token(token_of(place), length=len(place)) == place


@given(PLACES, st.integers(0, 5))
def test_a_token_answers_only_a_question_of_its_length(place, length):
    if length != len(place):
        with pytest.raises(Invalid, match="another question"):
            read_token(token_of(place), length=length)


@given(st.text(max_size=40))
def test_any_text_is_a_token_or_invalid_and_nothing_else(text):
    try:
        place = read_token(text, length=2)
    except Invalid:
        return
    assert place is None or len(place) == 2


def test_no_token_is_the_first_page():
    assert read_token("", length=7) is None


# Pages of runs


@pytest.mark.parametrize("token", FORGED)
def test_a_forged_token_is_invalid_wherever_pages_are_asked_for(home, token):
    create_run(home, run_id="r")
    log_batch(home, "r", metrics=[MetricPoint("m", 1.0)])
    for ask in (
        lambda: page_of_runs(home, ["0"], page_token=token),
        lambda: page_of_runs(home, ["0"], order_by=["metrics.m", "name"], page_token=token),
        lambda: search_logged_models(home, ["0"], page_token=token),
        lambda: metric_history(home, "r", "m", page_token=token),
    ):
        with pytest.raises(Invalid):
            ask()


@pytest.mark.parametrize("place", [["text", "r"], [None, None], [2**70, "r"], [0, 5], [1.5, "r"], [0, "a\x00b"]])
def test_a_token_of_the_right_length_with_other_kinds_inside_ends_the_pages_or_is_invalid(home, place):
    create_run(home, run_id="r")
    try:
        assert ids(page_of_runs(home, ["0"], page_token=token_of(place))) in ([], ["r"])
    except Invalid as told:
        assert told.message


@pytest.mark.parametrize("size", [0, -1, 50_001])
def test_a_page_of_no_or_too_many_rows_is_refused(home, size):
    for ask in (
        lambda: page_of_runs(home, ["0"], max_results=size),
        lambda: search_logged_models(home, ["0"], max_results=size),
        lambda: check_page_size(size),
    ):
        with pytest.raises(Invalid, match="for parameter 'max_results' supplied: it is between 1 and 50000"):
            ask()


@pytest.mark.parametrize("order", [[], ["metrics.m DESC"], ["params.p", "run_id DESC"], ["name"]])
def test_runs_that_come_and_go_between_pages_neither_repeat_nor_hide_those_that_stay(home, order):
    chance = random.Random(3)
    stay = {f"stay{number}" for number in range(8)}
    for run in sorted(stay):
        create_run(home, run_id=run, name=f"n{chance.randrange(4)}")
        metrics = [MetricPoint("m", float(chance.randrange(3)))] if chance.random() < 0.7 else []
        log_batch(home, run, metrics=metrics, params={"p": str(chance.randrange(3))} if chance.random() < 0.7 else {})
        create_run(home, run_id=f"go-{run}")
    seen: list[str] = []
    token, number = "", 0
    while True:
        page = page_of_runs(home, ["0"], order_by=order, max_results=3, page_token=token)
        seen += ids(page)
        if not (token := page.next_page):
            break
        home.clock.pass_ms(chance.randrange(2))
        create_run(home, run_id=f"come{number}", name=f"n{number % 4}")
        delete_run(home, f"go-stay{number}")
        number += 1
        assert number < 8, "the pages do not end"
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)


def test_a_writer_beside_the_reader_makes_no_row_come_twice_or_stay_away(home):
    first = [f"old{number:02}" for number in range(20)]
    for run in first:
        create_run(home, run_id=run)
    reading = threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            assert reading.wait(30)
            for number in range(20):
                create_run(home, run_id=f"new{number:02}", started_ms=1_700_000_000_000 + (number % 3) - 1)
        except BaseException as problem:  # noqa: BLE001  # A thread has no other way to tell the test.
            failed.append(problem)

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[str] = []
    token = ""
    while True:
        page = page_of_runs(home, ["0"], max_results=2, page_token=token)
        seen += ids(page)
        reading.set()
        if not (token := page.next_page):
            break
    writer.join(60)
    assert not failed and not writer.is_alive()
    assert len(seen) == len(set(seen))
    assert set(first) <= set(seen)
    assert len(ids(page_of_runs(home, ["0"]))) == 40


def test_a_page_that_is_exactly_full_is_the_last(home):
    for number in range(4):
        create_run(home, run_id=f"r{number}")
    first = page_of_runs(home, ["0"], max_results=2)
    second = page_of_runs(home, ["0"], max_results=2, page_token=first.next_page)
    assert first.next_page and not second.next_page
    assert len({*ids(first), *ids(second)}) == 4


def test_runs_of_one_moment_are_paged_by_their_ids(home):
    for run in ("b", "C", "a", "D"):
        create_run(home, run_id=run)
    pages, token = list[str](), ""
    for _ in range(4):
        page = page_of_runs(home, ["0"], max_results=1, page_token=token)
        pages, token = pages + ids(page), page.next_page
    assert pages == ["C", "D", "a", "b"]
    assert not token


# Rows in memory


@given(st.lists(st.integers(0, 99), unique=True, max_size=30), st.integers(1, 7))
def test_pages_in_memory_put_together_are_the_whole(rows, size):
    got, token = list[int](), ""
    for _ in range(len(rows) + 1):
        page, token = page_of(rows, token, size, key=str)
        got += page
        assert len(page) <= size
        if not token:
            break
    assert got == rows
    assert not token


def test_in_memory_a_row_before_the_page_that_comes_or_goes_shifts_nothing():
    _, token = page_of(["a", "b", "c", "d"], "", 2, key=str)
    assert page_of(["new", "a", "b", "c", "d"], token, 2, key=str)[0] == ["c", "d"]
    assert page_of(["b", "c", "d"], token, 2, key=str)[0] == ["c", "d"]


@pytest.mark.parametrize("place", [["gone", "x"], ["gone", None], ["gone", -3], ["gone", 1.5], [None, "1e9"], [[], 1]])
def test_a_forged_place_in_memory_is_invalid(place):
    token = base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()
    with pytest.raises(Invalid, match="token"):
        page_of(["a", "b"], token, 1, key=str)


def test_logged_models_that_come_while_somebody_pages_do_not_repeat(home):
    for number in range(5):
        create_logged_model(home, "0", name=f"m{number}") if number else create_run(home, run_id="r")
        home.clock.pass_ms(10)
    first = search_logged_models(home, ["0"], max_results=2)
    create_logged_model(home, "0", name="new")
    second = search_logged_models(home, ["0"], max_results=9, page_token=first.next_page)
    assert [one.name for one in (*first.models, *second.models)] == ["m4", "m3", "m2", "m1"]


# Points of a metric


def test_points_that_are_logged_while_somebody_pages_neither_repeat_nor_hide_others(home):
    create_run(home, run_id="r")
    log_batch(home, "r", metrics=[MetricPoint("m", float(step), step) for step in range(10)])
    first = metric_history(home, "r", "m", max_results=4)
    log_batch(home, "r", metrics=[MetricPoint("m", 0.5, 1, 7), MetricPoint("m", 10.0, 10)])
    second = metric_history(home, "r", "m", max_results=50, page_token=first.next_page)
    steps = [point.step for point in (*first.points, *second.points)]
    assert steps == list(range(11))
