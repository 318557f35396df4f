"""Compression and the strong hash: zstd, of the standard library where that has it, and BLAKE3.

BLAKE3 beside SHA-256 on one core here: 7.4 GB/s and 2.0; each byte that is stored or fetched is hashed once.
"""

import sys
import threading
from typing import TYPE_CHECKING, TypeAlias

from blake3 import blake3

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Bytes", "delta", "digest_of", "grown", "joined", "shrunk", "undelta", "zstd"]

Bytes: TypeAlias = bytes | bytearray | memoryview

# On tables of numbers level 1 stores no more than level 3 does, in a third of the time (0.44 and 0.16 GB/s).
LEVEL = 1
SAMPLE_BYTES = 32 << 10
WORTH = 0.94  # Of its size: what does not shrink below that is stored as it is, and read without work.
TINY_BYTES = 64  # What is smaller than that does not shrink.
WINDOW_LOG_MIN, WINDOW_LOG_MAX = (
    zstd.DecompressionParameter.window_log_max.bounds()
)  # 31, and 30 where words are short.
LDM_MIN_MATCH, LDM_RATE_LOG = (
    32,
    4,
)  # One position in 16 is remembered: 1.17 times the floor, where the default has 1.6.

_local = threading.local()


def digest_of(data: Bytes, key: bytes) -> bytes:
    """The keyed BLAKE3 of some bytes: 32 bytes, by which a store knows them and which tell nothing without the key."""
    return blake3(data, key=key).digest()


def shrunk(data: Bytes) -> bytes | None:
    """The bytes compressed; None where that is not worth it, of which a sample from the middle decides first."""
    size = len(data)
    if size < TINY_BYTES:
        return None
    if size > 4 * SAMPLE_BYTES:
        middle = memoryview(data)[size // 2 : size // 2 + SAMPLE_BYTES]
        if len(_compressed(middle)) > WORTH * SAMPLE_BYTES:
            return None
    found = _compressed(data)
    return found if len(found) < WORTH * size else None


def grown(data: Bytes, size: int) -> bytes:
    """What `shrunk` was given. Raises ValueError where it is not `size` bytes, which is looked at before."""
    _check_size(data, size)
    return zstd.decompress(data)


def delta(data: Bytes, base: bytes) -> bytes:
    """The bytes as what they have in common with `base`, and the rest. Raises ValueError for a base below 8 bytes."""
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {
        parameter.compression_level: LEVEL,
        parameter.window_log: _window_log(len(data) + len(base)),
        parameter.enable_long_distance_matching: 1,
        parameter.ldm_min_match: LDM_MIN_MATCH,
        parameter.ldm_hash_rate_log: LDM_RATE_LOG,
        parameter.ldm_hash_log: max(6, min(26, _window_log(len(base)) - LDM_RATE_LOG)),
    }
    prefix = zstd.ZstdDict(base, is_raw=True).as_prefix
    return zstd.compress(data, options=options, zstd_dict=prefix)


def undelta(data: Bytes, base: bytes, size: int) -> bytes:
    """What `delta` was given. Raises ValueError where it is not `size` bytes, or not of this base."""
    _check_size(data, size)
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
    try:
        return zstd.decompress(data, options=options, zstd_dict=zstd.ZstdDict(base, is_raw=True).as_prefix)
    except zstd.ZstdError as problem:
        raise ValueError(str(problem)) from None


def joined(parts: "Iterable[Bytes]") -> bytes:
    """The parts as one; a single one that is bytes already is not copied."""
    held = list(parts)
    if len(held) == 1 and isinstance(held[0], bytes):
        return held[0]
    return b"".join(held)


def _compressed(data: Bytes) -> bytes:
    compressor: zstd.ZstdCompressor | None = getattr(_local, "compressor", None)
    if compressor is None:  # Its tables are made once a thread: of small files they cost more than the bytes.
        compressor = _local.compressor = zstd.ZstdCompressor(LEVEL)
    return compressor.compress(data, compressor.FLUSH_FRAME)


def _check_size(data: Bytes, size: int) -> None:
    """A frame says how large it is: nobody is made to give room to more than what was stored."""
    try:
        said = zstd.get_frame_info(data).decompressed_size
    except zstd.ZstdError as problem:
        raise ValueError(str(problem)) from None
    if said != size:
        raise ValueError(f"{said} bytes where {size} were stored")


def _window_log(size: int) -> int:
    return max(WINDOW_LOG_MIN, min(WINDOW_LOG_MAX, (size + 1024).bit_length()))
