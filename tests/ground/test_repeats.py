"""Refusals that repeat: the first of a window is written, others are counted, and nobody writes without an end."""

from hypothesis import given
from hypothesis import strategies as st

from taut.ground.access.repeats import KINDS_MAX, SOURCES_MAX, WINDOW_S, Repeats


def test_the_first_of_a_window_is_written_and_the_next_window_tells_how_many_were_not():
    repeats = Repeats()
    assert [repeats.take("i", "a", now_s=at) for at in (0, 1, 2, WINDOW_S - 1)] == [(True, 0)] + [(False, 0)] * 3
    assert repeats.take("i", "b", now_s=5) == (True, 0)
    assert repeats.take("j", "a", now_s=5) == (True, 0)
    assert repeats.take("i", "a", now_s=WINDOW_S) == (True, 3)
    assert repeats.take("i", "a", now_s=2 * WINDOW_S) == (True, 0)


@given(st.lists(st.text(min_size=1, max_size=3), max_size=300))
def test_a_source_that_does_something_else_each_time_writes_no_more_than_is_allowed(kinds: list[str]):
    repeats = Repeats()
    written = sum(repeats.take("i", kind, now_s=1)[0] for kind in kinds)
    assert written <= KINDS_MAX + 1
    assert repeats.take("i", "last", now_s=WINDOW_S + 1) == (True, len(kinds) - written)


def test_what_is_remembered_is_bounded_by_sources_too():
    repeats = Repeats()
    for number in range(SOURCES_MAX + 10):
        repeats.take(f"{number}", "a", now_s=number / 1000)
    assert len(repeats._windows) == SOURCES_MAX
    assert repeats.take("5", "a", now_s=2) == (True, 0)  # Forgotten, being the oldest.


def test_more_than_the_first_may_be_written_and_no_kind_without_an_end():
    repeats = Repeats()
    assert [repeats.take("i", "a", now_s=0, first=3)[0] for _ in range(5)] == [True, True, True, False, False]
    written = sum(repeats.take("i", f"{number % 100}", now_s=1, first=3)[0] for number in range(1000))
    assert 3 + written == KINDS_MAX + 1
    assert repeats.take("i", "a", now_s=WINDOW_S, first=3) == (True, 2 + 1000 - written)
    assert repeats.take("i", "a", now_s=WINDOW_S, first=3) == (True, 0)
