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

from taut.errors import Denied, Unavailable
from taut.ground.oidc.codes import Code, exchange_code, provider_of
from taut.ground.oidc.issuers import Discovered, Provider, hosts_for

WAIT_S = 300.0  # For somebody to type a password and find their second factor.
PLACE = "/callback"


def code_by_browser(
    provider: Provider, found: Discovered, show: Callable[[str], None], *, wait_s: float = WAIT_S
) -> tuple[Code, str]:
    """Let somebody log in at their provider; returns the code that it sent them back with, and the login's nonce.

    `show` brings the URL to them. Raises Denied where the provider or the person says no, Unavailable where nobody came
    back in time.
    """
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
        return Code(receiver.code(wait_s), receiver.url, verifier), nonce


def id_token_by_browser(provider: Provider, show: Callable[[str], None], *, wait_s: float = WAIT_S) -> tuple[str, str]:
    """The ID token of who logs in so, and its nonce, for a server of an earlier version: the command is the client.

    Raises what `code_by_browser` and `exchange_code` do.
    """
    allowed = hosts_for("", provider.issuer)
    found = provider_of(provider, allowed=allowed)
    code, nonce = code_by_browser(provider, found, show, wait_s=wait_s)
    # Whoever runs the command chose the server that named the provider, and no server is behind it to be led astray.
    allowed |= {(urlsplit(found.token_endpoint).hostname or "", None)}
    return exchange_code(provider, found, code, allowed=allowed).id_token, nonce


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
