"""What versions need that no home holds but a workspace cache: what fsck looks for there and a backup takes along."""

from collections.abc import Iterator
from typing import NamedTuple

from taut.data.versions import list_datasets, read_tree
from taut.data.workspace.add import index_folder, place_in_project
from taut.data.workspace.cache import Cache
from taut.data.workspace.opened import own_cache, workspace_of
from taut.data.workspace.tree import dvc_digest, is_one_file
from taut.errors import Corrupt, Invalid, NotFound
from taut.home import Home
from taut.records import DatasetVersion, TreeFile


class Content(NamedTuple):
    """A file that a version lists by MD5 alone; `cache` is where it has to be, `is_own` whether that is the home's."""

    md5: str
    size_bytes: int
    cache: Cache
    is_own: bool
    whom: str


def cached_contents(home: Home, *, lists: bool = False) -> Iterator[Content]:
    """Every such file once. A tree that cannot be read is left out: fsck tells it by itself.

    Versions of data in a DVC repository have theirs in DVC's cache, all others in the home's own. With `lists` those of
    folders come along, where a cache has them: the home can do without, DVC cannot.
    """
    own = own_cache(index_folder(home))
    seen: set[tuple[str, str]] = set()

    def once(md5: str, size_bytes: int, cache: Cache, whom: str) -> Iterator[Content]:
        if (cache.root, md5) not in seen:
            seen.add((cache.root, md5))
            yield Content(md5, size_bytes, cache, cache.root == own.root, whom)

    for version, cache, files in _versions(home):
        for file in files:
            if not file.oid:
                yield from once(file.md5, file.size_bytes, cache, f"{version.point} ({file.path})")
        if lists and not is_one_file(files) and cache.has(digest := dvc_digest(files)):
            yield from once(digest, 0, cache, f"{version.point} (its list)")


def _versions(home: Home) -> Iterator[tuple[DatasetVersion, Cache, tuple[TreeFile, ...]]]:
    """Every version that this home's own folder has, with the cache that its files are in."""
    caches: dict[str, Cache] = {}
    for version in list_datasets.function(home) if home.folder is not None else ():
        if version.path not in caches:
            place = str(place_in_project(home, version.path))
            caches[version.path] = workspace_of(place, str(home.project), index_folder(home)).cache
        try:
            files = read_tree(home, version.tree)
        except (NotFound, Corrupt, Invalid):
            continue
        yield version, caches[version.path], files
