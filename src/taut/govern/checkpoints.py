"""The newest checkpoint of a home, kept in its folder too, and the key that signs changed for another."""

import os
from dataclasses import dataclass
from pathlib import Path

from taut.errors import Corrupt, Denied, Invalid, UsageError
from taut.ground.ledger import Tree, Walk, size_of
from taut.ground.ledger.keys import Held, begin_rotation, end_rotation, key_history, rotate_key
from taut.ground.ledger.notes import Checkpoint, open_note, read_note, sign
from taut.ground.meta import Tx
from taut.ground.objects.disk import sync_directory
from taut.home import Home, require

FILE = "ledger.checkpoint"


@dataclass(frozen=True, slots=True)
class Rotated:
    """The new public key, the one before, and the first checkpoint of each project, by its name: both signed it."""

    key: str
    before: str
    checkpoints: dict[str, str]


def rotate_ledger_key(home: Home) -> Rotated:
    """Change the key that ledgers are signed with, in every project of the server, for a new one.

    The old key signs in an entry that the new one takes its place, and both sign the checkpoint of that moment; then
    the old one is gone from here. Whoever is killed in between asks again: it goes on where it was. Raises UsageError
    for a server's URL, Refused where the old key is not here, Denied where its file cannot be written.
    """
    if home.remote is not None or home.in_project is not None:
        raise UsageError("the key is changed where the server's home lies", hint="run it there, with --home FOLDER")
    require(home, "server:admin", verb="ledger.rotate_key")
    old, new = begin_rotation(home.folder)
    notes: dict[str, str] = {}
    for one in home.everywhere():
        with one.meta.transaction() as tx:
            if rotate_key(tx, old, new, actor=one.actor.name, at_ms=one.clock.now_ms()):
                size = size_of(tx)
                notes[one.project_name] = sign(Checkpoint(new.name, size, Tree(tx).root(size)), old, new)
        if one.project_name in notes:
            keep_newest(one, notes[one.project_name])
    end_rotation(home.folder)
    return Rotated(str(new.public), str(old.public), notes)


def keep_newest(home: Home, note: str) -> None:
    """Keep a checkpoint of this home in its folder, if that may be written and has no larger one. Raises Denied."""
    folder = home.own_folder
    if folder is None or home.folder is None or not os.access(home.folder, os.W_OK):
        return  # A replica that only reads: it is kept where it can be.
    path = folder / FILE
    try:
        if read_note(path.read_text(encoding="utf-8")).size > read_note(note).size:
            return  # The ledger lost its end: that is for fsck to tell.
    except (OSError, UnicodeDecodeError, Invalid):
        pass  # None there yet, or none that could be read: this one takes its place.
    _write(path, note)


def held_wrongly(home: Home, tx: Tx, walk: Walk) -> str:
    """What the newest checkpoint in the folder says against a ledger that was walked; empty where nothing.

    `walk` must have asked for `newest_size`.
    """
    try:
        note = _newest(home)
        checkpoint = read_note(note) if note else None
    except Invalid as problem:
        return f"{FILE} in the folder cannot be read: {problem.message}"
    if checkpoint is None:
        return ""
    if wrong := signed_wrongly(note, key_history(tx)[0]):
        return f"{FILE} in the folder: {wrong}"
    return held_against(walk, checkpoint)


def newest_size(home: Home) -> int:
    """How large the ledger was at the newest checkpoint in the folder; 0 where there is none that can be read."""
    try:
        note = _newest(home)
        return read_note(note).size if note else 0
    except Invalid:
        return 0


def held_against(walk: Walk, checkpoint: Checkpoint) -> str:
    """What a checkpoint says against a ledger that was walked; empty where nothing."""
    if checkpoint.size > walk.size:
        return f"the ledger ends at entry {walk.size}; when it was anchored it had {checkpoint.size}"
    if walk.roots.get(checkpoint.size) != checkpoint.root:
        return f"the first {checkpoint.size} entries are not those that were anchored"
    return ""


def signed_wrongly(note: str, keys: list[Held]) -> str:
    """Why a note is none of this home's; empty where one of its keys signed it while it was the one that signs."""
    said = "this home has no key that an anchor could be signed by"
    for held in reversed(keys):
        try:
            checkpoint = open_note(note, held.key)
        except Corrupt as problem:
            said = problem.message
            continue
        if checkpoint.origin != held.key.name:
            return f"it is an anchor of another home than {held.key.name}"
        if held.until is not None and checkpoint.size > held.until:
            return (
                f"the checkpoint of {checkpoint.origin} at {checkpoint.size} is signed by {held.key} alone, "
                f"in whose place another signs since entry {held.until}"
            )
        return ""
    return said


def _newest(home: Home) -> str:
    """The note in the folder; empty where there is none. Raises Invalid for what is no text."""
    folder = home.own_folder
    try:
        return "" if folder is None else (folder / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as problem:
        raise Invalid(f"it is no text that may be read: {problem}") from None


def _write(path: Path, note: str) -> None:
    part = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as problem:
        raise Denied(f"the checkpoint cannot be kept in {path}: {problem.strerror}") from None
    sync_directory(path.parent)
