"""`taut ledger verify`: the ledger and all tables, held against each other and against anchors kept elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from taut.errors import Corrupt
from taut.govern.checkpoints import held_against, signed_wrongly
from taut.govern.fsck import check_objects
from taut.govern.state import Anchored, Comparison, anchors_in, kept_wrongly, tables_of
from taut.govern.tables import CATALOGUE, EXEMPT, SCOPES
from taut.govern.upgrades import upgraded_since
from taut.ground.ledger import Walk
from taut.ground.ledger.keys import Held, key_history
from taut.ground.ledger.notes import read_note, read_public_key
from taut.ground.meta import Tx
from taut.home import Home, verb


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is not as it was: `where` is a table, `ledger`, `anchor` or `objects`; `subject` is what it hurts."""

    where: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was held against what: `size` entries with this root, so many anchors, and up to which entry tables agree.

    `state` is the number of the last entry up to which the tables were digested, 0 where there is no such. `notes` say
    what could not be looked at.
    """

    size: int
    root: str
    anchors: int
    state: int
    flaws: tuple[Flaw, ...]
    notes: tuple[str, ...] = ()


@verb("ledger.verify", needs="audit:read")
def verify_home(home: Home, *, anchors: Sequence[str] = (), key: str = "", objects: bool = False) -> Verified:
    """Hold every entry against the tree, the tree against anchors, and the tables against the state that these cover.

    `anchors` are signed notes; `key` is the public key that they must be signed by, this home's own where none is
    given. One that took its place or that it took, by a hand-over that both signed, counts for the entries of its time.
    Without anchors the state that was digested last is taken on trust: that finds a slip, not an attacker.
    With `objects` the content of every object that is referred to is read too. Raises Invalid for what is no note.
    """
    with home.meta.read() as tx:
        keys, wrong = key_history(tx)
        trusted = _trusted(key, keys)
        checkpoints = [read_note(note) for note in anchors]
        flaws = [Flaw("ledger_key", "ledger:key", said) for said in wrong]
        flaws += [
            Flaw("anchor", checkpoint.origin, said)
            for note, checkpoint in zip(anchors, checkpoints, strict=True)
            if (said := signed_wrongly(note, trusted))
        ]
        walk = Walk(tx, [checkpoint.size for checkpoint in checkpoints])
        flaws += [Flaw("ledger", "ledger", said) for said in walk.problems()]
        flaws += [Flaw("ledger", "ledger", said) for one in checkpoints if (said := held_against(walk, one))]
        flaws += [Flaw("ledger_state", "ledger", said) for said in kept_wrongly(tx)]
        state, found, notes = _tables(tx, [checkpoint.size for checkpoint in checkpoints])
        flaws += found
    if objects:
        flaws += [Flaw("objects", problem.subject, problem.text) for problem in check_objects(home)]
    return Verified(walk.size, walk.root.hex(), len(checkpoints), state, tuple(dict.fromkeys(flaws)), notes)


def _trusted(given: str, keys: list[Held]) -> list[Held]:
    """The keys that an anchor may be signed by: the given one, and those it was handed over by and to."""
    if not given:
        return keys
    pinned = read_public_key(given)
    return keys if any(held.key == pinned for held in keys) else [Held(pinned)]


def _tables(tx: Tx, sizes: Sequence[int]) -> tuple[int, list[Flaw], tuple[str, ...]]:
    """Hold the tables against the state that each of the sizes covers, the last of all where there are none."""
    there, wanted = tables_of(tx), {scope.table for scope in SCOPES} | EXEMPT.keys()
    flaws = [Flaw(table, table, "the database has this table, and this taut does not") for table in there - wanted]
    if gone := sorted(wanted - there):
        return 0, [*flaws, *(Flaw(table, table, "this table is gone") for table in gone)], ()
    try:
        known = anchors_in(tx)
        covered = {max((seq for seq, _ in known if seq <= size), default=0) for size in sizes}
        held = [one for one in known if one[0] in covered] if sizes else known[-1:]
        if not held:
            return 0, flaws, ("no state of the tables was anchored: taut ledger anchor",)
        notes = tuple(told for seq, anchored in held if (told := _older(seq, anchored, tx.dialect)))
        comparison = Comparison(tx, min(anchored.until for _, anchored in held))
        for seq, anchored in held:
            for change in comparison.changes(seq, anchored):
                place = f"{change.table} ({', '.join(change.key)})" if change.key else change.table
                said = f"{place} was {change.what} after entry {anchored.until} and no entry says so"
                flaws.append(Flaw(change.table, change.subject, said))
    except Corrupt as problem:
        return 0, [*flaws, Flaw("ledger_state", "ledger", problem.message)], ()
    return max(anchored.until for _, anchored in held), flaws, notes


def _older(seq: int, anchored: Anchored, dialect: str) -> str:
    """What of an anchor an upgrade has left nothing to compare with; empty where there was none since."""
    upgraded = upgraded_since(anchored.schema, dialect)
    if not upgraded.is_any:
        return ""
    lost = ", ".join((CATALOGUE.called, *upgraded.lost))
    return f"the state at entry {seq} is from before an upgrade, which changed {lost}: not compared; anchor again"
