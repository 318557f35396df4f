"""Secrets in a database, sealed with a key that lies elsewhere: AES-256-GCM, each bound to the row it belongs to.

The key is 32 random bytes in base64 in a file: that which TAUT_SECRET_KEY names, which replicas of one database share,
else `secret.key` in the home's folder, made when it is first needed.
"""

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path

from taut.errors import Conflict, Corrupt, Denied, Unavailable
from taut.ground.objects.disk import sync_directory

VARIABLE = "TAUT_SECRET_KEY"
FILE = "secret.key"
PREFIX = "sealed:1:"  # Then the name of the key, a colon, and nonce and ciphertext in base64.
KEY_BYTES, NONCE_BYTES = 32, 12


class Key:
    """A key, and the name by which what it sealed knows it again."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.name = hashlib.sha256(b"taut key name" + secret).hexdigest()[:16]

    def seal(self, text: str, *, belongs_to: str) -> str:
        """A text that only this key opens, and only as what it belongs to."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE_BYTES)
        packed = nonce + AESGCM(self._secret).encrypt(nonce, text.encode(), belongs_to.encode())
        return f"{PREFIX}{self.name}:{base64.b64encode(packed).decode()}"

    def open(self, sealed: str, *, belongs_to: str) -> str:
        """What was sealed. Raises Unavailable where another key did it, Corrupt where it was changed or moved."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if key_name_of(sealed) != self.name:
            raise other_key(key_name_of(sealed))
        try:
            packed = base64.b64decode(sealed.rpartition(":")[2], validate=True)
            return (
                AESGCM(self._secret).decrypt(packed[:NONCE_BYTES], packed[NONCE_BYTES:], belongs_to.encode()).decode()
            )
        except (InvalidTag, ValueError):
            raise Corrupt(f"the secret of {belongs_to} is not what was sealed", hint="give it a new one") from None


def key_name_of(sealed: str) -> str:
    """The name of the key that sealed it; empty for a text in the open."""
    return sealed.removeprefix(PREFIX).partition(":")[0] if sealed.startswith(PREFIX) else ""


def other_key(name: str) -> Unavailable:
    """How it is told that a secret needs a key that is not here."""
    return Unavailable(
        f"a secret was sealed with the key {name}, which this server does not have",
        hint=f"put that file back, or name it with {VARIABLE}; else give the webhook a new secret",
    )


def read_key(folder: Path) -> Key | None:
    """The key of a home; None where there is none yet.

    Raises Denied for a file that others may read or that we may not, Corrupt for one that holds no key, Unavailable
    where the variable names a file that is not there.
    """
    named = os.environ.get(VARIABLE, "")
    path = Path(named) if named else folder / FILE
    try:
        if not named and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Denied("others may read the key of this home", private=str(path), hint=f"chmod 600 {path}")
        written = path.read_text(encoding="ascii").strip()
        secret = base64.b64decode(written, validate=True)
    except FileNotFoundError:
        if not named:
            return None
        raise Unavailable(f"{VARIABLE} names a file that is not there", private=named) from None
    except OSError as problem:
        raise Denied("the key of this home cannot be read", private=f"{path}: {problem.strerror}") from None
    except (binascii.Error, UnicodeDecodeError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise Corrupt(f"the file of the key does not hold {KEY_BYTES} bytes in base64", private=str(path))
    return Key(secret)


def make_key(folder: Path) -> Key:
    """Make the key of a home, on disk before it is used; another process may have made it in this moment."""
    path = folder / FILE
    part = folder / f"{FILE}.{os.urandom(8).hex()}"
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(part, path)  # Unlike a rename it takes nothing's place.
        except FileExistsError:
            pass
        finally:
            part.unlink()
        sync_directory(folder)
    except OSError as problem:
        raise Denied("the key of this home cannot be made", private=f"{path}: {problem.strerror}") from None
    made = read_key(folder)
    if made is None:
        raise Conflict("the key of this home was taken away in the moment it was made", private=str(path))
    return made
