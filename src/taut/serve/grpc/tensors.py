"""Inference requests and answers of gRPC as those of the house: contents by datatype, or raw bytes behind them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from taut.errors import Invalid
from taut.models.signature import Signature
from taut.records import Prediction
from taut.serve.grpc.messages import CLASSES
from taut.serve.requests import Columns, Request, checked_id, event_time
from taut.serve.requests.binary import column_of_raw, raw_of
from taut.serve.requests.oip import spread, wanted_outputs
from taut.serve.requests.rows import first_twice
from taut.serve.requests.tensors import Tensor, checked_count, column_of, tensor_of

FIELDS = {
    "BOOL": "bool_contents", "INT64": "int64_contents", "UINT64": "uint64_contents", "FP32": "fp32_contents",
    "FP64": "fp64_contents", "BYTES": "bytes_contents",
    **{f"INT{bits}": "int_contents" for bits in (8, 16, 32)},
    **{f"UINT{bits}": "uint_contents" for bits in (8, 16, 32)},
}  # fmt: skip


def read_message(message: Any, signature: Signature) -> Request:
    """A ModelInferRequest as a request. Raises Invalid as `read_infer` does."""
    raw: Sequence[bytes] = message.raw_input_contents
    tensors = [Tensor(one.name, list(one.shape), one.datatype) for one in message.inputs]
    if raw and len(raw) != len(tensors):
        raise Invalid(
            f"the request has {len(tensors)} inputs and {len(raw)} raw_input_contents; each has its own, or none"
        )
    columns: Columns = {}
    for place, (tensor, one) in enumerate(zip(tensors, message.inputs, strict=True)):
        if raw and one.HasField("contents"):
            raise Invalid(f"input {tensor.name!r:.80} has contents, and the request has raw_input_contents")
        columns[tensor.name] = column_of_raw(tensor, memoryview(raw[place])) if raw else _column(tensor, one.contents)
    if len(columns) != len(tensors):
        raise Invalid(f"input {first_twice(tensor.name for tensor in tensors)!r:.80} is given twice")
    parameters = plain(message.parameters)
    return Request(
        spread(columns, signature),
        checked_id(message.id),
        event_time(parameters.get("event_time")),
        tuple(one.name for one in message.outputs),
        binary=bool(raw),
    )


def answer_message(answered: Prediction, request: Request) -> Any:
    """An answer as a ModelInferResponse: raw where the request was. Raises Invalid for an output the model lacks."""
    message = CLASSES["ModelInferResponse"](
        model_name=answered.deployment, model_version=str(answered.number), id=answered.id
    )
    message.parameters["model"].string_param = answered.model
    message.parameters["revision"].int64_param = answered.revision
    for name, values in wanted_outputs(answered, request.outputs):
        datatype, shape, flat = tensor_of(values)
        output = message.outputs.add(name=name, datatype=datatype, shape=shape)
        if request.binary:
            message.raw_output_contents.append(raw_of(name, datatype, flat))
        else:
            getattr(output.contents, FIELDS[datatype]).extend(_told(name, datatype, flat))
    return message


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as plain values, None for one that holds nothing."""
    held = {name: value.WhichOneof("parameter_choice") for name, value in parameters.items()}
    return {name: getattr(parameters[name], choice) if choice else None for name, choice in held.items()}


def _column(tensor: Tensor, contents: Any) -> list[Any]:
    checked_count(tensor)
    if tensor.datatype not in FIELDS:
        raise Invalid(f"input {tensor.name!r:.80}: {tensor.datatype} travels in raw_input_contents alone")
    values = list(getattr(contents, FIELDS[tensor.datatype]))
    tensor.data = _texts(tensor, values) if tensor.datatype == "BYTES" else values
    return column_of(tensor)


def _texts(tensor: Tensor, values: Sequence[bytes]) -> list[str]:
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError:
        raise Invalid(f"input {tensor.name!r:.80}: a value is not UTF-8") from None


def _told(name: str, datatype: str, values: list[Any]) -> Iterable[Any]:
    """Values that a message holds: a missing number is NaN; another that is missing cannot be told."""
    if None in values:
        if datatype != "FP64":
            raise Invalid(f"output {name!r} has a missing {datatype}, which gRPC cannot say; ask over HTTP")
        return [float("nan") if value is None else value for value in values]
    return [str(value).encode() for value in values] if datatype == "BYTES" else values
