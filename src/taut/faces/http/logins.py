"""Where ID tokens are taken, before anybody is logged in: a person's for a session, a machine's for a short token.

Attempts are counted by address, as wrong passwords are, for each makes the server check a signature.
"""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from taut.errors import Invalid
from taut.faces.http.reading import read_body
from taut.govern.logins import log_in as open_login
from taut.govern.logins import log_in_by_code, login_provider
from taut.govern.tokens import NewToken
from taut.govern.trusts import exchange_token
from taut.ground import wire
from taut.ground.access import BY_ADDRESS
from taut.ground.oidc import Code
from taut.ground.remote import EXCHANGE, ID_TOKEN
from taut.home import Home

T = TypeVar("T")

BODY_BYTES_MAX = 64 << 10
FIELDS_MAX = 20
KINDS = frozenset({ID_TOKEN, "urn:ietf:params:oauth:token-type:jwt"})
GIVEN = "urn:ietf:params:oauth:token-type:access_token"


class Login(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody shows who was at their provider, an ID token or a code for one, and the nonce they sent there."""

    nonce: str
    id_token: str = ""
    code: Code | None = None


async def told_provider(_: Home, __: Request) -> Response:
    """Where people log in, for a command to send them there."""
    return Response(wire.encode(login_provider()), media_type="application/json")


async def log_in(home: Home, request: Request) -> Response:
    """A session for what a person's provider gave them, as `token.session` answers."""
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said != "application/json":
        raise Invalid("Content-Type must be application/json")
    shown = wire.decode(await read_body(request, bytes_max=BODY_BYTES_MAX), Login, what="the login")
    if (shown.code is None) == (not shown.id_token):
        raise Invalid("a login shows either an ID token or a code")

    def attempt() -> NewToken:
        if shown.code is not None:
            return log_in_by_code(home, shown.code, shown.nonce)
        return open_login(home, shown.id_token, shown.nonce)

    made = await run_in_threadpool(_counted, home, request, attempt)
    return Response(wire.encode(made), media_type="application/json")


async def exchange(home: Home, request: Request) -> Response:
    """A token for the ID token of a workload: RFC 8693, sections 2.1 and 2.2.1, and `project` beside their fields."""
    form = _form(await read_body(request, bytes_max=BODY_BYTES_MAX))
    if form.get("grant_type") != EXCHANGE or form.get("subject_token_type") not in KINDS or "subject_token" not in form:
        raise Invalid(f"this takes a form with grant_type={EXCHANGE}, subject_token and subject_token_type={ID_TOKEN}")
    made = await run_in_threadpool(
        _counted, home, request, lambda: exchange_token(home, form["subject_token"], project=form.get("project", ""))
    )
    body = {
        "access_token": made.secret, "issued_token_type": GIVEN, "token_type": "Bearer", "expires_in": made.life_s,
        "scope": " ".join(made.scopes), "project": made.project,
    }  # fmt: skip
    return Response(wire.encode(body), media_type="application/json")


def _form(body: bytes) -> dict[str, str]:
    """A form of which each field stands there once. Raises Invalid; what is in it is not said, for it is secret."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=FIELDS_MAX)
    except ValueError:  # Also what is no UTF-8.
        raise Invalid("the body is no form: application/x-www-form-urlencoded") from None
    if len(dict(pairs)) != len(pairs):
        raise Invalid("a field of the form stands there twice")
    return dict(pairs)


def _counted(home: Home, request: Request, attempt: Callable[[], T]) -> T:
    """Count an attempt as a failure until it is none. Raises Throttled after too many from one address."""
    access = home.root.access
    counted = {("address", access.sealed((request.scope.get("client") or ("",))[0])): BY_ADDRESS}
    access.throttle.take(counted, now_s=access.steady())
    made = attempt()
    access.throttle.give_back(counted, now_s=access.steady())
    return made
