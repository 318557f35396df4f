"""Files as one table: CSV, gzip and zstd among them, and Parquet, read as a stream of Arrow's batches of columns."""

import csv
import gzip
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, TypeVar

from taut.data.tables.dialect import TEXT_SUFFIXES, Dialect, read_text, unzipped
from taut.data.workspace.cache import Cache
from taut.data.workspace.walk import ONE_FILE
from taut.errors import Invalid, NotFound, UsageError
from taut.home import Home
from taut.records import TreeFile

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
BLOCK = 4 << 20  # Bytes of text that are parsed at once.
ROWS_AT_ONCE, BYTES_AT_ONCE = 1 << 18, 32 << 20  # What is worked on at once; a batch has the first that is reached.
PARQUET_ROWS, PLAIN_ROWS = 1 << 16, 1 << 13
PARQUET_BUFFER = 1 << 16  # Bytes of each column that are read ahead.
COLUMNS_AT_ONCE = 64  # A page of each is in memory, packed and unpacked: some 2 MB.
NO_TABLE = (csv.Error, gzip.BadGzipFile, zlib.error, EOFError)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a table: its name, whose ending says what it is, and how it is opened."""

    name: str
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True, slots=True)
class Table:
    """Files with one schema. `types` are as stored: text for every column of CSV, whose dialect each file has."""

    parts: tuple[Part, ...]
    names: tuple[str, ...]
    types: tuple["pa.DataType", ...]
    dialects: tuple[Dialect | None, ...]


def parts_of(place: Path, files: Sequence[TreeFile]) -> list[Part]:
    """The files of a tree that lies in a folder, or is the one file at `place`."""
    return [part_of(place if file.path == ONE_FILE else place / file.path) for file in files]


def part_of(path: Path) -> Part:
    """A file that lies in a folder."""
    return Part(path.name, lambda: path.open("rb"))


def stored_parts(home: Home, cache: Cache, files: Sequence[TreeFile], name: str) -> list[Part]:
    """The files of a recorded tree; `name` is that of the dataset's file, where it is only one."""
    return [Part(name if file.path == ONE_FILE else file.path, partial(_stored, home, cache, file)) for file in files]


def _stored(home: Home, cache: Cache, file: TreeFile) -> IO[bytes]:
    """Content out of the cache, verified, else out of the home. Raises NotFound, Corrupt."""
    try:
        cache.verify(file.md5)
        return open(cache.path_of(file.md5), "rb")
    except NotFound:
        if not file.oid:
            raise
        return home.objects.open(file.oid)


def open_table(parts: Sequence[Part]) -> Table:
    """Read the schema of files as one table.

    Raises Invalid where they are none, or not of one schema, and UsageError without the packages of `taut[data]`.
    """
    require_arrow()
    if not parts or not all(part.name.lower().endswith(SUFFIXES) for part in parts):
        raise Invalid(f"no table: of {', '.join(SUFFIXES)} it is no file, or not each is one")
    seen = [_schema(part) for part in parts]
    (names, types, _) = seen[0]
    for part, (others, other_types, _) in zip(parts, seen, strict=True):
        if others != names or other_types != types:
            raise Invalid(f"no table: {part.name!r} has other columns than {parts[0].name!r}")
    if not names:
        raise Invalid(f"no table: {parts[0].name!r} has no header")
    return Table(tuple(parts), names, types, tuple(dialect for _, _, dialect in seen))


def column_groups(table: Table) -> list[range]:
    """Places of columns that are read together, all of CSV; of each column of Parquet some megabytes are in memory."""
    size = len(table.names) if any(table.dialects) else COLUMNS_AT_ONCE
    return [range(first, min(first + size, len(table.names))) for first in range(0, len(table.names), size)]


def over_batches(table: Table, work: Callable[[Iterator["pa.RecordBatch"]], T], only: Sequence[int] | None = None) -> T:
    """What `work` makes of the table's batches, whose columns are named by their places: `0`, `1`; of some, or all.

    Ragged rows and bytes that are no UTF-8 are read the slow way: then `work` is begun once more. A row that is too
    short lacks values, cells past the header belong to no column. Raises Invalid for what is no table.
    """
    import pyarrow as pa

    for slowly in (False, True):
        try:
            with closing(_batches(table, only or range(len(table.names)), slowly=slowly)) as batches:
                return work(batches)
        except pa.ArrowInvalid as problem:
            if slowly or not any(table.dialects):
                raise Invalid(f"no table: {_short(problem)}") from None
        except (*NO_TABLE, OSError) as problem:
            if isinstance(problem, OSError) and problem.errno is not None:
                raise
            raise Invalid(f"no table: {_short(problem)}") from None
    raise AssertionError("the slow way answers")


def require_arrow() -> None:
    """Raise UsageError where the packages that read tables are not installed."""
    try:
        import duckdb  # noqa: F401
        import numpy as np  # noqa: F401
        import pyarrow as pa  # noqa: F401
    except ImportError as problem:
        raise UsageError(f"tables are read with {problem.name}", hint="pip install 'taut[data]'") from None


def _schema(part: Part) -> tuple[tuple[str, ...], tuple["pa.DataType", ...], Dialect | None]:
    import pyarrow as pa

    try:
        if part.name.lower().endswith(".parquet"):
            with _parquet(part) as file:
                schema = file.schema_arrow
                return tuple(schema.names), tuple(schema.types), None
        with _text(part) as stream, read_text(stream) as (dialect, _):
            return dialect.names, (pa.string(),) * len(dialect.names), dialect
    except (*NO_TABLE, pa.ArrowException, OSError) as problem:
        if isinstance(problem, FileNotFoundError | PermissionError):
            raise
        raise Invalid(f"no table: {part.name!r}: {_short(problem)}") from None


@contextmanager
def _text(part: Part) -> Iterator[IO[bytes]]:
    """The text of a CSV file, whatever it is packed with."""
    with part.open() as file:
        if part.name.lower().endswith(".zst"):
            import pyarrow as pa

            with pa.CompressedInputStream(file, "zstd") as stream:
                yield stream
        else:
            with unzipped(part.name, file) as stream:
                yield stream


@contextmanager
def _parquet(part: Part) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with ExitStack() as opened:
        file = opened.enter_context(part.open())
        if not file.seekable():
            spooled = opened.enter_context(TemporaryFile())
            while chunk := file.read(1 << 20):
                spooled.write(chunk)
            file = spooled
        # Columns are read piece by piece: a row group may be as large as the file.
        yield opened.enter_context(pq.ParquetFile(file, buffer_size=PARQUET_BUFFER))


def _rows_at_once(file: Any, places: Sequence[int]) -> int:
    """Rows of Parquet that make a batch of about the size worth working on, by what the longest rows take."""
    groups = [file.metadata.row_group(place) for place in range(file.metadata.num_row_groups)]
    longest = max(groups, key=lambda group: group.total_byte_size / max(group.num_rows, 1), default=None)
    if longest is None:
        return PARQUET_ROWS
    size = sum(int(longest.column(place).total_uncompressed_size) for place in places)
    per_row = size // max(int(longest.num_rows), 1)
    return max(1, min(PARQUET_ROWS, BYTES_AT_ONCE // max(per_row, 8 * len(places), 1)))


def _batches(table: Table, only: Sequence[int], *, slowly: bool) -> Generator["pa.RecordBatch", None, None]:
    """Batches of about the size that is worth working on at once."""
    import pyarrow as pa

    waiting, rows, size = list["pa.RecordBatch"](), 0, 0
    for part, dialect in zip(table.parts, table.dialects, strict=True):
        for batch in _parts_batches(part, dialect, table, only, slowly=slowly):
            waiting.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
                yield pa.concat_batches(waiting)
                waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_batches(waiting)


def _parts_batches(
    part: Part, dialect: Dialect | None, table: Table, only: Sequence[int], *, slowly: bool
) -> Iterator["pa.RecordBatch"]:
    if dialect is None:
        with _parquet(part) as file:
            yield from _parquet_batches(file, table, only)
        return
    names = [str(place) for place in range(len(table.names))]
    is_all = len(only) == len(names)
    for batch in _text_batches(part, dialect, names, slowly=slowly):
        yield batch if is_all else batch.select([str(place) for place in only])


def _parquet_batches(file: Any, table: Table, only: Sequence[int]) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa

    names = [str(place) for place in only]
    schema = file.schema_arrow  # Made anew each time that it is asked for.
    chosen = [schema.field(place) for place in only]
    if len(set(table.names)) < len(table.names) or any(pa.types.is_nested(field.type) for field in chosen):
        # A name stands for all columns that have it, and for those in it: places are taken from all.
        for batch in file.iter_batches(batch_size=_rows_at_once(file, range(file.metadata.num_columns))):
            yield pa.RecordBatch.from_arrays([batch.column(place) for place in only], names)
        return
    places = _leaves(file, [field.name for field in chosen])
    batches = file.iter_batches(batch_size=_rows_at_once(file, places), columns=[field.name for field in chosen])
    for batch in batches:
        yield batch.rename_columns(names)


def _leaves(file: Any, names: Sequence[str]) -> list[int]:
    """The places of flat columns among all that are stored, where a nested one takes several."""
    schema = file.schema
    stored = {schema.column(place).path: place for place in range(file.metadata.num_columns)}
    return [stored[name] for name in names if name in stored]


def _text_batches(part: Part, dialect: Dialect, names: list[str], *, slowly: bool) -> Iterator["pa.RecordBatch"]:
    with _text(part) as stream:
        if slowly or dialect.encoding != "utf-8-sig":
            yield from _slow_batches(stream, names)
        else:
            yield from _fast_batches(stream, dialect, names)


def _fast_batches(stream: IO[bytes], dialect: Dialect, names: list[str]) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa
    import pyarrow.csv as pc

    reader = pc.open_csv(
        stream,
        read_options=pc.ReadOptions(block_size=BLOCK, use_threads=True, column_names=names),
        parse_options=pc.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True),
        convert_options=pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )
    is_first = True
    with reader:
        for batch in reader:
            yield (batch.slice(1) if is_first else batch).rename_columns(names)  # The header is the first row.
            is_first = False


def _slow_batches(stream: IO[bytes], names: list[str]) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa

    ruler = [""] * len(names)  # A row as wide as the header: columns that no row reaches are there as well.
    with read_text(stream) as (_, rows):
        while chunk := list(_some(rows)):
            cells = list(zip_longest(*chunk, ruler, fillvalue=""))[: len(names)]
            yield pa.record_batch([pa.array(column[:-1], pa.string()) for column in cells], names=names)


def _some(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """So many of the next rows as are worth working on, fewer where they are long."""
    size = 0
    for row in islice(rows, PLAIN_ROWS):
        yield row
        size += sum(map(len, row))
        if size >= BLOCK:
            return


def _short(problem: Exception) -> str:
    return str(problem).partition("\n")[0][:200] or type(problem).__name__
