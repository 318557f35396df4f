"""The log as files for analysts: one Parquet or CSV file, or a folder of Parquet files, there whole or not at all.

Columns get their types from all that is exported, and nobody knows those before the last row was read. So rows go into
parts beside the target first, a part with the types that it needs; then these are joined, one in memory at a time.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from taut.errors import Conflict, Denied
from taut.serve.log.building import as_json, column, go_together
from taut.serve.log.parquet import INPUT, JSON, OUTPUT, is_json
from taut.serve.log.querying import PredictedRow
from taut.serve.log.said import EXACT

PART_ROWS = 20_000  # Rows in memory at once.
FILE_ROWS = 1_000_000  # Of one file of a folder.
MOMENT = pa.timestamp("ms", tz="UTC")
FIRST = {
    "id": pa.string(), "row": pa.int64(), "event_time": MOMENT, "answered_at": MOMENT, "model": pa.string(),
    "version": pa.int64(), "revision": pa.int64(), "role": pa.string(), "latency_us": pa.int64(),
}  # fmt: skip
LABEL = pa.field("label", pa.float64())


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: rows, labelled ones of them, files and bytes."""

    path: str
    rows: int
    labelled: int
    files: int
    size_bytes: int


def export_rows(rows: Iterable[PredictedRow], target: Path) -> Exported:
    """Write rows to a file that ends in .parquet or .csv, which is replaced, or to a folder that is not there yet.

    `id` and `row` name a prediction, as `taut labels add` takes them. A column of values that no type holds together
    is JSON. Raises Conflict for a folder that has something in it, Denied where nothing can be written.
    """
    is_file = target.suffix in {".parquet", ".csv"}
    _must_be_free(target, is_file=is_file)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as problem:
        raise Denied(f"{target} cannot be written: {problem.strerror}", hint=f"ls -ld {target.parent}") from None
    try:
        parts = _Parts(scratch)
        for some in _chunks(rows):
            parts.add(some)
        made = scratch / ("made" + target.suffix if is_file else "made")
        files = _joined(parts, made, target.suffix if is_file else "")
        size_bytes = sum(one.stat().st_size for one in files)
        _publish(made, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Exported(str(target), parts.rows, parts.labelled, len(files), size_bytes)


class _Parts:
    """Rows in files, each with the types that its rows need."""

    def __init__(self, folder: Path) -> None:
        self.rows = self.labelled = 0
        self.paths: list[Path] = []
        self._folder = folder
        self._fields: dict[str, list[pa.Field]] = {}
        self._large: set[str] = set()

    def add(self, rows: list[PredictedRow]) -> None:
        """Write some rows as the next part."""
        table = _table(rows)
        for one in table.schema:
            known = self._fields.setdefault(one.name, [])
            if one not in known:
                known.append(one)
            if one.type == pa.int64() and one.name not in FIRST and _is_large(table[one.name]):
                self._large.add(one.name)
        path = self._folder / f"{len(self.paths):06}.part"
        pq.write_table(table, path, compression="zstd")
        self.paths.append(path)
        self.rows += table.num_rows
        self.labelled += table.num_rows - table["label"].null_count

    def schema(self, *, plain: bool) -> pa.Schema:
        """The columns of all parts; `plain` for a form that has no lists."""
        found = [self._together(name, fields, plain=plain) for name, fields in self._fields.items()]
        first = [pa.field(name, kind) for name, kind in FIRST.items()]
        own = [one for prefix in (INPUT, OUTPUT) for one in found if one.name.startswith(prefix)]
        return pa.schema([*first, *own, LABEL])

    def _together(self, name: str, fields: list[pa.Field], *, plain: bool) -> pa.Field:
        kinds = {one.type for one in fields} - {pa.null()}
        is_mixed = len(kinds) > 1 and name in self._large
        if is_mixed or not go_together(fields) or (plain and any(map(pa.types.is_nested, kinds))):
            return pa.field(name, pa.string(), metadata=JSON)
        kind = pa.float64() if len(kinds) > 1 else next(iter(kinds), pa.string())
        return pa.field(name, kind, metadata=fields[0].metadata)


def _joined(parts: _Parts, made: Path, suffix: str) -> list[Path]:
    """The parts as one file, or as several in a folder."""
    schema = parts.schema(plain=suffix == ".csv")
    if suffix:
        _write(made, schema, _tables(parts.paths, schema), suffix)
        return [made]
    made.mkdir()
    files: list[Path] = []
    together = FILE_ROWS // PART_ROWS
    for start in range(0, max(1, len(parts.paths)), together):
        files.append(made / f"part-{len(files):05}.parquet")
        _write(files[-1], schema, _tables(parts.paths[start : start + together], schema), ".parquet")
    return files


def _tables(paths: list[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """The parts with the columns of all; what one lacks is null there. Each goes when it was read."""
    texts = [one.name for one in schema if is_json(one)]
    for path in paths:
        table = as_json(pq.read_table(path), texts)
        columns = [
            table[one.name].cast(one.type) if one.name in table.column_names else pa.nulls(table.num_rows, one.type)
            for one in schema
        ]
        path.unlink()
        yield pa.table(columns, schema=schema)


def _write(path: Path, schema: pa.Schema, tables: Iterator[pa.Table], suffix: str) -> None:
    if suffix == ".csv":
        with pyarrow.csv.CSVWriter(path, schema) as text:
            for table in tables:
                text.write_table(table)
    else:
        with pq.ParquetWriter(path, schema, compression="zstd") as file:
            for table in tables:
                file.write_table(table)
    _sync(path)


def _table(rows: list[PredictedRow]) -> pa.Table:
    """Rows as columns."""
    ids = [one.id.rpartition(".") for one in rows]
    own: dict[str, list[Any]] = {
        "id": [one[0] for one in ids], "row": [int(one[2]) for one in ids],
        "event_time": [one.event_ms for one in rows], "answered_at": [one.at_ms for one in rows],
        "model": [one.model for one in rows], "version": [one.number for one in rows],
        "revision": [one.revision for one in rows], "role": [one.role for one in rows],
        "latency_us": [one.latency_us for one in rows],
    }  # fmt: skip
    made = [(pa.field(name, kind), pa.array(own[name], kind)) for name, kind in FIRST.items()]
    for prefix, cells in ((INPUT, [one.inputs for one in rows]), (OUTPUT, [one.outputs for one in rows])):
        names = dict.fromkeys(name for columns in cells for name in columns)
        made += [column(prefix + name, [columns.get(name) for columns in cells]) for name in names]
    made.append((LABEL, pa.array([one.label for one in rows], LABEL.type)))
    return pa.table([array for _, array in made], schema=pa.schema([one for one, _ in made]))


def _is_large(values: pa.ChunkedArray) -> bool:
    """Whether some whole number is none that a float holds."""
    found = pc.min_max(values).as_py()
    return any(value is not None and abs(value) > EXACT for value in found.values())


def _chunks(rows: Iterable[PredictedRow]) -> Iterator[list[PredictedRow]]:
    left = iter(rows)
    while some := list(islice(left, PART_ROWS)):
        yield some


def _must_be_free(target: Path, *, is_file: bool) -> None:
    if is_file and target.is_dir():
        raise Conflict(f"{target} is a folder", hint="name a file, or a folder without an ending")
    if not is_file and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict(f"{target} is there already", hint="name a new folder, or a file ending in .parquet or .csv")


def _publish(made: Path, target: Path) -> None:
    """What was written takes its name, with one call of the kernel."""
    if made.is_dir():
        with suppress(FileNotFoundError):
            target.rmdir()
    try:
        made.replace(target)
    except OSError as problem:
        raise Denied(f"{target} cannot be written: {problem.strerror}", hint=f"ls -ld {target.parent}") from None
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
