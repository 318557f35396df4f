"""Where checkpoints are kept out of reach: a file, a branch of a git repository, another taut server."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from taut.errors import Denied, Invalid, NotFound, Unavailable
from taut.govern.anchors import Signed, keep_checkpoint, kept_checkpoints, prove_consistency, show_hand_overs
from taut.ground.ledger.notes import joined, notes_in, read_note
from taut.home import Home, open_home

BRANCH = "taut-ledger"
TIMEOUT_S = 60.0
REMOTE = ("http://", "https://")


def put_anchor(home: Home, signed: Signed, place: str) -> str:
    """Keep a checkpoint at `file:PATH`, `git:REPOSITORY` or the URL of another taut server; returns where it is now.

    Another server is asked with the token in TAUT_TOKEN, and is shown that its last one is continued. Raises Invalid
    for another kind of place, Denied, NotFound or Unavailable where it cannot be written.
    """
    kind, _, where = place.partition(":")
    if place.startswith(REMOTE):
        return _put_far(home, signed, place)
    if kind == "file" and where:
        return _put_file(signed, Path(where.removeprefix("//")))
    if kind == "git" and where:
        return _put_git(signed, Path(where))
    raise Invalid(
        f"{place!r} is no place for an anchor", hint="file:PATH, git:REPOSITORY or the http:// or https:// of a server"
    )


def anchors_at(place: str, origin: str) -> list[str]:
    """The checkpoints of a home that are kept at a place, oldest first; a path by itself is a file.

    Raises NotFound where there is none.
    """
    kind, _, where = place.partition(":")
    if place.startswith(REMOTE):
        with open_home(place) as far:
            found = list(kept_checkpoints(far, origin).notes)
    elif kind == "git" and where:
        found = notes_in(_git(Path(where), "show", f"{BRANCH}:{_file_of(origin)}"))
    else:
        path = Path(where.removeprefix("//") if kind == "file" and where else place)
        try:
            found = notes_in(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as problem:
            raise NotFound(f"there is no anchor to be read in {path}: {_words(problem)}") from None
    own = [note for note in found if read_note(note).origin == origin]
    if not own:
        others = sorted({read_note(note).origin for note in found})
        told = f", only of {', '.join(others)[:200]}" if others else ""
        raise NotFound(
            f"{place} keeps no checkpoint of {origin or 'this home'}{told}", hint="taut ledger anchor --to PLACE"
        )
    return own


def _put_file(signed: Signed, path: Path) -> str:
    try:
        with path.open("a+", encoding="utf-8") as file:
            file.seek(0)
            file.write(joined(["", signed.note]) if file.read(1) else signed.note)
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        raise Denied(f"the anchor cannot be written to {path}: {_words(problem)}") from None
    return f"file:{path}"


def _put_git(signed: Signed, repository: Path) -> str:
    """A commit on a branch of its own, made without a look at the work tree or the index."""
    name = _file_of(signed.origin)
    parent = _git(repository, "for-each-ref", "--format=%(objectname)", f"refs/heads/{BRANCH}").strip()
    listed = _git(repository, "ls-tree", "--name-only", parent).splitlines() if parent else []
    before = [_git(repository, "show", f"{parent}:{name}")] if name in listed else []
    with tempfile.TemporaryDirectory(prefix="taut-anchor-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        if parent:
            _git(repository, "read-tree", parent, environment=index)
        blob = _git(repository, "hash-object", "-w", "--stdin", given=joined([*before, signed.note])).strip()
        _git(repository, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", environment=index)
        tree = _git(repository, "write-tree", environment=index).strip()
    said = f"Anchor {signed.origin} at {signed.size} entries\n\n{signed.note}"
    made = _git(repository, "commit-tree", tree, *(["-p", parent] if parent else []), given=said).strip()
    _git(repository, "update-ref", f"refs/heads/{BRANCH}", made, parent or "0" * len(made))
    return f"{made} on {BRANCH} in {repository}"


def _put_far(home: Home, signed: Signed, url: str) -> str:
    with open_home(url) as far:
        known = kept_checkpoints(far, signed.origin)
        last = read_note(known.notes[-1]).size if known.notes else 0
        proof = prove_consistency(home, last, signed.size) if 0 < last < signed.size else ()
        handed = show_hand_overs(home) if known.key not in ("", signed.key) else ()
        kept = keep_checkpoint(far, signed.note, signed.key, proof=proof, handed=handed)
    return f"{url}, which keeps {len(kept.notes)} of {signed.origin}"


def _file_of(origin: str) -> str:
    return origin.replace("/", "-") + ".checkpoints"


def _git(repository: Path, *arguments: str, given: str = "", environment: dict[str, str] | None = None) -> str:
    """What git answers. Raises NotFound where it is not installed or there is no repository, Invalid with its words."""
    command: Sequence[str] = ["git", "-C", str(repository), *arguments]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
        )  # fmt: skip
    except FileNotFoundError:
        raise NotFound("an anchor in git needs git, which is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"git did not answer within {TIMEOUT_S:.0f} s in {repository}") from None
    if done.returncode == 0:
        return done.stdout
    said = (done.stderr.strip() or "nothing").splitlines()
    if "not a git repository" in done.stderr or "cannot change to" in done.stderr or "invalid object" in done.stderr:
        raise NotFound(f"{repository} keeps no anchor: git said {said[0]!r}", hint=f"git init {repository}")
    raise Invalid(
        f"git said {said[0]!r} in {repository}", hint="git config user.name and user.email, where it asks who"
    )


def _words(problem: OSError | UnicodeDecodeError) -> str:
    return problem.strerror.lower() if isinstance(problem, OSError) and problem.strerror else "it is no text"
