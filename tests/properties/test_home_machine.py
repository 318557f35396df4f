"""A home as a state machine: ledger, tokens and steps beside plain lists, however often it is opened."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taut.errors import Denied, NotFound
from taut.govern import create_token, end_token, show_ledger, show_tokens
from taut.ground.access import ROLES, Actor, identity_of_token, role_in
from taut.ground.clock import SetClock
from taut.ground.ledger import verify_ledger
from taut.ground.settings import make_folder
from taut.home import REFUSED_FIRST, open_home
from taut.pipelines.steps import Facts, list_steps, record_step

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
DAY_MS = 86_400_000
COLUMNS = ["at_ms", "actor", "kind", "subject", "body"]


class HomeMachine(RuleBasedStateMachine):
    """What the home was told, kept beside it in lists: events, tokens with their ends, steps with their facts."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.clock = SetClock(1_000_000)
        make_folder(self.folder)
        self.events: list[tuple[str, str]] = []
        self.tokens: dict[str, tuple[str, Actor, int | None]] = {}
        self.ended: set[str] = set()
        self.steps: dict[str, dict[str, Facts]] = {}

    @initialize()
    def begin(self) -> None:
        self.home = open_home(self.folder, actor=Actor("ada", "owner"), clock=self.clock)

    @rule()
    def open_again(self) -> None:
        self.home.close()
        self.begin()

    @rule(milliseconds=st.integers(0, 3 * DAY_MS))
    def time_passes(self, milliseconds: int) -> None:
        self.clock.pass_ms(milliseconds)

    @rule(
        subject=TEXT, body=st.dictionaries(TEXT, st.one_of(st.none(), st.integers(-(2**53), 2**53), TEXT), max_size=3)
    )
    def append(self, subject: str, body: dict[str, object]) -> None:
        with self.home.meta.transaction() as tx:
            self.home.append(tx, "thing.done", subject=subject, body=body)
        self.events.append(("thing.done", subject))

    @rule(subject=TEXT)
    def append_and_fail(self, subject: str) -> None:
        with pytest.raises(ZeroDivisionError), self.home.meta.transaction() as tx:
            self.home.append(tx, "thing.done", subject=subject)
            raise ZeroDivisionError

    @rule(role=st.sampled_from(sorted(ROLES.keys() - {"anonymous"})), days=st.integers(1, 3))
    def make_token(self, role: str, days: int) -> None:
        made = create_token(self.home, f"{role} {len(self.tokens)}", role, days=days)
        ends = self.clock.now_ms() + days * DAY_MS
        self.tokens[made.token.id] = (made.secret, Actor(made.token.name, role), ends)
        self.events.append(("token.created", f"token:{made.token.id}"))

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def revoke_token(self, data: st.DataObject) -> None:
        token_id = data.draw(st.sampled_from(sorted(self.tokens)))
        if token_id in self.ended:
            with pytest.raises(NotFound):
                end_token(self.home, token_id)
            return
        end_token(self.home, token_id)
        self.ended.add(token_id)
        self.events.append(("token.revoked", f"token:{token_id}"))

    @rule(role=st.sampled_from(["viewer", "serving", "anonymous", "stranger"]))
    def a_stranger_tries(self, role: str) -> None:
        with pytest.raises(Denied):
            create_token(self.home.as_actor(Actor("eve", role)), "mine", "owner")
        refused = ("access.denied", "actor:eve")
        if self.events.count(refused) < REFUSED_FIRST:  # More of the same are only counted.
            self.events.append(refused)

    @rule(plan=st.sampled_from(["alert:a", "alert:b"]), name=st.sampled_from(["export", "run", "gate"]), fact=TEXT)
    def record(self, plan: str, name: str, fact: str) -> None:
        known = self.steps.setdefault(plan, {})
        assert record_step(self.home, plan, name, {"fact": fact}) is (name not in known)
        if name not in known:
            known[name] = {"fact": fact}
            self.events.append(("loop.step", plan))

    @invariant()
    def the_ledger_is_what_was_done_in_order(self) -> None:
        if not hasattr(self, "home"):
            return
        told = show_ledger(self.home, limit=10_000)
        assert [(event.kind, event.subject) for event in told] == self.events
        assert [event.seq for event in told] == list(range(1, len(told) + 1))
        with self.home.meta.read() as tx:
            assert list(verify_ledger(tx)) == []

    @invariant()
    def each_token_stands_for_its_actor_until_it_ends(self) -> None:
        if not hasattr(self, "home"):
            return
        now_ms = self.clock.now_ms()
        with self.home.meta.read() as tx:
            for token_id, (secret, actor, ends) in self.tokens.items():
                works = token_id not in self.ended and (ends is None or now_ms < ends)
                found = identity_of_token(tx, secret, now_ms=now_ms)
                assert (found is not None) == works
                if found is not None:
                    assert Actor(found.name, role_in(found.roles, "default")) == actor
        assert {token.id for token in show_tokens(self.home)} == self.tokens.keys()

    @invariant()
    def steps_are_what_was_recorded_first(self) -> None:
        for plan, steps in self.steps.items():
            assert list_steps(self.home, plan) == steps

    @precondition(lambda self: len(self.events) > 1)
    @rule(data=st.data(), column=st.sampled_from(COLUMNS))
    def whoever_tampers_is_found_and_undone(self, data: st.DataObject, column: str) -> None:
        """Change one column of one entry behind our back: the walk names that entry. Then put it back."""
        seq = data.draw(st.integers(1, len(self.events)))
        (was,) = self.rows(f"SELECT {column} FROM ledger WHERE seq = :seq", seq)[0]
        changed = int(str(was)) + 1 if column == "at_ms" else f"{was}x"
        self.change(f"UPDATE ledger SET {column} = :value WHERE seq = :seq", seq, changed)
        with self.home.meta.read() as tx:
            told = " ".join(verify_ledger(tx))
        assert re.search(rf"entry {seq}\b", told), (seq, column, told)
        self.change(f"UPDATE ledger SET {column} = :value WHERE seq = :seq", seq, was)

    def rows(self, sql: str, seq: int):
        with self.home.meta.read() as tx:
            return tx.rows(sql, {"seq": seq})

    def change(self, sql: str, seq: int, value) -> None:
        with self.home.meta.transaction() as tx:
            tx.execute(sql, {"seq": seq, "value": value})

    def teardown(self) -> None:
        self.home.close()
        self.temporary.cleanup()


TestHome = HomeMachine.TestCase
TestHome.settings = settings(max_examples=20, stateful_step_count=15, deadline=None, derandomize=True)
