"""The key that a home signs its ledger with: made once, its public half in the database, its secret half in a file.

Replicas of one home share the key: whoever finds another public half in the database than its own file has, or no file,
signs nothing.
"""

import os
import secrets
from pathlib import Path

from taut.errors import Denied, Refused
from taut.ground.ledger.events import append_event
from taut.ground.ledger.notes import PublicKey, SecretKey, read_public_key, read_secret_key
from taut.ground.meta import Metadata, Tx

KEY_FILE = "ledger.key"
KEY_VARIABLE = "TAUT_LEDGER_KEY"
SELECT_KEY = "SELECT key FROM ledger_key WHERE one = 1"
INSERT_KEY = """
INSERT INTO ledger_key (one, origin, key, at_ms) VALUES (1, :origin, :key, :at_ms) ON CONFLICT (one) DO NOTHING
"""


def public_key(tx: Tx) -> PublicKey | None:
    """The key that checkpoints of this home are held against; None while none was made."""
    row = tx.row(SELECT_KEY)
    return None if row is None else read_public_key(str(row[0]))


def key_path(folder: Path | None) -> Path | None:
    """Where the secret key of a home is: what TAUT_LEDGER_KEY says, else in its folder."""
    named = os.environ.get(KEY_VARIABLE, "")
    return Path(named) if named else folder / KEY_FILE if folder is not None else None


def signing_key(meta: Metadata, folder: Path | None, *, actor: str, at_ms: int) -> SecretKey:
    """The secret key of this home, made where there is none yet.

    Raises Refused where the home is signed with a key that is not here, Denied where the file cannot be read or made.
    """
    path = key_path(folder)
    with meta.read() as tx:
        known = public_key(tx)
    found = _read(path) if path is not None else None
    if found is None and known is None and path is not None:
        found = _make(path)
    if found is None:
        raise _not_here(known, path)
    if known is None:
        key = str(found.public)
        with meta.transaction() as tx:
            if tx.execute(INSERT_KEY, {"origin": found.name, "key": key, "at_ms": at_ms}):
                append_event(tx, "ledger.key_made", subject="ledger:key", actor=actor, at_ms=at_ms, body={"key": key})
            known = public_key(tx)
    if known != found.public:
        raise _not_here(known, path)
    return found


def _read(path: Path) -> SecretKey | None:
    try:
        return read_secret_key(path.read_text().strip())
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise Denied(f"the key of the ledger in {path} cannot be read: {problem.strerror}") from None


def _make(path: Path) -> SecretKey:
    """A new key in a file that only its owner may read; that of whoever was quicker."""
    key = SecretKey(f"taut.home/{secrets.token_hex(8)}", secrets.token_bytes(32))
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # Never over another key.
        except FileExistsError:
            found = _read(path)
            assert found is not None, path
            return found
        finally:
            draft.unlink()
    except OSError as problem:
        raise Denied(f"the key of the ledger cannot be made in {path}: {problem.strerror}") from None
    return key


def _not_here(known: PublicKey | None, path: Path | None) -> Refused:
    where = "" if path is None else f", and {path} is not its key"
    if known is None:
        return Refused(
            f"this home has no folder for the key of its ledger{where}", hint=f"set {KEY_VARIABLE} to a file"
        )
    return Refused(
        f"the ledger of this home is signed by {known.name} ({known.id.hex()}){where}",
        hint=f"copy {KEY_FILE} from where the first checkpoint was made, or set {KEY_VARIABLE} to it",
    )
