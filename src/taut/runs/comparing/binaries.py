"""Binary formats whose parts are named: PNG, JPEG, PDF, SQLite and ONNX."""

import re
import sqlite3
import struct
import zlib
from collections.abc import Iterator

from taut.runs.comparing.leaves import Aside, Leaves, Rows, Unreadable

PNG = b"\x89PNG\r\n\x1a\n"
PNG_ASIDE = frozenset({b"tIME", b"tEXt", b"zTXt", b"iTXt"})
SCAN, COMMENTS = 0xDA, frozenset({0xFE, *range(0xE0, 0xF0)})
PDF_ASIDE = re.compile(rb"/(CreationDate|ModDate) ?\([^)]*\)|/ID ?\[[^\]]*\]")
# ONNX: ModelProto.graph is field 7, doc_string 6; GraphProto.name 2, doc_string 10. Some converters put a uuid there.
ONNX_GRAPH, ONNX_ASIDE = 7, frozenset({(6,), (7, 2), (7, 10)})


def png_leaves(data: bytes) -> Leaves:
    """The pixels of a PNG, unpacked; its notes (time, software) aside. Raises Unreadable."""
    found: Leaves = {}
    pixels = bytearray()
    place = len(PNG)
    try:
        while place < len(data):
            length, kind = struct.unpack_from(">I4s", data, place)
            body = data[place + 8 : place + 8 + length]
            if kind == b"IDAT":
                pixels += body
            elif kind in PNG_ASIDE:
                found[f".{kind.decode()}@{place}"] = Aside("note in an image", body)
            else:
                found[f".{kind.decode('latin-1')}"] = body
            place += 12 + length
        found[".pixels"] = zlib.decompress(bytes(pixels))
    except (struct.error, zlib.error) as problem:
        raise Unreadable(f"no PNG: {problem}") from None
    return found


def jpeg_leaves(data: bytes) -> Leaves:
    """The picture of a JPEG; its comments and application segments (Exif) aside. Raises Unreadable."""
    found: Leaves = {}
    place = 2
    try:
        while data[place + 1] != SCAN:
            (length,) = struct.unpack_from(">H", data, place + 2)
            body = data[place + 2 : place + 2 + length]
            aside = data[place + 1] in COMMENTS
            found[f".{data[place + 1]:02x}@{'' if aside else place}{len(found)}"] = (
                Aside("note in an image", body) if aside else body
            )
            place += 2 + length
    except (struct.error, IndexError) as problem:
        raise Unreadable(f"no JPEG: {problem}") from None
    return {**found, ".scan": data[place:]}


def pdf_leaves(data: bytes) -> Leaves:
    """A PDF; its dates and its id aside."""
    kept = [match[0] for match in PDF_ASIDE.finditer(data)]
    return {"": PDF_ASIDE.sub(b"", data), ".dates": Aside("time", tuple(kept))}


def sqlite_leaves(data: bytes) -> Leaves:
    """What a SQLite database holds, as the statements that would make it, whatever its pages. Raises Unreadable."""
    base = sqlite3.connect(":memory:")
    try:
        base.deserialize(data)
        lines = tuple((line,) for line in base.iterdump())
    except (sqlite3.Error, UnicodeDecodeError, OverflowError) as problem:
        raise Unreadable(f"no SQLite database: {problem}") from None
    finally:
        base.close()
    return {"": Rows(("statement",), lines)}


def onnx_leaves(data: bytes) -> Leaves:
    """The fields of an ONNX model and of its graph; the names that a converter made up aside. Raises Unreadable."""
    found: Leaves = {}
    try:
        for at, (number, value) in enumerate(_fields(data)):
            if number != ONNX_GRAPH or isinstance(value, int):
                _put(found, (number,), at, value)
                continue
            for inner, (field, part) in enumerate(_fields(value)):
                _put(found, (number, field), inner, part)
    except (IndexError, ValueError) as problem:
        raise Unreadable(f"no ONNX model: {problem}") from None
    return found


def _put(found: Leaves, field: tuple[int, ...], at: int, value: int | bytes) -> None:
    path = f".{'.'.join(map(str, field))}[{at}]"
    found[path] = Aside("name that a converter made up", value) if field in ONNX_ASIDE else value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer in their order. Source: protobuf.dev, Encoding."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            size, place = _varint(data, place)
        if size is None or place + size > len(data) or not number:
            raise ValueError(f"a field of the kind {wire} at {place}")
        yield number, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place
