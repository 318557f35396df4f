"""The key that a home signs its ledger with: made once, its public half in the database, its secret half in a file.

Replicas of one home share the key: whoever finds another public half in the database than its own file has, or no file,
signs nothing. A key is changed for another by an entry that both signed; the new one waits in a file beside until every
project has that entry, so whoever is killed in between leaves each with a key that is there.
"""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from taut.errors import Corrupt, Denied, Invalid, Refused
from taut.ground import wire
from taut.ground.ledger.events import Event, append_event, events, take_turn
from taut.ground.ledger.notes import (
    PublicKey,
    SecretKey,
    hand_over,
    open_hand_over,
    read_public_key,
    read_secret_key,
)
from taut.ground.meta import Metadata, Tx, Value
from taut.ground.objects.disk import sync_directory

KEY_FILE = "ledger.key"
KEY_VARIABLE = "TAUT_LEDGER_KEY"
SELECT_KEY = "SELECT key FROM ledger_key WHERE one = 1"
CHANGE_KEY = "UPDATE ledger_key SET key = :new, at_ms = :at_ms WHERE one = 1 AND key = :old"
MADE, ROTATED = "ledger.key_made", "ledger.key_rotated"
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
    keys = _held(path)
    if known is None and path is not None:
        if not keys:
            _make(path)
        with meta.transaction() as tx:
            take_turn(tx)  # Whoever changes the key has been here, and the new file is there, or comes after.
            keys = _held(path)
            public = {"origin": keys[0].name, "key": str(keys[0].public)} if keys else {}
            if public and tx.execute(INSERT_KEY, {**public, "at_ms": at_ms}):
                append_event(tx, MADE, subject="ledger:key", actor=actor, at_ms=at_ms, body={"key": public["key"]})
            known = public_key(tx)
    found = next((key for key in keys if key.public == known), None)
    if found is None:
        raise _not_here(known, path)
    return found


@dataclass(frozen=True, slots=True)
class Held:
    """A key of this home, and up to which entry it signed; None for the one that signs now."""

    key: PublicKey
    until: int | None = None


def key_history(tx: Tx) -> tuple[list[Held], list[str]]:
    """The keys of this home, oldest first, as far as each was handed over by the one before; and what is wrong."""
    known, problems = _readable(tx), list[str]()
    made = events(tx, kind=MADE, limit=1)
    if not made:
        wrong = "the ledger has a key, and no entry says that it was made"
        return ([Held(known)], [wrong]) if known is not None else ([], [])
    try:
        keys = [Held(read_public_key(wire.decode(made[0].body, _Made, what="the entry of the key").key))]
        for event in _rotations(tx):
            old, new = open_hand_over(wire.decode(event.body, _Rotated, what=f"entry {event.seq}").handed)
            if old != keys[-1].key:
                raise Corrupt(f"entry {event.seq} hands over a key that was not this home's")
            keys[-1:] = [Held(old, event.seq), Held(new)]
    except (Corrupt, Invalid) as problem:
        problems.append(f"the keys of the ledger do not follow each other: {problem.message}")
        return ([Held(known)] if known is not None else []), problems
    if known != keys[-1].key:
        problems.append("the key in the database is not the last one that the ledger names")
    return keys, problems


def hand_overs(tx: Tx) -> tuple[str, ...]:
    """The notes by which keys of this home took each other's place, oldest first."""
    return tuple(wire.decode(event.body, _Rotated, what=f"entry {event.seq}").handed for event in _rotations(tx))


def begin_rotation(folder: Path | None) -> tuple[SecretKey, SecretKey]:
    """The key that signs, and a new one beside it, on disk; one that was begun goes on.

    Raises Refused where there is no key to be changed, Denied where a file cannot be read or made.
    """
    path = key_path(folder)
    old = _read(path) if path is not None else None
    if path is None or old is None:
        raise Refused("the key that is to be changed is not here: only it can say which one takes its place")
    new = _read(_next(path)) or _make(_next(path), old.name)
    if new.name != old.name:
        raise Refused(f"{_next(path)} is the key of another ledger", hint="look whose it is, and move it away")
    return old, new


def rotate_key(tx: Tx, old: SecretKey, new: SecretKey, *, actor: str, at_ms: int) -> bool:
    """Let the new key sign from the next entry on; False where this home has it already, or has signed nothing yet.

    It is asked in the ledger's turn: a first key that somebody is about to make is here then, or is the new one.
    Raises Refused where its key is another.
    """
    take_turn(tx)
    change: dict[str, Value] = {"old": str(old.public), "new": str(new.public), "at_ms": at_ms}
    if tx.execute(CHANGE_KEY, change):
        body = {"key": str(new.public), "before": str(old.public), "handed": hand_over(old, new)}
        append_event(tx, ROTATED, subject="ledger:key", actor=actor, at_ms=at_ms, body=body)
        return True
    known = public_key(tx)
    if known not in (None, new.public):
        raise _not_here(known, None)
    return False


def end_rotation(folder: Path | None) -> None:
    """Put the new key in the old one's place, which is gone then. Raises Denied."""
    path = key_path(folder)
    assert path is not None, "it was there when the rotation began"
    try:
        _next(path).replace(path)
    except OSError as problem:
        raise Denied(f"the key of the ledger cannot be put into {path}: {problem.strerror}") from None
    sync_directory(path.parent)


class _Made(msgspec.Struct):
    key: str


class _Rotated(msgspec.Struct):
    handed: str


def _rotations(tx: Tx) -> Iterator[Event]:
    last = 0
    while page := events(tx, kind=ROTATED, after=last):
        yield from page
        last = page[-1].seq


def _readable(tx: Tx) -> PublicKey | None:
    try:
        return public_key(tx)
    except Invalid:
        return None  # Whoever made the database say so is told of by the table itself.


def _next(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _held(path: Path | None) -> list[SecretKey]:
    """The keys that are here, the new one first; it is read first, since it moves into the other's place."""
    if path is None:
        return []
    return [key for place in (_next(path), path) if (key := _read(place)) is not None]


def _read(path: Path) -> SecretKey | None:
    try:
        return read_secret_key(path.read_text().strip())
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise Denied(f"the key of the ledger in {path} cannot be read: {problem.strerror}") from None


def _make(path: Path, name: str = "") -> SecretKey:
    """A new key in a file that only its owner may read; that of whoever was quicker."""
    key = SecretKey(name or f"taut.home/{secrets.token_hex(8)}", secrets.token_bytes(32))
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
