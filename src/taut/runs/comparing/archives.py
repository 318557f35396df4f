"""Archives and compressed files: their members' content, with the times and ids that packing writes set aside."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator

from taut.runs.comparing.leaves import UNPACKED_BYTES_MAX, Aside, Leaves, Unreadable, members

Reader = Callable[[str, bytes], Leaves]
"""What takes a member apart, by its name and bytes."""

GZIP_NAME, GZIP_TIME = 0x08, slice(4, 8)


def zip_leaves(data: bytes, read: Reader) -> Leaves:
    """The members of a zip archive, npz and torch files among them. Raises Unreadable."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if sum(info.file_size for info in infos) > UNPACKED_BYTES_MAX:
                raise Unreadable("it unpacks to more than is compared")
            # The top folder of a torch archive is named after the file that it was first saved as.
            found = members((info.filename, read(info.filename, archive.read(info))) for info in infos)
            found["!comment"] = archive.comment
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as problem:
        raise Unreadable(f"no zip archive: {problem}") from None
    found["!time"] = Aside("archive timestamp", tuple(info.date_time for info in infos))
    found["!how"] = Aside(
        "how it was packed", tuple((info.compress_type, info.external_attr, info.extra) for info in infos)
    )
    return found


def tar_leaves(data: bytes, read: Reader) -> Leaves:
    """The members of a plain tar archive. Raises Unreadable."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            infos = archive.getmembers()
            found = members(_tar_members(archive, infos, read))
    except (tarfile.TarError, EOFError, ValueError) as problem:
        raise Unreadable(f"no tar archive: {problem}") from None
    found["!time"] = Aside("archive timestamp", tuple(info.mtime for info in infos))
    found["!how"] = Aside(
        "how it was packed", tuple((info.uid, info.gid, info.uname, info.gname, info.mode) for info in infos)
    )
    return found


def _tar_members(archive: tarfile.TarFile, infos: list[tarfile.TarInfo], read: Reader) -> Iterator[tuple[str, Leaves]]:
    for info in infos:
        stream = archive.extractfile(info) if info.isfile() else None
        inner: Leaves = read(info.name, stream.read()) if stream is not None else {"link": info.linkname}
        yield info.name, inner


def packed_leaves(name: str, data: bytes, read: Reader) -> Leaves:
    """What a file compressed by gzip, bzip2, xz or zlib (as joblib's) holds. Raises Unreadable."""
    try:
        if data[:2] == b"\x1f\x8b":
            inner = gzip.decompress(data)
        elif data[:3] == b"BZh":
            inner = bz2.decompress(data)
        elif data[:6] == b"\xfd7zXZ\x00":
            inner = lzma.decompress(data)
        else:
            unpacking = zlib.decompressobj()
            inner = unpacking.decompress(data)
            if unpacking.unused_data or not unpacking.eof:
                raise Unreadable("compressed, and something behind it")
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as problem:
        raise Unreadable(f"not compressed as it says: {problem}") from None
    stem = name.rpartition(".")[0] if name.endswith((".gz", ".bz2", ".xz", ".tgz")) else name
    found = read(stem + ".tar" if name.endswith(".tgz") else stem, inner)
    if data[:2] == b"\x1f\x8b":
        named = data[10:].split(b"\0", 1)[0] if data[3] & GZIP_NAME else b""
        found["!gzip time"] = Aside("archive timestamp", data[GZIP_TIME].hex())
        found["!gzip name"] = Aside("how it was packed", named.decode("latin-1"))
    return found
