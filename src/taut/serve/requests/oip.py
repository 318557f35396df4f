"""Open Inference Protocol v2 over REST: one named tensor a column, and back.

Written after the protocol's "Inference Request" and "Inference Response", with the extension for binary tensors. A
tensor has the rows as its first dimension; `id` is the idempotency key of the request, `parameters.event_time` when
what it speaks of happened.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from taut.errors import Invalid
from taut.models.signature import Signature
from taut.records import Prediction
from taut.serve.requests.arrow import arrow_answer, read_arrow, wants_arrow
from taut.serve.requests.asked import (
    ARROW,
    Body,
    Columns,
    Request,
    checked_id,
    decoded,
    event_time,
    event_time_of_header,
    must_have_few,
)
from taut.serve.requests.binary import column_of_raw, raw_of
from taut.serve.requests.rows import columns_of_lists, first_twice
from taut.serve.requests.tensors import LISTS, Tensor, column_of, tensor_of

HEADER_LENGTH = b"inference-header-content-length"
HEADER_DIGITS_MAX = 15


class Wanted(msgspec.Struct):
    """An output that the caller asks for."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    """The body of an inference request; what the protocol does not know is left alone."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Wanted] | None = None
    parameters: dict[str, Any] | None = None


def _plain_request() -> Any:
    """The same, for tensors of one value a row, with the datatypes checked by the parser itself."""
    tensors: Any = None
    for datatype, values in LISTS.items():
        fields: list[Any] = [
            ("name", str),
            ("shape", list[int]),
            ("data", values),
            ("parameters", dict[str, Any] | None, None),
        ]
        kind = msgspec.defstruct(datatype, fields, tag_field="datatype", tag=datatype, gc=False)
        tensors = kind if tensors is None else tensors | kind
    others = [
        ("id", str | None, None),
        ("outputs", list[Wanted] | None, None),
        ("parameters", dict[str, Any] | None, None),
    ]
    return msgspec.defstruct("PlainRequest", [("inputs", list[tensors]), *others])


_any_decoder = msgspec.json.Decoder(InferRequest)
_plain_decoder = msgspec.json.Decoder(_plain_request())
_encoder = msgspec.json.Encoder()


def read_infer(
    body: bytes, *, header_length: str = "", accept: str = "", signature: Signature | None = None
) -> Request:
    """Parse an inference request. Raises Invalid with the tensor, the row, what was expected and what was found.

    `header_length` is the header Inference-Header-Content-Length: so many bytes of the body are JSON, raw tensors
    follow; `accept` is the header Accept. With a signature, one tensor of two dimensions is spread over the columns
    of a model that takes an array.
    """
    if not header_length:
        must_have_few(body)
        try:
            asked = _plain_decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # Read again below, by a reader that takes more forms and says where it fails.
        else:
            columns = _plain_columns(asked.inputs)
            if columns is not None:
                return _request(asked, columns, signature, accept)
    asked, raw = _parted(body, header_length)
    columns = _columns(asked.inputs, raw)
    return _request(asked, columns, signature, accept)


def is_table(content_type: str) -> bool:
    """Whether a body is an Arrow stream, by its header Content-Type."""
    return content_type.partition(";")[0].strip().lower() == ARROW


def read_infer_table(body: bytes, *, request_id: str = "", moment: str = "", accept: str = "") -> Request:
    """The same from an Arrow stream, whose id and event time stand in the headers X-Request-Id and X-Event-Time."""
    columns = read_arrow(body, ARROW)
    return Request(columns, checked_id(request_id), event_time_of_header(moment), arrow=wants_arrow(accept))


def infer_body(answered: Prediction, wanted: Sequence[str] = ()) -> bytes:
    """An inference answer. Its `id` names the request, row `i` of it is the prediction `ID.i`.

    Raises Invalid where an output was asked for that the model does not give.
    """
    return _encoder.encode(
        _answer(answered, [_tensor(name, values) for name, values in wanted_outputs(answered, wanted)])
    )


def infer_answer(answered: Prediction, request: Request) -> Body:
    """An inference answer as it was asked for: JSON, with some tensors as raw bytes behind it, or an Arrow stream.

    Raises as `infer_body`.
    """
    if request.arrow:
        return arrow_answer(answered, dict(wanted_outputs(answered, request.outputs)))
    if not request.binary and not request.otherwise:
        return Body(infer_body(answered, request.outputs))
    tensors, parts = [], []
    for name, values in wanted_outputs(answered, request.outputs):
        tensor = _tensor(name, values)
        if (name in request.otherwise) != request.binary:
            parts.append(raw_of(name, tensor["datatype"], tensor.pop("data")))
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        tensors.append(tensor)
    head = _encoder.encode(_answer(answered, tensors))
    length = (HEADER_LENGTH, str(len(head)).encode())
    return Body(b"".join([head, *parts]), b"application/octet-stream", (length,))


def request_body(columns: Columns, request_id: str, moment: str) -> bytes:
    """An inference request for columns; used by our own client."""
    body: dict[str, Any] = {"inputs": [_tensor(name, values) for name, values in columns.items()]}
    if request_id:
        body["id"] = request_id
    if moment:
        body["parameters"] = {"event_time": moment}
    return _encoder.encode(body)


def wanted_outputs(answered: Prediction, wanted: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """The outputs that were asked for, all where none was named. Raises Invalid for one that there is not."""
    if not wanted:
        return list(answered.outputs.items())
    for name in wanted:
        if name not in answered.outputs:
            raise Invalid(f"the model gives no output {name!r:.80}; it gives {', '.join(answered.outputs)}")
    return [(name, answered.outputs[name]) for name in wanted]


def spread(columns: Columns, signature: Signature) -> Columns:
    """One tensor [rows, columns] as the columns of a model that was trained on an array; all else as it is."""
    if len(columns) != 1 or not signature.is_array:
        return columns
    rows: list[Any] = next(iter(columns.values()))
    if set(map(type, rows)) != {list} or set(map(len, rows)) != {len(signature.inputs)}:
        return columns
    return columns_of_lists(signature.names, rows)


def _plain_columns(tensors: Sequence[Any]) -> Columns | None:
    """Columns of tensors of shape [rows]; None for another shape, a name that comes twice, or no rows."""
    columns: Columns = {}
    data: list[Any] = []
    for tensor in tensors:
        if tensor.shape != [len(data := tensor.data)]:
            return None
        columns[tensor.name] = data
    return columns if data and len(columns) == len(tensors) else None


def _parted(body: bytes, header_length: str) -> tuple[InferRequest, memoryview | None]:
    """The JSON of a request, and the bytes behind it where the header says that there may be some."""
    if not header_length:
        return decoded(_any_decoder, body), None
    is_number = header_length.isdecimal() and len(header_length) <= HEADER_DIGITS_MAX
    if not is_number or int(header_length) > len(body):
        raise Invalid(f"Inference-Header-Content-Length is {header_length!r:.40}; the body has {len(body)} bytes")
    size = int(header_length)
    must_have_few(body[:size])
    return decoded(_any_decoder, body[:size]), memoryview(body)[size:]


def _columns(tensors: Sequence[Tensor], raw: memoryview | None) -> Columns:
    columns: Columns = {}
    start = 0
    for tensor in tensors:
        size = _raw_size(tensor)
        if size is None:
            columns[tensor.name] = column_of(tensor)
            continue
        if raw is None:
            raise Invalid(f"input {tensor.name!r:.80} is binary, without Inference-Header-Content-Length")
        if start + size > len(raw):
            left = len(raw) - start
            raise Invalid(f"input {tensor.name!r:.80} is said to have {size} bytes; {left} are left in the body")
        columns[tensor.name] = column_of_raw(tensor, raw[start : start + size])
        start += size
    if len(columns) != len(tensors):
        raise Invalid(f"input {first_twice(tensor.name for tensor in tensors)!r:.80} is given twice")
    if raw is not None and start != len(raw):
        raise Invalid(f"{len(raw) - start} bytes follow the last tensor")
    return columns


def _raw_size(tensor: Tensor) -> int | None:
    size = (tensor.parameters or {}).get("binary_data_size")
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise Invalid(f"input {tensor.name!r:.80}: binary_data_size is {size!r:.80}; it is a number of bytes")
    if tensor.data is not msgspec.UNSET:
        raise Invalid(f"input {tensor.name!r:.80} has both `data` and binary_data_size")
    return size


def _request(asked: Any, columns: Columns, signature: Signature | None, accept: str) -> Request:
    """The request, from either reader; most have nothing but inputs."""
    arrow = wants_arrow(accept)
    if signature is not None and len(columns) == 1:
        columns = spread(columns, signature)
    if asked.outputs is None and asked.parameters is None:
        return Request(columns, checked_id(asked.id) if asked.id else "", arrow=arrow)
    parameters, outputs = asked.parameters or {}, asked.outputs or ()
    binary = parameters.get("binary_data_output") is True
    return Request(
        columns,
        checked_id(asked.id or ""),
        event_time(parameters.get("event_time")),
        tuple(one.name for one in outputs),
        arrow=arrow,
        binary=binary,
        otherwise=frozenset(
            one.name for one in outputs if (one.parameters or {}).get("binary_data", binary) not in (binary, None)
        ),
    )


def _answer(answered: Prediction, tensors: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "model_name": answered.deployment,
        "model_version": str(answered.number),
        "id": answered.id,
        "parameters": {"model": answered.model, "revision": answered.revision},
        "outputs": tensors,
    }


def _tensor(name: str, values: list[Any]) -> dict[str, Any]:
    datatype, shape, flat = tensor_of(values)
    return {"name": name, "shape": shape, "datatype": datatype, "data": flat}
