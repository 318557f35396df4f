"""A key that never leaves its server: the transit engine of OpenBao and Vault, over HTTP.

Documented at openbao.org/api-docs/secret/transit: `encrypt` and `decrypt` with `associated_data`, so that what one
store wrapped does not open as another's. The token comes from BAO_TOKEN or VAULT_TOKEN, the namespace from
BAO_NAMESPACE or VAULT_NAMESPACE, as for the servers' own clients.
"""

import base64
import binascii
import json
import os
from typing import Any
from urllib.parse import urlsplit

from taut.errors import Corrupt, Denied, NotFound, Unavailable, UsageError

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
        self._token = token or os.environ.get("BAO_TOKEN") or os.environ.get("VAULT_TOKEN") or ""
        if not self._token:
            raise Unavailable(f"no token for {parts.netloc}", hint="set BAO_TOKEN")
        self._base, self._key = f"{parts.scheme}://{parts.netloc}{mount}", key
        self.name = f"transit {parts.netloc}{mount}/keys/{key}"

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """What the server made of it, as `vault:v1:…`. Raises Denied, NotFound or Unavailable."""
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
        import urllib3

        headers = {"X-Vault-Token": self._token, "X-Vault-Request": "true", "Content-Type": "application/json"}
        if namespace := os.environ.get("BAO_NAMESPACE") or os.environ.get("VAULT_NAMESPACE"):
            headers["X-Vault-Namespace"] = namespace
        retries = urllib3.Retry(
            TRIES,
            redirect=False,
            status_forcelist=(502, 503),
            allowed_methods=None,
            raise_on_status=False,
            backoff_factor=0.1,
        )
        try:
            with urllib3.PoolManager(timeout=TIMEOUT_S, retries=retries) as pool:
                answer = pool.request(
                    "POST", f"{self._base}/{verb}/{self._key}", body=json.dumps(asked), headers=headers
                )
        except urllib3.exceptions.HTTPError as problem:
            raise Unavailable(f"{self.name} did not answer", private=str(problem)[:SHOWN]) from None
        try:
            said: Any = json.loads(answer.data)
        except ValueError:
            said = {}
        said = said if isinstance(said, dict) else {}
        if answer.status == 200 and isinstance(found := (said.get("data") or {}).get(field), str):
            return found
        raise self._refusal(answer.status, "; ".join(map(str, said.get("errors") or ()))[:SHOWN])

    def _refusal(self, status: int, words: str) -> Denied | NotFound | Unavailable:
        """Which kind of error the status is."""
        told = f"{status}, {words}" if words else str(status)
        if status == 404:
            return NotFound(f"{self.name} is not there: {told}", hint="check the mount and the name of the key")
        if status in (400, 403):
            why = "does not open the secret of this store" if status == 400 else "refused the token"
            return Denied(f"{self.name} {why}: {told}")
        return Unavailable(f"{self.name} did not do it: {told}")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
