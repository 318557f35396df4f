"""Tensors as raw bytes: the binary extension of the Open Inference Protocol, and `raw_input_contents` of its gRPC form.

Numbers lie in the order of rows, little endian; a text lies behind its length of four bytes; a truth value is a byte.
"""

from struct import Struct
from struct import error as _Short
from typing import Any

from taut.errors import Invalid
from taut.models.inputs import Cell
from taut.serve.requests.tensors import Tensor, checked_count, shaped

DTYPES = {
    "BOOL": "u1", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
}  # fmt: skip
LENGTH = Struct("<I")


def column_of_raw(tensor: Tensor, raw: memoryview) -> list[Cell]:
    """The values of a tensor that came as bytes, one cell a row.

    Nothing is allocated by what the shape declares: the bytes are counted first. Raises Invalid with the name, what
    was expected and what was found.
    """
    count = checked_count(tensor)
    if tensor.datatype == "BYTES":
        return shaped(tensor, _texts(tensor, raw, count))
    import numpy as np

    dtype = np.dtype(DTYPES[tensor.datatype])
    if len(raw) != count * dtype.itemsize:
        raise Invalid(
            f"input {tensor.name!r:.80} has {len(raw)} bytes; shape {tensor.shape} of {tensor.datatype} takes "
            f"{count * dtype.itemsize}"
        )
    values = np.frombuffer(raw, dtype)
    if tensor.datatype == "BOOL":
        if (values > 1).any():
            row = int((values > 1).argmax()) * tensor.shape[0] // count
            raise Invalid(f"input {tensor.name!r:.80}, row {row}: expected BOOL, found a byte that is neither 0 nor 1")
        values = values.astype(bool)
    return shaped(tensor, values.tolist())


def raw_of(name: str, datatype: str, values: list[Any]) -> bytes:
    """An output as bytes. A missing number is NaN. Raises Invalid where another value is missing."""
    if datatype != "FP64" and None in values:
        raise Invalid(f"output {name!r} has a missing {datatype}, which raw bytes cannot say; ask for it as JSON")
    if datatype == "BYTES":
        texts = [str(value).encode() for value in values]
        return b"".join(part for text in texts for part in (LENGTH.pack(len(text)), text))
    import numpy as np

    return np.array(values, dtype=DTYPES[datatype]).tobytes()


def _texts(tensor: Tensor, raw: memoryview, count: int) -> list[Cell]:
    """Texts behind their lengths, one after the other: each says where the next begins."""
    texts: list[Cell] = []
    start, size = 0, len(raw)
    read = LENGTH.unpack_from
    try:
        while start < size:
            if len(texts) == count:
                raise Invalid(f"input {tensor.name!r:.80} has more than {count} values, for shape {tensor.shape}")
            (length,) = read(raw, start)
            start += 4 + length
            if start > size:
                raise Invalid(f"input {tensor.name!r:.80}: value {len(texts)} has {length} bytes, past the end")
            texts.append(str(raw[start - length : start], "utf-8"))
    except UnicodeDecodeError:
        row = len(texts) * tensor.shape[0] // count
        raise Invalid(f"input {tensor.name!r:.80}, row {row}: the bytes are not UTF-8") from None
    except _Short:
        raise Invalid(f"input {tensor.name!r:.80} ends in the middle of a length") from None
    if len(texts) != count:
        raise Invalid(f"input {tensor.name!r:.80} has {len(texts)} values for shape {tensor.shape}")
    return texts
