"""Tables of Arrow and Parquet as columns, and outputs as an Arrow stream. pyarrow is imported by such a request alone.

Bytes that strangers send are held to a size before anything is made of them: compressed batches are refused, for a
few bytes of them may be gigabytes; so are types whose values may share one memory.
"""

from struct import error as OutOfBytes
from struct import unpack_from
from types import ModuleType
from typing import Any

from taut.errors import Invalid, Unsupported
from taut.models.inputs import Cell
from taut.models.signature import Signature, check_names
from taut.records import Prediction
from taut.serve.requests.asked import ARROW, JSON, Body, Columns

FILE, PARQUET = "application/vnd.apache.arrow.file", "application/vnd.apache.parquet"
FORMS = (ARROW, FILE, PARQUET)
CELLS_MAX = 5_000_000  # As lists some 300 MB; more is work for `taut batch`.
UNPACKED_MAX = 256 << 20  # What a Parquet file may say that it holds.
END = b"\xff\xff\xff\xff"


def read_arrow(body: bytes, kind: str, signature: Signature) -> Columns:
    """The columns of a table: an Arrow stream or file, or a Parquet file. A missing value is None or NaN.

    Raises Unsupported where pyarrow is not installed, Invalid for bytes that are no such table, for other columns than
    the signature's, and for a type that no column has.
    """
    arrow = import_arrow()
    try:
        table = _table(arrow, body, kind)
        names: list[str] = table.column_names
        if len(set(names)) != len(names):
            raise Invalid("the table has two columns of one name")
        check_names(signature, names)
        _must_be_bounded(table.num_rows * len(names))
        table.validate(full=True)
        return {name: _cells(arrow, name, table.column(name).combine_chunks()) for name in names}
    except (
        arrow.ArrowException,
        OSError,
        ValueError,
    ) as problem:  # Also for names that are no text, and ends too early.
        raise Invalid(f"the table cannot be read: {problem!s:.200}") from None


def arrow_answer(answered: Prediction) -> Body:
    """The outputs as one batch of an Arrow stream; id, version and revision stand in the metadata of its schema."""
    arrow = import_arrow()
    said = {"id": answered.id, "version": str(answered.number), "revision": str(answered.revision)}
    table = arrow.table(answered.outputs).replace_schema_metadata(said)
    sink = arrow.BufferOutputStream()
    with arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Body(sink.getvalue().to_pybytes(), ARROW.encode(), ((b"x-request-id", answered.id.encode()),))


def wants_arrow(accept: str) -> bool:
    """Whether a header Accept asks for an Arrow stream: it names it, and does not take JSON as well.

    Raises Unsupported where nobody here could write one.
    """
    wants = ARROW in accept and JSON not in accept
    if wants:
        import_arrow()
    return wants


def import_arrow() -> ModuleType:
    """pyarrow. Raises Unsupported with the extra that brings it."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.ipc
    except ImportError:
        raise Unsupported(
            "Arrow and Parquet are not read here, for pyarrow is not installed", hint="pip install 'taut[data]'"
        ) from None
    found: ModuleType = pyarrow
    return found


def _table(arrow: ModuleType, body: bytes, kind: str) -> Any:
    buffer = arrow.py_buffer(body)
    if kind == PARQUET:
        import pyarrow.parquet

        file = pyarrow.parquet.ParquetFile(arrow.BufferReader(buffer))
        groups = range(file.metadata.num_row_groups)
        _must_be_bounded(file.metadata.num_rows * file.metadata.num_columns)
        if sum(file.metadata.row_group(group).total_byte_size for group in groups) > UNPACKED_MAX:
            raise Invalid(f"the table says that it holds more than {UNPACKED_MAX >> 20} MiB; use `taut batch`")
        return file.read()
    if kind == FILE:
        reader = arrow.ipc.open_file(buffer)
        batches = (reader.get_batch(place) for place in range(reader.num_record_batches))
        body = body[8:]  # The messages stand behind the word ARROW1 and its padding.
    else:
        reader = arrow.ipc.open_stream(buffer)
        batches = iter(reader)
    if _is_compressed(body):
        raise Invalid("the record batches are compressed; send them as they are")
    found = []
    cells = 0
    for batch in batches:
        cells += batch.num_rows * batch.num_columns
        _must_be_bounded(cells)
        found.append(batch)
    table = arrow.Table.from_batches(found, reader.schema)
    if table.nbytes > 2 * len(body) + 4096 * len(table.schema):
        raise Invalid("the columns of the table share their memory; write each for itself")
    return table


def _is_compressed(body: bytes) -> bool:
    """Whether a message says that its buffers are compressed: the fourth field of its record batch.

    Read by the layout of flatbuffers, for pyarrow tells of it only once it has unpacked them. A message is the word
    0xFFFFFFFF, the length of its header, the header, and as many bytes as the header's fourth field says.
    """
    at = 0
    try:
        while body[at : at + 4] == END:
            (size,) = unpack_from("<i", body, at + 4)
            if size <= 0:
                return False
            head = at + 8
            message = head + int(unpack_from("<I", body, head)[0])
            kind = _field(body, message, 1)
            length = _field(body, message, 3)
            batch = _follow(body, _field(body, message, 2))
            if kind and body[kind] == 2:  # A dictionary: its values are a record batch of their own.
                batch = _follow(body, _field(body, batch, 1))
            if kind and body[kind] in (2, 3) and _field(body, batch, 3):
                return True
            at = head + size + (int(unpack_from("<q", body, length)[0]) if length else 0)
            if at <= head:
                return False
    except (OutOfBytes, IndexError):
        return False  # No whole message: pyarrow says so itself.
    return False


def _field(data: bytes, table: int, place: int) -> int:
    """Where a field of a flatbuffers table lies, 0 where it is not there."""
    fields = table - int(unpack_from("<i", data, table)[0])
    if 4 + 2 * place >= int(unpack_from("<H", data, fields)[0]):
        return 0
    offset = int(unpack_from("<H", data, fields + 4 + 2 * place)[0])
    return table + offset if offset else 0


def _follow(data: bytes, at: int) -> int:
    return at + int(unpack_from("<I", data, at)[0])


def _must_be_bounded(cells: int) -> None:
    if cells > CELLS_MAX:
        raise Invalid(f"the table has {cells} values; a request may have {CELLS_MAX}, more is for `taut batch`")


def _cells(arrow: ModuleType, name: str, array: Any) -> list[Cell]:
    """One column as a list, without a step in Python for each number or text."""
    types, kind = arrow.types, array.type
    if types.is_dictionary(kind):
        if not types.is_integer(kind.index_type):
            raise Invalid(f"column {name!r:.80} is of type {kind}, which no column of a model has")
        words = [*_cells(arrow, name, array.dictionary), None]
        return [words[place] for place in array.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)]
    if types.is_timestamp(kind) or types.is_date(kind):
        array = array.cast(arrow.timestamp("us")).cast(arrow.string())
    elif types.is_null(kind):
        return [None] * len(array)
    elif types.is_integer(kind) or types.is_boolean(kind):
        gone = array.is_null().to_numpy(zero_copy_only=False).nonzero()[0].tolist() if array.null_count else []
        filled = array.fill_null(False if types.is_boolean(kind) else 0) if gone else array
        cells: list[Cell] = filled.to_numpy(zero_copy_only=False).tolist()
        for place in gone:
            cells[place] = None
        return cells
    elif not (types.is_floating(kind) or types.is_string(kind) or types.is_large_string(kind)):
        raise Invalid(f"column {name!r:.80} is of type {kind}, which no column of a model has")
    found: list[Cell] = array.to_numpy(zero_copy_only=False).tolist()
    return found
