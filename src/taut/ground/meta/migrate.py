"""Numbered migrations: each `.sql` file is applied once, in order, in one transaction with its own record."""

import re
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from typing import NamedTuple

from taut.errors import Conflict
from taut.ground.meta.protocol import Tx

MAKE_TABLE = "CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY, name TEXT NOT NULL)"
SELECT_APPLIED = "SELECT number FROM migration ORDER BY number"
INSERT_APPLIED = "INSERT INTO migration (number, name) VALUES (:number, :name)"
# PostgreSQL sorts text by the rules of a language; an index that shall serve an order by character must say so.
PLAIN_ORDER = {"sqlite": "", "postgresql": ' COLLATE "C"'}


STEP = re.compile(r"\{python ([a-z_]+)\}")
_ONLY = re.compile(r"\{only ([a-z]+)\}\s+")


class Migration(NamedTuple):
    """One step of the schema: `0001_line.sql` is number 1, name `line`."""

    number: int
    name: str
    statements: tuple[str, ...]


def migrations() -> list[Migration]:
    """Every migration of this version, in order."""
    return sorted(_read_migrations())


def migrate(tx: Tx, dialect: str) -> int:
    """Bring an opened store to this version; returns how many migrations were applied.

    What stands as `{plain}` in a migration is how this dialect orders text by character; a statement behind
    `{only postgresql}` is for that dialect alone. `{python NAME}` is what SQL cannot do: `apply` of `steps/NAME.py` is
    called with the same transaction.
    Raises Conflict where the store was written by a newer taut than this one.
    """
    tx.execute(MAKE_TABLE)
    applied = {int(str(number)) for (number,) in tx.rows(SELECT_APPLIED)}
    known = migrations()
    if newer := applied - {migration.number for migration in known}:
        raise Conflict(
            f"this home was written by a newer taut (migration {max(newer)}, this one knows {known[-1].number})",
            hint="pip install --upgrade taut",
        )
    due = [migration for migration in known if migration.number not in applied]
    for migration in due:
        for statement in migration.statements:
            if step := STEP.fullmatch(statement):
                import_module(f"taut.ground.meta.steps.{step[1]}").apply(tx)
            elif spoken := in_dialect(dialect, statement):
                tx.execute(spoken)
        tx.execute(INSERT_APPLIED, {"number": migration.number, "name": migration.name})
    return len(due)


def in_dialect(dialect: str, statement: str) -> str:
    """A statement in this dialect; empty where it is for another."""
    only, plain = _ONLY.match(statement), PLAIN_ORDER[dialect]
    if only is None:
        return statement.replace("{plain}", plain)
    return statement[only.end() :].replace("{plain}", plain) if only[1] == dialect else ""


def _read_migrations() -> Iterator[Migration]:
    for entry in files("taut.ground.meta").joinpath("migrations").iterdir():
        if entry.name.endswith(".sql"):
            number, _, name = entry.name.removesuffix(".sql").partition("_")
            yield Migration(int(number), name, tuple(_statements(entry.read_text())))


def _statements(script: str) -> Iterator[str]:
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            yield statement.strip()
