"""People who log in at their organisation's provider: an ID token of theirs is a session here, their groups are roles.

Who somebody is follows from issuer and subject alone. A name or an address that the provider tells is only what a new
account is called, and never leads to an account that is there.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from taut.errors import Conflict, Denied, Invalid, NotFound, Refused
from taut.govern.clients import secret_of_client
from taut.govern.projects import Told, tell_projects
from taut.govern.tokens import FORGOTTEN, SESSION_DAYS, NewToken, forget_tokens
from taut.ground.access import (
    Actor,
    Linked,
    check_user_name,
    find_linked,
    fold_groups,
    has_admin,
    insert_link,
    insert_token,
    insert_user,
    list_group_roles,
    list_projects,
    note_shown,
    read_login,
)
from taut.ground.meta import Tx
from taut.ground.oidc import (
    HOSTS,
    Code,
    IdToken,
    Provider,
    check_id_token,
    check_issuer,
    check_nonce,
    exchange_code,
    fetch_userinfo,
    hosts_for,
    is_for,
    provider_of,
)
from taut.ground.outbound import Hosts
from taut.home import Home

ISSUER, CLIENT, SCOPE, GROUPS = "TAUT_OIDC_ISSUER", "TAUT_OIDC_CLIENT_ID", "TAUT_OIDC_SCOPE", "TAUT_OIDC_GROUPS_CLAIM"
GROUPS_MAX = 2000


def login_provider() -> Provider:
    """Where the people of this server log in, from the environment. Raises NotFound where nothing is said, Invalid."""
    issuer, client = os.environ.get(ISSUER, ""), os.environ.get(CLIENT, "")
    if not issuer or not client:
        raise NotFound("this server knows no provider of logins", hint=f"it is named by {ISSUER} and {CLIENT}")
    check_issuer(issuer)
    scope = os.environ.get(SCOPE, "") or "openid profile email"
    if "openid" not in scope.split():
        raise Invalid(f"{SCOPE} has no openid in it")
    return Provider(issuer, client, scope, takes_codes=True)


def log_in(home: Home, id_token: str, nonce: str) -> NewToken:
    """A session for whoever an ID token of the server's provider is about; their account is made when they first come.

    Their groups become roles, as the access file maps them; those that they are in no more end. Raises Denied for a
    token that is not good, not for us, not of this login or shown before, and for who is disabled here; Conflict
    where no name is free, Refused where nobody administers the server yet or roles exclude each other, Unavailable
    where the provider's keys cannot be had, NotFound where the server has no provider.
    """
    return _entered(home, login_provider(), id_token, nonce, lambda _: {})


def log_in_by_code(home: Home, code: Code, nonce: str) -> NewToken:
    """A session for whoever logged in at the server's provider and was sent back with a code.

    The server exchanges it, with its client's secret where it was given one. What the ID token does not tell, a name or
    the groups, if any is worth a role, is asked for at the userinfo endpoint. Raises what `log_in` does, Denied where
    the provider gives nothing for the code or tells of somebody else, Unavailable where it does not answer.
    """
    provider, root = login_provider(), home.root
    with root.meta.read() as tx:
        asks, secret = bool(list_group_roles(tx)), secret_of_client(root, tx, provider)
    allowed = _allowed(provider)
    found = provider_of(provider, allowed=allowed)
    given = exchange_code(provider, found, code, secret, allowed=allowed)

    def told(shown: IdToken) -> Mapping[str, Any]:
        wanted = {"preferred_username", *([_claim()] if asks else [])}
        if wanted <= shown.claims.keys() or not found.userinfo_endpoint or not given.access_token:
            return {}
        return fetch_userinfo(provider, found, given.access_token, shown.subject, allowed=allowed)

    return _entered(home, provider, given.id_token, nonce, told)


def _entered(
    home: Home, provider: Provider, id_token: str, nonce: str, told: Callable[[IdToken], Mapping[str, Any]]
) -> NewToken:
    """A session; `told` is asked what else the provider says once the ID token was found to be good."""
    root, allowed = home.root, _allowed(provider)
    now_ms = root.clock.now_ms()
    shown = check_id_token(id_token, provider.issuer, root.access.issuers, allowed=allowed, now_ms=now_ms)
    if not is_for(shown, provider.client_id, is_client=True):
        raise Denied("the ID token is for somebody else")
    check_nonce(shown, nonce)
    shown = replace(shown, claims={**told(shown), **shown.claims})
    with root.meta.transaction() as tx:
        if not note_shown(tx, shown.seal, shown.ends_ms, now_ms=now_ms):
            raise Denied("this ID token was shown before", hint="taut login URL --oidc")
        account = find_linked(tx, shown.issuer, shown.subject) or _made(root, tx, shown, now_ms)
        if account.disabled:
            raise Denied(f"{account.name} can log in no more", hint="ask an admin")
        theirs = root.as_actor(Actor(account.name, ""))
        changed = _folded(theirs, tx, account, shown)
        token, secret = insert_token(
            tx, "session", "", now_ms=now_ms, expires_ms=now_ms + SESSION_DAYS * 86_400_000, project="*",
            kind="session", account_id=account.id, made_by=account.name,
        )  # fmt: skip
        theirs.append(tx, "token.created", subject=f"token:{token.id}", body={"name": "session", "role": "",
                      "kind": "session"})  # fmt: skip
        body = {"issuer": shown.issuer, "subject": shown.subject, "token": token.id}
        theirs.append(tx, "user.logged_in", subject=f"user:{account.name}", body=body)
        forget_tokens(theirs, tx, most=FORGOTTEN)
    root.access_changed(*(one.project for one in changed if one.kind == "access.unbound"))
    tell_projects(theirs, changed)
    return NewToken(token, secret)


def _made(root: Home, tx: Tx, shown: IdToken, now_ms: int) -> Linked:
    """A new account for who comes for the first time, without a password; it never is one that is there."""
    if not has_admin(tx, now_ms=now_ms):
        raise Refused("the first who can log in must be an owner", hint="taut user create NAME --admin")
    name = _free_name(tx, shown)
    user = insert_user(tx, name, "", "", now_ms=now_ms)
    insert_link(tx, shown.issuer, shown.subject, user.id, now_ms=now_ms)
    body = {"id": user.id, "role": "", "issuer": shown.issuer, "subject": shown.subject}
    root.as_actor(Actor(name, "")).append(tx, "user.created", subject=f"user:{name}", body=body)
    return Linked(user.id, name, disabled=False)


def _free_name(tx: Tx, shown: IdToken) -> str:
    verified = shown.claims.get("email_verified", True) is True
    for claim in ("preferred_username", *(["email"] if verified else [])):
        name = shown.claims.get(claim)
        if isinstance(name, str) and _can_name(name) and read_login(tx, name) is None:
            return name
    raise Conflict(
        "the name that the provider tells is that of another user here, or there is none",
        hint="ask who administers the users: an account is never taken over by its name",
    )


def _can_name(name: str) -> bool:
    try:
        check_user_name(name)
    except Invalid:
        return False
    return not name.startswith("oidc:")


def _allowed(provider: Provider) -> Hosts:
    return hosts_for(os.environ.get(HOSTS, ""), provider.issuer)


def _claim() -> str:
    """The claim that lists groups."""
    return os.environ.get(GROUPS, "") or "groups"


def _folded(theirs: Home, tx: Tx, account: Linked, shown: IdToken) -> list[Told]:
    """Roles by groups; returns what changed."""
    said = shown.claims.get(_claim())
    groups = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    named = [group for group in groups[:GROUPS_MAX] if isinstance(group, str)]
    bound, unbound = fold_groups(tx, account.id, named, issuer=shown.issuer)
    names = {one.id: one.name for one in list_projects(tx)}
    changed = [Told("access.unbound", account.name, names[where], role, "groups") for where, role in sorted(unbound)]
    changed += [Told("access.bound", account.name, names[where], role, "groups") for where, role in sorted(bound)]
    for one in changed:
        theirs.append(tx, one.kind, subject=f"user:{one.user}", body=one.body)
    return changed
