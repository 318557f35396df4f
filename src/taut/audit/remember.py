"""Facts that several checks ask for: found at the first question, kept with what they are about."""

from collections.abc import Callable
from functools import wraps
from typing import Protocol, TypeVar, cast


class Remembers(Protocol):
    """What facts can be kept with: it has a place for them, and does not change once it was read."""

    @property
    def known(self) -> dict[object, object]:
        """The facts found so far, by the function that finds them."""
        ...


S = TypeVar("S", bound=Remembers)
T = TypeVar("T")


def remembered(fact: Callable[[S], T]) -> Callable[[S], T]:
    """Let a function of a source or workflow run once for each; what it returned is shared, so callers only read it."""

    @wraps(fact)
    def recall(subject: S) -> T:
        if fact not in subject.known:
            subject.known[fact] = fact(subject)
        return cast("T", subject.known[fact])

    return recall
