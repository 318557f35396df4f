"""Bytes to digests: a file read once, hashed as DVC does, and written elsewhere on the way where that is asked for."""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from taut.errors import Conflict

if TYPE_CHECKING:
    from taut.ground.progress import Progress

HEX = 32  # Digits of an MD5.
DIR = ".dir"  # Behind the digest of a folder's list.
SMALL_BYTES = 1 << 20  # Up to here one read takes a file, and its name is known before anything is written.
FIRST_BYTES = 32 << 10
PIECE_BYTES = 512 << 10  # Of larger ones: what is hashed is still in the processor's cache when it is written.
PIECES = 8  # In flight between the thread that hashes and the one that writes.
EARLY_BYTES = 32 << 20  # The disk is told to begin so often, so that the sync at the end finds little left.
BLOCK_BYTES = 512  # From which DVC 2 guessed whether a file is text.
DOS_PIECE_BYTES = 1 << 20  # DVC 2 changed line ends piece by piece; where a piece ends, a CR LF may be cut in two.
TEXT: Final = bytes(range(32, 127)) + b"\n\r\t\f\b"


class Hashed(NamedTuple):
    """A file as it was read. `is_written` is False where its content was there already."""

    md5: str
    size_bytes: int
    is_written: bool = True


def md5_of(data: bytes) -> str:
    """DVC's digest of bytes."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def listing_bytes(files: Iterable[tuple[str, str]]) -> bytes:
    r"""The list of a folder's files (path, md5) exactly as DVC writes its `.dir` objects.

    >>> listing_bytes([("b", "0c"), ("ü", "1d")])
    b'[{"md5": "0c", "relpath": "b"}, {"md5": "1d", "relpath": "\\u00fc"}]'
    """
    quoted = json.encoder.encode_basestring_ascii
    entries = [f'{{"md5": "{md5}", "relpath": {quoted(path)}}}' for path, md5 in sorted(files)]
    return f"[{', '.join(entries)}]".encode()


def file_digest(path: str, stop: threading.Event | None = None, bar: "Progress | None" = None) -> Hashed:
    """Read a file for its digest. Raises OSError, Conflict where `stop` is set."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = _head(file)
        hashing = hashlib.md5(data, usedforsecurity=False)
        size_bytes = len(data)
        if size_bytes == SMALL_BYTES:
            buffer = memoryview(bytearray(PIECE_BYTES))
            while count := os.readv(file, [buffer]):
                hashing.update(buffer[:count])
                size_bytes += count
                _advance(path, count, stop, bar)
            _advance(path, SMALL_BYTES, stop, bar)
        else:
            _advance(path, size_bytes, stop, bar)
    finally:
        os.close(file)
    return Hashed(hashing.hexdigest(), size_bytes)


def dos2unix_digest(path: str) -> str:
    """DVC 2's digest: of a text file with CR LF read as LF, of any other as it is. Raises OSError."""
    hashing = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as stream:
        while piece := _full(stream.fileno()):
            hashing.update(piece.replace(b"\r\n", b"\n") if _is_text(piece[:BLOCK_BYTES]) else piece)
    return hashing.hexdigest()


def copied_file(
    source: str,
    target: str,
    stop: threading.Event | None = None,
    bar: "Progress | None" = None,
    *,
    is_held: Callable[[str, int], bool] | None = None,
    sync: bool = False,
    mode: int = 0o444,
) -> Hashed:
    """Copy a file into a new one, hashing what is written.

    A small one for which `is_held(md5, size)` says that its content is there already is not written. Raises OSError,
    Conflict where `stop` is set.
    """
    file = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = _head(file)
        if len(data) == SMALL_BYTES:
            return _copied_large(source, file, data, target, stop, bar, sync, mode)
    finally:
        os.close(file)
    md5 = md5_of(data)
    _advance(source, len(data), stop, bar)
    if is_held is not None and is_held(md5, len(data)):
        return Hashed(md5, len(data), is_written=False)
    sink = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        _write(sink, memoryview(data))
        if sync:
            os.fsync(sink)
    finally:
        os.close(sink)
    return Hashed(md5, len(data))


def _copied_large(
    source: str, file: int, first: bytes, target: str, stop: threading.Event | None, bar: "Progress | None",
    sync: bool, mode: int,
) -> Hashed:  # fmt: skip
    """The rest of a large file: this thread reads and hashes, another writes what was hashed."""
    from taut.ground.objects.disk import reserve

    sink = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        reserve(sink, 0, os.fstat(file).st_size)
        writer = _Writer(sink)
        hashing = hashlib.md5(first, usedforsecurity=False)
        writer.start(first)
        size_bytes = len(first)
        try:
            while count := os.readv(file, [piece := writer.empty()]):
                hashing.update(piece[:count])
                writer.full(piece, count)
                size_bytes += count
                _advance(source, count, stop, bar)
        finally:
            writer.end()
        _advance(source, len(first), stop, bar)
        os.ftruncate(sink, size_bytes)  # A file that became shorter meanwhile left room behind it.
        if sync:
            os.fsync(sink)
    finally:
        os.close(sink)
    return Hashed(hashing.hexdigest(), size_bytes)


class _Writer:
    """A thread that writes pieces in order, from buffers that go round."""

    def __init__(self, sink: int) -> None:
        from queue import SimpleQueue

        self._sink = sink
        self._full: SimpleQueue[memoryview | None] = SimpleQueue()
        self._empty: SimpleQueue[memoryview] = SimpleQueue()
        self._problem: OSError | None = None
        self._thread = threading.Thread(target=self._write_all, name="writer", daemon=True)

    def start(self, first: bytes) -> None:
        """Begin, with what was read already."""
        for _ in range(PIECES):
            self._empty.put(memoryview(bytearray(PIECE_BYTES)))
        self._full.put(memoryview(first))
        self._thread.start()

    def empty(self) -> memoryview:
        """A buffer to fill. Raises what the disk said."""
        buffer = self._empty.get()
        if self._problem is not None:
            raise self._problem
        return buffer

    def full(self, buffer: memoryview, count: int) -> None:
        """Hand over the first bytes of a buffer."""
        self._full.put(buffer[:count])

    def end(self) -> None:
        """Wait until all is written. Raises what the disk said."""
        self._full.put(None)
        self._thread.join()
        if self._problem is not None:
            raise self._problem

    def _write_all(self) -> None:
        from taut.ground.objects.disk import begin_writing

        at = begun = 0
        while (piece := self._full.get()) is not None:
            if self._problem is None:
                try:
                    _write(self._sink, piece)
                except OSError as problem:  # For the thread that reads.
                    self._problem = problem
                at += len(piece)
                if at - begun >= EARLY_BYTES:
                    begin_writing(self._sink, begun, at - begun)
                    begun = at
            if isinstance(whole := piece.obj, bytearray):
                self._empty.put(memoryview(whole))


def _head(file: int) -> bytes:
    """The first bytes, in most cases all: room for more is asked for only where there is more."""
    data = os.read(file, FIRST_BYTES)
    return data + os.read(file, SMALL_BYTES - FIRST_BYTES) if len(data) == FIRST_BYTES else data


def _write(sink: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(sink, piece) :]


def _advance(path: str, count: int, stop: threading.Event | None, bar: "Progress | None") -> None:
    if stop is not None and stop.is_set():
        raise Conflict(f"reading {path} was interrupted")
    if bar is not None:
        bar.advance(count)


def _full(file: int) -> bytes:
    """The next piece, whole unless the file ends."""
    pieces, left = [], DOS_PIECE_BYTES
    while left and (piece := os.read(file, left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _is_text(block: bytes) -> bool:
    """DVC 2's guess: no NUL, and at most 30 % of what is no printable ASCII. An empty file is text."""
    return b"\0" not in block and len(block.translate(None, TEXT)) <= 0.3 * len(block)
