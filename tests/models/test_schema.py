"""MLflow's schemas are read as its own client wrote them, and what a model version keeps of them reads back."""

import json

import numpy as np
import pytest
from mlflow.models import ModelSignature
from mlflow.types.schema import (
    Array,
    ColSpec,
    DataType,
    Map,
    Object,
    ParamSchema,
    ParamSpec,
    Property,
    Schema,
    TensorSpec,
)

from taut.errors import Invalid
from taut.models.schema import parse_mlflow_signature
from taut.models.signature import Signature, SignatureColumn, parse_signature, signature_text


def parsed(inputs: Schema, **more) -> Signature:
    """The signature as the MLmodel file has it, read; and as a version keeps it, read again."""
    signature = parse_mlflow_signature(ModelSignature(inputs=inputs, **more).to_dict())
    assert parse_signature(signature_text(signature)) == signature
    return signature


def test_every_type_of_column_is_read():
    names = ["boolean", "integer", "long", "float", "double", "string", "binary", "datetime"]
    signature = parsed(Schema([ColSpec(name, name, required=name != "long") for name in names]))
    assert [(column.name, column.kind) for column in signature.inputs] == [(name, name) for name in names]
    assert [column.name for column in signature.inputs if not column.required] == ["long"]
    assert signature.form == "frame" and signature.is_table and not signature.is_array


def test_nested_types_are_read_to_their_end():
    inner = Object([Property("tags", Array(DataType.string)), Property("size", DataType.long, required=False)])
    signature = parsed(Schema([ColSpec(Map(Array(inner)), "shelf")]))
    shelf = signature.inputs[0]
    assert shelf.kind == "map" and shelf.items is not None and shelf.items.items is not None
    fields = {field.name: field for field in shelf.items.items.fields}
    assert not fields["size"].required and fields["tags"].type.items is not None
    assert fields["tags"].type.items.kind == "string" and not signature.is_table


@pytest.mark.parametrize(
    ("shape", "form", "names", "row"),
    [
        ((-1, 3), "array", ("0", "1", "2"), ()),
        ((-1,), "tensor", ("input-0",), ()),
        ((-1, 28, 28), "tensor", ("input-0",), (28, 28)),
        ((-1, -1), "tensor", ("input-0",), (-1,)),
        ((-1, 5000), "tensor", ("input-0",), (5000,)),
    ],
)
def test_a_tensor_without_a_name_is_a_table_where_it_is_narrow_and_else_taken_whole(shape, form, names, row):
    signature = parsed(Schema([TensorSpec(np.dtype("float32"), shape)]))
    assert (signature.form, signature.names, signature.inputs[0].shape) == (form, names, row)
    assert signature.rows == -1 and signature.inputs[0].dtype == "float32"


def test_several_tensors_have_names_shapes_and_types():
    kinds = ["float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"]
    specs = [TensorSpec(np.dtype(kind), (2, 4), kind) for kind in kinds]
    signature = parsed(Schema(specs))
    assert signature.form == "tensors" and signature.rows == 2 and not signature.is_table
    assert [(column.name, column.dtype, column.shape) for column in signature.inputs] == [(k, k, (4,)) for k in kinds]


def test_outputs_and_params_are_read():
    outputs = Schema([ColSpec("double", "low"), ColSpec("double", "high")])
    params = ParamSchema([
        ParamSpec("depth", DataType.integer, 3), ParamSpec("words", DataType.string, ["a"], (-1,)),
        ParamSpec("box", Object([Property("w", DataType.double)]), {"w": 1.0}),
    ])  # fmt: skip
    signature = parsed(Schema([ColSpec("double", "a")]), outputs=outputs, params=params)
    assert [column.name for column in signature.outputs] == ["low", "high"]
    assert [(p.name, p.kind, p.default, p.is_list) for p in signature.params] == [
        ("depth", "integer", 3, False), ("words", "string", ["a"], True), ("box", "object", {"w": 1.0}, False),
    ]  # fmt: skip
    assert [field.name for field in signature.params[2].fields] == ["w"]


def test_outputs_that_nobody_can_read_do_not_keep_a_model_from_serving():
    signature = parse_mlflow_signature({"inputs": '[{"type": "double", "name": "a"}]', "outputs": '[{"type": "tape"}]'})
    assert signature.outputs == () and signature.names == ("a",)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("[]", "has no inputs"),
        ("{}", "cannot be read"),
        ('[{"type": "tape", "name": "a"}]', "'a' of the model is of type 'tape'"),
        ('[{"type": "double", "name": "a"}, {"type": "double", "name": "a"}]', "two inputs called 'a'"),
        ('[{"type": "array", "name": "a"}]', "does not say of what"),
        ('[{"type": "array", "name": "a", "items": {"type": "tape"}}]', "of type 'tape'"),
        ('[{"type": "array", "name": "a", "items": []}]', "cannot be read"),
        ('[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": []}}]', "a tensor of shape"),
        ('[{"type": "tensor", "tensor-spec": {"dtype": "complex64", "shape": [-1, 2]}}]', "tensor of complex64"),
        ('[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, -7]}}]', "a tensor of shape"),
        ('[{"type": "tensor", "tensor-spec": {"dtype": "bool", "shape": [1]}}, {"type":"double"}]', "of shape nothing"),
    ],
)  # fmt: skip
def test_what_is_no_schema_is_told(inputs: str, words: str):
    with pytest.raises(Invalid, match=words):
        parse_mlflow_signature({"inputs": inputs})


def test_types_within_types_end_somewhere():
    deep: dict = {"type": "string"}
    for _ in range(200):
        deep = {"type": "array", "items": deep}
    with pytest.raises(Invalid, match="does not read"):
        parse_mlflow_signature({"inputs": json.dumps([{**deep, "name": "a"}])})


def test_tensors_of_different_numbers_of_rows_are_refused():
    specs = [TensorSpec(np.dtype("bool"), (2, 4), "a"), TensorSpec(np.dtype("bool"), (-1, 4), "b")]
    with pytest.raises(Invalid, match=r"different numbers of rows: \[-1, 2\]"):
        parsed(Schema(specs))


def test_a_plain_table_is_kept_as_it_always_was():
    table = Signature((SignatureColumn("a", "double"), SignatureColumn("b", "string", False)))
    assert json.loads(signature_text(table)) == {
        "inputs": [
            {"name": "a", "kind": "double", "required": True}, {"name": "b", "kind": "string", "required": False}
        ],
        "is_array": False,
    }  # fmt: skip
    assert (
        parse_signature(signature_text(table)) == table and signature_text(None) == "" and parse_signature("") is None
    )


def test_a_hundred_thousand_columns_are_read_in_linear_time():
    inputs = json.dumps([{"type": "double", "name": f"c{n}"} for n in range(100_000)])
    assert len(parse_mlflow_signature({"inputs": inputs}).inputs) == 100_000
