"""A model version on disk: fetched file by file into a cache, appearing whole, every byte held against its digest."""

import os
import secrets
import shutil
from hashlib import sha256
from pathlib import Path

from taut.errors import Corrupt, Denied, NotFound
from taut.ground.objects import read_object
from taut.home import Home
from taut.models.registry import model_files
from taut.models.tree import check_paths, tree_of_folder, verify_folder
from taut.models.tree import digest_of as tree_digest
from taut.records import ModelVersion


def fetch_model(home: Home, version: ModelVersion) -> Path:
    """The folder with a version's files, fetched where it is not there yet and verified in any case.

    A folder in the cache that was tampered with is taken away and fetched again. Raises Corrupt naming the object
    that is damaged or missing in the store; then the cache is left without the model.
    """
    place = cache_folder(home) / version.digest
    if place.is_dir():
        if tree_digest(tree_of_folder(place)) == version.digest:
            return place
        shutil.rmtree(place)
    part = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
        _fetch(home, version, part)
        verify_folder(part, version.digest)
        _appear(part, place)
    except PermissionError as problem:
        raise Denied(
            f"the cache {place.parent} cannot be written: {problem.strerror}", hint=f"ls -ld {place.parent}"
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return place


def cache_folder(home: Home) -> Path:
    """Where fetched models lie: in `.taut`, or in the user's cache for a server's URL."""
    if home.folder is not None:
        return home.folder / "cache" / "models"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "taut" / sha256(home.place.encode()).hexdigest()[:16] / "models"


def _fetch(home: Home, version: ModelVersion, folder: Path) -> None:
    files = tuple(model_files(home, version.name, version.number))
    check_paths(files)
    for file in files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.write_bytes(read_object(home.objects, file.oid))
        except NotFound:
            raise Corrupt(
                f"{file.path} of {version.name}@{version.number} is missing: there is no object {file.oid[:12]}",
                hint="taut fsck",
            ) from None


def _appear(part: Path, place: Path) -> None:
    """Rename the whole folder into place; where another was faster its copy is as good."""
    try:
        part.rename(place)
    except OSError:
        if not place.is_dir():
            raise
