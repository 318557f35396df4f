"""The login of a person in their browser, for a command: authorization code with PKCE, received on this machine.

Sources: RFC 8252 (native apps, loopback redirect), RFC 7636 (PKCE), RFC 9207 (the issuer in the answer).
"""

import base64
import hashlib
import hmac
import html
import secrets
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from taut.errors import Denied, Unavailable
from taut.ground.oidc.issuers import DOCUMENT_BYTES_MAX, Discovered, Provider, discover, hosts_for

WAIT_S = 300.0  # For somebody to type a password and find their second factor.
PLACE = "/callback"


class _Answer(msgspec.Struct):
    id_token: str = ""
    error: str = ""


def id_token_by_browser(provider: Provider, show: Callable[[str], None], *, wait_s: float = WAIT_S) -> tuple[str, str]:
    """Let somebody log in at their provider; returns the ID token and the nonce that it was asked for with.

    `show` brings the URL to them. Raises Denied where the provider or the person says no, Unavailable where the
    provider does not answer or nobody came back in time.
    """
    allowed = hosts_for("", provider.issuer)
    try:
        found = discover(provider.issuer, allowed=allowed)
    except Unavailable as problem:
        raise Unavailable(f"{provider.issuer} cannot be asked for its login: {problem}") from None
    if not found.authorization_endpoint or not found.token_endpoint:
        raise Unavailable(f"{provider.issuer} has no login by authorization code")
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    with _Receiver(state, provider.issuer) as receiver:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code", "client_id": provider.client_id, "redirect_uri": receiver.url,
            "scope": provider.scope, "state": state, "nonce": nonce, "code_challenge": challenge,
            "code_challenge_method": "S256",
        }  # fmt: skip
        joint = "&" if urlsplit(found.authorization_endpoint).query else "?"
        show(f"{found.authorization_endpoint}{joint}{urlencode(query)}")
        code = receiver.code(wait_s)
        return _exchanged(provider, found, code, receiver.url, verifier), nonce


def _exchanged(provider: Provider, found: Discovered, code: str, redirect: str, verifier: str) -> str:
    """The ID token that a code is worth. Nothing that the provider says is shown but the name of its error."""
    from taut.ground.outbound import post

    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "client_id": provider.client_id,
        "code_verifier": verifier,
    }  # fmt: skip
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    # Whoever runs the command chose the server that named the provider, and no server is behind it to be led astray.
    allowed = hosts_for("", provider.issuer) | {(urlsplit(found.token_endpoint).hostname or "", None)}
    answer = post(
        found.token_endpoint, urlencode(form).encode(), headers, allowed=allowed, bytes_max=DOCUMENT_BYTES_MAX
    )
    try:
        said = msgspec.json.decode(answer.text, type=_Answer)
    except msgspec.DecodeError:
        said = _Answer()
    if answer.status != 200 or not said.id_token:
        raise Denied(f"{provider.issuer} gave no ID token: {said.error[:80] or f'status {answer.status}'}")
    return said.id_token


class _Receiver(HTTPServer):
    """Hears on 127.0.0.1 what the provider sends the browser back with; what is not from this login is not heard."""

    def __init__(self, state: str, issuer: str) -> None:
        super().__init__(("127.0.0.1", 0), _Heard)
        self.url = f"http://127.0.0.1:{self.server_port}{PLACE}"
        self.state, self.issuer = state, issuer
        self.heard: dict[str, str] = {}

    def code(self, wait_s: float) -> str:
        """Wait for the code."""
        end = time.monotonic() + wait_s
        while not self.heard:
            self.timeout = end - time.monotonic()
            if self.timeout <= 0:
                raise Unavailable(f"nobody logged in within {wait_s:g} s", hint="taut login URL --oidc")
            self.handle_request()
        if "error" in self.heard or not self.heard.get("code"):
            raise Denied(f"{self.issuer} let nobody in: {self.heard.get('error', 'no code')[:80]}")
        return self.heard["code"]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that breaks off is no news."""


class _Heard(BaseHTTPRequestHandler):
    server: _Receiver
    timeout = 10

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, max_num_fields=20))
        is_ours = parts.path == PLACE and hmac.compare_digest(
            query.get("state", "").encode(), self.server.state.encode()
        )
        if not is_ours or query.get("iss", self.server.issuer) != self.server.issuer:
            self._say(404, "This is no answer to the login that was begun.")
            return
        self.server.heard = query
        self._say(200, "You may close this page; the command goes on." if "code" in query else "Nobody was let in.")

    def _say(self, status: int, words: str) -> None:
        body = f"<!doctype html><title>taut</title><p>{html.escape(words)}</p>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: the path holds the code."""
