"""The lists of folders in a cache: read, verified, and never trusted with a path that leaves the folder."""

from pathlib import Path
from typing import Any

from taut.data.workspace.cache import NAME, Cache
from taut.data.workspace.digests import DIR, HEX, md5_of
from taut.data.workspace.walk import ONE_FILE
from taut.errors import Corrupt, Invalid, NotFound


def read_listing(cache: Cache, md5: str, path: str = "") -> list[tuple[str, str]]:
    """Path and digest of each file that a digest stands for; one file is `.`, of that digest.

    `path` is where the list lies, if not where the cache has it. Raises NotFound, Corrupt, Invalid.
    """
    if not md5.endswith(DIR):
        return [(ONE_FILE, md5)]
    import msgspec

    place = path or cache.path_of(md5)
    try:
        data = Path(place).read_bytes()
    except FileNotFoundError:
        raise NotFound(f"the cache {cache.folder} has no list {md5}", hint="taut data pull") from None
    if md5_of(data) != md5[:HEX]:
        raise Corrupt(f"the file {place} of the cache is damaged: its bytes have another digest", hint="taut fsck")
    try:
        entries: list[dict[str, Any]] = msgspec.json.decode(data, type=list[dict[str, Any]])
    except msgspec.DecodeError as problem:
        raise Invalid(f"{place} is no list of files: {problem}") from None
    return [(checked_path(entry.get("relpath"), place), _digest(entry.get("md5"), place)) for entry in entries]


def checked_path(path: object, place: str) -> str:
    """A path of a list, refused where it would leave the folder: lists come from strangers. Raises Invalid."""
    parts = path.split("/") if isinstance(path, str) else []
    if not parts or not {"", ".", ".."}.isdisjoint(parts) or "\0" in str(path):
        raise Invalid(f"{place} has a file {path!r}, which is not inside the folder", hint="taut fsck")
    return str(path)


def _digest(md5: object, place: str) -> str:
    if not isinstance(md5, str) or not NAME.fullmatch(md5):
        raise Invalid(f"{place} names {md5!r}, which is no digest of DVC's")
    return md5
