"""Objects of a bucket in the making and in the reading: a few parts in memory, whatever their size.

Which digest an upload has is known only at its end, and the name of an object is its digest. So a small one waits in
memory, and a large one goes part by part to `tmp/…`, is copied by the server to its name, and the other key deleted:
why not through a local disk is told in docs/decisions/0006-artifacts-stream.md.
"""

import hashlib
import io
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from taut.errors import NotFound, TautError
from taut.ground.objects.protocol import chunks, oid_of

if TYPE_CHECKING:
    from obstore import WritableFile
    from obstore.store import S3Store

HELD_BYTES = 16 << 20  # Up to here an upload waits in memory for its digest: one request, none where it is there.
PART_BYTES = 8 << 20  # S3 asks for 5 MiB at least; two are on their way while a third is filled.
PARTS_MAX = 9_500  # S3 takes 10,000; of a larger object each part is larger.
READ_BYTES = 4 << 20  # One range: its transfer takes longer than the round trip, and the next is asked for meanwhile.
COPIED_BYTES_MAX = 5 << 30  # What S3 copies in one request; what is larger is sent again, part by part.
EMPTY = oid_of(b"")
YOUNG_MS = 12 * 3_600_000  # Half of what collecting leaves alone at least.

Explained = Callable[[str], AbstractContextManager[None]]


class Bucket(NamedTuple):
    """What a stream needs of its store: two clients, and how errors are told."""

    url: str
    store: "S3Store"
    copying: "S3Store"  # The same place, with more patience: a copy is one request, however large.
    explained: Explained

    def key(self, oid: str) -> str:
        """Where an object lies."""
        return f"{oid[:2]}/{oid[2:]}"

    def has(self, oid: str) -> bool:
        """Whether an object is there."""
        return self.put_ms(oid) is not None

    def put_ms(self, oid: str) -> int | None:
        """When an object was last put, by the bucket's clock; None where it is not there."""
        import obstore

        try:
            with self.explained(oid):
                found = obstore.head(self.store, self.key(oid))
        except NotFound:
            return None
        return int(found["last_modified"].timestamp() * 1000)


class S3Reader(io.RawIOBase):
    """An object read in ranges, the next one fetched while this one is used. Raises NotFound when it is made."""

    def __init__(self, bucket: Bucket, key: str, *, what: str, start: int = 0, length: int | None = None) -> None:
        self._bucket, self._key, self._what = bucket, key, what
        self._start, self._at, self._size = start, 0, 0
        self._range = memoryview(b"")
        self._range_at = 0
        self._ahead: tuple[int, Future[memoryview]] | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._open(length)

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """To anywhere, at the cost of a request."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; nothing is fetched before something is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, all that are left for -1."""
        left = max(0, self._size - self._at)
        left = left if size is None or size < 0 else min(size, left)
        parts = []
        while left:
            if not self._range_at <= self._at < self._range_at + len(self._range):
                self._move()
            begin = self._at - self._range_at
            parts.append(bytes(self._range[begin : begin + left]))
            self._at += len(parts[-1])
            left -= len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Let go of what was fetched."""
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)
        self._range, self._ahead = memoryview(b""), None
        super().close()

    def _open(self, length: int | None) -> None:
        """Find out how large the object is: from the answer with the first range, where one can be asked for."""
        import obstore

        with self._bucket.explained(self._what):
            if self._start or self._key == self._bucket.key(EMPTY):
                whole = int(obstore.head(self._bucket.store, self._key)["size"])
            else:
                first = READ_BYTES if length is None else max(1, min(length, READ_BYTES))
                answer = obstore.get(self._bucket.store, self._key, options={"range": (0, first)})
                whole, self._range = int(answer.meta["size"]), memoryview(answer.bytes())
        left = max(0, whole - self._start)
        self._size = left if length is None else min(left, length)

    def _move(self) -> None:
        """Have the range that begins where we stand, and ask for the one after it."""
        if self._ahead is not None and self._ahead[0] == self._at:
            self._range = self._ahead[1].result()
        else:
            self._range = self._fetch(self._at)
        self._range_at, self._ahead = self._at, None
        following = self._at + len(self._range)
        if following < self._size:
            self._worker = self._worker or ThreadPoolExecutor(1, "s3-ahead")
            self._ahead = following, self._worker.submit(self._fetch, following)

    def _fetch(self, at: int) -> memoryview:
        import obstore

        length = min(READ_BYTES, self._size - at)
        with self._bucket.explained(self._what):
            found = obstore.get_range(self._bucket.store, self._key, start=self._start + at, length=length)
        return memoryview(found)


class S3Sink:
    """An object in the making: in memory while it is small, then part by part below `tmp/`."""

    def __init__(self, bucket: Bucket, size_bytes: int) -> None:
        self._bucket = bucket
        self._part_bytes = max(PART_BYTES, -(-size_bytes // PARTS_MAX))
        self._hashed = hashlib.sha256()
        self._held: list[bytes] = []
        self._size = 0
        self._key = f"tmp/{secrets.token_hex(8)}"
        self._writer: WritableFile | None = None

    def write(self, chunk: bytes | memoryview) -> None:
        """Hash the next bytes and send them, or keep them while they are few."""
        self._hashed.update(chunk)
        self._size += len(chunk)
        if self._writer is None:
            self._held.append(bytes(chunk))
            if self._size > HELD_BYTES:
                self._writer = self._begun(self._key)
                for held in self._held:
                    self._send(self._writer, held)
                self._held.clear()
        else:
            self._send(self._writer, chunk)

    def commit(self) -> str:
        """Have the object under its name; returns its oid after the bucket has confirmed it."""
        oid = self._hashed.hexdigest()
        with self:  # Whatever happens, nothing stays below tmp/.
            if self._writer is not None:
                with self._bucket.explained(oid):
                    self._writer.close()
            put_ms = self._bucket.put_ms(oid)
            # One that has been there for long is put again, and so young: nobody collects it before it is named.
            if put_ms is None or put_ms < time.time() * 1000 - YOUNG_MS:
                self._name(oid)
        return oid

    def abort(self) -> None:
        """Remove what was sent. A multipart upload can only be ended, so it is, and then deleted."""
        import obstore

        self._held.clear()
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(TautError), self._bucket.explained(self._key):
                if not writer.closed():
                    writer.close()
            with suppress(TautError), self._bucket.explained(self._key):
                obstore.delete(self._bucket.store, self._key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _name(self, oid: str) -> None:
        import obstore

        try:
            with self._bucket.explained(oid):
                if self._writer is None:
                    obstore.put(self._bucket.store, self._bucket.key(oid), b"".join(self._held))
                elif self._size <= COPIED_BYTES_MAX:
                    obstore.copy(self._bucket.copying, self._key, self._bucket.key(oid))
                else:
                    self._send_again(oid)
        except NotFound:  # What an upload does not find is the place it goes to.
            raise self._no_bucket() from None

    def _send_again(self, oid: str) -> None:
        writer = self._begun(self._bucket.key(oid))
        with S3Reader(self._bucket, self._key, what=self._key) as source:
            for chunk in chunks(source):  # type: ignore[arg-type]  # A raw stream reads as a file does.
                self._send(writer, chunk)
        writer.close()

    def _begun(self, key: str) -> "WritableFile":
        import obstore

        return obstore.open_writer(self._bucket.store, key, buffer_size=self._part_bytes, max_concurrency=2)

    def _send(self, writer: "WritableFile", chunk: bytes | memoryview) -> None:
        try:
            with self._bucket.explained(self._key):
                writer.write(bytes(chunk))  # Ours to keep: it is still on its way when the caller's buffer is not.
        except NotFound:
            raise self._no_bucket() from None

    def _no_bucket(self) -> NotFound:
        return NotFound(f"there is no bucket at {self._bucket.url}", hint="make the bucket first")
