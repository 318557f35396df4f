"""Sealed objects: bytes in frames, each authenticated as the n-th of this object, under a key of its own.

    magic 8 | version 1 | cipher 1 | frame size, log 2, 1 | 0 | root id 8 | wrapped key 40 | nonce prefix 7 | 0
    | key commitment 32 | size of what is inside 8 || frame 0 | frame 1 | ...

This is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015, as used by age and Tink): each frame is AES-256-GCM under the
object's random key, its nonce the prefix, a counter of 32 bits and a byte that is 1 for the last. The header and the
name of the object are authenticated with each frame, so neither frames nor objects change places, and an object that
ends early has no last frame. The key is wrapped (RFC 3394) by the store's wrap key. AES-GCM does not commit to a key:
so the header does. In a store without encryption frames carry 16 bytes of a keyed BLAKE3 instead; all else is alike.
"""

import hashlib
import hmac
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from blake3 import blake3

from taut.data.store.codec import Bytes
from taut.data.store.roots import Root
from taut.errors import Corrupt, Denied

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LAYOUT = struct.Struct("<8sBBBx8s40s7sx32sQ")
HEADER_BYTES = LAYOUT.size
MAGIC, VERSION = b"tautseal", 1
PLAIN, AES_256_GCM = 0, 1
FRAME_LOG = 18  # 256 KiB: AES-GCM is at its fastest from 64 KiB to 1 MiB, and a range reads one frame at least.
FRAME_BYTES = 1 << FRAME_LOG
TAG_BYTES = 16
NONCE = struct.Struct(">7sIB")
MAX_BYTES = FRAME_BYTES << 32
HINT = "fsck names what depends on it; repair fetches that from a cache or a remote"


class Header(NamedTuple):
    """What the head of an object says, believed after its key was held against the commitment."""

    name: str
    size_bytes: int
    prefix: bytes
    bound: bytes
    cipher: "AESGCM | None"
    name_key: bytes

    @property
    def frames(self) -> int:
        """How many there are; an empty object has one."""
        return max(1, -(-self.size_bytes >> FRAME_LOG))

    def nonce(self, frame: int) -> bytes:
        """Which no other frame of this object has."""
        return NONCE.pack(self.prefix, frame, frame == self.frames - 1)

    def length(self, frame: int) -> int:
        """How many bytes a frame holds."""
        return min(FRAME_BYTES, self.size_bytes - (frame << FRAME_LOG))


def sealed_size(size: int) -> int:
    """How large an object is with so many bytes inside."""
    return HEADER_BYTES + size + TAG_BYTES * max(1, -(-size >> FRAME_LOG))


def seal(root: Root, name: str, data: Bytes) -> bytearray:
    """An object that only this store opens, and only under this name."""
    out = bytearray(sealed_size(len(data)))
    seal_into(root, name, data, memoryview(out))
    return out


def seal_into(root: Root, name: str, data: Bytes, out: memoryview) -> int:
    """Seal into a buffer, which may be used again and again; returns how much of it is the object."""
    if len(data) >= MAX_BYTES:
        raise ValueError(f"{len(data)} bytes are more than one object holds")
    packed, key = _new_header(root, len(data))
    header = _header(root, name, packed, key)
    out[:HEADER_BYTES] = packed
    source, at = memoryview(data), HEADER_BYTES
    for frame in range(header.frames):
        piece = source[frame << FRAME_LOG : (frame + 1) << FRAME_LOG]
        end = at + len(piece) + TAG_BYTES
        if header.cipher is not None:
            header.cipher.encrypt_into(header.nonce(frame), piece, header.bound, out[at:end])
        else:
            out[at : end - TAG_BYTES] = piece
            out[end - TAG_BYTES : end] = _tag(header, frame, piece)
        at = end
    return at


def unseal(root: Root, name: str, sealed: Bytes) -> bytearray:
    """What an object holds, all of it verified. Raises Corrupt, or Denied where another store sealed it."""
    return bytearray(unseal_into(root, name, sealed, bytearray(max(0, len(sealed) - HEADER_BYTES))))


def unseal_into(root: Root, name: str, sealed: Bytes, out: bytearray) -> memoryview:
    """The same into a buffer where that is large enough; returns the part of it that was filled. Raises as `unseal`."""
    header = read_header(root, name, sealed)
    if len(sealed) != sealed_size(header.size_bytes):
        raise damaged(name, f"it has {len(sealed)} bytes and should have {sealed_size(header.size_bytes)}")
    filled = memoryview(out if len(out) >= header.size_bytes else bytearray(header.size_bytes))[: header.size_bytes]
    open_frames(header, 0, memoryview(sealed)[HEADER_BYTES:], filled)
    return filled


def read_header(root: Root, name: str, sealed: Bytes) -> Header:
    """The head of an object. Raises Corrupt, or Denied where another store sealed it."""
    from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

    packed = bytes(sealed[:HEADER_BYTES])
    if len(packed) < HEADER_BYTES:
        raise damaged(name, f"it ends after {len(packed)} bytes")
    magic, version, cipher, frame_log, root_id, wrapped, _, commitment, _ = LAYOUT.unpack(packed)
    expected = AES_256_GCM if root.is_encrypted else PLAIN
    if magic != MAGIC or (version, cipher, frame_log) != (VERSION, expected, FRAME_LOG):
        raise damaged(name, "its head is none that this store writes")
    if root_id != root.id:
        raise Denied(f"{name} was sealed by another store, or its head is damaged", hint=HINT)
    key = b""
    if root.is_encrypted:
        try:
            key = aes_key_unwrap(root.wrap_key, wrapped)
        except (InvalidUnwrap, ValueError):
            raise damaged(name, "its key does not unwrap") from None
    if not hmac.compare_digest(commitment, _commitment(key)):
        raise damaged(name, "its key is not the one it commits to")
    return _header(root, name, packed, key)


def open_frames(header: Header, first: int, sealed: memoryview, out: memoryview) -> int:
    """Verify and decrypt whole frames from the `first` on into a buffer; returns how many bytes they held."""
    from cryptography.exceptions import InvalidTag

    at = done = 0
    frame = first
    while at < len(sealed):
        length = header.length(frame) if frame < header.frames else -1
        piece = sealed[at : at + length + TAG_BYTES]
        if length < 0 or len(piece) != length + TAG_BYTES:
            raise damaged(header.name, f"frame {frame} of {header.frames} is not whole")
        try:
            if header.cipher is not None:
                header.cipher.decrypt_into(header.nonce(frame), piece, header.bound, out[done : done + length])
            elif not hmac.compare_digest(_tag(header, frame, piece[:length]), piece[length:]):
                raise InvalidTag
            else:
                out[done : done + length] = piece[:length]
        except InvalidTag:
            raise damaged(header.name, f"frame {frame} of {header.frames} does not verify") from None
        at, done, frame = at + length + TAG_BYTES, done + length, frame + 1
    return done


def frames_around(header: Header, start: int, length: int) -> tuple[int, int, int]:
    """For a range of what is inside: the first frame of it, and where its frames begin and end in the object."""
    first, last = start >> FRAME_LOG, max(start, start + length - 1) >> FRAME_LOG
    step = FRAME_BYTES + TAG_BYTES
    end = min(HEADER_BYTES + (last + 1) * step, sealed_size(header.size_bytes))
    return first, HEADER_BYTES + first * step, end


def damaged(name: str, reason: str) -> Corrupt:
    """How it is told that an object is not what was stored."""
    return Corrupt(f"{name} is damaged: {reason}", hint=HINT)


def _new_header(root: Root, size: int) -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    key = os.urandom(32) if root.is_encrypted else b""
    wrapped = aes_key_wrap(root.wrap_key, key) if key else bytes(40)
    cipher = AES_256_GCM if root.is_encrypted else PLAIN
    packed = LAYOUT.pack(
        MAGIC, VERSION, cipher, FRAME_LOG, root.id, wrapped, os.urandom(7), _commitment(key), size
    )  # fmt: skip
    return packed, key


def _header(root: Root, name: str, packed: bytes, key: bytes) -> Header:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    *_, prefix, _, size = LAYOUT.unpack(packed)
    bound = hashlib.sha256(packed + name.encode()).digest()
    return Header(name, size, prefix, bound, AESGCM(key) if root.is_encrypted else None, root.name_key)


def _commitment(key: bytes) -> bytes:
    return hmac.digest(key, b"taut store 1 commitment", hashlib.sha256)


def _tag(header: Header, frame: int, piece: memoryview) -> bytes:
    hashed = blake3(header.nonce(frame) + header.bound, key=header.name_key)
    return hashed.update(piece).digest(TAG_BYTES)
