"""The secret of the client that was made for this server at a provider of logins: given, sealed, and never shown."""

from dataclasses import dataclass

from taut.errors import Invalid, NotFound
from taut.govern.secrets import opened, sealed
from taut.ground.meta import Row, Tx
from taut.ground.oidc import METHODS, ClientSecret, Provider, check_issuer
from taut.home import Home, verb

COLUMNS = "issuer, client_id, method, set_ms, set_by"
SELECT_ALL = f"SELECT {COLUMNS} FROM oidc_client ORDER BY issuer, client_id"  # noqa: S608  # Constants only.
SELECT_SECRET = "SELECT secret, method FROM oidc_client WHERE issuer = :issuer AND client_id = :client_id"  # noqa: S105
DELETE = "DELETE FROM oidc_client WHERE issuer = :issuer AND client_id = :client_id"
INSERT = """
INSERT INTO oidc_client (issuer, client_id, secret, method, set_ms, set_by)
VALUES (:issuer, :client_id, :secret, :method, :set_ms, :set_by)
"""
TEXT_MAX = 500
CLIENTS_MAX = 100


@dataclass(frozen=True, slots=True)
class OidcClient:
    """A client that has a secret here. `method` is how it is shown, empty for what the provider prefers."""

    issuer: str
    client_id: str
    method: str
    set_ms: int
    set_by: str


@verb("access.client_set", needs="server:admin")
def set_client_secret(home: Home, issuer: str, client_id: str, secret: str, *, method: str = "") -> OidcClient:
    """Keep the secret of a client, in the place of the one before; `method` is one of RFC 6749's two, or empty.

    It is used for logins where the server's provider and client are these. Raises Invalid.
    """
    check_issuer(issuer)
    if method not in ("", *METHODS):
        raise Invalid(f"{method[:40]!r} is no way to show a secret; there are {', '.join(METHODS)}")
    if not all(0 < len(one) <= TEXT_MAX and one.isascii() and one.isprintable() for one in (client_id, secret)):
        raise Invalid(f"a client and its secret are words of 1 to {TEXT_MAX} printable ASCII characters")
    root, named = home.root, {"issuer": issuer, "client_id": client_id}
    made = OidcClient(issuer, client_id, method, root.clock.now_ms(), root.actor.name)
    with root.meta.transaction() as tx:
        subject = _subject(issuer, client_id)
        kept = sealed(root, tx, subject, secret)
        tx.execute(DELETE, {**named})
        if len(tx.rows(SELECT_ALL)) >= CLIENTS_MAX:
            raise Invalid(f"there are {CLIENTS_MAX} clients already")
        tx.execute(INSERT, {**named, "secret": kept, "method": method, "set_ms": made.set_ms, "set_by": made.set_by})
        root.append(tx, "access.client_set", subject=subject, body={**named, "method": method})
    return made


@verb("access.client_list", needs="server:admin")
def show_clients(home: Home) -> list[OidcClient]:
    """The clients that have a secret here; never the secrets."""
    with home.root.meta.read() as tx:
        return [_client(row) for row in tx.rows(SELECT_ALL)]


@verb("access.client_remove", needs="server:admin")
def remove_client_secret(home: Home, issuer: str, client_id: str) -> None:
    """Forget the secret of a client, which is a public one again. Raises NotFound."""
    root, named = home.root, {"issuer": issuer, "client_id": client_id}
    with root.meta.transaction() as tx:
        if not tx.execute(DELETE, {**named}):
            raise NotFound(f"no secret of the client {client_id[:80]!r} of {issuer[:200]} is here")
        root.append(tx, "access.client_removed", subject=_subject(issuer, client_id), body=named)


def secret_of_client(root: Home, tx: Tx, provider: Provider) -> ClientSecret | None:
    """What the server's client is proven with; None where it is a public one. Raises Unavailable, Corrupt."""
    row = tx.row(SELECT_SECRET, {"issuer": provider.issuer, "client_id": provider.client_id})
    if row is None:
        return None
    subject = _subject(provider.issuer, provider.client_id)
    return ClientSecret(opened(root, subject, str(row[0])), str(row[1]))


def _subject(issuer: str, client_id: str) -> str:
    return f"oidc-client:{issuer} {client_id}"


def _client(row: Row) -> OidcClient:
    issuer, client_id, method, set_ms, set_by = row
    return OidcClient(str(issuer), str(client_id), str(method), int(str(set_ms)), str(set_by))
