"""Rows of what other servers' signed words are worth here: trusts, what was shown already, links, groups' roles."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from taut.errors import NotFound
from taut.ground import wire
from taut.ground.access.projects import insert_binding
from taut.ground.access.state import note_change
from taut.ground.meta import Row, Tx

COLUMNS = "trust.id, trust.issuer, trust.audience, trust.subject, trust.claims, project.name, trust.role, trust.made_by"
FROM = "FROM trust JOIN project ON project.id = trust.project"
SELECT_ALL = f"SELECT {COLUMNS} {FROM} ORDER BY trust.created_ms, trust.id"  # Constants only.
SELECT_OF_ISSUER = f"SELECT {COLUMNS} {FROM} WHERE trust.issuer = :issuer ORDER BY trust.id"
INSERT = """
INSERT INTO trust (id, issuer, audience, subject, claims, project, role, created_ms, made_by)
VALUES (:id, :issuer, :audience, :subject, :claims, :project, :role, :now_ms, :made_by)
"""
DELETE = "DELETE FROM trust WHERE id = :id"
TOKENS_BY = "SELECT id FROM token WHERE made_by = :made_by AND revoked_ms IS NULL AND expires_ms > :now_ms ORDER BY id"

FORGET_SHOWN = "DELETE FROM shown_token WHERE ends_ms <= :now_ms"
INSERT_SHOWN = "INSERT INTO shown_token (hash, ends_ms) VALUES (:hash, :ends_ms) ON CONFLICT (hash) DO NOTHING"

SELECT_LINK = """
SELECT account.id, account.name, account.disabled_ms FROM account_link
JOIN account ON account.id = account_link.account_id WHERE issuer = :issuer AND subject = :subject
"""
INSERT_LINK = """
INSERT INTO account_link (issuer, subject, account_id, created_ms) VALUES (:issuer, :subject, :account_id, :now_ms)
"""

LINKS_OF = """
SELECT issuer, subject, created_ms FROM account_link WHERE account_id = :account_id ORDER BY issuer, subject
"""
DELETE_LINK = "DELETE FROM account_link WHERE issuer = :issuer AND subject = :subject AND account_id = :account_id"

NAMES_MAX = 5  # Of groups, where it is told what gave a role.
GROUP_ROLES = """
SELECT group_role.name, project.name, group_role.role FROM group_role JOIN project ON project.id = group_role.project
ORDER BY group_role.name, project.name, group_role.role
"""
INSERT_GROUP = "INSERT INTO group_role (name, project, role) VALUES (:name, :project, :role)"
DELETE_GROUP = "DELETE FROM group_role WHERE name = :name AND project = :project AND role = :role"
WANTED = "SELECT project, role, name FROM group_role WHERE name IN [:names] ORDER BY project, role, name"
HELD = "SELECT project, role FROM binding WHERE account_id = :account_id AND of_groups = 1 ORDER BY project, role"
UNBIND = """
DELETE FROM binding WHERE account_id = :account_id AND project = :project AND role = :role AND of_groups = 1
"""
GIVEN_BY = """
UPDATE binding SET given_by = :given_by
WHERE account_id = :account_id AND project = :project AND role = :role AND of_groups = 1 AND given_by <> :given_by
"""
# What no group gives any more, whoever has it by one.
UNBACKED = """
SELECT account.id, account.name, binding.project, binding.role FROM binding
JOIN account ON account.id = binding.account_id
WHERE binding.of_groups = 1 AND NOT EXISTS (
    SELECT 1 FROM group_role WHERE group_role.project = binding.project AND group_role.role = binding.role
) ORDER BY account.name, binding.project, binding.role
"""


@dataclass(frozen=True, slots=True)
class Trust:
    """Tokens of an issuer for an audience, by a pattern of subjects and exact claims, and what they are worth where.

    `project` is a name; `role` the scopes as roles, joined by `+`.
    """

    id: str
    issuer: str
    audience: str
    subject: str
    claims: dict[str, str]
    project: str
    role: str
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class GroupRole:
    """A group of the provider is worth a role in a project, given by its name."""

    group: str
    project: str
    role: str


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody as an issuer knows them, and since when they are a user here."""

    issuer: str
    subject: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Linked:
    """The account that somebody elsewhere is here."""

    id: int
    name: str
    disabled: bool


def insert_trust(tx: Tx, trust: Trust, *, project_id: str, now_ms: int) -> Trust:
    """Write a trust down under a new id."""
    note_change(tx)
    id = secrets.token_hex(6)
    tx.execute(INSERT, {
        "id": id, "issuer": trust.issuer, "audience": trust.audience, "subject": trust.subject,
        "claims": wire.text(trust.claims), "project": project_id, "role": trust.role, "now_ms": now_ms,
        "made_by": trust.made_by,
    })  # fmt: skip
    return Trust(
        id, trust.issuer, trust.audience, trust.subject, trust.claims, trust.project, trust.role, trust.made_by
    )


def list_trusts(tx: Tx, *, issuer: str = "") -> list[Trust]:
    """Every trust, oldest first, or those in one issuer."""
    rows = tx.rows(SELECT_OF_ISSUER, {"issuer": issuer}) if issuer else tx.rows(SELECT_ALL)
    return [_trust(row) for row in rows]


def delete_trust(tx: Tx, trust_id: str, *, now_ms: int) -> list[str]:
    """End a trust; returns the ids of the tokens that it gave and that still work. Raises NotFound."""
    note_change(tx)
    if not tx.execute(DELETE, {"id": trust_id}):
        raise no_trust(trust_id)
    return [str(id) for (id,) in tx.rows(TOKENS_BY, {"made_by": giver(trust_id), "now_ms": now_ms})]


def no_trust(trust_id: str) -> NotFound:
    """There is no such trust, or none that the caller may know of."""
    return NotFound(f"there is no trust {trust_id[:40]!r}", hint="taut access trust list")


def giver(trust_id: str) -> str:
    """Who made a token that a trust gave, as the token says it."""
    return f"trust:{trust_id}"


def forget_shown(tx: Tx, *, now_ms: int) -> None:
    """Forget that ID tokens were shown which would not count any more anyway."""
    tx.execute(FORGET_SHOWN, {"now_ms": now_ms})


def note_shown(tx: Tx, seal: str, ends_ms: int, *, now_ms: int) -> bool:
    """Write down that a token was shown; False where it was before. What has ended is forgotten."""
    forget_shown(tx, now_ms=now_ms)
    return tx.execute(INSERT_SHOWN, {"hash": seal, "ends_ms": ends_ms}) > 0


def find_linked(tx: Tx, issuer: str, subject: str) -> Linked | None:
    """The account of somebody elsewhere; None where they never came."""
    found = tx.row(SELECT_LINK, {"issuer": issuer, "subject": subject})
    return None if found is None else Linked(int(str(found[0])), str(found[1]), found[2] is not None)


def insert_link(tx: Tx, issuer: str, subject: str, account_id: int, *, now_ms: int) -> None:
    """From now on somebody elsewhere is this account."""
    tx.execute(INSERT_LINK, {"issuer": issuer, "subject": subject, "account_id": account_id, "now_ms": now_ms})


def delete_link(tx: Tx, issuer: str, subject: str, account_id: int) -> bool:
    """Let somebody elsewhere be this account no more; False where they were not."""
    return tx.execute(DELETE_LINK, {"issuer": issuer, "subject": subject, "account_id": account_id}) > 0


def links_of(tx: Tx, account_id: int) -> list[Subject]:
    """Whom an account is elsewhere."""
    rows = tx.rows(LINKS_OF, {"account_id": account_id})
    return [Subject(str(issuer), str(subject), int(str(since))) for issuer, subject, since in rows]


def list_group_roles(tx: Tx) -> list[GroupRole]:
    """What each group is worth."""
    return [GroupRole(str(name), str(project), str(role)) for name, project, role in tx.rows(GROUP_ROLES)]


def insert_group_role(tx: Tx, group: str, project_id: str, role: str) -> None:
    """Let a group be worth a role."""
    tx.execute(INSERT_GROUP, {"name": group, "project": project_id, "role": role})


def delete_group_role(tx: Tx, group: str, project_id: str, role: str) -> None:
    """Let it be worth it no more; who has the role by it is unbound at their next login, or by `unbind_unbacked`."""
    tx.execute(DELETE_GROUP, {"name": group, "project": project_id, "role": role})


def fold_groups(
    tx: Tx, account_id: int, groups: Iterable[str], *, issuer: str
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Let the bindings that an account has by its groups be what these are worth; bindings made by hand stay.

    Each says which groups of which issuer give it.

    Returns what was bound and what was unbound, as project id and role. Raises Refused for roles that exclude others.
    """
    wanted: dict[tuple[str, str], list[str]] = {}
    for project, role, name in tx.rows(WANTED, {"names": sorted(set(groups))}):
        wanted.setdefault((str(project), str(role)), []).append(str(name))
    held = {(str(project), str(role)) for project, role in tx.rows(HELD, {"account_id": account_id})}
    gone = held - wanted.keys()
    for project, role in sorted(gone):
        tx.execute(UNBIND, {"account_id": account_id, "project": project, "role": role})
    new = {pair for pair in sorted(wanted.keys() - held) if insert_binding(tx, account_id, *pair, of_groups=True)}
    for (project, role), names in wanted.items():
        shown = ", ".join(names[:NAMES_MAX]) + (", …" if len(names) > NAMES_MAX else "")
        given_by = f"{'group' if len(names) == 1 else 'groups'} {shown} of {issuer}"
        tx.execute(GIVEN_BY, {"account_id": account_id, "project": project, "role": role, "given_by": given_by})
    if gone:
        note_change(tx)
    return new, gone


def unbind_unbacked(tx: Tx) -> list[tuple[str, str, str]]:
    """Unbind what no group gives any more; returns user, project id and role of each."""
    found = [(int(str(id)), str(user), str(project), str(role)) for id, user, project, role in tx.rows(UNBACKED)]
    for account_id, _, project, role in found:
        tx.execute(UNBIND, {"account_id": account_id, "project": project, "role": role})
    if found:
        note_change(tx)
    return [(user, project, role) for _, user, project, role in found]


def _trust(row: Row) -> Trust:
    id, issuer, audience, subject, claims, project, role, made_by = row
    known = wire.decode(str(claims), dict[str, str], what="the claims of a trust")
    return Trust(str(id), str(issuer), str(audience), str(subject), known, str(project), str(role), str(made_by))
