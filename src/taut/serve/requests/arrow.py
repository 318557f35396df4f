"""Tables of Arrow and Parquet as columns, and outputs as an Arrow stream. pyarrow is imported by such a request alone.

Bytes that strangers send are held to a size before anything is made of them: compressed batches are refused, for a
few bytes of them may be gigabytes, and of Parquet all codecs but Snappy, which packs no more than some twenty into one;
so are types whose values may share one memory. Texts of Parquet stay dictionaries until they are Python's.
"""

from collections.abc import Mapping
from struct import unpack_from
from types import ModuleType
from typing import Any

from taut.errors import Invalid, Unsupported
from taut.models.inputs import Cell
from taut.records import Prediction
from taut.serve.requests.asked import ARROW, JSON, Body, Columns, must_be_few

PARQUET = "application/vnd.apache.parquet"
FORMS = (ARROW, PARQUET)
UNPACKED_MAX = 256 << 20  # What a Parquet file may say that it holds.
CODECS = {"UNCOMPRESSED", "SNAPPY"}
DICTIONARY, RECORDS = 2, 3  # Kinds of messages; a dictionary's values are a record batch of their own.


def read_arrow(body: bytes, kind: str) -> Columns:
    """The columns of a table: an Arrow stream, or a Parquet file. A missing value is None or NaN.

    Raises Unsupported where pyarrow is not installed, Invalid for bytes that are no such table, for one that is too
    large, and for a type that no column of a model has.
    """
    arrow = import_arrow()
    try:
        table = _of_parquet(arrow, body) if kind == PARQUET else _of_stream(arrow, body)
        names: list[str] = table.column_names
        if len(set(names)) != len(names):
            raise Invalid("the table has two columns of one name")
        table.validate(full=True)
        return {name: _cells(arrow, name, table.column(name).combine_chunks()) for name in names}
    except (arrow.ArrowException, OSError, ValueError) as problem:  # Also names that are no text, and ends too early.
        raise Invalid(f"the table cannot be read: {problem!s:.200}") from None


def arrow_answer(answered: Prediction, outputs: Mapping[str, list[Cell]]) -> Body:
    """Outputs as one batch of an Arrow stream; id, version and revision stand in the metadata of its schema."""
    arrow = import_arrow()
    said = {"id": answered.id, "version": str(answered.number), "revision": str(answered.revision)}
    table = arrow.table(dict(outputs)).replace_schema_metadata(said)
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


def _of_parquet(arrow: ModuleType, body: bytes) -> Any:
    import pyarrow.parquet

    source = arrow.BufferReader(arrow.py_buffer(body))
    about = pyarrow.parquet.read_metadata(source)
    must_be_few(about.num_rows * about.num_columns)
    groups = [about.row_group(place) for place in range(about.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > UNPACKED_MAX:
        raise Invalid(f"the table says that it holds more than {UNPACKED_MAX >> 20} MiB; use `taut batch`")
    codecs = {group.column(place).compression for group in groups for place in range(about.num_columns)}
    if codecs - CODECS:
        raise Invalid(f"the table is packed by {min(codecs - CODECS)}; Snappy is taken, or none")
    texts = [
        one.name for one in map(about.schema.column, range(about.num_columns)) if one.physical_type == "BYTE_ARRAY"
    ]
    return pyarrow.parquet.ParquetFile(source, read_dictionary=texts).read()


def _of_stream(arrow: ModuleType, body: bytes) -> Any:
    """A table whose columns lie in the bytes that came."""
    buffer = arrow.py_buffer(body)
    for message in arrow.ipc.MessageReader.open_stream(buffer):
        if message.metadata is not None and _is_compressed(message.metadata.to_pybytes()):
            raise Invalid("the record batches are compressed; send them as they are")
    found: list[Any] = []
    cells = 0
    reader = arrow.ipc.open_stream(buffer)
    for batch in reader:
        cells += batch.num_rows * batch.num_columns
        must_be_few(cells)
        found.append(batch)
    table = arrow.Table.from_batches(found, reader.schema)
    if table.nbytes > 2 * len(body) + 4096 * len(table.schema):
        raise Invalid("the columns of the table share their memory; write each for itself")
    return table


def _is_compressed(head: bytes) -> bool:
    """Whether the head of a message says that its buffers are compressed: the fourth field of its record batch.

    Read by the layout of flatbuffers, which pyarrow has verified; it tells of this only once it has unpacked them.
    """
    message = _follow(head, 0)
    kind, content = _field(head, message, 1), _field(head, message, 2)
    if not kind or not content:
        return False
    batch = _follow(head, content)
    if head[kind] == DICTIONARY:
        values = _field(head, batch, 1)
        return bool(values) and bool(_field(head, _follow(head, values), 3))
    return head[kind] == RECORDS and bool(_field(head, batch, 3))


def _field(data: bytes, table: int, place: int) -> int:
    """Where a field of a flatbuffers table lies, 0 where it is not there."""
    fields = table - int(unpack_from("<i", data, table)[0])
    if 4 + 2 * place >= int(unpack_from("<H", data, fields)[0]):
        return 0
    offset = int(unpack_from("<H", data, fields + 4 + 2 * place)[0])
    return table + offset if offset else 0


def _follow(data: bytes, at: int) -> int:
    return at + int(unpack_from("<I", data, at)[0])


def _cells(arrow: ModuleType, name: str, array: Any) -> list[Cell]:
    """One column as a list, without a step in Python for each number or text."""
    types, kind = arrow.types, array.type
    if types.is_dictionary(kind):
        if not types.is_integer(kind.index_type):
            raise Invalid(f"column {name!r:.80} is of type {kind}, which no column of a model has")
        words = [*_cells(arrow, name, array.dictionary), None]
        places = array.indices.cast(arrow.int64()).fill_null(len(words) - 1)
        return [words[place] for place in places.to_numpy(zero_copy_only=False).tolist()]
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
