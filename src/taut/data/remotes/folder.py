"""A DVC remote in a directory. A name appears when its bytes are on disk: others look at names alone."""

import os
import shutil
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from errno import ENOENT
from pathlib import Path

from taut.data.exchange.remote import Content
from taut.data.remotes.verified import Failures, LegacyCache, failing, is_right
from taut.data.workspace.bulk import bring
from taut.data.workspace.cache import FEW, NAME, STAGING, Cache, sync_all
from taut.data.workspace.digests import HEX, copied_file
from taut.data.workspace.packed import CHANGED, DAMAGED, MODE, packed_digests, packed_names, problem_of
from taut.data.workspace.threads import in_threads
from taut.data.workspace.whole import explained, move_shards, sync_folder
from taut.errors import Corrupt, NotFound, TautError
from taut.ground.progress import Progress

BATCH_FILES, BATCH_BYTES = 50_000, 2 << 30  # What a killed push has to send once more at most.
ABANDONED_S = 24 * 3600.0  # Of a push from a machine that nobody asked whether it still runs.


class FolderRemote:
    """`FOLDER/files/md5/ab/cdef…`, or `FOLDER/ab/cdef…` where `is_legacy`; files are read-only copies, never links."""

    takes_deltas = False

    def __init__(self, folder: Path, *, is_legacy: bool = False) -> None:
        self._folder, self._is_legacy = folder, is_legacy
        self._names = LegacyCache(folder) if is_legacy else Cache(folder)
        self._absent: set[str] = set()  # What was looked for and is not there, until it is pushed.

    @property
    def url(self) -> str:
        """The folder."""
        return str(self._folder)

    @property
    def root(self) -> str:
        """The folder of the contents; what DVC 2 kept may be named by other bytes than it has."""
        return "" if self._is_legacy else self._names.root

    def missing(self, digests: Collection[str]) -> set[str]:
        """Those that have no file."""
        absent = self._names.missing(digests)
        self._absent |= absent
        return absent

    def push(self, contents: Sequence[Content], bar: Progress) -> None:
        """Copy in what is not there, in batches: staged, synced, named, and the names synced at the end."""
        pushed = {content.digest for content in contents}
        absent = self.missing(pushed - self._absent) | (pushed & self._absent)
        self._absent -= pushed
        todo = list({content.digest: content for content in contents if content.digest in absent}.values())
        if not todo:
            return
        wrong: list[str] = []
        try:
            with self._staging() as staging:
                shards = set[str]()
                for batch in _batches(todo):
                    shards |= self._push_batch(batch, staging, bar, wrong)
                if len(todo) > FEW:
                    sync_all(self.url)
                else:
                    for shard in (*shards, self._names.root):
                        sync_folder(Path(shard))
        except OSError as problem:
            raise explained(problem, Path(problem.filename or self.url), "pushed") from None
        if wrong:
            raise Corrupt(f"these files have not the digests that they were pushed as: {', '.join(wrong[:5])}")

    def pull(self, wanted: Mapping[str, Path], bar: Progress) -> None:
        """Copy out, each file verified."""
        try:
            for folder in {os.path.dirname(path) for path in wanted.values()}:
                os.makedirs(folder, exist_ok=True)
            stop = threading.Event()
            with failing(self.url) as failures:
                in_threads(
                    lambda item: self._pull_one(item[0], item[1], failures, stop, bar), list(wanted.items()), stop.set
                )
        except OSError as problem:
            raise explained(problem, Path(problem.filename or self.url), "pulled") from None

    def listed(self) -> Iterator[str]:
        """Every digest that has a file."""
        with suppress(FileNotFoundError):
            for shard in os.listdir(self._names.root):
                if len(shard) != 2:
                    continue
                with suppress(FileNotFoundError, NotADirectoryError):
                    names = (shard + name for name in os.listdir(f"{self._names.root}/{shard}"))
                    yield from (name for name in names if NAME.fullmatch(name))

    def delete(self, digests: Iterable[str]) -> None:
        """Remove files."""
        try:
            for digest in digests:
                with suppress(FileNotFoundError):
                    os.unlink(self._names.path_of(digest))
        except OSError as problem:
            raise explained(problem, Path(problem.filename or self.url), "removed") from None

    def _pull_one(self, digest: str, path: Path, failures: Failures, stop: threading.Event, bar: Progress) -> None:
        target, source = str(path), self._names.path_of(digest)
        try:
            hashed = copied_file(source, target, stop, bar)
        except FileNotFoundError as problem:
            if problem.filename != source:
                raise
            failures.absent(digest)
            return
        except (OSError, TautError):
            _forget(target)
            raise
        if not is_right(target, hashed.md5, digest, is_legacy=self._is_legacy):
            os.unlink(target)
            failures.damaged(digest)

    def _push_batch(self, batch: Sequence[Content], staging: str, bar: Progress, wrong: list[str]) -> set[str]:
        """Copy a batch, sync it, name it; returns the folders that have new names."""
        is_small = len(batch) <= FEW
        for shard in {content.digest[:2] for content in batch}:
            os.makedirs(f"{staging}/{shard}", exist_ok=True)
        bad = self._copied_in(batch, staging, bar, sync=is_small)
        wrong += [str(content.place) for content in bad]
        if not is_small:
            sync_all(staging)
        whole = {content.digest for content in batch}.difference(content.digest for content in bad)
        return move_shards(staging, self._names.root, whole)

    def _copied_in(self, batch: Sequence[Content], staging: str, bar: Progress, *, sync: bool) -> list[Content]:
        """Copy each to `ab/cdef…` in the staging folder; returns those that have other digests, and were not."""
        base, sources = _below([os.fspath(content.place) for content in batch])
        names = [f"{content.digest[:2]}/{content.digest[2:]}" for content in batch]
        brought = bring(
            len(batch), base, packed_names(sources), digests=packed_digests(content.digest[:HEX] for content in batch),
            target_base=staging, targets=packed_names(names), mode=MODE, sync=sync, go_on=True, advance=bar.advance,
        )  # fmt: skip
        bad = []
        for number, code in brought.problems():
            content, staged = batch[number], f"{staging}/{names[number]}"
            if code == ENOENT:
                raise NotFound(f"no file {content.place} to push", hint="taut data add, once more")
            if code not in (DAMAGED, CHANGED):
                raise problem_of(code, str(content.place), staged)
            if code == DAMAGED and self._is_legacy:
                hashed = copied_file(str(content.place), staged, bar=bar, sync=sync)
                if is_right(staged, hashed.md5, content.digest, is_legacy=True):
                    continue
                os.unlink(staged)
            bad.append(content)
        return bad

    @contextmanager
    def _staging(self) -> Iterator[str]:
        """A folder of this push alone; those that pushes left which were killed are swept."""
        from taut.ground.compute import handle_of, is_alive

        os.makedirs(self._names.root, exist_ok=True)
        here = os.uname().nodename.replace("+", "-")
        for left in self._folder.glob(f"{STAGING}*"):
            host, _, rest = left.name.removeprefix(STAGING).partition("+")
            with suppress(OSError):
                is_old = time.time() - left.stat().st_mtime > ABANDONED_S
                if is_old or (host == here and not is_alive(rest.partition("+")[0])):
                    shutil.rmtree(left, ignore_errors=True)
        staging = f"{self.url}/{STAGING}{here}+{handle_of(os.getpid())}+{os.urandom(4).hex()}"
        os.mkdir(staging)
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _below(paths: Sequence[str]) -> tuple[str, list[str]]:
    """A folder that is above all the paths, and their names from there."""
    base = os.path.dirname(os.path.dirname(paths[0]))
    if base and all(path.startswith(f"{base}/") for path in paths):
        return base, [path[len(base) + 1 :] for path in paths]
    return "/", [os.path.abspath(path)[1:] for path in paths]


def _batches(contents: Sequence[Content]) -> Iterator[Sequence[Content]]:
    batch: list[Content] = []
    size_bytes = 0
    for content in contents:
        batch.append(content)
        size_bytes += content.size_bytes
        if len(batch) >= BATCH_FILES or size_bytes >= BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _forget(target: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(target)
