"""A DVC remote in a directory. A name appears when its bytes are on disk: others look at names alone."""

import os
import shutil
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from taut.data.exchange.remote import Content
from taut.data.remotes.verified import Failures, LegacyCache, failing, is_right
from taut.data.workspace.cache import FEW, NAME, STAGING, Cache, sync_all
from taut.data.workspace.digests import copied_file
from taut.data.workspace.threads import in_threads
from taut.data.workspace.whole import explained, sync_folder
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

    @property
    def url(self) -> str:
        """The folder."""
        return str(self._folder)

    def missing(self, digests: Collection[str]) -> set[str]:
        """Those that have no file."""
        return self._names.missing(digests)

    def push(self, contents: Sequence[Content], bar: Progress) -> None:
        """Copy in what is not there, in batches: staged, synced, named, and the names synced at the end."""
        absent = self.missing({content.digest for content in contents})
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
        is_small, stop = len(batch) <= FEW, threading.Event()

        def stage(content: Content) -> None:
            source, staged = str(content.path), f"{staging}/{content.digest}"
            try:
                hashed = copied_file(source, staged, stop, bar, sync=is_small)
            except FileNotFoundError as problem:
                if problem.filename != source:
                    raise
                raise NotFound(f"no file {source} to push", hint="taut data add, once more") from None
            if not is_right(staged, hashed.md5, content.digest, is_legacy=self._is_legacy):
                os.unlink(staged)
                wrong.append(source)

        in_threads(stage, batch, stop.set)
        if not is_small:
            sync_all(staging)
        shards = {content.digest[:2] for content in batch}
        for shard in shards:
            os.makedirs(f"{self._names.root}/{shard}", exist_ok=True)
        bad = set(wrong)
        for content in batch:
            if str(content.path) not in bad:
                os.rename(f"{staging}/{content.digest}", self._names.path_of(content.digest))
        return {f"{self._names.root}/{shard}" for shard in shards}

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
