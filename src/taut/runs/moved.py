"""What was moved in from another store, so that a command that was killed goes on, and nothing comes twice."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from taut.ground import wire
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, verb
from taut.runs.tally import Count

PAGE = 5000

SELECT_ONE = """
SELECT kind, theirs, ours, mark, tally FROM moved WHERE source = :source AND kind = :kind AND theirs = :theirs
"""
SELECT_SOME = """
SELECT kind, theirs, ours, mark, tally FROM moved
WHERE source = :source AND (kind > :kind OR (kind = :kind AND theirs > :theirs))
ORDER BY kind, theirs LIMIT :limit
"""
SELECT_OURS = "SELECT 1 FROM moved WHERE kind = :kind AND ours = :ours LIMIT 1"
UPSERT = """
INSERT INTO moved (source, kind, theirs, ours, mark, tally, at_ms)
VALUES (:source, :kind, :theirs, :ours, :mark, :tally, :at_ms)
ON CONFLICT (source, kind, theirs) DO UPDATE
SET ours = excluded.ours, mark = excluded.mark, tally = excluded.tally, at_ms = excluded.at_ms
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """A thing of another store: its name there, its name here, its fingerprint there once all of it is here."""

    kind: str
    theirs: str
    ours: str
    mark: str = ""
    tally: dict[str, Count] = field(default_factory=dict)


@verb("moved.list", needs="run:read")
def list_moved(home: Home, source: str, *, after: tuple[str, str] = ("", ""), limit: int = PAGE) -> list[Moved]:
    """What was moved in from a source, by kind and name there, past the pair `after`."""
    asked: dict[str, Value] = {"source": source, "kind": after[0], "theirs": after[1], "limit": limit}
    with home.meta.read() as tx:
        return [_moved(row) for row in tx.rows(SELECT_SOME, asked)]


def all_moved(home: Home, source: str) -> dict[tuple[str, str], Moved]:
    """Everything that was moved in from a source, by kind and name there."""
    found: dict[tuple[str, str], Moved] = {}
    after = ("", "")
    while page := list_moved(home, source, after=after):
        found |= {(one.kind, one.theirs): one for one in page}
        after = (page[-1].kind, page[-1].theirs)
    return found


def moved_in(tx: Tx, source: str, kind: str, theirs: str) -> Moved | None:
    """What is known of a thing of theirs, inside the caller's transaction."""
    row = tx.row(SELECT_ONE, {"source": source, "kind": kind, "theirs": theirs})
    return None if row is None else _moved(row)


def is_moved(tx: Tx, kind: str, ours: str) -> bool:
    """Whether a thing of ours came from another store, whichever."""
    return tx.row(SELECT_OURS, {"kind": kind, "ours": ours}) is not None


def note_moved(
    home: Home, tx: Tx, source: str, kind: str, theirs: str, ours: str, *,
    mark: str = "", tally: Mapping[str, Count] | None = None,
) -> None:  # fmt: skip
    """Write down where a thing of theirs is here, and with `mark` that all of it is."""
    tx.execute(UPSERT, {
        "source": source, "kind": kind, "theirs": theirs, "ours": ours, "mark": mark,
        "tally": wire.text(tally or {}), "at_ms": home.clock.now_ms(),
    })  # fmt: skip


def _moved(row: Row) -> Moved:
    kind, theirs, ours, mark, tally = row
    return Moved(str(kind), str(theirs), str(ours), str(mark), wire.decode(str(tally), dict[str, Count]))
