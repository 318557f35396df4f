"""The ledger and the lineage: nothing in the past can be changed unseen, and every arrow can be walked both ways."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.ground.ledger import append_event, downstream, draw_arrow, events, upstream, verify_ledger
from taut.ground.meta import connect_metadata


def fill(home, count: int = 5) -> None:
    for number in range(count):
        with home.meta.transaction() as tx:
            home.append(tx, "thing.done", subject=f"thing:{number}", body={"number": number})


def problems(home) -> list[str]:
    with home.meta.read() as tx:
        return list(verify_ledger(tx))


def test_entries_are_numbered_from_one_and_chained(home):
    fill(home)
    with home.meta.read() as tx:
        chain = events(tx)
    assert [event.seq for event in chain] == [1, 2, 3, 4, 5]
    assert [event.previous for event in chain[1:]] == [event.digest for event in chain[:-1]]
    assert {event.actor for event in chain} == {"ada"}
    assert problems(home) == []


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        ("UPDATE ledger SET body = '{\"number\":7}' WHERE seq = 3", "entry 3 .* was changed"),
        ("UPDATE ledger SET actor = 'eve' WHERE seq = 1", "entry 1 .* was changed"),
        ("DELETE FROM ledger WHERE seq = 2", "entry 2 is missing"),
        ("DELETE FROM ledger WHERE seq = 5", "ends at entry 4"),
        ("UPDATE ledger SET at_ms = at_ms - 1 WHERE seq = 5", "entry 5 .* was changed"),
    ],
)
def test_every_change_behind_our_back_is_told(home, tampering, said):
    fill(home)
    with home.meta.transaction() as tx:
        tx.execute(tampering)
    assert any(re.search(said, problem) for problem in problems(home))


def test_an_entry_undone_with_its_change_leaves_no_gap(home):
    fill(home, 1)
    with pytest.raises(ZeroDivisionError), home.meta.transaction() as tx:
        home.append(tx, "thing.done", subject="thing:never")
        raise ZeroDivisionError
    fill(home, 1)
    assert problems(home) == []


def test_events_are_chosen_by_kind_and_subject_and_paged(home):
    fill(home)
    with home.meta.read() as tx:
        assert [event.subject for event in events(tx, subject="thing:3")] == ["thing:3"]
        assert events(tx, kind="other") == []
        assert [event.seq for event in events(tx, after=3, limit=1)] == [4]


def test_an_arrow_drawn_twice_is_one_arrow(home):
    for _ in range(2):
        with home.meta.transaction() as tx:
            draw_arrow(tx, "data:a@1", "read-by", "run:1", at_ms=0)
    with home.meta.read() as tx:
        assert len(upstream(tx, "run:1")) == 1


def test_the_line_is_walked_to_both_ends_and_circles_end(home):
    with home.meta.transaction() as tx:
        for source, target in ("ab", "bc", "cd", "db", "xb"):
            draw_arrow(tx, source, "led-to", target, at_ms=0)
    with home.meta.read() as tx:
        assert {arrow.source for arrow in upstream(tx, "d")} == {"a", "b", "c", "d", "x"}
        assert {arrow.target for arrow in downstream(tx, "a")} == {"b", "c", "d"}
        assert upstream(tx, "nowhere") == []


@given(st.lists(st.tuples(st.text(max_size=20), st.dictionaries(st.text(max_size=5), st.integers())), max_size=8))
def test_any_texts_make_a_chain_that_verifies(tmp_path_factory, entries):
    meta = connect_metadata(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'meta.db'}")
    for subject, body in entries:
        with meta.transaction() as tx:
            append_event(tx, "thing.done", subject=subject, actor="ada", at_ms=1, body=body)
    with meta.read() as tx:
        assert list(verify_ledger(tx)) == []
        assert len(events(tx)) == len(entries)
    meta.close()
