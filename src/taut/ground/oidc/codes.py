"""What a code of a login is worth at the provider's token endpoint, and what its userinfo endpoint adds.

Sources: RFC 6749, sections 2.3.1 and 4.1.3, RFC 7636 (PKCE), OpenID Connect Core 1.0, section 5.3.
"""

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote_plus, urlencode

import msgspec

from taut.errors import Denied, Invalid, Unavailable
from taut.ground.oidc.issuers import DOCUMENT_BYTES_MAX, FETCH_S, HOSTS, Discovered, Provider, discover

if TYPE_CHECKING:
    from taut.ground.outbound import Answer, Hosts

T = TypeVar("T")

METHODS = ("client_secret_basic", "client_secret_post")
CODE = re.compile(r"[\x20-\x7e]{1,4096}")  # RFC 6749, appendix A.11.
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
REDIRECT = re.compile(r"http://127\.0\.0\.1:[0-9]{1,5}/callback")


class Code(msgspec.Struct, forbid_unknown_fields=True):
    """What a provider sent a browser back with, where to, and the secret half of what it was asked with."""

    code: str
    redirect: str
    verifier: str


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """What a client proves with that it is the one it says; `method` is empty for what the provider prefers."""

    secret: str
    method: str = ""

    def __repr__(self) -> str:
        return f"ClientSecret(..., {self.method!r})"


class Tokens(msgspec.Struct, frozen=True):
    """What a code was worth. The access token is for the userinfo endpoint alone, and is kept nowhere."""

    id_token: str = ""
    access_token: str = ""


class _Refused(msgspec.Struct):
    error: str = ""


def provider_of(provider: Provider, *, allowed: "Hosts") -> Discovered:
    """What the provider of logins says of itself. Raises Unavailable where it says nothing, or has no such login."""
    try:
        found = discover(provider.issuer, allowed=allowed)
    except Unavailable as problem:
        raise Unavailable(f"{provider.issuer} cannot be asked for its login: {problem}") from None
    if not found.authorization_endpoint or not found.token_endpoint:
        raise Unavailable(f"{provider.issuer} has no login by authorization code")
    return found


def exchange_code(
    provider: Provider, found: Discovered, code: Code, secret: ClientSecret | None = None, *, allowed: "Hosts"
) -> Tokens:
    """The tokens that a code is worth, shown with the PKCE verifier, and the client's secret where it has one.

    Nothing that the provider says is shown but the name of its error. Raises Invalid for what no login of a command
    was begun with, Denied where the provider gives nothing for it, Unavailable where it does not answer.
    """
    if not (CODE.fullmatch(code.code) and VERIFIER.fullmatch(code.verifier) and REDIRECT.fullmatch(code.redirect)):
        raise Invalid("this is no code of a login that a command began")
    form = {
        "grant_type": "authorization_code", "code": code.code, "redirect_uri": code.redirect,
        "client_id": provider.client_id, "code_verifier": code.verifier,
    }  # fmt: skip
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if secret is not None:
        if _method(provider, found, secret) == "client_secret_post":
            form["client_secret"] = secret.secret
        else:
            pair = f"{quote_plus(provider.client_id)}:{quote_plus(secret.secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    from taut.ground.outbound import post

    try:
        answer = post(
            found.token_endpoint, urlencode(form).encode(), headers, allowed=allowed, timeout_s=FETCH_S,
            bytes_max=DOCUMENT_BYTES_MAX,
        )  # fmt: skip
    except (Denied, Invalid) as problem:
        raise _unreachable(provider, problem) from None
    said = _read(answer, Tokens)
    if answer.status != 200 or said is None or not said.id_token:
        refused = _read(answer, _Refused)
        word = refused.error[:80] if refused is not None and refused.error.isprintable() else ""
        raise Denied(f"{provider.issuer} gave no ID token: {word or f'status {answer.status}'}")
    return said


def fetch_userinfo(
    provider: Provider, found: Discovered, access_token: str, subject: str, *, allowed: "Hosts"
) -> dict[str, Any]:
    """What the provider tells of `subject` beside their ID token.

    Raises Denied where it tells of somebody else, as section 5.3.4 has it; Unavailable where it tells nothing that can
    be read.
    """
    from taut.ground.outbound import get

    try:
        answer = get(
            found.userinfo_endpoint, headers={"Authorization": f"Bearer {access_token}"}, allowed=allowed,
            timeout_s=FETCH_S, bytes_max=DOCUMENT_BYTES_MAX,
        )  # fmt: skip
    except (Denied, Invalid) as problem:
        raise _unreachable(provider, problem) from None
    said = _read(answer, dict[str, Any]) if answer.status == 200 else None
    if said is None:
        raise Unavailable(f"{provider.issuer} does not tell who is in which group: status {answer.status}")
    if said.get("sub") != subject:
        raise Denied("the provider tells of somebody else than its ID token does")
    return said


def _method(provider: Provider, found: Discovered, secret: ClientSecret) -> str:
    """How the secret is shown: as was said here, else the first of ours that the provider takes."""
    taken = [method for method in METHODS if method in found.token_endpoint_auth_methods_supported]
    if not secret.method and not taken:
        raise Unavailable(f"{provider.issuer} takes a client's secret in no way that taut knows: {', '.join(METHODS)}")
    return secret.method or taken[0]


def _read(answer: "Answer", into: type[T]) -> T | None:
    try:
        return msgspec.json.decode(answer.text, type=into) if answer.is_whole else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _unreachable(provider: Provider, problem: Denied | Invalid) -> Unavailable:
    return Unavailable(f"{provider.issuer}: {problem.message} ({HOSTS} names hosts that may be asked all the same)")
