"""What goes between a server and its model processes: columns down to the last bit, in frames of a known length.

MessagePack, never pickle: a model is foreign code, so what comes from its process is data that may be wrong.
"""

import struct
from collections.abc import Mapping
from math import prod
from typing import Any, TypeVar

import msgspec

from taut.errors import Invalid

T = TypeVar("T")

FRAME_MAX = 1 << 28
"""Bytes of one frame; a request has 16 MiB at most by default, so only a defect makes one larger."""

ARRAY, OBJECTS, SCALAR, WHOLE = 1, 2, 3, 4
PLAIN_KINDS = "biufcmMSU"  # Of numpy's dtypes: those whose bytes are all that there is to them.

_HEAD = struct.Struct("<I")


class BadFrame(Exception):
    """The other side sent what no frame is; it is not asked again."""


class Call(msgspec.Struct, array_like=True):
    """Rows of one or more requests, so many rows each, one request after the other.

    So many of the last requests as `compare` says are asked alone too, and what one call for all says held against it.
    """

    columns: dict[str, Any]
    counts: list[int]
    params: dict[str, Any]
    compare: int = 0


class Answered(msgspec.Struct, array_like=True, tag=0):
    """The outputs of so many requests that follow each other, joined."""

    columns: dict[str, Any]
    requests: int = 1


class Failed(msgspec.Struct, array_like=True, tag=1):
    """What one request got instead: an error of ours by its kind, or with an empty kind a failure of the model.

    `detail` is for the log of the server.
    """

    kind: str
    message: str = ""
    hint: str = ""
    detail: str = ""


class Reply(msgspec.Struct, array_like=True):
    """The parts of an answer in the order of the requests; `same` says what a comparison found, None where none was."""

    parts: list[Answered | Failed]
    same: bool | None = None


class Up(msgspec.Struct, array_like=True, tag=0):
    """A model is loaded, or a model process takes calls.

    `threads` that loading it left forbid to fork it; `warm_s` is how long a made-up row took, 0 where none was asked.
    """

    signature: str = ""
    threads: list[str] = []
    warm_s: float = 0.0


class Load(msgspec.Struct, array_like=True, tag=0):
    """What a zygote loads: at once where it is `early`, else each process that it forks does."""

    folder: str
    digest: str
    trusted: list[str]
    early: bool
    memory_bytes: int


class Fork(msgspec.Struct, array_like=True, tag=1):
    """Fork a model process of this number; its socket comes along. `warm` lets it answer a made-up row first."""

    number: int
    warm: bool


class Kill(msgspec.Struct, array_like=True, tag=2):
    """End the process of this number, and what it started."""

    number: int


class Ended(msgspec.Struct, array_like=True, tag=2):
    """The process of this number is gone: its exit status, negative for the signal that ended it."""

    number: int
    status: int


class Frames:
    """Bytes as they arrive, cut into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now. Raises BadFrame for one that is larger than any may be."""
        self._rest += data
        found, start = [], 0
        while len(self._rest) - start >= _HEAD.size:
            (size,) = _HEAD.unpack_from(self._rest, start)
            if size > FRAME_MAX:
                raise BadFrame(f"a frame of {size} bytes; {FRAME_MAX} is the most")
            end = start + _HEAD.size + size
            if len(self._rest) < end:
                break
            found.append(bytes(memoryview(self._rest)[start + _HEAD.size : end]))
            start = end
        del self._rest[:start]
        return found


def seal(message: msgspec.Struct) -> bytes:
    """A message as bytes. Raises TypeError for a value that is neither plain nor an array of such."""
    try:
        return _encoder.encode(message)
    except OverflowError:
        return _encoder.encode(_told_apart(message))


def pack(message: msgspec.Struct) -> bytes:
    """A message as a frame. Raises Invalid for what is too large to be sent, TypeError as `seal`."""
    return framed(seal(message))


def pack_reply(sealed: list[bytes], *, same: bool | None) -> bytes:
    """A reply of parts that were sealed one by one, as a frame. Raises Invalid for what is too large to be sent."""
    return framed(_plain.encode(([msgspec.Raw(part) for part in sealed], same)))


def framed(body: bytes) -> bytes:
    """Bytes as a frame. Raises Invalid for what is too large to be sent."""
    if len(body) > FRAME_MAX:
        raise Invalid(f"the columns have {len(body)} bytes; {FRAME_MAX} are the most")
    return _HEAD.pack(len(body)) + body


def unpack(frame: bytes, reader: "msgspec.msgpack.Decoder[T]") -> T:
    """What a frame says, by one of the readers below. Raises BadFrame."""
    try:
        return reader.decode(frame)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as problem:
        raise BadFrame(f"a frame that cannot be read: {str(problem)[:300]}") from None


def _array(value: Any) -> msgspec.msgpack.Ext:
    """A numpy array or scalar with its dtype and shape. Raises TypeError for anything else that is not plain."""
    import numpy as np

    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return msgspec.msgpack.Ext(OBJECTS, _flat(value.shape, value.ravel().tolist()))
        if value.dtype.kind in PLAIN_KINDS:
            return msgspec.msgpack.Ext(ARRAY, _typed(value))
        raise TypeError(f"an array of {value.dtype} cannot leave the model's process")
    if isinstance(value, np.generic) and value.dtype.kind in PLAIN_KINDS:
        return msgspec.msgpack.Ext(SCALAR, _typed(np.asarray(value)))
    raise TypeError(f"a value of type {type(value).__name__} cannot leave the model's process")


def _typed(array: Any) -> bytes:
    return _plain.encode((array.dtype.str, array.shape, array.tobytes()))


def _flat(shape: tuple[int, ...], values: list[Any]) -> bytes:
    try:
        return _encoder.encode((shape, values))
    except OverflowError:
        return _encoder.encode((shape, _told_apart(values)))


def _read(code: int, data: memoryview) -> Any:
    """An array, a scalar or a large integer. Raises ValueError for what is none."""
    import numpy as np

    if code == WHOLE:
        return int(bytes(data).decode(), 16)
    if code == OBJECTS:
        shape, values = _objects.decode(data)
        return np.fromiter(values, dtype=object, count=len(values)).reshape(shape)
    if code not in (ARRAY, SCALAR):
        raise ValueError(f"no value has the code {code}")
    name, shape, raw = _arrays.decode(data)
    dtype = np.dtype(name)
    if dtype.kind not in PLAIN_KINDS or prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"{len(raw)} bytes are no array of {name} and shape {shape}")
    # A copy, for whoever is given columns may change them.
    array = np.frombuffer(raw, dtype=dtype).reshape(shape).copy() if dtype.itemsize else np.empty(shape, dtype)
    return array if code == ARRAY else array[()]


def _told_apart(value: Any) -> Any:
    """The same with integers that MessagePack cannot hold as hexadecimal texts of a kind of their own."""
    if type(value) is int and not -(1 << 63) <= value < 1 << 64:
        return msgspec.msgpack.Ext(WHOLE, f"{value:x}".encode())
    if isinstance(value, Mapping):
        return {key: _told_apart(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_told_apart(one) for one in value]
    if isinstance(value, msgspec.Struct):
        return type(value)(**{name: _told_apart(one) for name, one in msgspec.structs.asdict(value).items()})
    return value


_plain = msgspec.msgpack.Encoder()
_encoder = msgspec.msgpack.Encoder(enc_hook=_array)
_arrays = msgspec.msgpack.Decoder(tuple[str, tuple[int, ...], bytes])
READ_CALL = msgspec.msgpack.Decoder(Call, ext_hook=_read)
READ_REPLY = msgspec.msgpack.Decoder(Reply, ext_hook=_read)
READ_ORDER: "msgspec.msgpack.Decoder[Load | Fork | Kill]" = msgspec.msgpack.Decoder(Load | Fork | Kill)
READ_NEWS: "msgspec.msgpack.Decoder[Up | Failed | Ended]" = msgspec.msgpack.Decoder(Up | Failed | Ended)
_objects = msgspec.msgpack.Decoder(tuple[tuple[int, ...], list[Any]], ext_hook=_read)
