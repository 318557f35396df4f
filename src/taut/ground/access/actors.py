"""Actors: who calls a verb, in which role, and what was granted to them beside it."""

import getpass
from dataclasses import dataclass, field

from taut.ground.access.grants import Grants


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or machine with one role of `ROLES`; what the ledger writes down is `name`.

    `grants` is there for users of this home; machines, and whoever owns the folder, have their role alone.
    """

    name: str
    role: str
    grants: Grants | None = field(default=None, compare=False, repr=False)

    @property
    def is_bound(self) -> bool:
        """Whether a single resource may be more or less open to them than their role says."""
        return bool(self.grants) and self.role != "owner"


def local_actor() -> Actor:
    """Whoever runs this process on its own folder: the file system has let them in already, so they own it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A container's user id may have no name.
        name = "local"
    return Actor(name=name, role="owner")
