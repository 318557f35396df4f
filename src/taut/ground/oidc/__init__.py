"""OpenID Connect: the keys of issuers, and ID tokens held against them. `browser` is for commands alone."""

from taut.ground.oidc.codes import METHODS, ClientSecret, Code, exchange_code, fetch_userinfo, provider_of
from taut.ground.oidc.id_tokens import SUBJECT, IdToken, check_id_token, check_nonce, is_for, issuer_of, not_trusted
from taut.ground.oidc.issuers import HOSTS, Issuers, Provider, check_issuer, hosts_for, need_jose

__all__ = [
    "HOSTS",
    "METHODS",
    "SUBJECT",
    "ClientSecret",
    "Code",
    "IdToken",
    "Issuers",
    "Provider",
    "check_id_token",
    "check_issuer",
    "check_nonce",
    "exchange_code",
    "fetch_userinfo",
    "hosts_for",
    "is_for",
    "issuer_of",
    "need_jose",
    "not_trusted",
    "provider_of",
]
