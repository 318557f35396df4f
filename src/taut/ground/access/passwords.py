"""Passwords: hashed with Argon2id when one is set, checked when one is shown, slow on purpose and few at a time."""

import secrets
import threading
from functools import cache
from typing import TYPE_CHECKING

from taut.errors import Invalid, Throttled

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LENGTH_MIN, LENGTH_MAX = 12, 1024  # MLflow asks for 12 too; past 1024 nobody types, somebody probes.
# OWASP's least for Argon2id, Password Storage Cheat Sheet: about 20 ms and 19 MiB a check.
MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
AT_ONCE = 2  # Checks under way; each holds its memory and most of a core.
WAIT_S = 2.0  # A thread of the server that waits longer is worth more to others.

_turns = threading.BoundedSemaphore(AT_ONCE)


def check_password(password: str) -> None:
    """Raise Invalid for a password that is too short, or longer than anybody means."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise Invalid(f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters, this has {len(password)}")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise Invalid("the password holds half a character") from None


def new_password() -> str:
    """A password that nobody can guess: 144 random bits."""
    return secrets.token_urlsafe(18)


def hash_password(password: str) -> str:
    """What is stored of a password, in the format of the Argon2 reference: parameters, salt and hash."""
    check_password(password)
    with _Turn():
        return _hasher().hash(password)


def is_password(stored: str, password: str) -> bool:
    """Whether this is the password; with nothing stored, the same time is spent and the answer is no.

    Raises Throttled where too many wait for the same.
    """
    from argon2.exceptions import InvalidHashError, VerificationError

    with _Turn():
        nobody = _nobody()  # Made once, and then by whoever is first, known or not.
        try:
            _hasher().verify(stored or nobody, password[: LENGTH_MAX + 1])
        except (InvalidHashError, VerificationError, UnicodeEncodeError):
            return False
    return bool(stored)


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


@cache
def _nobody() -> str:
    """The hash of a password that nobody has, so that unknown names take as long as known ones."""
    return _hasher().hash(secrets.token_urlsafe(32))


class _Turn:
    """One of the few checks that may run at once."""

    def __enter__(self) -> None:
        if not _turns.acquire(timeout=WAIT_S):
            raise Throttled("too many passwords are being checked right now", hint="try again in a second")

    def __exit__(self, *_: object) -> None:
        _turns.release()
