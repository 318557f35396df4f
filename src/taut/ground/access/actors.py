"""Actors: who calls a verb, and in which role."""

import getpass
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or machine with one role of `ROLES`; what the ledger writes down is `name`."""

    name: str
    role: str


def local_actor() -> Actor:
    """Whoever runs this process on its own folder: the file system has let them in already, so they own it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A container's user id may have no name.
        name = "local"
    return Actor(name=name, role="owner")
