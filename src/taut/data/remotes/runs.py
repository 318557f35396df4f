"""DVC's run cache: what stages made from what, a small file each, beside the contents of a cache and of a remote.

`runs/ab/KEY/VALUE` holds the entry of a lock; `dvc repro` finds there that a stage need not run. DVC copies all of it,
and so does taut. An entry is whole or absent; one that does not read as an entry of a lock is named, and not copied.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from taut.data.remotes.bucket import explained_bucket, open_bucket
from taut.data.remotes.config import RemoteSpec
from taut.data.remotes.connect import BUCKETS, kind_of, refuse
from taut.data.workspace.whole import explained, write_whole
from taut.errors import Corrupt, Invalid

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RUNS = "runs"
NAME: Final = re.compile(r"runs/([0-9a-f]{2})/\1[0-9a-f]{62}/[0-9a-f]{64}")


class Entries(Protocol):
    """Where entries lie, by their paths `runs/…`."""

    def names(self) -> Iterator[str]:
        """All that are there; other files are passed over."""
        ...

    def read(self, name: str) -> bytes:
        """One of them."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Put one, whole or not at all."""
        ...


def push_runs(spec: RemoteSpec, cache_folder: Path) -> int:
    """Copy the entries that a remote has not from a cache; returns how many. Raises as `pull_runs` does."""
    return _copied(_Folder(cache_folder), _entries(spec))


def pull_runs(spec: RemoteSpec, cache_folder: Path) -> int:
    """Copy the entries that a cache has not from a remote; returns how many.

    Raises Invalid for a remote that has no place for them, Corrupt, after all others were copied, for what is no entry
    of a lock, and what the place raises.
    """
    return _copied(_entries(spec), _Folder(cache_folder))


def has_runs(spec: RemoteSpec) -> bool:
    """Whether entries can lie on a remote: not on a web server, which lists nothing, and not in taut's own format."""
    return not spec.is_store and kind_of(spec) not in ("http", "https")


def _entries(spec: RemoteSpec) -> Entries:
    refuse(spec)
    if not has_runs(spec):
        raise Invalid(f"remote {spec.name!r} has no place for a run cache", hint="the same without --run-cache")
    return _Bucket(spec) if kind_of(spec) in BUCKETS else _Folder(Path(spec.url))


def _copied(source: Entries, target: Entries) -> int:
    there = set(target.names())
    wrong: list[str] = []
    count = 0
    for name in source.names():
        if name in there:
            continue
        data = source.read(name)
        if _is_entry(data):
            target.write(name, data)
            count += 1
        else:
            wrong.append(name)
    if wrong:
        raise Corrupt(f"these are no entries of a run cache: {', '.join(wrong[:3])}", hint=f"rm {wrong[0]}")
    return count


def _is_entry(data: bytes) -> bool:
    import yaml

    try:
        read: Any = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        return False
    return isinstance(read, dict) and "cmd" in read and isinstance(read.get("outs"), Sequence)


class _Folder:
    """In a folder: that of a cache, or of a remote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> Iterator[str]:
        """All that are there."""
        for folder, _, names in os.walk(self._folder / RUNS):
            inside = os.path.relpath(folder, self._folder)
            yield from _known(f"{inside}/{name}" for name in names)

    def read(self, name: str) -> bytes:
        """One of them."""
        path = self._folder / name
        try:
            return path.read_bytes()
        except OSError as problem:
            raise explained(problem, path, "read") from None

    def write(self, name: str, data: bytes) -> None:
        """Put one."""
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise explained(problem, path, "written") from None
        write_whole(path, data)


class _Bucket:
    """In a bucket."""

    def __init__(self, spec: RemoteSpec) -> None:
        self._store: ObjectStore
        self._url, self._store = open_bucket(spec)

    def names(self) -> Iterator[str]:
        """All that are there."""
        import obstore

        with explained_bucket(self._url):
            for batch in obstore.list(self._store, f"{RUNS}/"):
                yield from _known(str(entry["path"]) for entry in batch)

    def read(self, name: str) -> bytes:
        """One of them."""
        import obstore

        with explained_bucket(self._url):
            return bytes(obstore.get(self._store, name).bytes())

    def write(self, name: str, data: bytes) -> None:
        """Put one."""
        import obstore

        with explained_bucket(self._url):
            obstore.put(self._store, name, data)


def _known(names: Iterator[str]) -> Iterator[str]:
    return (name for name in names if NAME.fullmatch(name))
