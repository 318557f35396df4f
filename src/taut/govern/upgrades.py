"""What upgrades did to the tables after an anchor was made, so that all they left alone is still held against it.

It is read from the migrations themselves: so it costs nothing when a home is upgraded, and counts for anchors that were
made before anybody thought of it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from taut.govern.tables import CATALOGUE, EXEMPT, SCOPES, Scope
from taut.ground.meta.migrate import STEP, in_dialect, migrations

STEPS: dict[str, tuple[str, ...]] = {"merkle_log": ("ledger", "ledger_tile"), "ledger_turn": ()}
"""The tables whose rows a step in Python writes: nothing else says so."""


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The columns that were added, the tables that were made, and those whose rows are no more what they were."""

    added: Mapping[str, frozenset[str]]
    made: frozenset[str]
    rewritten: frozenset[str]
    is_any: bool

    def compares(self, scope: Scope) -> bool:
        """Whether what is digested of a scope now, without the columns that were added, is what was digested then.

        A scope whose groups are told apart by what an upgrade brought lay in other groups before.
        """
        if scope is CATALOGUE:
            return not self.is_any
        if scope.table in self.made | self.rewritten:
            return False
        words = set(re.findall(r"\w+", " ".join((*scope.key, scope.join, *scope.order, scope.where))))
        new = self.made | self.rewritten | self.added.get(scope.table, frozenset())
        return not words & new

    @property
    def lost(self) -> tuple[str, ...]:
        """The tables that were there, and that no anchor of before tells anything of."""
        regrouped = {one.table for one in SCOPES if one.table not in self.made and not self.compares(one)}
        return tuple(sorted((self.rewritten | regrouped) - EXEMPT.keys()))


def upgraded_since(schema: int, dialect: str) -> Upgraded:
    """What the migrations past this number did, in this dialect.

    Raises ValueError for one that does what is not understood here, which no migration of this version does.
    """
    later = [one for one in migrations() if one.number > schema]
    followed = _Followed()
    for migration in later:
        for statement in migration.statements:
            followed.follow(in_dialect(dialect, statement))
    added = {table: frozenset(columns) for table, columns in followed.added.items()}
    return Upgraded(added, frozenset(followed.made), frozenset(followed.rewritten), bool(later))


@dataclass(slots=True)
class _Followed:
    added: dict[str, set[str]] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    rewritten: set[str] = field(default_factory=set)

    def follow(self, statement: str) -> None:
        if step := STEP.fullmatch(statement):
            if step[1] not in STEPS:
                raise ValueError(f"nothing says which tables the step {step[1]} writes")
            for table in STEPS[step[1]]:
                self._rewrite(table)
            return
        words = re.findall(r"\w+|[^\w\s]", re.sub(r"'[^']*'", "''", statement))
        match words:
            case [] | ["CREATE", "INDEX" | "UNIQUE", *_] | ["DROP", "INDEX", *_] | ["ALTER", "TABLE", _, "SET", *_]:
                pass  # For another dialect, or of the shape alone, which is told of as the catalogue.
            case ["CREATE", "TABLE", table, *_]:
                self._make(table)
            case ["DROP", "TABLE", table]:
                self._drop(table)
            case ["ALTER", "TABLE", table, "RENAME", "TO", name]:
                self._drop(table)
                self._make(name)
            case ["ALTER", "TABLE", table, "ADD", "COLUMN", column, *_]:
                if table not in self.made:
                    self.added.setdefault(table, set()).add(column)
            case ["UPDATE", table, "SET", *rest]:
                if not set(_assigned(rest)) <= self.added.get(table, set()):
                    self._rewrite(table)
            case (
                ["ALTER", "TABLE", table, "DROP" | "RENAME" | "ALTER", "COLUMN", *_]
                | ["INSERT", "INTO", table, *_]
                | ["DELETE", "FROM", table, *_]
            ):
                self._rewrite(table)
            case _:
                raise ValueError(f"what it does to the tables is not understood: {statement}")

    def _make(self, table: str) -> None:
        """One under the name of another that was there is not what that was."""
        if table not in self.rewritten:
            self.made.add(table)

    def _drop(self, table: str) -> None:
        self._rewrite(table)
        self.made.discard(table)

    def _rewrite(self, table: str) -> None:
        if table not in self.made:
            self.rewritten.add(table)


def _assigned(words: Sequence[str]) -> Iterator[str]:
    """The columns that are set by what stands behind SET."""
    depth, expected = 0, True
    for word in words:
        if depth == 0 and word in ("WHERE", "FROM"):
            return
        if expected:
            yield word
        depth += (word == "(") - (word == ")")
        expected = depth == 0 and word == ","
