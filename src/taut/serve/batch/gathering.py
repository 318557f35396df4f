"""The parts of a batch as one file, which appears whole or not at all."""

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from taut.serve.batch.parts import LEVEL
from taut.serve.batch.places import Folder
from taut.serve.batch.reading import ROWS_AT_ONCE


def gather_parts(folder: Path, names: Sequence[str], target: Path) -> None:
    """Write the parts of a folder one behind the other to a file of Parquet or CSV, by its ending."""
    place = Folder(folder)
    made = place.scratch() / f"{secrets.token_hex(8)}-{target.name}"
    schema = pq.read_schema(folder / names[0]).remove_metadata() if names else pa.schema([])
    if target.name.endswith(".csv"):
        plain = pa.schema([(field.name, _plain(field.type)) for field in schema])
        with pyarrow.csv.CSVWriter(made, plain) as text:
            for batch in _batches(folder, names):
                text.write_table(pa.Table.from_batches([batch]).cast(plain))
    else:
        with pq.ParquetWriter(made, schema, compression="zstd", compression_level=LEVEL) as tables:
            for batch in _batches(folder, names):
                tables.write_batch(batch)
    Folder(target.parent).publish(target.name, made)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _batches(folder: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for name in names:
        with pq.ParquetFile(folder / name) as file:
            yield from file.iter_batches(ROWS_AT_ONCE * 8)
