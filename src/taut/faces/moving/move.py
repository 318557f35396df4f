"""A move under way: what is known of both sides, what went wrong so far, and how bytes come across."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar, cast

from taut.errors import Conflict, Corrupt, Denied, Invalid, NotFound
from taut.faces.moving.crew import Crew
from taut.faces.moving.report import Problem
from taut.faces.moving.source import Source
from taut.home import Home
from taut.runs import Artifact, Count, MetricPoint, Moved, all_artifacts, put_artifact

T = TypeVar("T")
ONE_THING = (NotFound, Conflict, Denied, Invalid, Corrupt)  # What is wrong with one thing and not with all of them.


@dataclass(slots=True)
class Move:
    """A move under way: where from and where to, what is known of both, and what went wrong so far."""

    home: Home
    source: Source
    crew: Crew
    again: bool = False
    known: dict[tuple[str, str], Moved] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)
    locations: dict[tuple[str, int], str] = field(default_factory=dict)
    judged: dict[str, dict[MetricPoint, list[str]]] = field(default_factory=dict)
    there: dict[tuple[str, str], Mapping[str, Count]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    spoiled: set[tuple[str, str]] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    moved: int = 0
    skipped: int = 0

    def is_known(self, kind: str, theirs: str, mark: str) -> bool:
        """Whether a thing is here whole and has not changed there; its tally of that time is taken then."""
        known = self.known.get((kind, theirs))
        if known is None or self.again or known.mark != mark:
            return False
        self.there[kind, theirs] = known.tally
        self.skipped += 1
        return True

    def went_wrong(self, kind: str, name: str, text: str) -> None:
        """Remember what could not be moved."""
        self.problems.append(Problem(kind, name, text))
        self.spoiled.add((kind, name))

    def mark(self, kind: str, name: str, mark: str) -> str:
        """The fingerprint that a thing is known by from now on; none where something was wrong with it."""
        return "" if (kind, name) in self.spoiled else mark


def store_files(move: Move, kind: str, name: str, location: str) -> list[Artifact]:
    """Put the bytes of everything below a location into the object store, hashed as they come from the source.

    What cannot be had is remembered as a problem, file by file.
    """
    stored: list[Artifact] = []
    try:
        for file in move.source.files(location) if location else ():
            move.crew.pause()
            try:
                with move.source.open(location, file.path) as stream:
                    hashed = _Hashed(stream)
                    oid = move.home.objects.put(cast("BinaryIO", hashed))
            except (*ONE_THING, OSError) as problem:
                move.went_wrong(kind, name, f"its file {file.path!r} cannot be had: {problem}")
                continue
            if oid != hashed.oid or hashed.size_bytes != file.size_bytes:
                move.went_wrong(
                    kind, name, f"its file {file.path!r} came as {hashed.size_bytes} of {file.size_bytes} bytes"
                )
            stored.append(Artifact(file.path, hashed.oid, hashed.size_bytes))
    except (*ONE_THING, OSError) as problem:
        move.went_wrong(kind, name, str(problem))
    return stored


def name_files(move: Move, kind: str, name: str, root: str, files: Iterable[Artifact]) -> None:
    """Name stored objects as the files of a run or logged model, those that are named already left out."""
    here = set(all_artifacts(move.home, root))
    for file in files:
        if file not in here:
            try:
                put_artifact(move.home, root, file.path, file.oid, file.size_bytes)
            except (Invalid, Conflict) as problem:
                move.went_wrong(kind, name, problem.message)


def batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most so many.

    >>> list(batches("abc", 2))
    [['a', 'b'], ['c']]
    """
    batch: list[T] = []
    for thing in things:
        batch.append(thing)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class _Hashed:
    """A stream that hashes what is read from it: the digest of what the source gave, whatever a store makes of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = bytes(self._stream.read(size)) if size >= 0 else bytes(self._stream.read())
        self._hash.update(data)
        self.size_bytes += len(data)
        return data

    @property
    def oid(self) -> str:
        """The digest of all that was read."""
        return self._hash.hexdigest()
