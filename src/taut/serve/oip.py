"""Open Inference Protocol v2 over REST: one named tensor a column, and back.

Written after the protocol's "Inference" section. A column is a tensor of shape [ROWS] or [ROWS, 1]; `id` is the
idempotency key of the request, `parameters.event_time` when what it speaks of happened. Binary data is not taken.
"""

import sys
from typing import Any

import msgspec

from taut.errors import Invalid
from taut.ground import wire
from taut.models.signature import Signature
from taut.records import Prediction
from taut.serve.log import Columns
from taut.serve.requests import Request, Scalar, checked_id, event_time

DATATYPES = {
    "double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "boolean": "BOOL", "string": "BYTES",
    "datetime": "BYTES",
}  # fmt: skip
FLOAT_MAX = int(sys.float_info.max)  # JSON writes integers of any size; past this they are no float.
FLOATS = frozenset({"FP16", "FP32", "FP64"})
INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})


class Tensor(msgspec.Struct):
    """One column: `data` holds a value a row, flat or each in a list of its own."""

    name: str
    shape: list[int]
    datatype: str
    data: list[str | float | int | bool | list[str | float | int | bool | None] | None]
    parameters: dict[str, Any] = {}


class Wanted(msgspec.Struct):
    """An output that the caller asks for."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    """The body of an inference request; what the protocol does not know is left alone."""

    inputs: list[Tensor]
    id: str = ""
    outputs: list[Wanted] = []
    parameters: dict[str, Any] = {}


def read_infer(body: bytes) -> Request:
    """Parse an inference request. Raises Invalid with the tensor and what is wrong with it."""
    asked = wire.decode(body, InferRequest, what="the request")
    columns: Columns = {}
    for tensor in asked.inputs:
        if tensor.name in columns:
            raise Invalid(f"input {tensor.name!r} is given twice")
        columns[tensor.name] = _column(tensor)
    return Request(
        columns=columns,
        id=checked_id(asked.id),
        event_ms=event_time(asked.parameters.get("event_time")),
        outputs=tuple(wanted.name for wanted in asked.outputs),
    )


def infer_body(answered: Prediction, wanted: tuple[str, ...] = ()) -> bytes:
    """An inference answer. Its `id` names the request, row `i` of it is the prediction `ID.i`.

    Raises Invalid where an output was asked for that the model does not give.
    """
    for name in wanted:
        if name not in answered.outputs:
            raise Invalid(f"the model gives no output {name!r}; it gives {', '.join(answered.outputs)}")
    names = wanted or tuple(answered.outputs)
    body = {
        "model_name": answered.deployment,
        "model_version": str(answered.number),
        "id": answered.id,
        "parameters": {"model": answered.model, "revision": answered.revision},
        "outputs": [_tensor(name, answered.outputs[name]) for name in names],
    }
    return msgspec.json.encode(body)


def request_body(columns: Columns, request_id: str, moment: str) -> bytes:
    """An inference request for columns; used by our own client."""
    body: dict[str, Any] = {"inputs": [_tensor(name, values) for name, values in columns.items()]}
    if request_id:
        body["id"] = request_id
    if moment:
        body["parameters"] = {"event_time": moment}
    return msgspec.json.encode(body)


def metadata_body(name: str, number: int, model: str, revision: int, signature: Signature) -> bytes:
    """What a model takes, and which version under which revision answers; outputs are named by the answers alone."""
    body = {
        "name": name,
        "versions": [str(number)],
        "platform": "taut_mlflow",
        "inputs": [
            {"name": column.name, "datatype": DATATYPES[column.kind], "shape": [-1]} for column in signature.inputs
        ],
        "outputs": [],
        "parameters": {"model": model, "revision": revision},
    }
    return msgspec.json.encode(body)


def _column(tensor: Tensor) -> list[Scalar]:
    rows = tensor.shape[0] if tensor.shape else 0
    if tensor.shape not in ([rows], [rows, 1]) or rows < 1:
        raise Invalid(f"input {tensor.name!r} has shape {tensor.shape}; a column has [ROWS] or [ROWS, 1]")
    if len(tensor.data) != rows:
        raise Invalid(f"input {tensor.name!r} has {len(tensor.data)} values for shape {tensor.shape}")
    return [_value(tensor, row, value) for row, value in enumerate(tensor.data)]


def _value(tensor: Tensor, row: int, value: Scalar | list[Scalar]) -> Scalar:
    if isinstance(value, list):
        if len(value) != 1:
            raise Invalid(f"input {tensor.name!r}, row {row}: expected one value, found {len(value)}")
        value = value[0]
    kind = tensor.datatype
    if value is None or (kind == "BYTES" and isinstance(value, str)) or (kind == "BOOL" and isinstance(value, bool)):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind in FLOATS and (isinstance(value, float) or abs(value) <= FLOAT_MAX):
            return float(value)
        if kind in INTEGERS and isinstance(value, int):
            return value
    if kind not in FLOATS | INTEGERS | {"BYTES", "BOOL"}:
        raise Invalid(f"input {tensor.name!r} has the datatype {kind!r}, which the protocol does not know")
    raise Invalid(f"input {tensor.name!r}, row {row}: expected {kind}, found {value!r:.80}")


def _tensor(name: str, values: list[Scalar]) -> dict[str, object]:
    return {"name": name, "shape": [len(values)], "datatype": _datatype(values), "data": values}


def _datatype(values: list[Scalar]) -> str:
    """The narrowest datatype that holds a column; missing values fit each."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"
