"""A model version on disk: fetched file by file into a cache, appearing whole, every byte held against its digest."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from taut.errors import Corrupt, Denied, NotFound, Unavailable
from taut.ground.objects import Objects, read_object
from taut.home import Home
from taut.models.registry import model_files
from taut.models.tree import check_paths, digest_of, tree_of_folder, verify_folder
from taut.records import ModelVersion, TreeFile


def fetch_model(home: Home, version: ModelVersion) -> Path:
    """The folder with a version's files, fetched where it is not there yet and verified in any case.

    A folder in the cache that was tampered with is taken away and fetched again. Raises Corrupt naming the object
    that is damaged or missing in the store, or the version whose list of files is not its own; the cache is then left
    without the model.
    """
    place = cache_folder(home) / version.digest
    if _is_whole(place, version.digest):
        return place
    try:
        with _alone(place):
            if not _is_whole(place, version.digest):
                _fetch_whole(home, version, place)
    except PermissionError as problem:
        raise Denied(
            f"the cache {place.parent} cannot be written: {problem.strerror}", hint=f"ls -ld {place.parent}"
        ) from None
    except OSError as problem:
        raise Unavailable(
            f"the cache {place.parent} did not take the model: {problem.strerror}", hint=f"df -h {place.parent}"
        ) from None
    return place


def cache_folder(home: Home) -> Path:
    """Where fetched models lie: in `.taut`, or in the user's cache for a server's URL."""
    if home.folder is not None:
        return home.folder / "cache" / "models"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "taut" / sha256(home.place.encode()).hexdigest()[:16] / "models"


def _is_whole(place: Path, digest: str) -> bool:
    return place.is_dir() and digest_of(tree_of_folder(place)) == digest


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """One process fetches a model at a time; the lock of a killed one is free, and its leavings are the next one's."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_whole(home: Home, version: ModelVersion, place: Path) -> None:
    """Fetch beside the place and rename: who looks sees no model or all of it."""
    part = place.with_name(f"{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        files = tuple(model_files(home, version.name, version.number))
        check_paths(files)
        if digest_of(files) != version.digest:
            raise Corrupt(f"the list of files of {version.name}@{version.number} is not its own", hint="taut fsck")
        for file in files:
            _fetch_file(home.objects, version, file, part / file.path)
        verify_folder(part, version.digest)
        if place.is_dir():
            shutil.rmtree(place)
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fetch_file(objects: Objects, version: ModelVersion, file: TreeFile, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.write_bytes(read_object(objects, file.oid))
    except Corrupt as problem:
        raise Corrupt(f"{file.path} of {version.name}@{version.number}: {problem.message}", hint="taut fsck") from None
    except NotFound:
        raise Corrupt(
            f"{file.path} of {version.name}@{version.number} is missing: there is no object {file.oid[:12]}",
            hint="taut fsck",
        ) from None
