"""One entry with the path from it to a signed checkpoint: a file that shows to who has nothing but the public key."""

from dataclasses import dataclass
from typing import cast

from taut.errors import Corrupt, Invalid, NotFound
from taut.ground import wire
from taut.ground.ledger.entries import Entry, commitment_of, entry_bytes
from taut.ground.ledger.merkle import is_included, leaf_hash
from taut.ground.ledger.notes import Checkpoint, PublicKey, keys_after, open_note
from taut.ground.ledger.tiles import Tree
from taut.ground.meta import Tx

FORMAT = "taut-ledger-proof/1"
SELECT_ENTRY = """
SELECT seq, at_ms, actor, kind, subject, body, salt, commitment, token, request, client FROM ledger WHERE seq = :seq
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """That `entry`, the very text that was hashed, is number `seq` of the log whose checkpoint is `checkpoint`, a note.

    `leaf` and `path` are hashes in hexadecimal, from the entry upwards. `body` and `salt` (hexadecimal) give the
    commitment in the entry, with `client` where the entry comes from a request; all are None where the body was
    erased. `key` is the public key of the log.
    """

    seq: int
    entry: str
    leaf: str
    path: tuple[str, ...]
    checkpoint: str
    key: str
    body: str | None = None
    salt: str | None = None
    client: str | None = None
    format: str = FORMAT
    handed: tuple[str, ...] = ()
    """The notes by which keys of the log took each other's place, for who has an older one than signed this."""


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof shows: the entry, its body where it is there, and the checkpoint that covers it."""

    seq: int
    at_ms: int
    actor: str
    kind: str
    subject: str
    body: str | None
    origin: str
    size: int
    token: str = ""
    request: str = ""
    client: str = ""


def prove_entry(tx: Tx, tree: Tree, seq: int, signed: str, key: str, *, size: int) -> Proof:
    """The proof of entry `seq` under the note that was `signed` over `size` entries by the key.

    Raises NotFound where there is no such entry.
    """
    row = tx.row(SELECT_ENTRY, {"seq": seq})
    if row is None or not 0 < seq <= size:
        raise NotFound(f"the ledger has no entry {seq}; it has 1 to {size}", hint="taut ledger show")
    _, at_ms, actor, kind, subject, body, *hashes, token, request, client = row
    salt, commitment = cast("list[bytes | None]", hashes)
    shown, sender = (None if text is None else str(text) for text in (body, client))
    if shown is not None and salt is not None:
        commitment = commitment_of(salt, shown, sender)
    words = (str(actor), str(kind), str(subject))
    entry = entry_bytes(seq, int(str(at_ms)), *words, commitment or b"", str(token or ""), str(request or ""))
    path = tuple(step.hex() for step in tree.inclusion(seq - 1, size))
    told = None if salt is None else salt.hex()
    return Proof(seq, entry.decode(), leaf_hash(entry).hex(), path, signed, key, shown, told, sender)


def check_proof(proof: Proof, key: PublicKey) -> Proven:
    """What a proof shows, without any database; its checkpoint is signed by the key or by one that took its place.

    Raises Corrupt where it shows nothing, Invalid where it is none.
    """
    if proof.format != FORMAT:
        raise Invalid(f"this is no proof that taut can read: its format is {proof.format[:40]!r}, not {FORMAT!r}")
    checkpoint = _opened(proof, key)
    entry = wire.decode(proof.entry, Entry, what="the entry of the proof")
    path = [_hash(step) for step in proof.path]
    leaf = leaf_hash(proof.entry.encode())
    if entry.seq != proof.seq or leaf.hex() != proof.leaf:
        raise Corrupt(f"the proof of entry {proof.seq} holds another entry than it says")
    if not is_included(leaf, proof.seq - 1, checkpoint.size, path, checkpoint.root):
        raise Corrupt(f"entry {proof.seq} is not in the ledger of {checkpoint.origin} at {checkpoint.size}")
    if proof.body is not None:
        salt = _hash(proof.salt or "")
        if commitment_of(salt, proof.body, proof.client).hex() != entry.body:
            raise Corrupt(f"the body of entry {proof.seq} is not the one that was written")
    sender = "" if proof.body is None else proof.client or ""  # Held against the entry with the body, never alone.
    return Proven(
        entry.seq, entry.at_ms, entry.actor, entry.kind, entry.subject, proof.body, checkpoint.origin, checkpoint.size,
        entry.token, entry.request, sender,
    )  # fmt: skip


def _opened(proof: Proof, key: PublicKey) -> Checkpoint:
    try:
        return open_note(proof.checkpoint, key)
    except Corrupt:
        for later in keys_after(key, proof.handed)[1:]:
            try:
                return open_note(proof.checkpoint, later)
            except Corrupt:
                continue
        raise


def _hash(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Invalid(f"{text[:80]!r} is no hash in hexadecimal") from None
