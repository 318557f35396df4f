"""The errors that users meet: one root and its kinds, each with one exit status and one HTTP status."""

from collections.abc import Mapping
from typing import ClassVar


class TautError(Exception):
    """Something that taut can explain: `message` says what happened, `hint` what to do next, as a command if it can.

    `private` is what a driver said of it: whoever runs taut reads it behind the message, a caller over HTTP does not.
    """

    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "", private: str = "") -> None:
        super().__init__(f"{message}: {private}" if private else message)
        self.message = message
        self.hint = hint

    @property
    def kind(self) -> str:
        """The name of the kind, as it travels over the wire."""
        return type(self).__name__


class UsageError(TautError):
    """The command or call itself is wrong: an option, an argument, a missing extra."""

    exit_status, http_status = 2, 400


class Refused(TautError):
    """The answer is no: a gate, a policy or an audit decided against it."""

    exit_status, http_status = 3, 422


class NotFound(TautError):
    """What was asked for does not exist here."""

    exit_status, http_status = 10, 404


class Conflict(TautError):
    """It exists already, or changed in the meantime, or somebody else holds it."""

    exit_status, http_status = 11, 409


class Denied(TautError):
    """The caller may not do this."""

    exit_status, http_status = 12, 403

    def __init__(
        self, message: str, *, hint: str = "", private: str = "", refusal: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint, private=private)
        self.refusal = refusal  # What the ledger says of it; a transaction that is undone takes that with it.


class Ended(Denied):
    """What the caller was let in with was taken away before their change was committed, so none of it was done."""


class Invalid(TautError):
    """A value, file or request is not what it must be."""

    exit_status, http_status = 13, 400


class TooLarge(Invalid):
    """A request is larger than what it may be."""

    http_status = 413


class Unsupported(Invalid):
    """A request is written in a form that is not read here."""

    http_status = 415


class Corrupt(TautError):
    """Stored bytes are not what was stored."""

    exit_status, http_status = 14, 500


class Unavailable(TautError):
    """A part that is needed does not answer; trying again later may help."""

    exit_status, http_status = 15, 503


class Throttled(Unavailable):
    """Too many attempts; the same is answered again once `retry_after_s` seconds have passed."""

    http_status = 429
    retry_after_s = 1


KINDS: dict[str, type[TautError]] = {
    kind.__name__: kind
    for kind in (
        UsageError,
        Refused,
        NotFound,
        Conflict,
        Denied,
        Ended,
        Invalid,
        TooLarge,
        Unsupported,
        Corrupt,
        Unavailable,
        Throttled,
    )
}


def error_of(kind: str, message: str, hint: str = "") -> TautError:
    """Build the error that a server named; an unknown kind becomes the root.

    >>> error_of("NotFound", "no run 'x'").exit_status
    10
    """
    return KINDS.get(kind, TautError)(message, hint=hint)
