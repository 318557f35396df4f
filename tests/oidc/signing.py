"""An issuer of our own for the tests: it signs whatever it is told to, good or not, and serves its keys over HTTP."""

import base64
import hashlib
import hmac
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwk, jws

from taut.ground.remote import EXCHANGE, ID_TOKEN
from tests.faces.speaking import POOL

AUDIENCE = "https://taut.example.org"
SUBJECT = "repo:acme/churn:ref:refs/heads/main"
ALGORITHMS = ["RS256", "ES256", "Ed25519", "PS256", "HS256"]
RSA = jwk.RSAKey.generate_key(2048, {"kid": "rsa"})
OTHER = jwk.RSAKey.generate_key(2048, {"kid": "rsa"})
EC = jwk.ECKey.generate_key("P-256", {"kid": "ec"})
ED = jwk.OKPKey.generate_key("Ed25519", {"kid": "ed"})


class Anything(jws.JWSRegistry):
    """Of what is to be signed nothing is looked at."""

    max_header_length = max_payload_length = 1 << 20

    def check_header(self, header: Any) -> None:
        """Takes every one."""


def public(key: Any) -> dict[str, Any]:
    """A key as its issuer shows it."""
    return {**key.as_dict(private=False), "kid": key.kid}


def coded(value: object) -> str:
    """A part of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Issuer:
    """`documents` is what it answers by path, as status and JSON or bytes; `asked` what it was asked for."""

    url: str
    now_s: float
    documents: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    posted: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)
    """The headers and the form of each POST."""
    _made: int = 0

    def claims(self, **other: Any) -> dict[str, Any]:
        """Those of a good token; another one each time. None leaves a claim out."""
        self._made += 1
        found = {
            "iss": self.url, "aud": AUDIENCE, "sub": SUBJECT, "iat": int(self.now_s), "exp": int(self.now_s) + 300,
            "jti": f"token-{self._made}", **other,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}

    def token(self, *, key: Any = RSA, alg: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token with these claims, signed with this key."""
        head = {"alg": alg, "kid": key.kid, **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        registry = Anything(algorithms=ALGORITHMS)
        return jws.serialize_compact(head, json.dumps(self.claims(**claims)).encode(), key, registry=registry)

    def unsigned(self, **claims: Any) -> str:
        """With the algorithm none, and an empty signature."""
        return f"{coded({'alg': 'none', 'kid': 'rsa'})}.{coded(self.claims(**claims))}."

    def confused(self, **claims: Any) -> str:
        """Signed with HMAC, and as its secret the public key that everybody knows."""
        pem = RSA.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        shown = f"{coded({'alg': 'HS256', 'kid': 'rsa'})}.{coded(self.claims(**claims))}"
        return f"{shown}.{coded(hmac.digest(pem, shown.encode(), hashlib.sha256))}"

    def show_keys(self, *keys: Any) -> None:
        """Show these keys from now on."""
        self.documents["/keys"] = 200, {"keys": [one if isinstance(one, dict) else public(one) for one in keys]}


@contextmanager
def issuing(now_ms: int) -> Iterator[Issuer]:
    """An issuer on a free port, which lives at this time."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            issuer.posted.append((headers, dict(urllib.parse.parse_qsl(form))))
            self.do_GET()

        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            status, said = issuer.documents.get(self.path, (404, {}))
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """The tests say what went wrong."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        issuer = Issuer(url, now_ms / 1000)
        issuer.documents["/.well-known/openid-configuration"] = 200, {"issuer": url, "jwks_uri": f"{url}/keys"}
        issuer.show_keys(RSA, EC, ED)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()


def exchanged(url: str, token: str, **form: str) -> tuple[int, dict[str, Any]]:
    """Show a server an ID token; returns the status and what it says."""
    body = {"grant_type": EXCHANGE, "subject_token_type": ID_TOKEN, "subject_token": token, **form}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = POOL.request("POST", f"{url}/api/taut/v1/token", body=urllib.parse.urlencode(body), headers=headers)
    return answer.status, json.loads(answer.data)
