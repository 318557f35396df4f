"""The one row that says how often it changed who may do what, and whether anybody has ever been given a login."""

from dataclasses import dataclass

from taut.ground.meta import Metadata, Tx

BUMP = "UPDATE access_state SET version = version + 1, logins = logins + :logins WHERE one = 1"
SELECT_STATE = """
SELECT version, logins, (SELECT COUNT(*) FROM project WHERE deleted_ms IS NULL) FROM access_state WHERE one = 1
"""

SELECT_VERSION = "SELECT version FROM access_state WHERE one = 1"


@dataclass(frozen=True, slots=True)
class AccessState:
    """`version` grows with every change of access; `asks` is whether callers must say who they are.

    `projects` is how many there are. In a project's own home `inner` is the version of what was granted there.
    """

    version: int
    asks: bool
    projects: int = 1
    inner: int = 0


def note_change(tx: Tx, *, login: bool = False) -> int:
    """Raise the version inside the transaction of a change; the new one is also a number that nothing else has.

    `login` says that somebody was given a token or password: from then on nobody passes unasked, also not after the
    last of them was taken away, for then the whole world would own the home.
    """
    tx.execute(BUMP, {"logins": int(login)})
    return read_state(tx).version


def read_state(tx: Tx) -> AccessState:
    """How things stand."""
    row = tx.row(SELECT_STATE)
    assert row is not None
    version, logins, projects = (int(str(value)) for value in row)
    return AccessState(version, logins > 0, projects)


def read_version(meta: Metadata) -> int:
    """How often access changed in a store, as committed at this moment."""
    ((version,),) = meta.ask(SELECT_VERSION)
    return int(str(version))
