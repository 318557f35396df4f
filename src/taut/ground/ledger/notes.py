"""Checkpoints as C2SP signed notes: the size and root of a log, signed with Ed25519, readable by tools of others.

A note is `origin`, `size` and root in base64, a line each, an empty line, and a line for each signature. A key is one
line of text, `NAME+ID+BASE64`, the secret one with `PRIVATE+KEY+` before it.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from taut.errors import Corrupt, Invalid
from taut.ground.ledger.merkle import HASH_BYTES

ED25519 = b"\x01"
SECRET = "PRIVATE+KEY+"  # noqa: S105  # How a secret key begins, not one.
ORIGIN = re.compile(r"[^\s+]{1,200}")
NOTE = re.compile(r"(?P<text>[^\n]+\n\d+\n[^\n]+\n)\n(?P<signatures>(?:— [^\n]+\n)+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log was at some moment: so many entries, with this root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class PublicKey(NamedTuple):
    """A key that notes are held against."""

    name: str
    id: bytes
    data: bytes

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(ED25519 + self.data).decode()}"


class SecretKey(NamedTuple):
    """A key that notes are signed with; `seed` is 32 bytes."""

    name: str
    seed: bytes

    @property
    def public(self) -> PublicKey:
        """What others need of it."""
        return _public(self)

    def __str__(self) -> str:
        encoded = base64.b64encode(ED25519 + self.seed).decode()
        return f"{SECRET}{self.name}+{self.public.id.hex()}+{encoded}"

    def __repr__(self) -> str:
        return f"SecretKey({self.name!r}, ...)"


def sign(checkpoint: Checkpoint, key: SecretKey) -> str:
    """The checkpoint as a signed note."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    signature = Ed25519PrivateKey.from_private_bytes(key.seed).sign(checkpoint.text.encode())
    return f"{checkpoint.text}\n— {key.name} {base64.b64encode(key.public.id + signature).decode()}\n"


def open_note(note: str, key: PublicKey) -> Checkpoint:
    """The checkpoint of a note that was signed with a key.

    Raises Corrupt where it was not, or was changed; Invalid where it is no such note.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    checkpoint = read_note(note)
    for name, signed in _signatures(note):
        if name == key.name and signed[: len(key.id)] == key.id:
            try:
                Ed25519PublicKey.from_public_bytes(key.data).verify(signed[len(key.id) :], checkpoint.text.encode())
            except InvalidSignature:
                raise Corrupt(
                    f"the checkpoint of {checkpoint.origin} at {checkpoint.size} is not what was signed"
                ) from None
            return checkpoint
    raise Corrupt(f"the checkpoint of {checkpoint.origin} at {checkpoint.size} is not signed by {key}")


def read_note(note: str) -> Checkpoint:
    """What a note says, whoever signed it. Raises Invalid."""
    found = NOTE.fullmatch(note)
    if found is None:
        raise Invalid(f"{note[:60]!r} is no signed checkpoint")
    origin, size, root = found["text"].splitlines()
    hashed = _decoded(root)
    if len(hashed) != HASH_BYTES or str(int(size)) != size:
        raise Invalid(f"the checkpoint of {origin} has no size and root of a log")
    return Checkpoint(origin, int(size), hashed)


def notes_in(text: str) -> list[str]:
    """The notes that stand one after the other in a text. Raises Invalid where anything else does."""
    rest = NOTE.sub("", text)
    if rest.strip():
        raise Invalid(f"{rest.strip()[:60]!r} is no signed checkpoint")
    return [found[0] for found in NOTE.finditer(text)]


def joined(notes: Iterable[str]) -> str:
    """Notes one after the other, an empty line between two."""
    return "\n".join(notes)


def read_public_key(text: str) -> PublicKey:
    """A public key from its line. Raises Invalid."""
    name, id, data = _parts(text)
    if id != _id_of(name, data):
        raise Invalid(f"{text[:120]!r} is damaged: its id is not that of its key")
    return PublicKey(name, id, data)


def read_secret_key(text: str) -> SecretKey:
    """A secret key from its line. Raises Invalid, and never says what it was given."""
    if not text.startswith(SECRET):
        raise Invalid("this is no secret key: it does not begin with PRIVATE+KEY+")
    name, id, seed = _parts(text.removeprefix(SECRET), is_secret=True)
    key = SecretKey(name, seed)
    if key.public.id != id:
        raise Invalid(f"the secret key of {name} is damaged: its id is not that of its key")
    return key


def check_origin(origin: str) -> str:
    """Raises Invalid for what cannot name a log."""
    if not ORIGIN.fullmatch(origin):
        raise Invalid(f"{origin[:80]!r} cannot name a ledger: it is empty, long, or has a space or a + in it")
    return origin


def _parts(text: str, *, is_secret: bool = False) -> tuple[str, bytes, bytes]:
    found = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)\s*", text)
    data = _decoded(found[3]) if found is not None else b""
    if found is None or data[:1] != ED25519 or len(data) != 1 + HASH_BYTES:
        raise Invalid("this is no key for signed notes" if is_secret else f"{text[:120]!r} is no key for signed notes")
    return found[1], bytes.fromhex(found[2]), data[1:]


@lru_cache(maxsize=8)
def _public(key: SecretKey) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = Ed25519PrivateKey.from_private_bytes(key.seed).public_key().public_bytes_raw()
    return PublicKey(key.name, _id_of(key.name, data), data)


def _id_of(name: str, data: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + data).digest()[:4]


def _signatures(note: str) -> list[tuple[str, bytes]]:
    lines = [line.removeprefix("— ").partition(" ") for line in note.splitlines() if line.startswith("— ")]
    return [(name, _decoded(signed)) for name, _, signed in lines]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
