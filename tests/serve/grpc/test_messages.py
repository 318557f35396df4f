"""The messages hold what the protocol numbers: compared on the wire with bytes written by hand, and with a client's."""

import importlib

import pytest

pytest.importorskip("google.protobuf", reason="protobuf is not installed")

from taut.serve.grpc.messages import CLASSES, MESSAGES


@pytest.mark.parametrize(
    ("name", "fields", "wire"),
    [
        ("ServerLiveResponse", {"live": True}, b"\x08\x01"),
        ("ModelReadyRequest", {"name": "a", "version": "1"}, b"\x0a\x01a\x12\x011"),
        ("InferParameter", {"int64_param": 0}, b"\x10\x00"),
        ("InferParameter", {"string_param": "x"}, b"\x1a\x01x"),
        ("InferTensorContents", {"fp64_contents": [1.0]}, b"\x3a\x08\0\0\0\0\0\0\xf0\x3f"),
        ("InferTensorContents", {"int_contents": [-1]}, b"\x12\x0a" + b"\xff" * 9 + b"\x01"),
        ("ModelInferRequest", {"raw_input_contents": [b"ab"]}, b"\x3a\x02ab"),
        ("ModelInferResponse", {"raw_output_contents": [b"ab"]}, b"\x32\x02ab"),
        ("ModelMetadataResponse", {"inputs": [{"name": "n", "shape": [3]}]}, b"\x22\x06\x0a\x01n\x1a\x01\x03"),
    ],
)  # fmt: skip
def test_a_message_is_these_bytes(name: str, fields: dict[str, object], wire: bytes):
    assert CLASSES[name](**fields).SerializeToString() == wire
    assert CLASSES[name].FromString(wire) == CLASSES[name](**fields)


def test_parameters_are_a_map_of_one_value_each():
    message = CLASSES["ModelInferRequest"]()
    message.parameters["k"].bool_param = True
    assert message.SerializeToString() == b"\x22\x07\x0a\x01k\x12\x02\x08\x01"
    message.parameters["k"].string_param = "x"
    assert message.parameters["k"].WhichOneof("parameter_choice") == "string_param"


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_each_message_has_the_fields_that_another_library_gives_it(name: str):
    theirs = pytest.importorskip(
        "tritonclient.grpc.service_pb2", reason="no other library of the protocol is installed"
    )
    for part in name.split("."):
        theirs = getattr(theirs, part)
    fields = [
        {(field.name, field.number, field.type) for field in kind.DESCRIPTOR.fields} for kind in (CLASSES[name], theirs)
    ]
    assert fields[0] == fields[1]
    assert importlib.import_module("taut.serve.grpc.messages").CLASSES[name] is CLASSES[name]
