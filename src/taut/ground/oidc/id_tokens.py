"""An ID token, checked: signed by a key of its issuer, for us, now, and by no algorithm that its sender may choose.

Sources: OpenID Connect Core 1.0, section 3.1.3.7, and RFC 8725. What is refused is told in words that hold nothing of
the token but its issuer.
"""

import base64
import binascii
import hashlib
import hmac
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taut.errors import Denied
from taut.ground.oidc.issuers import Issuers, Key, need_jose

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    from taut.ground.outbound import Hosts

ALGORITHMS = ("RS256", "ES256", "EdDSA", "Ed25519")
TOKEN_MAX = 16 << 10
HEADER_MAX = 4 << 10  # Some providers put a chain of certificates there, which nobody reads here.
LEEWAY_S = 60
LIFE_MAX_S = 86_400  # What lives longer is no proof of who somebody is now, and its replay would be kept as long.
SUBJECT = re.compile(r"[^\x00-\x1f\x7f]{1,255}")
NONCE_MIN, NONCE_MAX = 16, 512


@dataclass(frozen=True, slots=True)
class IdToken:
    """What an issuer says of somebody. `seal` is the same for the same signed words, however they are written."""

    issuer: str
    subject: str
    claims: Mapping[str, Any]
    seal: str
    ends_ms: int


def issuer_of(token: str) -> str:
    """Whom a token says that it is from, which nobody has checked yet. Raises Denied for what is no ID token."""
    found = _payload(token).get("iss")
    if not isinstance(found, str):
        raise _no_token()
    return found


def check_id_token(token: str, issuer: str, issuers: Issuers, *, allowed: "Hosts", now_ms: int) -> IdToken:
    """Hold a token against the keys of the issuer and the time. Whom it is for is left to `is_for`.

    Raises Denied for what is not signed by it, over, not yet begun, longer than a day, or malformed; Unavailable
    where its keys cannot be had; UsageError where the package that checks signatures is missing.
    """
    need_jose()
    _payload(token)  # Its form, before anything is fetched.
    claims = _signed(token, issuer, issuers, allowed)
    subject = claims.get("sub")
    if claims.get("iss") != issuer or not isinstance(subject, str) or SUBJECT.fullmatch(subject) is None:
        raise _no_token()
    ends_s = _check_times(claims, now_ms / 1000)
    seal = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
    return IdToken(issuer, subject, claims, seal, math.ceil((ends_s + LEEWAY_S) * 1000))


def is_for(token: IdToken, audience: str, *, is_client: bool = False) -> bool:
    """Whether a token is meant for this audience. One for several says by `azp` which of them asked for it.

    For a `client`, who asked for it himself, `azp` is he wherever it stands.
    """
    said = token.claims.get("aud")
    meant = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    party = token.claims.get("azp")
    if audience not in meant or (is_client and party not in (None, audience)):
        return False
    return len(meant) == 1 or party == audience


def check_nonce(token: IdToken, nonce: str) -> None:
    """Raise Denied where the token was not made for the login that this nonce began."""
    said = token.claims.get("nonce")
    fits = isinstance(said, str) and NONCE_MIN <= len(nonce) <= NONCE_MAX
    if not fits or not hmac.compare_digest(str(said).encode(), nonce.encode("utf-8", "surrogatepass")):
        raise Denied("the ID token was made for another login")


def not_trusted() -> Denied:
    """What is said of a token that is good, but worth nothing here."""
    return Denied("nothing here trusts this ID token", hint="an admin sees whom: taut access trust list")


def _signed(token: str, issuer: str, issuers: Issuers, allowed: "Hosts") -> dict[str, Any]:
    """The claims of a token whose signature is good."""
    from joserfc import jws
    from joserfc.errors import JoseError

    class Registry(jws.JWSRegistry):
        """Only what stands in the list, whose names are asymmetric; of EdDSA the package would warn each time."""

        max_header_length = HEADER_MAX

        def get_alg(self, name: str) -> Any:
            if name not in ALGORITHMS:
                raise _no_token()
            return self.algorithms[name]

    def chosen(shown: Any) -> "RSAKey | ECKey | OKPKey":
        header = shown.headers()
        named, alg = header.get("kid"), header.get("alg")
        if not isinstance(alg, str) or alg not in ALGORITHMS or not isinstance(named, str | None):
            raise _no_token()
        key = issuers.key(issuer, named, allowed=allowed)
        if not _is_of(key, alg):
            raise Denied("the ID token is signed in another way than its key is for")
        return key.public

    try:
        found = jws.deserialize_compact(token.encode(), chosen, registry=Registry(strict_check_header=False))
        claims = json.loads(found.payload or b"")
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise Denied("the signature of the ID token is not good") from None
    if not isinstance(claims, dict):
        raise _no_token()
    return claims


def _is_of(key: Key, alg: str) -> bool:
    """Whether a key is for an algorithm; RFC 9864 gave EdDSA over Ed25519 a name of its own."""
    kinds = {"RS256": ("RSA", ""), "ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519"), "Ed25519": ("OKP", "Ed25519")}
    kind, curve = kinds[alg]
    said = key.public.as_dict(private=False)
    same = {"EdDSA", "Ed25519"}
    return said["kty"] == kind and said.get("crv", "") == curve and (key.alg in ("", alg) or {key.alg, alg} == same)


def _check_times(claims: Mapping[str, Any], now_s: float) -> float:
    """When a token ends. Raises Denied where that was, where it has not begun, or has no such times."""
    ends, made, begins = (_seconds(claims.get(name)) for name in ("exp", "iat", "nbf"))
    if ends is None or made is None or (begins is None and "nbf" in claims):
        raise _no_token()
    if ends + LEEWAY_S <= now_s:
        raise Denied("the ID token has expired")
    if made - LEEWAY_S > now_s or (begins is not None and begins - LEEWAY_S > now_s):
        raise Denied("the ID token is from the future", hint="are the clocks right?")
    if ends - made > LIFE_MAX_S:
        raise Denied("the ID token lives longer than a day")
    return ends


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e12 else None  # Also no NaN, no infinity.


def _payload(token: str) -> dict[str, Any]:
    """The claims of a token in the compact form, unchecked."""
    parts = token.split(".") if len(token) <= TOKEN_MAX else []
    if len(parts) != 3 or not all(re.fullmatch(r"[A-Za-z0-9_-]+", part) for part in parts):
        raise _no_token()
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise _no_token() from None
    if not isinstance(found, dict):
        raise _no_token()
    return found


def _no_token() -> Denied:
    return Denied("this is no ID token that can be taken", hint="it is signed with RS256, ES256 or EdDSA")
