"""The verbs of checkpoints: sign one, anchor all tables, prove an entry, erase a body, keep those of others."""

import hashlib
from dataclasses import dataclass, replace
from typing import cast

from taut.errors import Invalid, NotFound, Refused
from taut.govern.checkpoints import keep_newest
from taut.govern.state import (
    ANCHORED,
    Anchored,
    anchors_in,
    pack,
    schema_of,
    state_now,
    states_at,
    write_state,
)
from taut.govern.tables import CATALOGUE, SCOPES
from taut.ground.ledger import Tree, size_of
from taut.ground.ledger.entries import commitment_of
from taut.ground.ledger.keys import hand_overs, public_key, signing_key
from taut.ground.ledger.merkle import is_consistent
from taut.ground.ledger.notes import Checkpoint, SecretKey, keys_after, open_note, read_note, read_public_key, sign
from taut.ground.ledger.proofs import Proof, prove_entry
from taut.ground.ledger.verify import ERASED, ERASED_SUBJECT
from taut.ground.meta import Tx, Value
from taut.ground.progress import progress
from taut.home import Home, verb

SELECT_PAYLOAD = "SELECT kind, body, salt, client FROM ledger WHERE seq = :seq"
ERASE = """
UPDATE ledger SET body = NULL, salt = NULL, client = NULL, commitment = :commitment
WHERE seq = :seq AND body IS NOT NULL
"""
SELECT_KEPT = "SELECT size, note, key FROM ledger_kept WHERE origin = :origin ORDER BY size"
INSERT_KEPT = """
INSERT INTO ledger_kept (origin, size, note, key, at_ms) VALUES (:origin, :size, :note, :key, :at_ms)
"""
OWN = "ledger."  # How the kinds of entries begin that the ledger itself is read by.


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint as a signed note, what it says, and the public key that it is held against."""

    note: str
    origin: str
    size: int
    root: str
    key: str


@dataclass(frozen=True, slots=True)
class Kept:
    """Checkpoints of another home that are kept here, oldest first; the last one is signed by `key`, empty for none."""

    origin: str
    notes: tuple[str, ...]
    key: str = ""


@verb("ledger.checkpoint", needs="audit:head")
def sign_checkpoint(home: Home) -> Signed:
    """The ledger as it is now, signed; the key is made the first time. Raises Refused where it is not here."""
    key = _key(home)
    with home.meta.read() as tx:
        return _signed(tx, key, Tree(tx))


@verb("ledger.key", needs="audit:head")
def ledger_key(home: Home) -> str:
    """The public key of this home, as the database has it; empty while nothing was signed."""
    with home.meta.read() as tx:
        return str(public_key(tx) or "")


@verb("ledger.anchor", needs="audit:anchor")
def anchor_ledger(home: Home) -> Signed:
    """Write a digest of every table into the ledger and sign what it is then, to be kept out of reach of who is here.

    Reads every row once; writers are not held up meanwhile.
    """
    key = _key(home)
    with home.meta.read() as tx:
        anchored, bodies = _digested(tx, home.clock.now_ms())
    with home.meta.transaction() as tx:
        # Two who anchor at once would both write what changed since the same anchor before.
        home.append(tx, ANCHORED, subject="ledger:state", body=anchored)
        seq = size_of(tx)
        known = anchors_in(tx)[:-1]
        if known and known[-1][0] > anchored.until:
            raise Refused("another anchor was made in the meantime; nothing was written", hint="taut ledger anchor")
        write_state(tx, seq, bodies)
        signed = _signed(tx, key, Tree(tx))
    keep_newest(home, signed.note)
    return signed


@verb("ledger.handed", needs="audit:head")
def show_hand_overs(home: Home) -> tuple[str, ...]:
    """The notes by which keys of this home took each other's place, oldest first, each signed by both."""
    with home.meta.read() as tx:
        return hand_overs(tx)


@verb("ledger.consistency", needs="audit:head")
def prove_consistency(home: Home, first: int, second: int) -> tuple[str, ...]:
    """The hashes, in hexadecimal, that show that the first `second` entries begin with the first `first`.

    Raises Invalid where the ledger has no such sizes.
    """
    with home.meta.read() as tx:
        size = size_of(tx)
        if not 0 < first <= second <= size:
            raise Invalid(f"the ledger has {size} entries; there is nothing to prove between {first} and {second}")
        return tuple(step.hex() for step in Tree(tx).consistency(first, second))


@verb("ledger.prove", needs="audit:read")
def prove(home: Home, seq: int) -> Proof:
    """Entry `seq` with the path to a checkpoint of now, for who has only the public key. Raises NotFound, Refused."""
    key = _key(home)
    with home.meta.read() as tx:
        tree = Tree(tx)
        signed = _signed(tx, key, tree)
        proof = prove_entry(tx, tree, seq, signed.note, signed.key, size=signed.size)
        return replace(proof, handed=hand_overs(tx))


@verb("ledger.erase", needs="privacy:admin")
def erase_body(home: Home, seq: int, *, because: str) -> None:
    """Take the body of an entry away for good, and from where it was sent; when, by whom and of what it was, stays.

    Raises NotFound, Conflict where it is erased already, Refused for what the ledger itself is read by.
    """
    with home.meta.transaction() as tx:
        row = tx.row(SELECT_PAYLOAD, {"seq": seq})
        if row is None:
            raise NotFound(f"the ledger has no entry {seq}", hint="taut ledger show")
        kind, body, salt, client = cast("tuple[str, str | None, bytes | None, str | None]", row)
        if kind.startswith(OWN):
            raise Refused(f"entry {seq} ({kind}) is what the ledger itself is checked by, and tells of no person")
        if body is None or salt is None:
            raise Refused(f"the body of entry {seq} ({kind}) was erased before")
        tx.execute(ERASE, {"seq": seq, "commitment": commitment_of(salt, body, client)})
        home.append(tx, ERASED, subject=f"{ERASED_SUBJECT}{seq}", body={"because": because})


@verb("ledger.keep", needs="audit:anchor")
def keep_checkpoint(
    home: Home, note: str, key: str, *, proof: tuple[str, ...] = (), handed: tuple[str, ...] = ()
) -> Kept:
    """Keep a checkpoint of another home, and say which are kept of it; the same twice is kept once.

    The first one decides on the key. A later one must be signed by it or by one that took its place, as the notes in
    `handed` show; it must be larger, and `proof` must show that it adds to the last one. Raises Corrupt for a wrong
    signature, Refused for what takes back what was said before.
    """
    checkpoint = open_note(note, read_public_key(key))
    with home.meta.transaction() as tx:
        before = _kept_in(tx, checkpoint.origin)
        if note in before.notes:
            return before
        if before.notes:
            _must_continue(checkpoint, before, key, proof, handed)
        at_ms = home.clock.now_ms()
        kept: dict[str, Value] = {
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "note": note,
            "key": key,
            "at_ms": at_ms,
        }
        tx.execute(INSERT_KEPT, kept)
        body = {"size": checkpoint.size, "root": checkpoint.root.hex()}
        home.append(tx, "ledger.kept", subject=f"ledger:{checkpoint.origin}", body=body)
        return _kept_in(tx, checkpoint.origin)


@verb("ledger.kept", needs="audit:head")
def kept_checkpoints(home: Home, origin: str) -> Kept:
    """The checkpoints of another home that are kept here."""
    with home.meta.read() as tx:
        return _kept_in(tx, origin)


def _key(home: Home) -> SecretKey:
    return signing_key(home.meta, home.folder, actor=home.actor.name, at_ms=home.clock.now_ms())


def _signed(tx: Tx, key: SecretKey, tree: Tree) -> Signed:
    size = size_of(tx)
    checkpoint = Checkpoint(key.name, size, tree.root(size))
    return Signed(sign(checkpoint, key), key.name, size, checkpoint.root.hex(), str(key.public))


def _digested(tx: Tx, at_ms: int) -> tuple[Anchored, dict[str, bytes]]:
    """What an anchor of this moment says, and what changed of each scope since the one before."""
    known = anchors_in(tx)
    states = states_at(tx, known[-1][0]) if known else {}
    moment = Anchored(size_of(tx), schema_of(tx), at_ms, {})
    bodies: dict[str, bytes] = {}
    with progress("digesting tables", len(SCOPES), unit="table") as bar:
        for scope in (CATALOGUE, *SCOPES):
            body = pack(states.get(scope.called, {}), state_now(tx, scope, moment.bounds))
            if body:
                bodies[scope.called] = body
            bar.advance()
    hashes = {scope: hashlib.sha256(body).hexdigest() for scope, body in bodies.items()}
    return Anchored(moment.until, moment.schema, at_ms, hashes), bodies


def _kept_in(tx: Tx, origin: str) -> Kept:
    rows = tx.rows(SELECT_KEPT, {"origin": origin})
    return Kept(origin, tuple(str(note) for _, note, _ in rows), str(rows[-1][2]) if rows else "")


def _must_continue(
    checkpoint: Checkpoint, kept: Kept, key: str, proof: tuple[str, ...], handed: tuple[str, ...]
) -> None:
    if read_public_key(key) not in keys_after(read_public_key(kept.key), handed):
        raise Refused(f"{kept.origin} was signed by another key when it was last kept here: {kept.key}")
    last = read_note(kept.notes[-1])
    if checkpoint.size == last.size and checkpoint.root != last.root:
        raise Refused(f"{kept.origin} said of its first {last.size} entries before that they were others")
    if checkpoint.size < last.size:
        raise Refused(f"{kept.origin} has had {last.size} entries before and cannot have {checkpoint.size} now")
    try:
        path = [bytes.fromhex(step) for step in proof]
    except ValueError:
        raise Invalid("the proof is not a list of hashes in hexadecimal") from None
    if not is_consistent(last.size, last.root, checkpoint.size, checkpoint.root, path):
        raise Refused(f"nothing shows that {kept.origin} at {checkpoint.size} only adds to what it was at {last.size}")
