"""The data key of a deployment's log on this machine: random, in a file, itself sealed by the key of the home."""

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from taut.errors import Corrupt
from taut.ground.sealed import KEY_BYTES, NONCE_BYTES, Key, make_key, other_key, read_key

FILE = "data.key"


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key of AES-256-GCM; what it seals opens only as what it belongs to."""

    secret: bytes

    def seal(self, data: bytes, *, belongs_to: str) -> bytes:
        """A fresh nonce, then the sealed bytes. The nonce is random, which is safe for four billion records."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self.secret).encrypt(nonce, data, belongs_to.encode())

    def open(self, sealed: bytes, *, belongs_to: str) -> bytes:
        """What was sealed. Raises Corrupt where it was changed or moved, or another key sealed it."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self.secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], belongs_to.encode())
        except (InvalidTag, ValueError):
            raise Corrupt(f"{belongs_to} of the prediction log is not what was sealed", hint="taut fsck") from None

    def digests(self) -> bytes:
        """A key for digests of what was asked, so that nobody without it can try what a redacted column held."""
        return hashlib.blake2b(self.secret, digest_size=32, person=b"taut digests").digest()


def new_data_key() -> DataKey:
    """A fresh one."""
    return DataKey(os.urandom(KEY_BYTES))


def seal_key(key: Key, data_key: DataKey, *, belongs_to: str) -> str:
    """A data key as it may lie anywhere: sealed by the home's."""
    return key.seal(base64.b64encode(data_key.secret).decode(), belongs_to=belongs_to)


def open_key(key: Key, sealed: str, *, belongs_to: str) -> DataKey:
    """A data key that was sealed. Raises Unavailable where another key did it, Corrupt where it was changed."""
    return DataKey(base64.b64decode(key.open(sealed, belongs_to=belongs_to)))


def read_data_key(folder: Path, keys: Path) -> DataKey | None:
    """The data key in a folder of the log, None where there is none. Raises what opening it does."""
    try:
        sealed = (folder / FILE).read_text()
    except FileNotFoundError:
        return None
    key = read_key(keys)
    if key is None:
        raise other_key(sealed.split(":")[2] if sealed.count(":") > 2 else "?")
    return open_key(key, sealed, belongs_to=_belongs(folder))


def wanted_data_key(folder: Path, keys: Path, *, encrypt: bool | None) -> DataKey | None:
    """The data key to seal with, made where it is missing; None where nothing is to be sealed.

    `encrypt` None: where the home has a key.
    """
    key = read_key(keys)
    if encrypt is False or (key is None and encrypt is None):
        return None
    key = key or make_key(keys)
    if (found := read_data_key(folder, keys)) is not None:
        return found
    made = new_data_key()
    _place(folder, seal_key(key, made, belongs_to=_belongs(folder)))
    found = read_data_key(folder, keys)  # Another process may have been faster.
    assert found is not None, folder
    return found


def reseal_data_key(folder: Path, key: Key) -> bool:
    """Seal a folder's data key anew with the first key of a home, in its place; whether there was one."""
    path = folder / FILE
    if not path.exists():
        return False
    opened = open_key(key, path.read_text(), belongs_to=_belongs(folder))
    part = _written(folder, seal_key(key, opened, belongs_to=_belongs(folder)))
    part.replace(path)
    return True


def _belongs(folder: Path) -> str:
    return f"predictions:{folder.name}"


def _place(folder: Path, sealed: str) -> None:
    part = _written(folder, sealed)
    try:
        os.link(part, folder / FILE)  # Unlike a rename it takes nothing's place.
    except FileExistsError:
        pass
    finally:
        part.unlink()


def _written(folder: Path, text: str) -> Path:
    part = folder / f"{FILE}.{os.urandom(8).hex()}"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    return part
