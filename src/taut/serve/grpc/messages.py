"""The messages of the Open Inference Protocol over gRPC, and of gRPC's own health service, made from tables.

The numbers are the protocol's; a field stands as `TYPE NAME = NUMBER`, as its `.proto` file writes it. They live in a
pool of their own, so that a program may hold another library's messages of the same names.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE, HEALTH = "inference", "grpc.health.v1"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

NAMED = ("string name = 1", "string version = 2")
TENSOR = ("string name = 1", "string datatype = 2", "repeated int64 shape = 3")
VALUES = (*TENSOR, "map InferParameter parameters = 4", "InferTensorContents contents = 5")
ASKED = ("string model_name = 1", "string model_version = 2", "string id = 3", "map InferParameter parameters = 4")
MESSAGES: Mapping[str, Sequence[str]] = {
    "InferParameter": (
        "oneof bool bool_param = 1",
        "oneof int64 int64_param = 2",
        "oneof string string_param = 3",
        "oneof double double_param = 4",
        "oneof uint64 uint64_param = 5",
    ),
    "InferTensorContents": (
        "repeated bool bool_contents = 1",
        "repeated int32 int_contents = 2",
        "repeated int64 int64_contents = 3",
        "repeated uint32 uint_contents = 4",
        "repeated uint64 uint64_contents = 5",
        "repeated float fp32_contents = 6",
        "repeated double fp64_contents = 7",
        "repeated bytes bytes_contents = 8",
    ),
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("bool live = 1",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("bool ready = 1",),
    "ModelReadyRequest": NAMED,
    "ModelReadyResponse": ("bool ready = 1",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": (*NAMED, "repeated string extensions = 3"),
    "ModelMetadataRequest": NAMED,
    "ModelMetadataResponse.TensorMetadata": TENSOR,
    "ModelMetadataResponse": (
        "string name = 1",
        "repeated string versions = 2",
        "string platform = 3",
        "repeated ModelMetadataResponse.TensorMetadata inputs = 4",
        "repeated ModelMetadataResponse.TensorMetadata outputs = 5",
    ),
    "ModelInferRequest.InferInputTensor": VALUES,
    "ModelInferRequest.InferRequestedOutputTensor": ("string name = 1", "map InferParameter parameters = 2"),
    "ModelInferRequest": (
        *ASKED,
        "repeated ModelInferRequest.InferInputTensor inputs = 5",
        "repeated ModelInferRequest.InferRequestedOutputTensor outputs = 6",
        "repeated bytes raw_input_contents = 7",
    ),
    "ModelInferResponse.InferOutputTensor": VALUES,
    "ModelInferResponse": (
        *ASKED,
        "repeated ModelInferResponse.InferOutputTensor outputs = 5",
        "repeated bytes raw_output_contents = 6",
    ),
}
HEALTH_MESSAGES: Mapping[str, Sequence[str]] = {
    "HealthCheckRequest": ("string service = 1",),
    "HealthCheckResponse": ("int32 status = 1",),  # An enum; on the wire its number, which is all that is needed here.
}
SERVING, NOT_SERVING = 1, 2

_FIELD = descriptor_pb2.FieldDescriptorProto
SCALARS = frozenset(_FIELD.Type.keys())


def _made(package: str, messages: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Classes by the names of their messages."""
    file = descriptor_pb2.FileDescriptorProto(name=f"taut/{package}.proto", package=package, syntax="proto3")
    made: dict[str, Any] = {}
    for name in sorted(messages, key=lambda name: name.count(".")):  # What others are nested in comes first.
        outer, _, own = name.rpartition(".")
        made[name] = (made[outer].nested_type if outer else file.message_type).add(name=own)
    for name, fields in messages.items():
        for field in fields:
            _add(made[name], field, package)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


def _add(message: Any, written: str, package: str) -> None:
    """One field of a message, of its table."""
    declared, _, number = written.partition(" = ")
    *label, kind, name = declared.split()
    field = message.field.add(name=name, number=int(number), label=_FIELD.LABEL_OPTIONAL)
    if label == ["repeated"]:
        field.label = _FIELD.LABEL_REPEATED
    elif label == ["oneof"]:
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    elif label == ["map"]:
        entry = message.nested_type.add(name="".join(word.title() for word in name.split("_")) + "Entry")
        entry.options.map_entry = True
        _add(entry, "string key = 1", package)
        _add(entry, f"{kind} value = 2", package)
        field.label, field.type = _FIELD.LABEL_REPEATED, _FIELD.TYPE_MESSAGE
        field.type_name = f".{package}.{_path(message.name)}.{entry.name}"
        return
    if f"TYPE_{kind.upper()}" in SCALARS:
        field.type = _FIELD.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{package}.{kind}"


def _path(own: str) -> str:
    """The full name of a message that has a map, from its own."""
    return next(name for name in MESSAGES if name.rpartition(".")[2] == own)


CLASSES = _made(PACKAGE, MESSAGES)
HEALTH_CLASSES = _made(HEALTH, HEALTH_MESSAGES)
