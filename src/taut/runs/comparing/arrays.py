"""Files of arrays: npy and safetensors."""

import ast
import json
import math
import struct

from taut.runs.comparing.leaves import Leaves, Numbers, Unreadable, below, of_plain
from taut.runs.comparing.pickles import pickle_leaves

NPY = b"\x93NUMPY"


def npy_leaves(data: bytes) -> Leaves:
    """The array of an npy file; one of Python objects is a pickle. Raises Unreadable."""
    try:
        wide = data[6] > 1
        length = struct.unpack_from("<I" if wide else "<H", data, 8)[0]
        start = (12 if wide else 10) + length
        header = ast.literal_eval(data[start - length : start].decode("latin-1").strip())
        dtype, shape = header["descr"], tuple(header["shape"])
    except (struct.error, IndexError, KeyError, ValueError, SyntaxError, TypeError) as problem:
        raise Unreadable(f"no npy file: {problem}") from None
    if isinstance(dtype, str) and "O" in dtype:
        return {"shape": str(shape), **below("", pickle_leaves(data[start:]))}
    order = {".order": "Fortran"} if header.get("fortran_order") else {}
    return {"": Numbers(str(dtype), shape, data[start:]), **order}


def safetensors_leaves(data: bytes) -> Leaves:
    """The tensors and the metadata of a safetensors file. Raises Unreadable."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        found: Leaves = {}
        for name, about in header.items():
            if name == "__metadata__":
                found.update(of_plain(about, ".metadata"))
                continue
            begin, end = about["data_offsets"]
            found[f"[{name}]"] = Numbers(
                str(about["dtype"]), tuple(about["shape"]), data[8 + length + begin : 8 + length + end]
            )
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Unreadable(f"no safetensors file: {problem}") from None
    return found


FORMATS = {
    "F64": "d", "F32": "f", "I64": "q", "I32": "i", "f8": "d", "f4": "f", "i8": "q", "i4": "i", "u8": "Q", "u4": "I",
}  # fmt: skip


def largest_difference(one: Numbers, other: Numbers) -> float | None:
    """The largest absolute difference of two arrays of one dtype and shape, None where they are no plain numbers.

    Infinite where one has a number and the other none.

    >>> largest_difference(Numbers("<f8", (1,), struct.pack("<d", 1.0)), Numbers("<f8", (1,), struct.pack("<d", 1.5)))
    0.5
    """
    form = FORMATS.get(one.dtype.lstrip("<=|"))
    if form is None or (one.dtype, one.shape) != (other.dtype, other.shape):
        return None
    size = struct.calcsize(f"<{form}")
    if len(one.data) != len(other.data) or len(one.data) < math.prod(one.shape) * size:
        return None
    if one.data == other.data:
        return 0.0
    largest = 0.0
    for (first,), (second,) in zip(
        struct.iter_unpack(f"<{form}", one.data), struct.iter_unpack(f"<{form}", other.data), strict=True
    ):
        if first != second and not (math.isnan(first) and math.isnan(second)):
            gap = abs(first - second)
            largest = math.inf if math.isnan(gap) else max(largest, float(gap))
    return largest
