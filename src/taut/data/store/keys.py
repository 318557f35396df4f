"""Who keeps the secret of a store: a file, an environment variable, or a server that never shows its key."""

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path
from typing import Protocol

from taut.errors import Conflict, Corrupt, Denied, Unavailable, UsageError

KEY_BYTES, NONCE_BYTES = 32, 12
VARIABLE = "TAUT_STORE_KEY"


class KeyProvider(Protocol):
    """Wraps the secret of a store with a key of its own, and nothing else."""

    @property
    def name(self) -> str:
        """By which a store tells its key from others; it holds no secret."""
        ...

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """The secret, so that only this key opens it, and only for this context."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The secret again. Raises Denied where this key did not wrap it, or not for this context."""
        ...


class LocalKey:
    """A key of 32 bytes in this process: AES-256-GCM."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.name = f"key {hashlib.sha256(b'taut store key' + key).hexdigest()[:16]}"

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Nonce and ciphertext."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self._key).encrypt(nonce, secret, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The secret. Raises Denied where it was wrapped by another key or for another store, or was changed."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise Denied(f"{self.name} does not open the secret of this store") from None


def keys_of(written: str) -> KeyProvider:
    """The provider that a setting names: `file:PATH`, `env:VARIABLE` or `transit:https://HOST/v1/transit/keys/NAME`.

    Raises UsageError for another word, and what the provider raises: NotFound, Denied or Corrupt for no usable key.
    """
    kind, _, rest = written.partition(":")
    if kind == "file" and rest:
        return file_key(Path(rest))
    if kind == "env":
        return variable_key(rest or VARIABLE)
    if kind == "transit" and rest:
        from taut.data.store.transit import TransitKey

        return TransitKey(rest)
    raise UsageError(f"no key is kept at {kind!r}", hint="file:PATH, env:VARIABLE or transit:URL")


def make_key_file(path: Path) -> LocalKey:
    """A new key in a new file that only its owner reads, on disk before this returns.

    Raises Conflict where there is a file, which is never replaced, and Denied where it cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        raise Conflict(f"{path} is there already, and a key is never replaced") from None
    except OSError as problem:
        raise Denied(f"the key {path} cannot be made: {problem.strerror}", hint=f"ls -ld {path.parent}") from None
    return file_key(path)


def file_key(path: Path) -> LocalKey:
    """The key in a file: 32 bytes in base64. Raises Unavailable, Denied where others may read it, or Corrupt."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Denied(f"others may read the key {path}", hint=f"chmod 600 {path}")
        return _read(path.read_bytes(), f"the key file {path}")
    except FileNotFoundError:
        raise Unavailable(f"there is no key at {path}: without it nobody reads this store") from None
    except OSError as problem:
        raise Denied(f"the key {path} cannot be read: {problem.strerror}", hint=f"ls -l {path}") from None


def variable_key(name: str) -> LocalKey:
    """The key in an environment variable: 32 bytes in base64. Raises Unavailable where it is not set, or Corrupt."""
    if not (written := os.environ.get(name, "")):
        raise Unavailable(f"the variable {name} holds no key: without it nobody reads this store")
    return _read(written.encode(), f"the variable {name}")


def _read(written: bytes, what: str) -> LocalKey:
    try:
        key = base64.b64decode(written.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise Corrupt(f"{what} does not hold {KEY_BYTES} bytes in base64")
    return LocalKey(key)
