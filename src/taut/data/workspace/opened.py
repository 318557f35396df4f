"""A workspace: which cache holds the content of data at a place, and which rules leave paths out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from taut.data.workspace.cache import Cache
from taut.data.workspace.config import CACHE
from taut.data.workspace.ignore import Rules, rules_over
from taut.data.workspace.repository import Repository, repository_of
from taut.data.workspace.whole import explained

LOCK = "lock"  # In a cache that no DVC repository guards.


class Workspace(NamedTuple):
    """What holds at a place. `root` is where rules begin: the DVC repository, else the taut project."""

    root: str
    repository: Repository | None
    cache: Cache

    def rules(self, place: str) -> Rules | None:
        """The rules of `.dvcignore` that hold at a place below the root. Raises Denied, Invalid."""
        return rules_over(place, self.root)

    @contextmanager
    def locked(self, *places: Path, alone: bool = False) -> Iterator[None]:
        """Nobody else changes pointers, cache or data while the block runs. Raises Conflict where DVC does.

        Without DVC's lock several may work at once, but beside one that is `alone`, as what removes content, none.
        """
        if self.repository is None:
            with _cache_locked(self.cache, alone=alone):
                yield
            return
        with self.repository.locked(tuple(map(str, places))):
            yield


@contextmanager
def _cache_locked(cache: Cache, *, alone: bool) -> Iterator[None]:
    """Hold a cache's lock; it is waited for."""
    import fcntl

    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        stream = (cache.folder / LOCK).open("ab")
    except OSError as problem:
        raise explained(problem, cache.folder, "locked") from None
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def workspace_of(place: str, project: str, folder: str) -> Workspace:
    """The workspace around a place: of the nearest DVC repository, else of the project.

    `folder` is the project's `.taut`; empty where only a server's URL is known, which keeps no cache: then it is the
    user's own. Raises Invalid for a broken config.
    """
    if (repository := repository_of(os.path.dirname(place) if place != project else place)) is not None:
        return Workspace(repository.root, repository, repository.cache())
    return Workspace(project, None, own_cache(folder))


def own_cache(folder: str) -> Cache:
    """The cache of a `.taut` folder; of the user where there is none."""
    if folder:
        return Cache(Path(folder) / CACHE)
    return Cache(Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "taut")
