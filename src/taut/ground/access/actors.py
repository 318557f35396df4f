"""Actors: who calls a verb, in which role, and what was granted to them beside it."""

import getpass
from dataclasses import dataclass, field

from taut.ground.access.grants import Grants
from taut.ground.ledger import UNASKED, Asked


@dataclass(frozen=True, slots=True)
class Seen:
    """How often access had changed when a caller was let in, on the server and in the `project` of that id."""

    project: str
    server: int
    inner: int


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or machine with a role of `ROLES`, or with several, joined by `+`; the ledger writes the `name`.

    Without a role they are no member of the project. `grants` is there for users; machines, and whoever owns the
    folder, have their role alone. `within` is what a user's token was made for: beyond it they may nothing. `token`
    is the id of the token that was shown, `seen` how things stood when they were let in, None for who needs no login,
    and `asked` the request that is being answered.
    """

    name: str
    role: str
    grants: Grants | None = field(default=None, compare=False, repr=False)
    within: frozenset[str] | None = None
    token: str = field(default="", compare=False)
    seen: Seen | None = field(default=None, compare=False, repr=False)
    asked: Asked = field(default=UNASKED, compare=False, repr=False)

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
