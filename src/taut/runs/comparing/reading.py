"""Which reader takes a file apart: by how its bytes begin, then by its name; what none can read is one leaf."""

import json
from collections.abc import Callable

from taut.runs.comparing.archives import packed_leaves, tar_leaves, zip_leaves
from taut.runs.comparing.arrays import NPY, npy_leaves, safetensors_leaves
from taut.runs.comparing.binaries import (
    PNG,
    hdf5_leaves,
    jpeg_leaves,
    onnx_leaves,
    pdf_leaves,
    png_leaves,
    sqlite_leaves,
)
from taut.runs.comparing.documents import json_leaves, mlmodel_leaves, text_leaves, yaml_leaves
from taut.runs.comparing.leaves import NEST_MAX, Leaf, Leaves, Unreadable, below
from taut.runs.comparing.pickles import pickle_leaves
from taut.runs.comparing.tables import arrow_leaves, csv_leaves, parquet_leaves

Read = Callable[[bytes], Leaves]

BY_BEGINNING: tuple[tuple[bytes, Read], ...] = (
    (NPY, npy_leaves),
    (PNG, png_leaves),
    (b"\xff\xd8\xff", jpeg_leaves),
    (b"%PDF-", pdf_leaves),
    (b"\x89HDF\r\n\x1a\n", hdf5_leaves),
    (b"SQLite format 3\0", sqlite_leaves),
    (b"PAR1", parquet_leaves),
    (b"ARROW1", arrow_leaves),
    *((bytes([0x80, protocol]), pickle_leaves) for protocol in range(2, 6)),
)
BY_NAME: dict[str, Read] = {
    "safetensors": safetensors_leaves, "onnx": onnx_leaves, "json": json_leaves, "jsonl": json_leaves,
    "ndjson": json_leaves, "ipynb": json_leaves, "yaml": yaml_leaves, "yml": yaml_leaves, "csv": csv_leaves,
    "tsv": lambda data: csv_leaves(data, "\t"), "pkl": pickle_leaves, "pickle": pickle_leaves, "joblib": pickle_leaves,
}  # fmt: skip
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
ZLIB = tuple(bytes([0x78, level]) for level in (0x01, 0x5E, 0x9C, 0xDA))
TAR_MAGIC = slice(257, 262)


def take_apart(name: str, data: bytes, *, depth: int = 0) -> Leaves:
    """The leaves of a file. What cannot be read as what it seems to be is text, else one leaf of its bytes."""
    if depth > NEST_MAX:
        return {"": data}
    for read in _readers(name, data, depth):
        try:
            return read(data)
        except (Unreadable, RecursionError):  # The next reader may know it; the last resort is the bytes themselves.
            continue
    return {"": data}


def _readers(name: str, data: bytes, depth: int) -> list[Read]:
    found: list[Read] = []

    def inner(member: str, content: bytes) -> Leaves:
        return take_apart(member, content, depth=depth + 1)

    file = name.rpartition("/")[2]
    ending = file.rpartition(".")[2].lower()
    if data[:4] == b"PK\x03\x04" and ending == "skops":
        found.append(lambda content: _skops(zip_leaves(content, _as_bytes), inner))
    if data[:4] == b"PK\x03\x04":
        found.append(lambda content: zip_leaves(content, inner))
    if data.startswith(PACKED) or (data.startswith(ZLIB) and ending in ("pkl", "joblib", "z", "gz", "pickle")):
        found.append(lambda content: packed_leaves(name, content, inner))
    if data[TAR_MAGIC] == b"ustar":
        found.append(lambda content: tar_leaves(content, inner))
    found.extend(read for beginning, read in BY_BEGINNING if data.startswith(beginning))
    if file == "MLmodel":
        found.append(mlmodel_leaves)
    if ending in BY_NAME:
        found.append(BY_NAME[ending])
    return [*found, text_leaves]


def _as_bytes(_: str, content: bytes) -> Leaves:
    return {"": content}


def _skops(files: Leaves, read: Callable[[str, bytes], Leaves]) -> Leaves:
    """A model of skops: its schema with members in their places; ids, which are memory addresses, become numbers."""
    schema = files.get("!schema.json")
    if not isinstance(schema, bytes):
        raise Unreadable("a skops file without a schema")
    numbers: dict[object, int] = {}
    found: Leaves = {path: leaf for path, leaf in files.items() if path in ("!time",)}

    def walk(value: object, path: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if key == "__id__":
                    found[f"{path}.{key}"] = numbers.setdefault(item, len(numbers))
                elif key == "file":
                    found.update(below(f"{path}.{key}", read(str(item), _member(files, item))))
                else:
                    walk(item, f"{path}.{key}")
        elif isinstance(value, list):
            found[f"{path}[]"] = len(value)
            for at, item in enumerate(value):
                walk(item, f"{path}[{at}]")
        else:
            found[path] = value if value is None or isinstance(value, str | int | float) else str(value)

    try:
        walk(json.loads(schema), "")
    except ValueError as problem:
        raise Unreadable(f"a skops schema that is no JSON: {problem}") from None
    return found


def _member(files: Leaves, name: object) -> bytes:
    leaf: Leaf = files.get(f"!{name}")
    if not isinstance(leaf, bytes):
        raise Unreadable(f"a skops file that names {name!r}, which it does not hold")
    return leaf
