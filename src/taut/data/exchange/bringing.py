"""Contents from a remote into a cache, each verified and whole, and what is told of how much that was."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from errno import ENOENT
from pathlib import Path
from typing import TYPE_CHECKING

from taut.data.exchange.remote import InFolder, Remote
from taut.data.remotes.config import Places, RemoteSpec, find_remote
from taut.data.remotes.verified import failing
from taut.data.workspace import bulk
from taut.data.workspace.cache import Cache, Filling
from taut.data.workspace.digests import HEX
from taut.data.workspace.packed import CHANGED, DAMAGED, packed_digests, problem_of
from taut.data.workspace.whole import explained, move_shards
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
    runs: int = 0
    """Entries of DVC's run cache."""


def bring(remote: Remote, cache: Cache, digests: set[str], moved: Moved, what: str = "fetching") -> set[str]:
    """Have contents in a cache, from a remote; returns those that were not there before.

    Raises NotFound and Corrupt when all else is here.
    """
    absent = cache.missing(digests)
    moved.present += len(digests) - len(absent)
    if not absent:
        return absent
    with progress(what, unit="B") as bar, cache.filling(len(absent)) as filling:
        if isinstance(remote, InFolder) and remote.root and all(len(digest) == HEX for digest in absent):
            try:
                copy_in(remote, cache, filling, sorted(absent), moved, bar)
            except OSError as problem:
                raise explained(problem, Path(problem.filename or remote.url), "fetched") from None
            return absent
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


def copy_in(
    remote: InFolder, cache: Cache, filling: Filling, md5s: Sequence[str], moved: Moved, bar: "Progress",
    target_base: str | None = None, targets: bytes | None = None,
) -> None:  # fmt: skip
    """Copy contents from a folder into a cache, each read once, and to targets as `bulk.bring` has them.

    Raises NotFound and Corrupt when all else is here, OSError.
    """
    os.makedirs(cache.root, exist_ok=True)
    for shard in {md5[:2] for md5 in md5s}:
        os.makedirs(f"{filling.staging}/{shard}", exist_ok=True)
    with failing(remote.url) as failures:
        brought = bulk.bring(
            len(md5s), remote.root, digests=packed_digests(md5s), stores=((filling.staging, None),),
            target_base=target_base, targets=targets, sync=filling.sync_each, go_on=True, advance=bar.advance,
        )  # fmt: skip
        problems = dict(brought.problems())
        came = dict(zip(md5s, brought.stamp_list(), strict=True))
        for number in problems:
            del came[md5s[number]]
        move_shards(filling.staging, cache.root, came)
        filling.note(came)
        cache.verified.update(came)
        moved.files += len(came)
        moved.size_bytes += sum(stamp[0] for stamp in came.values())
        for number, code in problems.items():
            if code == ENOENT:
                failures.absent(md5s[number])
            elif code in (DAMAGED, CHANGED):
                failures.damaged(md5s[number])
            else:
                raise problem_of(
                    code, f"{remote.root}/{md5s[number][:2]}/{md5s[number][2:]}", target_base or cache.root
                )


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
