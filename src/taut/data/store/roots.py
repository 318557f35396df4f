"""The secret of a store, and the keys that follow from it, each for one thing."""

import hashlib
import hmac
import os
from dataclasses import dataclass, field

ROOT_BYTES = 32
VERSION = 2
SEGMENTS = 2  # From this version of the format on an index object may tell what of others is gone.


@dataclass(frozen=True, slots=True)
class Root:
    """One secret a store, which a key provider keeps; of a store that is not encrypted it lies open in its format.

    `wrap_key` seals the key of each object, `name_key` makes the names of pieces, `cut_key` says where files are cut,
    for sizes of pieces would tell who knows a file that it is there. `version` is that of the format.
    """

    is_encrypted: bool
    id: bytes
    version: int
    wrap_key: bytes = field(repr=False)
    name_key: bytes = field(repr=False)
    cut_key: bytes = field(repr=False)


def new_secret() -> bytes:
    """A secret for a new store."""
    return os.urandom(ROOT_BYTES)


def root_of(secret: bytes, *, is_encrypted: bool, version: int = VERSION) -> Root:
    """The keys that follow from a secret of 32 random bytes: HKDF-Expand of RFC 5869, section 2.3, one block each."""
    wrap, name, cut, known_as = (
        hmac.digest(secret, b"taut store 1 " + use + b"\x01", hashlib.sha256)
        for use in (b"wrap", b"name", b"cut", b"id")
    )
    return Root(is_encrypted, known_as[:8], version, wrap, name, cut)
