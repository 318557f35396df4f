"""A key that never leaves its server: the transit engine of OpenBao and Vault, over HTTP.

Documented at openbao.org/api-docs/secret/transit: `encrypt` and `decrypt` with `associated_data`, so that what one
store wrapped does not open as another's. Its `rewrap` takes no associated data, so a new version of the key is used
after `Store.rotate`, which opens the secret and wraps it again.

As for the servers' own clients the token comes from BAO_TOKEN or VAULT_TOKEN, else from ~/.vault-token, where `bao
login` leaves it; the namespace from BAO_NAMESPACE or VAULT_NAMESPACE; the certificate that signed the server's from
BAO_CACERT or VAULT_CACERT. A token is used when a store is opened, made or rotated, and not held on to: nothing has to
renew it meanwhile.
"""

import base64
import binascii
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from taut.errors import Corrupt, Denied, Invalid, NotFound, TautError, Unavailable, UsageError

if TYPE_CHECKING:
    import urllib3

TIMEOUT_S = 30.0
TRIES = 3
SHOWN = 200


class TransitKey:
    """A named key of a transit engine: `https://HOST:8200/v1/MOUNT/keys/NAME`. Its server rotates it as it likes."""

    def __init__(self, url: str, *, token: str = "") -> None:
        """Raises UsageError for a URL of another form, Unavailable where there is no token."""
        parts = urlsplit(url)
        mount, mark, key = parts.path.rpartition("/keys/")
        if parts.scheme not in ("http", "https") or not parts.netloc or not mark or not key or "/" in key:
            raise UsageError(f"{url!r} names no key of a transit engine", hint="https://HOST:8200/v1/transit/keys/NAME")
        self._token = token or _setting("TOKEN") or _kept_token()
        if not self._token:
            raise Unavailable(f"no token for {parts.netloc}", hint="bao login, or set BAO_TOKEN")
        self._base, self._key = f"{parts.scheme}://{parts.netloc}{mount}", key
        self.name = f"transit {parts.netloc}{mount}/keys/{key}"

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """What the server made of it, as `vault:v1:…`.

        Raises Denied, NotFound, Unavailable, or Invalid for a kind of key that cannot bind a secret to its store.
        """
        # Whoever may create keys makes a new one by encrypting with a name that is not there: a typing error, here.
        status, said = self._answer("GET", "keys")
        if status == 404:
            raise self._refusal(status, said, "wrap")
        asked = {"plaintext": _text(secret), "associated_data": _text(context)}
        return self._told("encrypt", asked, "ciphertext").encode()

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The secret. Raises Denied where the server does not open it or not for us, NotFound or Unavailable."""
        asked = {"ciphertext": wrapped.decode("ascii", "replace"), "associated_data": _text(context)}
        try:
            return base64.b64decode(self._told("decrypt", asked, "plaintext"), validate=True)
        except binascii.Error:
            raise Corrupt(f"{self.name} answered with what is not base64") from None

    def _told(self, verb: str, asked: dict[str, str], field: str) -> str:
        status, said = self._answer("POST", verb, json.dumps(asked))
        if status == 200 and isinstance(found := (said.get("data") or {}).get(field), str):
            return found
        raise self._refusal(status, said, verb)

    def _answer(self, method: str, verb: str, body: str | None = None) -> tuple[int, dict[str, Any]]:
        """Status and body of an answer; an empty one where it is not JSON. Raises Unavailable where there is none."""
        import urllib3

        headers = {"X-Vault-Token": self._token, "X-Vault-Request": "true", "Content-Type": "application/json"}
        if namespace := _setting("NAMESPACE"):
            headers["X-Vault-Namespace"] = namespace
        try:
            with self._pool() as pool:
                answer = pool.request(method, f"{self._base}/{verb}/{self._key}", body=body, headers=headers)
        except urllib3.exceptions.MaxRetryError as problem:
            if isinstance(problem.reason, urllib3.exceptions.SSLError):
                raise Unavailable(
                    f"the certificate of {self.name} is not trusted",
                    hint="set BAO_CACERT to the file of the one that signed it",
                    private=str(problem.reason)[:SHOWN],
                ) from None
            raise Unavailable(f"{self.name} did not answer", private=str(problem)[:SHOWN]) from None
        except urllib3.exceptions.HTTPError as problem:
            raise Unavailable(f"{self.name} did not answer", private=str(problem)[:SHOWN]) from None
        try:
            said: Any = json.loads(answer.data)
        except ValueError:
            said = {}
        return answer.status, said if isinstance(said, dict) else {}

    def _pool(self) -> "urllib3.PoolManager":
        """Connections that trust whom they should. Raises Unavailable where the file of certificates is none."""
        import ssl

        import urllib3

        retries = urllib3.Retry(
            TRIES,
            redirect=False,
            status_forcelist=(412, 429, 502, 503),  # Not there yet, too many, a standby that is taking over, sealed.
            allowed_methods=None,
            raise_on_status=False,
            backoff_factor=0.1,
        )
        trusted = _setting("CACERT")
        try:
            context = ssl.create_default_context(cafile=trusted or None)
        except (OSError, ssl.SSLError) as problem:
            raise Unavailable(f"{trusted} holds no certificates: {problem}", hint="check BAO_CACERT") from None
        return urllib3.PoolManager(timeout=TIMEOUT_S, retries=retries, ssl_context=context)

    def _refusal(self, status: int, said: dict[str, Any], verb: str) -> TautError:
        """Which kind of error the status is, in one line."""
        words = " ".join(" ".join(map(str, said.get("errors") or ())).split())[:SHOWN]
        told = f"{status}, {words}" if words else str(status)
        if status == 404:
            return NotFound(
                f"{self.name} is not there: {told}",
                hint="check mount, namespace and name; bao write -f transit/keys/NAME",
            )
        if status == 403:
            return Denied(f"{self.name} refused the token: {told}", hint="bao token lookup: it may have expired")
        if status == 400 and verb == "decrypt":
            hint = "lower its min_decryption_version" if "too old" in words else ""
            return Denied(f"{self.name} does not open the secret of this store: {told}", hint=hint)
        if status == 400:
            return Invalid(f"{self.name} cannot wrap the secret of a store: {told}", hint="use a key of aes256-gcm96")
        if status in (307, 308):
            return Unavailable(f"{self.name} is on a standby: {told}", hint="name the active node")
        return Unavailable(f"{self.name} did not do it: {told}")


def _setting(name: str) -> str:
    """A variable of OpenBao's clients, or of Vault's."""
    return os.environ.get(f"BAO_{name}") or os.environ.get(f"VAULT_{name}") or ""


def _kept_token() -> str:
    """What a login with the servers' own client left, empty where there is none."""
    try:
        return (Path.home() / ".vault-token").read_text(encoding="utf-8").strip()
    except (OSError, RuntimeError, UnicodeDecodeError):
        return ""


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
