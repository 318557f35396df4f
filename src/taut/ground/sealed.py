"""Secrets in a database, sealed with a key that lies elsewhere: AES-256-GCM, each bound to the row it belongs to.

The key is 32 random bytes in base64 in a file: that which TAUT_SECRET_KEY names, which replicas of one database share,
else `secret.key` in the home's folder, made when it is first needed. Of several lines the first one seals, and the
others open what they sealed, until that is sealed anew.
"""

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path

from taut.errors import Conflict, Corrupt, Denied, Refused, Unavailable
from taut.ground.objects.disk import sync_directory

VARIABLE = "TAUT_SECRET_KEY"
FILE = "secret.key"
PREFIX = "sealed:1:"  # Then the name of the key, a colon, and nonce and ciphertext in base64.
KEY_BYTES, NONCE_BYTES = 32, 12


class Key:
    """A key, and the name by which what it sealed knows it again; `older` ones only open what they sealed."""

    def __init__(self, secret: bytes, *older: bytes) -> None:
        self._secrets = {hashlib.sha256(b"taut key name" + one).hexdigest()[:16]: one for one in (secret, *older)}
        self.name = next(iter(self._secrets))

    def seal(self, text: str, *, belongs_to: str) -> str:
        """A text that only this key opens, and only as what it belongs to."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE_BYTES)
        packed = nonce + AESGCM(self._secrets[self.name]).encrypt(nonce, text.encode(), belongs_to.encode())
        return f"{PREFIX}{self.name}:{base64.b64encode(packed).decode()}"

    def open(self, sealed: str, *, belongs_to: str) -> str:
        """What was sealed. Raises Unavailable where another key did it, Corrupt where it was changed or moved."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if (secret := self._secrets.get(key_name_of(sealed))) is None:
            raise other_key(key_name_of(sealed))
        try:
            packed = base64.b64decode(sealed.rpartition(":")[2], validate=True)
            return AESGCM(secret).decrypt(packed[:NONCE_BYTES], packed[NONCE_BYTES:], belongs_to.encode()).decode()
        except (InvalidTag, ValueError):
            raise Corrupt(f"the secret of {belongs_to} is not what was sealed", hint="give it a new one") from None


def key_name_of(sealed: str) -> str:
    """The name of the key that sealed it; empty for a text in the open."""
    return sealed.removeprefix(PREFIX).partition(":")[0] if sealed.startswith(PREFIX) else ""


def other_key(name: str) -> Unavailable:
    """How it is told that a secret needs a key that is not here."""
    return Unavailable(
        f"a secret was sealed with the key {name}, which this server does not have",
        hint=f"put that file back, or name it with {VARIABLE}; else give a new secret to what it belonged to",
    )


def read_key(folder: Path) -> Key | None:
    """The key of a home; None where there is none yet.

    Raises Denied for a file that others may read or that we may not, Corrupt for one that holds no key, Unavailable
    where the variable names a file that is not there.
    """
    secrets = _secrets(folder)
    return Key(*secrets) if secrets else None


def make_key(folder: Path) -> Key:
    """Make the key of a home, on disk before it is used; another process may have made it in this moment."""
    path = folder / FILE
    part = _written(path, [os.urandom(KEY_BYTES)])
    try:
        os.link(part, path)  # Unlike a rename it takes nothing's place.
    except FileExistsError:
        pass
    except OSError as problem:
        raise _not_made(path, problem) from None
    finally:
        part.unlink()
    sync_directory(folder)
    made = read_key(folder)
    if made is None:
        raise Conflict("the key of this home was taken away in the moment it was made", private=str(path))
    return made


def begin_rotation(folder: Path) -> Key:
    """Put a new key before the one that a home has; both open from then on. One that was begun goes on.

    Raises what `read_key` does; Refused where there is no key yet, or its owner has put no new one before it.
    """
    secrets = _secrets(folder)
    if not secrets:
        raise Refused("nothing was sealed here yet: there is no key to be changed for another")
    if len(secrets) == 1:
        if os.environ.get(VARIABLE, ""):
            raise Refused(
                f"the file that {VARIABLE} names is not taut's to write",
                hint="put a new key before the old one there, on every replica, and ask again",
            )
        secrets = [os.urandom(KEY_BYTES), *secrets]
        _replace(folder / FILE, secrets)
    return Key(*secrets)


def end_rotation(folder: Path) -> None:
    """Forget all keys but the one that seals, where the file is ours; what they sealed must be sealed anew by then."""
    if not os.environ.get(VARIABLE, ""):
        _replace(folder / FILE, _secrets(folder)[:1])


def _secrets(folder: Path) -> list[bytes]:
    """The keys of a home's file; none where there is no file."""
    named = os.environ.get(VARIABLE, "")
    path = Path(named) if named else folder / FILE
    try:
        if not named and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Denied("others may read the key of this home", private=str(path), hint=f"chmod 600 {path}")
        found = [base64.b64decode(line, validate=True) for line in path.read_text(encoding="ascii").split()]
    except FileNotFoundError:
        if not named:
            return []
        raise Unavailable(f"{VARIABLE} names a file that is not there", private=named) from None
    except OSError as problem:
        raise Denied("the key of this home cannot be read", private=f"{path}: {problem.strerror}") from None
    except (binascii.Error, UnicodeDecodeError):
        found = []
    if not found or any(len(secret) != KEY_BYTES for secret in found):
        raise Corrupt(f"the file of the key does not hold {KEY_BYTES} bytes in base64", private=str(path))
    return found


def _replace(path: Path, secrets: list[bytes]) -> None:
    part = _written(path, secrets)
    try:
        part.replace(path)
    except OSError as problem:
        part.unlink()
        raise _not_made(path, problem) from None
    sync_directory(path.parent)


def _written(path: Path, secrets: list[bytes]) -> Path:
    """A file beside, on disk, that only its owner may read."""
    part = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.writelines(base64.b64encode(secret) + b"\n" for secret in secrets)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as problem:
        raise _not_made(path, problem) from None
    return part


def _not_made(path: Path, problem: OSError) -> Denied:
    return Denied("the key of this home cannot be made", private=f"{path}: {problem.strerror}")
