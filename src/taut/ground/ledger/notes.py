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
HAND_OVER = "taut-ledger-key/1"
HANDED = re.compile(rf"(?P<text>{HAND_OVER}\n(?P<old>[^\n]+)\n(?P<new>[^\n]+)\n)\n(?:— [^\n]+\n)+")
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


def sign(checkpoint: Checkpoint, *keys: SecretKey) -> str:
    """The checkpoint as a note that is signed with these keys."""
    return _signed(checkpoint.text, keys)


def open_note(note: str, key: PublicKey) -> Checkpoint:
    """The checkpoint of a note that was signed with a key, whoever else signed it.

    Raises Corrupt where it was not, or was changed; Invalid where it is no such note.
    """
    checkpoint = read_note(note)
    said = _is_signed(checkpoint.text, note, key)
    if not said:
        what = "is not what was signed" if said is not None else f"is not signed by {key}"
        raise Corrupt(f"the checkpoint of {checkpoint.origin} at {checkpoint.size} {what}")
    return checkpoint


def hand_over(old: SecretKey, new: SecretKey) -> str:
    """A note by which both keys of a log say that the new one takes the old one's place. It is no checkpoint: where
    that has a size, this has a key."""
    return _signed(f"{HAND_OVER}\n{old.public}\n{new.public}\n", (old, new))


def open_hand_over(note: str) -> tuple[PublicKey, PublicKey]:
    """The old and the new key of a hand-over that both signed. Raises Corrupt where they did not, Invalid."""
    found = HANDED.fullmatch(note)
    if found is None:
        raise Invalid(f"{note[:60]!r} hands no key over")
    old, new = read_public_key(found["old"]), read_public_key(found["new"])
    if old.name != new.name or not all(_is_signed(found["text"], note, key) for key in (old, new)):
        raise Corrupt(f"that the key {new} takes the place of {old} was not signed by both")
    return old, new


def keys_after(key: PublicKey, handed: Iterable[str]) -> list[PublicKey]:
    """A key and those that took its place, one after the other, as hand-overs in their order say.

    Raises what `open_hand_over` does.
    """
    keys = [key]
    for note in handed:
        old, new = open_hand_over(note)
        if old == keys[-1]:
            keys.append(new)
    return keys


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


def _signed(text: str, keys: Iterable[SecretKey]) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    lines = []
    for key in keys:
        signature = Ed25519PrivateKey.from_private_bytes(key.seed).sign(text.encode())
        lines.append(f"— {key.name} {base64.b64encode(key.public.id + signature).decode()}\n")
    return f"{text}\n{''.join(lines)}"


def _is_signed(text: str, note: str, key: PublicKey) -> bool | None:
    """Whether the signature of a key under a note is good; None where there is none by it."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    for name, signed in _signatures(note):
        if name == key.name and signed[: len(key.id)] == key.id:
            try:
                Ed25519PublicKey.from_public_bytes(key.data).verify(signed[len(key.id) :], text.encode())
            except InvalidSignature:
                return False
            return True
    return None


def _signatures(note: str) -> list[tuple[str, bytes]]:
    lines = [line.removeprefix("— ").partition(" ") for line in note.splitlines() if line.startswith("— ")]
    return [(name, _decoded(signed)) for name, _, signed in lines]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
