"""Binary formats whose parts are named: PNG, JPEG, PDF, HDF5, SQLite and ONNX."""

import re
import sqlite3
import struct
import zlib
from collections.abc import Iterator

from taut.runs.comparing.leaves import Aside, Leaves, Rows, Unreadable, step

PNG = b"\x89PNG\r\n\x1a\n"
PNG_TEXT = b"tEXt"
PROGRAM_NOTES = frozenset({"Software", "date:create", "date:modify", "date:timestamp"})
"""What the program that writes an image says of itself, by the keywords of PNG and of ImageMagick."""
SCAN, COMMENTS = 0xDA, frozenset({0xFE, *range(0xE0, 0xF0)})
PDF_ASIDE = re.compile(rb"/(CreationDate|ModDate) ?\([^)]*\)|/ID ?\[[^\]]*\]")
# HDF5: the message "Object Modification Time" of an object header of version 1, 8 bytes long; and the beginning of one
# of version 2, whose flags say which fields follow. Source: HDF5 File Format Specification, IV.A.
HDF5_TIME = re.compile(rb"\x12\0\x08\0.\0\0\0\x01\0\0\0", re.DOTALL)
HDF5_HEADER = re.compile(rb"OHDR\x02(.)", re.DOTALL)
HDF5_TIMED, HDF5_PHASED = 0x20, 0x10
# ONNX: ModelProto.graph is field 7, doc_string 6; GraphProto.name 2, doc_string 10. Some converters put a uuid there.
ONNX_GRAPH, ONNX_NAMES = 7, frozenset({(6,), (7, 2), (7, 10)})
MADE_UP = re.compile(rb"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def png_leaves(data: bytes) -> Leaves:
    """The pixels of a PNG, unpacked, and its notes; its time and the program that wrote it aside. Raises Unreadable."""
    found: Leaves = {}
    pixels = bytearray()
    place = len(PNG)
    try:
        while place < len(data):
            length, kind = struct.unpack_from(">I4s", data, place)
            body = data[place + 8 : place + 8 + length]
            if kind == b"IDAT":
                pixels += body
            elif kind == b"tIME":
                found[f".tIME@{len(found)}"] = Aside("note in an image", body)
            elif kind == PNG_TEXT:
                keyword, _, text = body.decode("latin-1").partition("\0")
                aside = keyword in PROGRAM_NOTES
                found[f".tEXt.{step(keyword)}@{len(found)}"] = Aside("note in an image", text) if aside else text
            else:
                found[f".{kind.decode('latin-1')}@{len(found)}"] = body
            place += 12 + length
        found[".pixels"] = zlib.decompress(bytes(pixels))
    except (struct.error, zlib.error) as problem:
        raise Unreadable(f"no PNG: {problem}") from None
    return found


def jpeg_leaves(data: bytes) -> Leaves:
    """The picture of a JPEG; its comments and application segments (Exif) as text. Raises Unreadable."""
    found: Leaves = {}
    place = 2
    try:
        while data[place + 1] != SCAN:
            (length,) = struct.unpack_from(">H", data, place + 2)
            body = data[place + 2 : place + 2 + length]
            is_note = data[place + 1] in COMMENTS
            found[f".{data[place + 1]:02x}@{len(found)}"] = body.decode("latin-1") if is_note else body
            place += 2 + length
    except (struct.error, IndexError) as problem:
        raise Unreadable(f"no JPEG: {problem}") from None
    return {**found, ".scan": data[place:]}


def pdf_leaves(data: bytes) -> Leaves:
    """A PDF; its dates and its id aside."""
    kept = [match[0] for match in PDF_ASIDE.finditer(data)]
    return {"": PDF_ASIDE.sub(b"", data), ".dates": Aside("time", tuple(kept))}


def hdf5_leaves(data: bytes) -> Leaves:
    """An HDF5 file; the times of its objects are numbers by themselves, and checksums over them aside."""
    kept = bytearray(data)
    found: Leaves = {}

    def take_time(place: int) -> None:
        found[f".time@{len(found)}"] = int.from_bytes(data[place : place + 4], "little")
        kept[place : place + 4] = bytes(4)

    for match in HDF5_TIME.finditer(data):
        take_time(match.end())
    for match in HDF5_HEADER.finditer(data):
        flags, place = match[1][0], match.end()
        if flags & HDF5_TIMED:
            for at in range(place, place + 16, 4):
                take_time(at)
            place += 16 + (4 if flags & HDF5_PHASED else 0)
            width = 1 << (flags & 3)
            end = place + width + int.from_bytes(data[place : place + width], "little")
            found[f".checksum@{len(found)}"] = Aside("checksum of what is compared", bytes(kept[end : end + 4]))
            kept[end : end + 4] = bytes(len(kept[end : end + 4]))
    return {"": bytes(kept), **found}


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
    """The fields of an ONNX model and of its graph; names that a converter made up of a uuid aside.

    Raises Unreadable.
    """
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
    is_made_up = field in ONNX_NAMES and isinstance(value, bytes) and MADE_UP.search(value) is not None
    found[path] = Aside("name that a converter made up", value) if is_made_up else value


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
