"""The ledger and the lineage: nothing in the past can be changed unseen, and every arrow can be walked both ways."""

import contextlib
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.ground.ledger import (
    Happening,
    Tree,
    Walk,
    append_event,
    append_events,
    downstream,
    draw_arrow,
    events,
    next_events,
    take_turn,
    upstream,
    verify_ledger,
)
from taut.ground.ledger.entries import commitment_of, leaf_of
from taut.ground.ledger.merkle import EMPTY_ROOT
from taut.ground.meta import connect_metadata
from taut.ground.meta.within import Within
from taut.home import open_home
from tests.parts import eventually


def fill(home, count: int = 5) -> None:
    for number in range(count):
        with home.meta.transaction() as tx:
            home.append(tx, "thing.done", subject=f"thing:{number}", body={"number": number})


def problems(home) -> list[str]:
    with home.meta.read() as tx:
        return list(verify_ledger(tx))


def test_entries_are_numbered_from_one_and_hashed(home):
    fill(home)
    with home.meta.read() as tx:
        entries = events(tx)
    assert [event.seq for event in entries] == [1, 2, 3, 4, 5]
    assert len({event.digest for event in entries}) == 5
    assert {event.actor for event in entries} == {"ada"}
    assert problems(home) == []


def test_the_hash_of_an_entry_is_what_the_docs_say(home):
    fill(home, 1)
    with home.meta.read() as tx:
        ((salt, leaf),) = tx.rows("SELECT salt, leaf FROM ledger")
    body = hashlib.sha256(salt + b'{"number":0}').hexdigest()
    said = f'{{"seq":1,"at_ms":1700000000000,"actor":"ada","kind":"thing.done","subject":"thing:0","body":"{body}"}}'
    assert leaf == hashlib.sha256(b"\x00" + said.encode()).digest()


def test_the_same_twice_has_two_hashes(home):
    """Whoever guesses a short body cannot find out from its hash whether it is right."""
    with home.meta.transaction() as tx:
        append_events(tx, [Happening("thing.done", "thing:1", "ada", 1, {"email": "ada@example.org"})] * 2)
        salts = {salt for (salt,) in tx.rows("SELECT salt FROM ledger")}
    assert len(salts) == 2
    assert {len(salt) for salt in salts} == {16}


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        ("UPDATE ledger SET body = '{\"number\":7}' WHERE seq = 3", "entry 3 .* was changed"),
        ("UPDATE ledger SET actor = 'eve' WHERE seq = 1", "entry 1 .* was changed"),
        ("UPDATE ledger SET kind = 'thing.undone' WHERE seq = 2", "entry 2 .* was changed"),
        ("UPDATE ledger SET subject = 'thing:9' WHERE seq = 2", "entry 2 .* was changed"),
        ("UPDATE ledger SET salt = (SELECT salt FROM ledger WHERE seq = 1) WHERE seq = 2", "entry 2 .* was changed"),
        ("UPDATE ledger SET leaf = (SELECT leaf FROM ledger WHERE seq = 1) WHERE seq = 2", "entry 2 .* was changed"),
        ("UPDATE ledger SET commitment = leaf WHERE seq = 4", "entry 4 .* was changed"),
        ("UPDATE ledger SET body = NULL WHERE seq = 4", "entry 4 .* was changed"),
        ("UPDATE ledger SET salt = NULL WHERE seq = 4", "entry 4 .* was changed"),
        ("UPDATE ledger SET body = NULL, salt = NULL WHERE seq = 4", "entry 4 .* was changed"),
        ("UPDATE ledger SET body = NULL, salt = NULL, commitment = leaf WHERE seq = 4", "entry 4 .* was changed"),
        ("DELETE FROM ledger WHERE seq = 2", "entry 2 is missing"),
        ("UPDATE ledger SET seq = 6 WHERE seq = 5", "entry 5 is missing"),
        (
            (
                "INSERT INTO ledger SELECT -7, at_ms, actor, kind, subject, body, salt, commitment, leaf,"
                " token, request, client FROM ledger WHERE seq = 1"
            ),
            "entry 1 is missing; the next is -7",
        ),
        ("UPDATE ledger SET at_ms = at_ms - 1 WHERE seq = 5", "entry 5 .* was changed"),
        ("UPDATE ledger SET token = 'ab' WHERE seq = 5", "entry 5 .* was changed"),
        ("UPDATE ledger SET token = '' WHERE seq = 5", "entry 5 .* was changed"),
        ("UPDATE ledger SET request = 'ab' WHERE seq = 5", "entry 5 .* was changed"),
        ("UPDATE ledger SET client = '127.0.0.1' WHERE seq = 5", "entry 5 .* was changed"),
    ],
)
def test_every_change_behind_our_back_is_told(home, tampering, said):
    fill(home)
    with home.meta.transaction() as tx:
        tx.execute(tampering)
    assert any(re.search(said, problem) for problem in problems(home))


def test_a_body_that_is_gone_without_an_entry_of_its_erasure_is_told(home):
    """The row is what an erasure leaves, and the tree fits it: only that nobody said so tells the two apart."""
    fill(home)
    with home.meta.transaction() as tx:
        ((body, salt),) = tx.rows("SELECT body, salt FROM ledger WHERE seq = 4")
        gone = "UPDATE ledger SET body = NULL, salt = NULL, commitment = :commitment WHERE seq = 4"
        tx.execute(gone, {"commitment": commitment_of(salt, body)})
    assert problems(home) == ["the body of ledger entry 4 is gone, and no entry says that it was erased"]
    with home.meta.transaction() as tx:
        home.append(tx, "ledger.erased", subject="entry:4")
    assert problems(home) == []


def test_an_entry_without_any_hash_is_told(home):
    fill(home)
    with home.meta.transaction() as tx:
        tx.execute("UPDATE ledger SET leaf = :none, body = NULL WHERE seq = 2", {"none": b""})
    assert problems(home) == ["ledger entry 2 (thing.done) was changed after it was written"]


@pytest.mark.parametrize("value", ["'words'", "x'00'", "1.5"])
@pytest.mark.parametrize("column", ["at_ms", "actor", "body", "salt", "commitment", "leaf"])
def test_a_column_that_holds_another_kind_of_value_is_told_and_stops_nothing(project, column, value):
    """SQLite stores anything anywhere."""
    with open_home(project) as home:
        fill(home)
        with home.meta.transaction() as tx:
            tx.execute(f"UPDATE ledger SET {column} = {value} WHERE seq = 2")
        assert problems(home) == ["ledger entry 2 (thing.done) was changed after it was written"]


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        (
            "UPDATE ledger_tile SET hashes = (SELECT hashes FROM ledger_tile WHERE level = 1) WHERE place = 1",
            "tile 1 of",
        ),
        ("UPDATE ledger_tile SET place = 7 WHERE place = 1", "tile 7 of level 0 .* is not one"),
        ("UPDATE ledger_tile SET level = 2 WHERE level = 1", "tile 0 of level 1 .* does not hold"),
        ("DELETE FROM ledger_tile WHERE level = 0 AND place = 0", "tile 0 of level 0 .* does not hold"),
        ("DELETE FROM ledger WHERE seq > 300", "tile 1 of level 0 .* is not one"),
    ],
)
def test_every_change_of_a_tile_is_told(home, tampering, said):
    with home.meta.transaction() as tx:
        append_events(tx, [Happening("thing.done", "thing:1", "ada", 1)] * 600)
    assert problems(home) == []
    with home.meta.transaction() as tx:
        tx.execute(tampering)
    assert any(re.search(said, problem) for problem in problems(home))


def test_an_entry_and_its_hashes_changed_together_have_another_root(home):
    """What the rows alone cannot tell: whoever owns the database writes all of it anew. A root from before tells."""
    fill(home)
    with home.meta.read() as tx:
        walk = Walk(tx, [3, 5])
        assert list(walk.problems()) == []
        assert walk.roots == {0: EMPTY_ROOT, 3: Tree(tx).root(3), 5: Tree(tx).root(5)}
    with home.meta.transaction() as tx:
        ((body, salt),) = tx.rows("SELECT body, salt FROM ledger WHERE seq = 4")
        leaf = leaf_of(4, 1_700_000_000_000, "eve", "thing.done", "thing:3", commitment_of(salt, body))
        tx.execute("UPDATE ledger SET actor = 'eve', leaf = :leaf WHERE seq = 4", {"leaf": leaf})
    with home.meta.read() as tx:
        other = Walk(tx, [3, 5])
        assert list(other.problems()) == []
        assert other.roots[3] == walk.roots[3]
        assert other.roots[5] != walk.roots[5]


def test_roots_are_told_for_every_size_that_is_there(home):
    with home.meta.transaction() as tx:
        append_events(tx, [Happening("thing.done", "thing:1", "ada", 1)] * 700)
    sizes = [1, 255, 256, 257, 512, 699, 700, 701]
    with home.meta.read() as tx:
        walk = Walk(tx, sizes)
        assert list(walk.problems()) == []
        assert walk.roots == {0: EMPTY_ROOT, **{size: Tree(tx).root(size) for size in sizes[:-1]}}
        assert walk.size == 700


@pytest.mark.parametrize("kind", ["run.logged", "run.created"])
def test_an_index_leads_to_the_entries_of_a_kind_and_a_subject(project, kind):
    with open_home(project) as home, home.meta.transaction() as tx:
        for number in range(500):
            append_event(tx, "run.logged", subject=f"run:{number % 20}", actor="ada", at_ms=number)
        for number in range(5):
            append_event(tx, "run.created", subject=f"run:{number}", actor="ada", at_ms=number)
        tx.execute("ANALYZE")
        found = events(tx, kind=kind, after=400, limit=1000)
        assert len(found) == (100 if kind == "run.logged" else 5)
        assert next_events(tx, [kind, "run.ended"], after=400, limit=3) == found[:3]
        assert [event.kind for event in events(tx, kind=kind, subject="run:3", after=460)] == [kind] * len(
            range(463, 500, 20) if kind == "run.logged" else [1]
        )
        plans = [explained(tx, kind=kind), explained(tx, subject="run:3")]
    assert ("ledger_by_kind" in plans[0]) == (kind != "run.logged")  # The other is found along the numbers.
    assert "SCAN" not in plans[0]
    assert "ledger_by_subject" in plans[1]


def explained(tx, **chosen) -> str:
    """How SQLite finds entries."""

    class Explaining:
        def rows(self, sql, parameters):
            self.plan = " ".join(str(row[-1]) for row in tx.rows(f"EXPLAIN QUERY PLAN {sql}", parameters))
            return []

    one = Explaining()
    events(one, after=3, **chosen)  # type: ignore[arg-type]  # It reads, and no more.
    return one.plan


def test_writers_of_several_connections_get_numbers_without_a_gap(home):
    """Some of them change their mind: what they appended is gone, and its number goes to the next."""

    def write(writer: int) -> int:
        kept = 0
        for number in range(25):
            with contextlib.suppress(ZeroDivisionError), home.meta.transaction() as tx:
                append_events(tx, [Happening("thing.done", f"thing:{writer}", "ada", number)] * (1 + number % 3))
                if number % 5 == 4:
                    raise ZeroDivisionError
                kept += 1 + number % 3
        return kept

    with ThreadPoolExecutor(6) as pool:
        kept = sum(pool.map(write, range(6)))
    with home.meta.read() as tx:
        assert [seq for (seq,) in tx.rows("SELECT seq FROM ledger ORDER BY seq")] == list(range(1, kept + 1))
        assert list(verify_ledger(tx)) == []


def test_of_two_who_take_their_turn_one_waits_for_the_other(home):
    """On PostgreSQL: in SQLite nobody begins to write before the other has ended."""
    if home.meta.dialect == "sqlite":
        return
    order: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with home.meta.transaction() as tx:
            assert take_turn(tx).end == 0

            def second() -> int:
                with home.meta.transaction() as other:
                    order.append("asks")
                    end = take_turn(other).end
                    order.append("has it")
                    return end

            waiting = pool.submit(second)
            eventually(lambda: order == ["asks"], what="the second")
            append_event(tx, "thing.done", subject="thing:1", actor="ada", at_ms=1)
            assert order == ["asks"]
        assert waiting.result(30) == 1


def test_what_a_block_within_a_transaction_appended_is_undone_alone(home):
    with home.meta.transaction() as tx:
        within = Within(home.meta, tx)
        home.append(tx, "thing.done", subject="thing:1")
        with pytest.raises(ZeroDivisionError), within.transaction() as inner:
            home.append(inner, "thing.done", subject="thing:never")
            raise ZeroDivisionError
        home.append(tx, "thing.done", subject="thing:2")
    with home.meta.read() as tx:
        assert [(event.seq, event.subject) for event in events(tx)] == [(1, "thing:1"), (2, "thing:2")]
        assert list(verify_ledger(tx)) == []


def test_an_actor_whose_name_is_no_text_is_refused(home):
    with pytest.raises(Invalid, match="not UTF-8"), home.meta.transaction() as tx:
        append_event(tx, "thing.done", subject="thing:1", actor="half \ud800", at_ms=1)


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
def test_any_texts_make_a_ledger_that_verifies(tmp_path_factory, entries):
    meta = connect_metadata(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'meta.db'}")
    for subject, body in entries:
        with meta.transaction() as tx:
            append_event(tx, "thing.done", subject=subject, actor="ada", at_ms=1, body=body)
    with meta.read() as tx:
        assert list(verify_ledger(tx)) == []
        assert len(events(tx)) == len(entries)
    meta.close()
