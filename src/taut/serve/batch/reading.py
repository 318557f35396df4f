"""Files of an input as batches of Arrow from any row on: Parquet, CSV, Arrow's files and streams; memory stays flat."""

import mmap
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import md5
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from taut.errors import Conflict, Denied, Invalid, NotFound, TautError, Unavailable
from taut.serve.batch.buckets import Found
from taut.serve.batch.places import mark_of, open_file
from taut.serve.batch.plan import Format, Input, Part, cuts_of
from taut.serve.batch.texts import PACKED, SUFFIXES, survey_text, text_batches, unpacked

ROWS_AT_ONCE = 1 << 14  # Rows of a batch: their cells and answers fit into the processor's cache.
DROPPED_BYTES = 64 << 20  # Of a mapped file so much is held before the kernel is told to take it back.
COLUMN_BUFFER = 1 << 16  # Bytes of each column of Parquet that are read ahead.
DIGEST_BYTES = 1 << 20
NOWHERE = sys.maxsize
PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".arrows", ".feather", ".ipc")
MAGIC = b"ARROW1"

Batches = Generator[pa.RecordBatch, None, None]


class Reader(Protocol):
    """An open file. Parts are read cheapest in order; any other costs a way to it."""

    schema: pa.Schema

    def read(self, part: Part) -> Iterator[pa.RecordBatch]:
        """The rows of a part. Cells of CSV are text."""
        ...

    def close(self) -> None:
        """Give back what is open."""
        ...


def survey(where: str, found: Found, part_rows: int) -> Input:
    """How a file is cut into parts, and its digest. Raises Invalid naming a file that is no table."""
    is_local = not where.startswith("s3://")
    hashed = md5(usedforsecurity=False)
    with _explained(found.name), open_file(where, found.name) as file:
        format_ = _format(found.name, file)
        packed = found.name.lower().endswith(PACKED)
        if format_ == "csv":
            seen: Callable[[bytes], None] = hashed.update if is_local and not packed else lambda _: None
            texts = survey_text(unpacked(found.name, file), part_rows, seen)
            cut = {"cuts": texts.cuts, "offsets": texts.offsets, "names": texts.names, "delimiter": texts.delimiter}
        else:
            cut = {"cuts": cuts_of(_groups(file, format_, found.name if is_local else ""), part_rows)}
    if is_local and (packed or format_ != "csv"):  # An unpacked text was hashed as it was read.
        with open_file(where, found.name) as file:
            while chunk := file.read(DIGEST_BYTES):
                hashed.update(chunk)
    digest = f"md5:{hashed.hexdigest()}" if is_local else f"etag:{found.mark}"
    return Input(found.name, format_, found.size_bytes, digest, found.mark, **cut)  # type: ignore[arg-type]  # As above.


def schema_of(where: str, source: Input) -> pa.Schema:
    """The columns of a file; of CSV all are text."""
    reader = open_reader(where, source, None)
    try:
        return reader.schema
    finally:
        reader.close()


def open_reader(where: str, source: Input, columns: Sequence[str] | None, *, words: Sequence[str] = ()) -> Reader:
    """Open a file for some columns, all for None; texts of `words` may come as dictionaries.

    Raises Conflict where it is another than was planned, Invalid."""
    must_be_unchanged(where, source)
    with _explained(source.name):
        if source.format == "parquet":
            return _Parquet(open_file(where, source.name), source, columns, words)
        if source.format == "csv":
            return _Csv(where, source, columns)
        is_local = not where.startswith("s3://")
        return _Arrow(open_file(where, source.name), source, columns, is_mapped=is_local)


def must_be_unchanged(where: str, source: Input) -> None:
    """Raise Conflict where a file is another than was planned with."""
    if mark_of(where, source.name) != source.mark:
        raise Conflict(f"{source.name} was changed while it was scored", hint="begin anew with another output")


class _Cursor:
    """Rows of a stream of batches that begins at some row, in order; what is left of a batch is kept."""

    def __init__(self, begin: Callable[[int], tuple[int, Batches]]) -> None:
        self._begin = begin
        self._at = -1
        self._stream: Batches | None = None
        self._left: pa.RecordBatch | None = None

    def read(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        if self._at != start:
            self._seek(start)
        while self._at < stop:
            batch = self._next()
            taken = min(batch.num_rows, stop - self._at)
            self._left = batch.slice(taken) if taken < batch.num_rows else None
            self._at += taken
            for first in range(0, taken, ROWS_AT_ONCE):
                yield batch.slice(first, min(ROWS_AT_ONCE, taken - first))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream, self._left, self._at = None, None, -1

    def _seek(self, start: int) -> None:
        begins, stream = self._begin(start)
        if not 0 <= self._at <= start or begins > self._at:
            self.close()
            self._at, self._stream = begins, stream
        while self._at < start:
            batch = self._next()
            passed = min(batch.num_rows, start - self._at)
            self._left = batch.slice(passed) if passed < batch.num_rows else None
            self._at += passed

    def _next(self) -> pa.RecordBatch:
        if self._left is not None:
            return self._left
        assert self._stream is not None
        batch = next(self._stream, None)
        if batch is None:
            raise Invalid("it has fewer rows than it says")
        return batch


class _Parquet:
    def __init__(self, file: BinaryIO, source: Input, columns: Sequence[str] | None, words: Sequence[str]) -> None:
        whole = pq.ParquetFile(file)
        self.schema = whole.schema_arrow
        texts = [name for name in words if self.schema.field(name).type in (pa.string(), pa.large_string())]
        # Columns are read piece by piece, never a row group whole: that may be as large as the file.
        self._file = pq.ParquetFile(
            file, metadata=whole.metadata, buffer_size=COLUMN_BUFFER, read_dictionary=texts, pre_buffer=False
        )
        self._raw, self._columns, self._name = file, columns, source.name
        metadata = self._file.metadata
        self._starts = [0]
        for group in range(metadata.num_row_groups):
            self._starts.append(self._starts[-1] + metadata.row_group(group).num_rows)
        self._cursor = _Cursor(self._begin)

    def read(self, part: Part) -> Iterator[pa.RecordBatch]:
        with _explained(self._name):
            yield from self._cursor.read(part.start, part.stop)

    def close(self) -> None:
        self._cursor.close()
        self._file.close(force=True)
        self._raw.close()

    def _begin(self, row: int) -> tuple[int, Batches]:
        group = max(place for place, start in enumerate(self._starts[:-1]) if start <= row)
        return self._starts[group], self._batches(group)

    def _batches(self, group: int) -> Batches:
        groups = list(range(group, len(self._starts) - 1))
        yield from self._file.iter_batches(ROWS_AT_ONCE, groups, self._columns, use_threads=False)


class _Csv:
    def __init__(self, where: str, source: Input, columns: Sequence[str] | None) -> None:
        self.schema = pa.schema([(name, pa.string()) for name in source.names])
        self._where, self._source = where, source
        self._only = set(source.names if columns is None else columns)
        self._raw: BinaryIO | None = None
        self._text: BinaryIO | None = None
        self._at = 0

    def read(self, part: Part) -> Iterator[pa.RecordBatch]:
        start, stop = self._source.offsets[part.place : part.place + 2]
        rows = 0
        with _explained(self._source.name):
            text = self._text_at(start)
            self._at = NOWHERE  # Until the part is read to its end.
            batches = text_batches(text, stop - start, self._source.names, self._source.delimiter, self._only)
            for batch in batches:
                rows += batch.num_rows
                if rows > part.stop - part.start:
                    break
                for first in range(0, batch.num_rows, ROWS_AT_ONCE):
                    yield batch.slice(first, ROWS_AT_ONCE)
            self._at = stop
        if rows != part.stop - part.start:
            self.close()
            found = f"{part.stop - part.start} lines from row {part.start} on are {rows} rows"
            raise Invalid(f"{self._source.name}: {found}", hint="write it as Parquet, or without odd quotes")

    def close(self) -> None:
        for file in (self._text, self._raw):
            if file is not None:
                file.close()
        self._raw = self._text = None

    def _text_at(self, start: int) -> BinaryIO:
        """The text from a byte on: at once where it is not packed, else unpacked up to there."""
        if self._raw is None or start < self._at:
            self.close()
            self._raw, self._at = open_file(self._where, self._source.name), 0
            self._text = unpacked(self._source.name, self._raw)
        assert self._text is not None
        if self._text is self._raw:
            self._raw.seek(start)
        else:
            while self._at < start:
                passed = len(self._text.read(min(DIGEST_BYTES, start - self._at)))
                if not passed:
                    raise Invalid("it ends early")
                self._at += passed
        return self._text


class _Arrow:
    def __init__(self, file: BinaryIO, source: Input, columns: Sequence[str] | None, *, is_mapped: bool) -> None:
        self._raw, self._name, self._columns, self._is_stream = file, source.name, columns, source.format == "stream"
        # Mapped, a batch costs no memory of its own, however large; parts of it are given back as they pass.
        self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if is_mapped else None
        self._reader = self._opened()
        self.schema = self._reader.schema
        self._starts: list[int] | None = None
        self._cursor = _Cursor(self._begin)

    def read(self, part: Part) -> Iterator[pa.RecordBatch]:
        with _explained(self._name):
            yield from self._cursor.read(part.start, part.stop)

    def close(self) -> None:
        self._cursor.close()
        del self._reader
        if self._map is not None:
            with suppress(BufferError):  # A batch that somebody still holds keeps it.
                self._map.close()
        self._raw.close()

    def counts(self) -> Iterator[int]:
        """The rows of each batch."""
        if self._is_stream:
            yield from (batch.num_rows for batch in self._reader)
        else:
            yield from (self._reader.get_batch(place).num_rows for place in range(self._reader.num_record_batches))

    def _opened(self) -> Any:
        source = self._raw if self._map is None else pa.BufferReader(pa.py_buffer(self._map))
        if self._map is None:
            source.seek(0)
        return (pa.ipc.open_stream if self._is_stream else pa.ipc.open_file)(source)

    def _begin(self, row: int) -> tuple[int, Batches]:
        if self._is_stream:
            return 0, self._pieces(self._opened(), 0)
        if self._starts is None:
            self._starts = [0]
            for rows in self.counts():
                self._starts.append(self._starts[-1] + rows)
        place = max((n for n, start in enumerate(self._starts[:-1]) if start <= row), default=0)
        return self._starts[place], self._pieces(self._reader, place)

    def _pieces(self, reader: Any, first: int) -> Batches:
        batches = reader if self._is_stream else (reader.get_batch(n) for n in range(first, reader.num_record_batches))
        passed = 0
        for batch in batches:
            chosen = batch if self._columns is None else batch.select(list(self._columns))
            for start in range(0, chosen.num_rows, ROWS_AT_ONCE):
                yield chosen.slice(start, ROWS_AT_ONCE)
                passed += batch.nbytes * ROWS_AT_ONCE // max(batch.num_rows, 1)
                if self._map is not None and passed > DROPPED_BYTES:
                    self._map.madvise(mmap.MADV_DONTNEED)
                    passed = 0


def _format(name: str, file: BinaryIO) -> Format:
    low = name.lower()
    packed = next((ending for ending in PACKED if low.endswith(ending)), "")
    if low.removesuffix(packed).endswith(SUFFIXES):
        return "csv"
    if low.endswith(PARQUET):
        return "parquet"
    if not low.endswith(ARROW):
        raise Invalid(
            f"a batch reads {', '.join((*PARQUET, *ARROW, *SUFFIXES))}, CSV packed as {', '.join(PACKED)} too"
        )
    head = file.read(len(MAGIC))
    file.seek(0)
    return "arrow" if head == MAGIC else "stream"


def _groups(file: BinaryIO, format_: Format, mapped: str) -> list[int]:
    """The rows of each group or batch."""
    if format_ == "parquet":
        metadata = pq.ParquetFile(file).metadata
        return [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]
    reader = _Arrow(file, Input(mapped, format_, 0, "", "", (0,)), None, is_mapped=bool(mapped))
    return list(reader.counts())


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Tell what Arrow says of a file as ours, with its name."""
    try:
        yield
    except Invalid as problem:
        raise problem if name in str(problem) else Invalid(f"{name}: {problem.message}", hint=problem.hint) from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, EOFError, ValueError) as problem:
        raise Invalid(f"{name} cannot be read: {str(problem).splitlines()[0][:300]}") from None
    except PermissionError as problem:
        raise Denied(f"{name} cannot be read: {problem.strerror}", hint=f"ls -l {name}") from None
    except FileNotFoundError:
        raise NotFound(f"{name} is gone") from None
    except OSError as problem:
        kind: type[TautError] = Invalid if problem.errno is None else Unavailable
        raise kind(f"{name} cannot be read: {str(problem).splitlines()[0][:300]}") from None
