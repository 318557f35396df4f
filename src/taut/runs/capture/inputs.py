"""From what was observed to what is recorded: inputs with digest and dataset version, outputs, and what was changed."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from taut.data import digest_file, find_versions, md5_in_dataset, pointer_over, read_pointer
from taut.errors import TautError
from taut.home import Home
from taut.records import InputRead, OutputWritten, OutsideReads
from taut.runs.capture.areas import Surveyor, is_code, outside_reads, shown
from taut.runs.capture.observed import Observed, Stamp, stamp_of

Made = TypeVar("Made")
Role = Literal["data", "code"]

OUTSIDE_BYTES_MAX = 1 << 30  # Reading a larger file again takes seconds; outside datasets its size must do.
NAMED_MAX = 1_000_000  # Files of folders that were moved into place.
BATCH = 256
# The bytes of what a run wrote are kept, so that a repetition can be held against them, of this many files and bytes of
# each and of all; what is more is known by its digest alone.
KEPT_FILES, KEPT_BYTES_MAX, KEPT_BYTES = 1000, 64 << 20, 256 << 20


@dataclass(frozen=True, slots=True)
class Files:
    """What a run read and wrote; `missing` says which of it could not be recorded."""

    inputs: tuple[InputRead, ...]
    outputs: tuple[OutputWritten, ...]
    outside: tuple[OutsideReads, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """Where a run happened: its project, when it began, and the folder with copies of what it changed."""

    project: Path
    started_ns: int
    kept: Path
    ours: tuple[str, ...] = ()


def files_of(home: Home, recording: Recording, seen: Observed, distributions: Mapping[str, str]) -> Files:
    """Every file of the project that was read or written, and data outside of it; the rest is counted."""
    surveyor = Surveyor(os.path.realpath(recording.project), tuple(os.path.realpath(path) for path in recording.ours))
    for source in _sources(seen.reads):
        seen.reads.setdefault(source, stamp_of(source))
    areas = {path: surveyor.area(path) for path in seen.reads}
    written = {path for path, before in _written(seen).items() if _changed(path, before)}
    making = _Making(home, recording, seen, written)
    # A temporary file that was there before the run read it is data that somebody put there.
    reads = [path for path, area in areas.items() if area in ("project", "data", "temporary")]
    writes = [path for path in written if surveyor.area(path) in ("project", "data")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [*_made(pool, making.input, sorted(reads))]
        making.keep(sorted(writes))
        made = [*_made(pool, making.output, sorted(writes))]
    found += making.aliases(found, surveyor)
    made += making.links(surveyor)
    return Files(
        tuple(making.named(sorted(found, key=lambda read: read.path))),
        tuple(sorted(made, key=lambda output: output.path)),
        outside_reads(areas, distributions),
        tuple(making.missing),
    )


def _sources(paths: Iterable[str]) -> list[str]:
    """The modules behind cached bytecode that was read: Python opens only that where it fits the source."""
    caches = [path.rpartition("/__pycache__/") for path in paths if path.endswith(".pyc")]
    sources = [f"{folder}/{name.partition('.')[0]}.py" for folder, cache, name in caches if cache]
    return [source for source in sources if os.path.isfile(source)]


def _made(pool: ThreadPoolExecutor, make: Callable[[str], Made | None], paths: list[str]) -> Iterator[Made]:
    """What is made of each path, in order and without those of which nothing is; a task a path would cost more."""
    parts = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    for done in pool.map(lambda part: [make(path) for path in part], parts):
        yield from (one for one in done if one is not None)


def _written(seen: Observed) -> dict[str, Stamp | None]:
    """All that was written, with what lies in folders that were moved into place."""
    inside: dict[str, Stamp | None] = {}
    for folder in seen.folders:
        for place, _, names in os.walk(folder):
            inside |= {f"{place}/{name}": None for name in names}
            if len(inside) > NAMED_MAX:
                break
    return {**inside, **seen.written}


def _changed(path: str, before: Stamp | None) -> bool:
    """Whether a file that was opened for writing is there and is not as it was."""
    return (now := stamp_of(path)) is not None and now != before


class _Making:
    """One run's inputs and outputs in the making."""

    def __init__(self, home: Home, recording: Recording, seen: Observed, written: set[str]) -> None:
        self.missing: list[str] = []
        self._home, self._recording, self._seen, self._written = home, recording, seen, written
        self._project = os.path.realpath(recording.project)
        self._to_keep: set[str] = set()
        self._md5s: dict[str, str] = {}  # By SHA-256: versions know content by the other digest.

    def input(self, path: str) -> InputRead | None:
        """A file that was read, with the digest of what it held then; None where nothing is known of it any more."""
        role: Role = "code" if is_code(path, self._seen.executed) else "data"
        at = self._seen.moved.get(path, path)
        name, then, now = self._name(path), self._seen.reads[path], stamp_of(at)
        try:
            if now is not None and not stat.S_ISREG(now.mode):
                return None
            if now is None or self._is_changed(path, at, then, now):
                return self._changed_input(at, path, role, then, now)
            return replace(self._digested(at, name, now.size_bytes), role=role)
        except (OSError, TautError) as problem:
            self.missing.append(f"the digest of {name}: {problem}")
            return None

    def _is_changed(self, path: str, at: str, then: Stamp | None, now: Stamp) -> bool:
        if then is None:
            return now.mtime_ns > self._recording.started_ns
        is_written = at in self._written and at == path  # A new name changes `ctime_ns` too.
        return not then.holds_what(now) or (is_written and then.ctime_ns != now.ctime_ns)

    def _changed_input(self, at: str, path: str, role: Role, then: Stamp | None, now: Stamp | None) -> InputRead | None:
        name = self._name(path)
        stamp, copy = self._seen.kept.get(path, (None, ""))
        if copy and stamp is not None and then is not None and then.holds_what(stamp):
            held = self._recording.kept / copy
            with held.open("rb") as stream:
                oid = self._home.objects.put(stream)
            self._md5s[oid] = digest_file(held).md5
            still = now is not None and digest_file(Path(at)).oid == oid
            return InputRead(name, oid, stamp.size_bytes, "", role, changed=not still, kept=True)
        known = then or now
        if known is None or (now is None and known.ctime_ns >= self._recording.started_ns):
            return None  # Made meanwhile, and not by what was seen: a file of the moment.
        what = "changed" if now is not None else "was removed"
        self.missing.append(f"what {name} held when it was read: it {what} during the run")
        return InputRead(name, "", known.size_bytes, "", role, changed=True)

    def keep(self, paths: Iterable[str]) -> None:
        """Choose the outputs whose bytes are kept: the smallest first, and no data of datasets, which versions keep."""
        sizes = {path: now.size_bytes for path in paths if (now := stamp_of(path)) is not None}
        left = KEPT_BYTES
        for path in sorted(sizes, key=lambda path: (sizes[path], path)):
            left -= sizes[path]
            if left < 0 or sizes[path] > KEPT_BYTES_MAX or len(self._to_keep) == KEPT_FILES:
                break
            if not self._is_data(path):
                self._to_keep.add(path)

    def output(self, path: str) -> OutputWritten | None:
        """A file that was written, with the digest of what it holds; None for what is no file."""
        name, now = self._name(path), stamp_of(path)
        try:
            if now is None or not (stat.S_ISREG(now.mode) or stat.S_ISLNK(now.mode)):
                return None
            if stat.S_ISLNK(now.mode):
                return OutputWritten(name, "", now.size_bytes, link=shown(os.readlink(path)))
            executable, kept = bool(now.mode & 0o100), path in self._to_keep
            if kept:
                with open(path, "rb") as stream:
                    oid = self._home.objects.put(stream)
            else:
                oid = self._digested(path, name, now.size_bytes).oid
            return OutputWritten(name, oid, now.size_bytes, executable=executable, kept=kept)
        except (OSError, TautError) as problem:
            self.missing.append(f"the digest of {name}: {problem}")
            return None

    def aliases(self, found: list[InputRead], surveyor: Surveyor) -> Iterator[InputRead]:
        """Paths in the project through which a link led to a file that was read."""
        known = {read.path: read for read in found}
        for typed, path in self._seen.typed.items():
            if typed in self._seen.links or path not in self._seen.reads or os.path.realpath(typed) != path:
                continue  # Made by the run itself, not read, or by now a link to something else.
            if surveyor.area(typed) != "project":
                continue
            is_link = os.path.islink(typed)
            if not is_link and surveyor.area(path) == "project":
                continue  # A folder above it is a link: the file has its name by which it is known already.
            target = known.get(self._name(path)) or self.input(path)
            if target is not None:
                yield replace(target, path=self._name(typed), link=shown(os.readlink(typed)) if is_link else "")

    def links(self, surveyor: Surveyor) -> Iterator[OutputWritten]:
        """Links that the run made and that still are there."""
        for path in self._seen.links:
            if path not in self._written and surveyor.area(path) in ("project", "data") and os.path.islink(path):
                target = os.readlink(path)
                yield OutputWritten(self._name(path), "", len(os.fsencode(target)), link=shown(target))

    def named(self, reads: list[InputRead]) -> Iterator[InputRead]:
        """The same with their dataset versions: that of the pointer above if it holds the content, else any."""
        md5s = {read.oid: self._md5s.get(read.oid, read.oid) for read in reads if read.oid}
        versions = find_versions(self._home, sorted(set(md5s.values()))) if md5s else {}
        for read in reads:
            yield replace(read, dataset=self._dataset(read, versions.get(md5s.get(read.oid, ""), [])))

    def _dataset(self, read: InputRead, versions: list[str]) -> str:
        if not versions:
            return ""
        file = pointer_over(Path(self._project, read.path), Path(self._project))
        pointer = read_pointer(file) if file is not None else None
        own = [version for version in versions if pointer and version.rpartition("@")[0] == pointer.name]
        exact = f"{pointer.name}@{pointer.number}" if pointer else ""
        return exact if exact in own else (own or versions)[0]

    def _name(self, path: str) -> str:
        return shown(os.path.relpath(path, self._project) if path.startswith(f"{self._project}/") else path)

    def _is_data(self, path: str) -> bool:
        """Whether it is a dataset's file, or in the folder of one."""
        return pointer_over(Path(path), Path(self._project)) is not None

    def _digested(self, path: str, name: str, size_bytes: int) -> InputRead:
        place = Path(path)
        if self._is_data(path):
            return InputRead(name, md5_in_dataset(self._home, place), size_bytes, "")
        if not path.startswith(f"{self._project}/") and size_bytes > OUTSIDE_BYTES_MAX:
            return InputRead(name, "", size_bytes, "")
        digests = digest_file(place)
        self._md5s[digests.oid] = digests.md5
        return InputRead(name, digests.oid, size_bytes, "")
