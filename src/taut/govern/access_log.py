"""What was done to users, tokens, projects and roles: the part of the ledger that is the server's and no project's."""

from taut.errors import Invalid
from taut.ground.ledger import Event, events
from taut.home import Home, verb

KINDS = (
    "access.bound", "access.client_removed", "access.client_set", "access.group_mapped", "access.group_unmapped",
    "access.trusted", "access.unbound", "access.untrusted", "project.condemned", "project.created", "project.deleted",
    "project.described", "project.purged", "project.restored", "token.created", "token.exchanged", "token.forgotten",
    "token.revoked", "token.sessions_ended", "user.created", "user.deleted", "user.disabled", "user.enabled",
    "user.linked", "user.logged_in", "user.password", "user.role", "user.unlinked",
)  # fmt: skip
"""All that is written of the server itself; what is done inside a project stands in the project's own ledger."""
LIMIT_MAX = 10_000


@verb("access.log", needs="server:audit")
def show_access_log(home: Home, *, subject: str = "", after: int = 0, limit: int = 50) -> list[Event]:
    """Up to `limit` entries past number `after`, oldest first, about one `user:NAME` or `token:ID` where named.

    For who administers the server, and so may not read what is in the ledgers of projects. Raises Invalid.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise Invalid(f"a page of the log holds 1 to {LIMIT_MAX} entries, not {limit}", hint="go on with `after`")
    with home.root.meta.read() as tx:
        found = [one for kind in KINDS for one in events(tx, kind=kind, subject=subject, after=after, limit=limit)]
    return sorted(found, key=lambda one: one.seq)[:limit]
