"""People who log in at their organisation's provider: an ID token of theirs is a session here, their groups are roles.

Who somebody is follows from issuer and subject alone. A name or an address that the provider tells is only what a new
account is called, and never leads to an account that is there.
"""

import os

from taut.errors import Conflict, Denied, Invalid, NotFound, Refused
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
    list_projects,
    note_shown,
    read_login,
)
from taut.ground.meta import Tx
from taut.ground.oidc import HOSTS, IdToken, Provider, check_id_token, check_issuer, check_nonce, hosts_for, is_for
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
    return Provider(issuer, client, scope)


def log_in(home: Home, id_token: str, nonce: str) -> NewToken:
    """A session for whoever an ID token of the server's provider is about; their account is made when they first come.

    Their groups become roles, as the access file maps them; those that they are in no more end. Raises Denied for a
    token that is not good, not for us, not of this login or shown before, and for who is disabled here; Conflict
    where no name is free, Refused where nobody administers the server yet or roles exclude each other, Unavailable
    where the provider's keys cannot be had, NotFound where the server has no provider.
    """
    provider, root = login_provider(), home.root
    allowed, now_ms = hosts_for(os.environ.get(HOSTS, ""), provider.issuer), root.clock.now_ms()
    shown = check_id_token(id_token, provider.issuer, root.access.issuers, allowed=allowed, now_ms=now_ms)
    if not is_for(shown, provider.client_id, is_client=True):
        raise Denied("the ID token is for somebody else")
    check_nonce(shown, nonce)
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


def _folded(theirs: Home, tx: Tx, account: Linked, shown: IdToken) -> list[Told]:
    """Roles by groups; returns what changed."""
    said = shown.claims.get(os.environ.get(GROUPS, "") or "groups")
    groups = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    named = [group for group in groups[:GROUPS_MAX] if isinstance(group, str)]
    bound, unbound = fold_groups(tx, account.id, named)
    names = {one.id: one.name for one in list_projects(tx)}
    changed = [Told("access.unbound", account.name, names[where], role, "groups") for where, role in sorted(unbound)]
    changed += [Told("access.bound", account.name, names[where], role, "groups") for where, role in sorted(bound)]
    for one in changed:
        theirs.append(tx, one.kind, subject=f"user:{one.user}", body=one.body)
    return changed
