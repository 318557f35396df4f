"""What is hashed of an entry: all that identifies it, and of its body only a salted hash, so that it can be erased.

An entry that was first written into the hash chain of earlier versions keeps its digest of then behind its salt: so the
tree holds that too, and it goes where the body goes.
"""

import hashlib
import os

import msgspec

from taut.errors import Invalid
from taut.ground.ledger.merkle import leaf_hash

SALT_BYTES = 16


class Entry(msgspec.Struct, omit_defaults=True):
    """An entry as it is hashed: JSON with these fields, in this order. `body` is the commitment, in hexadecimal.

    `token` and `request` stand there only where a request made the entry, so all others hash as they always did.
    """

    seq: int
    at_ms: int
    actor: str
    kind: str
    subject: str
    body: str
    token: str = ""
    request: str = ""


_encode = msgspec.json.Encoder().encode


def new_salt() -> bytes:
    """What makes the hash of a short body tell nothing of it once salt and body are gone."""
    return os.urandom(SALT_BYTES)


def commitment_of(salt: bytes, body: str, client: str | None = None) -> bytes:
    """The hash that stands in the tree for a body, and for the client that sent it where that is known.

    A null byte ends the client; neither text has one. Raises Invalid where one does.
    """
    if "\0" in body or "\0" in (client or ""):
        raise Invalid("a null byte is no part of an entry")
    return hashlib.sha256(salt + (body if client is None else f"{client}\0{body}").encode()).digest()


def entry_bytes(
    seq: int, at_ms: int, actor: str, kind: str, subject: str, commitment: bytes, token: str = "", request: str = ""
) -> bytes:
    """The bytes whose hash is the leaf of an entry.

    >>> entry_bytes(1, 0, "ada", "thing.done", "thing:1", bytes(2)).decode()
    '{"seq":1,"at_ms":0,"actor":"ada","kind":"thing.done","subject":"thing:1","body":"0000"}'

    Raises Invalid for text that is none, as an argument of the command line with bytes that are not UTF-8.
    """
    try:
        return _encode(Entry(seq, at_ms, actor, kind, subject, commitment.hex(), token, request))
    except UnicodeEncodeError as problem:
        raise Invalid(f"{problem.object[:80]!r} holds bytes that are not UTF-8, so it cannot be kept as text") from None


def leaf_of(
    seq: int, at_ms: int, actor: str, kind: str, subject: str, commitment: bytes, token: str = "", request: str = ""
) -> bytes:
    """The hash of an entry in the tree."""
    return leaf_hash(entry_bytes(seq, at_ms, actor, kind, subject, commitment, token, request))
