"""Tokens as verbs: made, listed and revoked by whoever administers access, each in the ledger."""

from dataclasses import dataclass

from taut.errors import Denied, Invalid
from taut.ground.access import Token, insert_token, list_tokens, may_make, revoke_token
from taut.home import Home, verb

DAYS_MAX = 3_650  # Ten years; what shall last longer is better said to last for ever.


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token with its secret, which is shown this once and stored only as a hash."""

    token: Token
    secret: str


@verb("token.create", needs="access:admin")
def create_token(home: Home, name: str, role: str, *, days: int | None = 90) -> NewToken:
    """Make a token for a person or machine in a role; it ends after `days`, None for never. Raises Invalid."""
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise Invalid(f"a token works for 1 to {DAYS_MAX} days, or for ever; not for {days}")
    if not may_make(home.actor, role):
        raise Denied(f"only an owner gives away the role {role!r}")
    now_ms = home.clock.now_ms()
    with home.meta.transaction() as tx:
        expires_ms = None if days is None else now_ms + days * 86_400_000
        token, secret = insert_token(tx, name, role, now_ms=now_ms, expires_ms=expires_ms)
        home.append(tx, "token.created", subject=f"token:{token.id}", body={"name": name, "role": role})
    home.access.forget()
    return NewToken(token, secret)


@verb("token.list", needs="access:admin")
def show_tokens(home: Home) -> list[Token]:
    """Every token ever made, oldest first; never a secret."""
    with home.meta.read() as tx:
        return list_tokens(tx)


@verb("token.revoke", needs="access:admin")
def end_token(home: Home, token_id: str) -> None:
    """End a token now. Raises NotFound where there is none that still works."""
    with home.meta.transaction() as tx:
        revoke_token(tx, token_id, now_ms=home.clock.now_ms())
        home.append(tx, "token.revoked", subject=f"token:{token_id}")
    home.access.forget()
