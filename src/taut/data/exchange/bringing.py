"""Contents from a remote into a cache, each verified and whole, and what is told of how much that was."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from taut.data.exchange.remote import Remote
from taut.data.remotes.config import Places, RemoteSpec, find_remote
from taut.data.workspace.cache import Cache
from taut.ground.progress import progress

if TYPE_CHECKING:
    from taut.ground.progress import Progress


@dataclass(slots=True)
class Moved:
    """What a command moved, and what was there already. `remotes` are their names."""

    remotes: list[str] = field(default_factory=list)
    files: int = 0
    size_bytes: int = 0
    present: int = 0
    paths: list[str] = field(default_factory=list)
    """Where data was put; of a pull alone."""


def bring(remote: Remote, cache: Cache, digests: set[str], moved: Moved, what: str = "fetching") -> set[str]:
    """Have contents in a cache, from a remote; returns those that were not there before.

    Raises NotFound and Corrupt when all else is here.
    """
    absent = cache.missing(digests)
    moved.present += len(digests) - len(absent)
    if not absent:
        return absent
    with progress(what, unit="B") as bar, cache.filling(len(absent)) as filling:
        wanted = {digest: Path(f"{filling.staging}/{digest}") for digest in absent}
        counted = _Counted(bar)
        try:
            remote.pull(wanted, counted)
        finally:
            for digest, path in wanted.items():
                if os.path.exists(path):
                    filling.take(str(path), digest)
                    moved.files += 1
            moved.size_bytes += counted.done
    return absent


def spec_of(places: Places, name: str) -> RemoteSpec:
    """A remote by its name, or as it is typed: a path or URL that no config knows is one too."""
    if name and ("/" in name or "://" in name):
        return RemoteSpec(name, name if "://" in name else os.path.abspath(name), {}, "", False)
    return find_remote(places, name)


class _Counted:
    """A bar that remembers how far it came."""

    def __init__(self, bar: "Progress") -> None:
        self._bar, self.done = bar, 0

    def advance(self, done: int = 1) -> None:
        """Move the bar."""
        self.done += done
        self._bar.advance(done)
