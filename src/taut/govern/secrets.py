"""Secrets in the rows of a home: sealed and opened for those who keep one, and sealed anew with another key."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taut.errors import UsageError
from taut.ground.meta import Tx
from taut.ground.sealed import Key, begin_rotation, end_rotation, key_name_of, make_key, other_key, read_key
from taut.home import Home, require
from taut.serve import reseal_logs

# Whoever seals waits for whoever else does: two replicas shall not each make a key, and none seals with the one before
# while another seals all anew.
HOLD = "UPDATE webhook_cursor SET seq = seq WHERE one = 1"
# What a secret belongs to, its kind and name, is also what entries of the ledger call it.
KEPT = {
    "webhook": (
        "SELECT id, secret FROM webhook WHERE secret <> ''",
        "UPDATE webhook SET secret = :secret WHERE id = :name",
    ),
    "oidc-client": (
        "SELECT issuer || ' ' || client_id, secret FROM oidc_client",
        "UPDATE oidc_client SET secret = :secret WHERE issuer || ' ' || client_id = :name",
    ),
    "segment": (
        "SELECT deployment || '@' || CAST(number AS TEXT), secret FROM prediction_segment WHERE secret <> ''",
        "UPDATE prediction_segment SET secret = :secret WHERE deployment || '@' || CAST(number AS TEXT) = :name",
    ),
}


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many secrets were sealed anew, in all projects, and the name of the key that opens them now."""

    secrets: int
    key: str


def sealed(home: Home, tx: Tx, belongs_to: str, secret: str) -> str:
    """A secret as it is stored. A key is made only where nothing was sealed with another yet.

    Raises Unavailable where that key is not here, Denied where the file cannot be read or made.
    """
    tx.execute(HOLD)
    folder = _folder(home)
    key = read_key(folder)
    if key is None:
        for _, _, written in _kept(tx):
            if name := key_name_of(written):
                raise other_key(name)
        key = make_key(folder)
    return key.seal(secret, belongs_to=belongs_to)


def opened(home: Home, belongs_to: str, written: str) -> str:
    """What was sealed; a text in the open, as earlier versions wrote it, is itself.

    Raises Unavailable where the key that sealed it is not here, Corrupt where it was changed.
    """
    if not (name := key_name_of(written)):
        return written
    key = read_key(_folder(home))
    if key is None:
        raise other_key(name)
    return key.open(written, belongs_to=belongs_to)


def rotate_secret_key(home: Home) -> Resealed:
    """Seal every secret of every project with a new key, and forget the old one.

    Each project is sealed in one transaction. Until all are, both keys lie in the file, so whoever is killed in between
    leaves nothing that cannot be opened; asked again, it goes on where it was. Where TAUT_SECRET_KEY names the file,
    its owner has put the new key there before the old one, and takes that away afterwards. Raises UsageError for a
    server's URL, Refused where there is no second key, Unavailable where a secret was sealed with neither.
    """
    if home.remote is not None or home.in_project is not None:
        raise UsageError("the key is changed where the server's home lies", hint="run it there, with --home FOLDER")
    require(home, "server:admin", verb="secret.rotate")
    folder = _folder(home)
    key = begin_rotation(folder)
    count = sum(_reseal(one, key) + reseal_logs(one, key) for one in home.everywhere())
    end_rotation(folder)
    return Resealed(count, key.name)


def _reseal(home: Home, key: Key) -> int:
    with home.meta.transaction() as tx:
        tx.execute(HOLD)
        found = list(_kept(tx))
        for kind, name, written in found:
            belongs_to = f"{kind}:{name}"
            plain = key.open(written, belongs_to=belongs_to) if key_name_of(written) else written
            tx.execute(KEPT[kind][1], {"name": name, "secret": key.seal(plain, belongs_to=belongs_to)})
            home.append(tx, "secret.resealed", subject=belongs_to, body={"key": key.name})
    return len(found)


def _kept(tx: Tx) -> Iterator[tuple[str, str, str]]:
    for kind, (select, _) in KEPT.items():
        for name, written in tx.rows(select):
            yield kind, str(name), str(written)


def _folder(home: Home) -> Path:
    assert home.folder is not None, "verbs run where the home's folder is"
    return home.folder
