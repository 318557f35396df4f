"""DVC's cache: in a DVC repository, what taut adds is put there too, so that both tools call it up to date."""

import configparser
import os
import shutil
from pathlib import Path

from taut.data.snapshot import Snapshot
from taut.data.tree import ONE_FILE, dvc_bytes, dvc_digest, is_one_file
from taut.data.whole import explained, write_whole

FOLDER = ".dvc"


def fill_dvc_cache(snapshot: Snapshot) -> None:
    """Copy what is not there yet into the cache of the DVC repository that holds the data; none, nothing to do.

    Layout `files/md5/ab/cdef…`, read-only, each file whole or absent (DVC 3). Raises Denied or Unavailable.
    """
    cache = dvc_cache(snapshot.place)
    if cache is None:
        return
    for file in snapshot.files:
        source = snapshot.place if file.path == ONE_FILE else snapshot.place / file.path
        _copy(source, cache / file.md5[:2] / file.md5[2:])
    if not is_one_file(snapshot.files):
        digest = dvc_digest(snapshot.files)
        listing = cache / digest[:2] / digest[2:]
        if not listing.exists():
            listing.parent.mkdir(parents=True, exist_ok=True)
            write_whole(listing, dvc_bytes(snapshot.files))
            listing.chmod(0o444)


def dvc_cache(place: Path) -> Path | None:
    """The `files/md5` folder of the DVC repository around `place`; None where there is no repository."""
    for parent in place.parents:
        if (parent / FOLDER / "config").is_file():
            config = configparser.ConfigParser(interpolation=None)
            config.read([parent / FOLDER / "config", parent / FOLDER / "config.local"])
            chosen = config.get("cache", "dir", fallback="cache")
            return Path(os.path.normpath(parent / FOLDER / chosen)) / "files" / "md5"
    return None


def _copy(source: Path, place: Path) -> None:
    if place.exists():
        return
    temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, temporary)
        temporary.chmod(0o444)
        temporary.rename(place)
    except OSError as problem:
        raise explained(problem, place, "written") from None
    finally:
        temporary.unlink(missing_ok=True)
