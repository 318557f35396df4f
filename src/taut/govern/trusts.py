"""Workloads that need no stored secret: an ID token of their CI is exchanged for a token of fifteen minutes.

Whom to believe is said by who administers a project: an issuer, an audience, a pattern of subjects and exact claims.
"""

import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from taut.errors import Denied, Invalid, TautError
from taut.govern.projects import administered
from taut.govern.tokens import FORGOTTEN, forget_tokens
from taut.ground.access import (
    SCOPES,
    Actor,
    Trust,
    delete_trust,
    giver,
    insert_token,
    insert_trust,
    is_allowed,
    list_projects,
    list_trusts,
    no_trust,
    note_shown,
    revoke_token,
)
from taut.ground.meta import Tx
from taut.ground.oidc import (
    HOSTS,
    IdToken,
    check_id_token,
    check_issuer,
    hosts_for,
    is_for,
    issuer_of,
    need_jose,
    not_trusted,
)
from taut.home import Home, require, verb

LIFE_S = 900
TEXT_MAX = 500
CLAIMS_MAX = 20


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A token of some minutes, shown this once, and what it is for. `token_id` names it in the ledger."""

    secret: str
    token_id: str
    project: str
    scopes: tuple[str, ...]
    life_s: int


@verb("access.trust_add", needs="token:admin")
def add_trust(
    home: Home, issuer: str, audience: str, subject: str, scopes: list[str], *,
    claims: dict[str, str] | None = None, project: str = "",
) -> Trust:  # fmt: skip
    """Take an issuer's ID tokens for tokens of a project: this one, or the one named.

    `subject` is a pattern for all of the subject, in which `*` stands for anything; `claims` must be there exactly so.
    Raises Invalid, NotFound, and UsageError where what checks signatures is not installed.
    """
    trust = checked_trust(issuer, audience, subject, claims or {}, project or home.project_name, scopes)
    need_jose()
    found = administered(home, project, verb="access.trust_add")
    root = home.root
    with root.meta.transaction() as tx:
        made = write_trust(root, tx, trust, found.id)
    home.access_changed()
    return made


@verb("access.trust_list", needs="project:read")
def show_trusts(home: Home, *, project: str = "") -> list[Trust]:
    """Whom this project trusts, or the one named; with `*` every one of the server. Raises NotFound, Denied."""
    where = project or home.project_name
    if where != home.project_name:
        require(home, "user:admin", verb="access.trust_list")
    with home.root.meta.read() as tx:
        found = list_trusts(tx)
    return [one for one in found if where in ("*", one.project)]


@verb("access.trust_remove", needs="token:admin")
def remove_trust(home: Home, trust_id: str) -> Trust:
    """Trust somebody no more; the tokens that they were given end too.

    Raises NotFound where there is no such trust in this project, or for who administers the server anywhere.
    """
    root = home.root
    with root.meta.transaction() as tx:
        mine = "" if is_allowed(home.actor, "user:admin") else home.project_name
        found = [one for one in list_trusts(tx) if one.id == trust_id and mine in ("", one.project)]
        if not found:
            raise no_trust(trust_id)
        gone = erase_trust(root, tx, found[0])
    home.access_changed(gone.project)
    return gone


def exchange_token(home: Home, id_token: str, *, project: str = "") -> Exchanged:
    """Give whoever shows a trusted ID token one of ours, for the project that trusts it: RFC 8693.

    Where several do, `project` names one; of one project all scopes that fit are given. The same ID token is taken
    once. A refusal is written to the ledger; its like in the next minutes are counted. Raises Denied where nothing
    trusts it, Invalid where it does not say which project, Unavailable where the issuer's keys cannot be had.
    """
    root = home.root
    issuer = issuer_of(id_token)
    with root.meta.read() as tx:
        if not list_trusts(tx, issuer=issuer):
            raise not_trusted()
    allowed = hosts_for(os.environ.get(HOSTS, ""), os.environ.get("TAUT_OIDC_ISSUER", ""))
    now_ms = root.clock.now_ms()
    shown = check_id_token(id_token, issuer, root.access.issuers, allowed=allowed, now_ms=now_ms)
    theirs = root.as_actor(Actor(f"oidc:{shown.subject}"[:255], "anonymous"))
    try:
        with root.meta.transaction() as tx:
            given = _given(theirs, tx, shown, project, now_ms)
            forget_tokens(theirs, tx, most=FORGOTTEN)
    except TautError as refused:
        _note_refused(theirs, shown, refused.message)
        raise
    root.access_changed()
    return given


def checked_trust(
    issuer: str, audience: str, subject: str, claims: dict[str, str], project: str, scopes: list[str]
) -> Trust:
    """A trust that can be. Raises Invalid for one that would let in whoever the issuer knows, or that fits nobody."""
    check_issuer(issuer)
    texts = [audience, subject, *claims, *claims.values()]
    if len(claims) > CLAIMS_MAX or not all(0 < len(one) <= TEXT_MAX and one.isprintable() for one in texts):
        raise Invalid(f"audience, subject and claims are printable words of 1 to {TEXT_MAX} characters")
    if not claims and not re.sub(r"\[.[^\]]*\]|[*?]", "", subject):  # Nothing in it stands for itself.
        raise Invalid(
            f"the subject {subject!r} is anybody whom {issuer} knows", hint="name a repository, or a claim that says it"
        )
    if not scopes or set(scopes) - set(SCOPES):
        raise Invalid(f"a trust is for some of the scopes {', '.join(SCOPES)}, not for {', '.join(scopes) or 'none'}")
    role = "+".join(f"scope:{scope}" for scope in SCOPES if scope in scopes)
    return Trust("", issuer, audience, subject, dict(sorted(claims.items())), project, role)


def write_trust(root: Home, tx: Tx, trust: Trust, project_id: str) -> Trust:
    """Write a trust down, and the entry of the ledger that says so."""
    by = Trust(
        "", trust.issuer, trust.audience, trust.subject, trust.claims, trust.project, trust.role, root.actor.name
    )
    made = insert_trust(tx, by, project_id=project_id, now_ms=root.clock.now_ms())
    root.append(tx, "access.trusted", subject=f"trust:{made.id}", body=_told(made))
    return made


def erase_trust(root: Home, tx: Tx, trust: Trust) -> Trust:
    """Take a trust away with the tokens that it gave, and write that down. Raises NotFound."""
    now_ms = root.clock.now_ms()
    tokens = delete_trust(tx, trust.id, now_ms=now_ms)
    root.append(tx, "access.untrusted", subject=f"trust:{trust.id}", body=_told(trust))
    for token_id in tokens:
        revoke_token(tx, token_id, now_ms=now_ms)
        root.append(tx, "token.revoked", subject=f"token:{token_id}", body={"trust": trust.id})
    return trust


def fits(trust: Trust, token: IdToken) -> bool:
    """Whether a token is one of those that a trust means. Who issued it was asked before."""
    return (
        trust.issuer == token.issuer
        and fnmatchcase(token.subject, trust.subject)
        and all(_said(token.claims.get(name)) == value for name, value in trust.claims.items())
        and is_for(token, trust.audience)
    )


def _given(theirs: Home, tx: Tx, shown: IdToken, project: str, now_ms: int) -> Exchanged:
    trusts = [one for one in list_trusts(tx, issuer=shown.issuer) if fits(one, shown)]
    trusts = [one for one in trusts if project in ("", one.project)]
    if not trusts:
        raise not_trusted()
    if len({one.project for one in trusts}) > 1:
        raise Invalid("several projects trust this ID token; say which one is meant", hint="taut --project NAME login")
    if not note_shown(tx, shown.seal, shown.ends_ms, now_ms=now_ms):
        raise Denied("this ID token was shown before", hint="ask your CI for a new one")
    name = trusts[0].project
    ids = {one.name: one.id for one in list_projects(tx)}
    roles = {part for one in trusts for part in one.role.split("+")}
    scopes = tuple(scope for scope in SCOPES if f"scope:{scope}" in roles)
    role = "+".join(f"scope:{scope}" for scope in scopes)
    token, secret = insert_token(
        tx, theirs.actor.name, role, now_ms=now_ms, expires_ms=now_ms + LIFE_S * 1000, project=ids[name],
        made_by=giver(trusts[0].id),
    )  # fmt: skip
    body = {"issuer": shown.issuer, "subject": shown.subject, "trust": trusts[0].id, "role": role, "project": name}
    theirs.append(tx, "token.exchanged", subject=f"token:{token.id}", body=body)
    return Exchanged(secret, token.id, name, scopes, LIFE_S)


def _note_refused(theirs: Home, shown: IdToken, because: str) -> None:
    """Write a refusal down, with how many others of this issuer were only counted before."""
    access, what = theirs.access, f"{shown.subject}\0{because}"
    is_first, others = access.repeats.take(shown.issuer, what, now_s=access.steady())
    if not is_first:
        return
    body: dict[str, object] = {
        "issuer": shown.issuer, "subject": shown.subject, "verb": "token.exchange", "because": because,
    }  # fmt: skip
    with theirs.meta.transaction() as tx:
        counted = {"others": others} if others else {}
        theirs.append(tx, "access.denied", subject=f"actor:{theirs.actor.name}", body={**body, **counted})


def _said(value: object) -> str | None:
    """A claim as it is written in a trust; None for what is no single word, number or truth value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


def _told(trust: Trust) -> dict[str, object]:
    return {
        "issuer": trust.issuer, "audience": trust.audience, "subject": trust.subject, "claims": trust.claims,
        "project": trust.project, "role": trust.role,
    }  # fmt: skip
