"""Graphs of the ONNX flavour answer by ONNX Runtime as MLflow has them answer, without pandas."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from onnx import TensorProto, helper, numpy_helper

from taut.errors import Invalid
from taut.models.tree import digest_of, tree_of_folder
from tests.models.flavours.peer import REQUIREMENTS, as_columns, loaded, mlflow_says, same


def tensor(name: str, kind: int, *shape: Any) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]) -> Any:
    held = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "made", inputs, outputs, held),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.checker.check_model(made)
    return made


def linear(width: int, outputs: int, kind: int = TensorProto.FLOAT) -> Any:
    """Rows times a matrix, and the place of the largest number."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    weights = np.random.default_rng(3).normal(size=(width, outputs)).astype(dtype)
    nodes = [helper.make_node("MatMul", ["rows", "weights"], ["scores"]),
             helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0)]  # fmt: skip
    answers = [tensor("best", TensorProto.INT64, None), tensor("scores", kind, None, outputs)]
    return graph(nodes, [tensor("rows", kind, None, width)], answers, {"weights": weights})


def saved(model: Any, signature: Any, folder: Path, **options: Any) -> Path:
    import mlflow.onnx

    mlflow.onnx.save_model(model, str(folder), signature=signature, pip_requirements=REQUIREMENTS, **options)
    return folder


def test_columns_go_to_a_single_input_rounded_to_its_floats(inputs: pd.DataFrame, tmp_path: Path):
    wanted = inputs[["delay", "hour"]].astype("float64")
    nodes = [helper.make_node("MatMul", ["rows", "weights"], ["score"])]
    model = graph(nodes, [tensor("rows", TensorProto.FLOAT, None, 2)], [tensor("score", TensorProto.FLOAT, None, 1)],
                  {"weights": np.array([[0.3], [1.7]], dtype=np.float32)})  # fmt: skip
    folder = saved(model, infer_signature(wanted), tmp_path / "model")
    answer = loaded(folder).arrays(as_columns(wanted))
    theirs = mlflow_says(folder, wanted)
    assert set(answer) == set(theirs.columns) == {"score"}
    assert same(answer["score"].ravel(), theirs["score"].to_numpy())


def test_a_tensor_goes_in_whole_and_outputs_have_the_graphs_names(tmp_path: Path):
    signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 5))]))
    folder = saved(linear(5, 3), signature, tmp_path / "model")
    predictor = loaded(folder)
    rows = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    theirs = mlflow_says(folder, rows)
    for given in ({"input-0": rows}, {"input-0": rows.tolist()}, {str(n): rows[:, n].tolist() for n in range(5)}):
        answer = predictor.arrays(given)
        assert set(answer) == set(theirs) == {"best", "scores"}
        assert all(same(answer[name], theirs[name]) for name in theirs)
    said = predictor.predict({"input-0": rows})
    assert said["scores"] == theirs["scores"].tolist() and said["best"] == theirs["best"].tolist()


def test_several_tensors_of_any_shape_go_to_the_inputs_of_their_names(tmp_path: Path):
    nodes = [helper.make_node("ReduceSum", ["image", "axes"], ["light"], keepdims=0),
             helper.make_node("Mul", ["light", "gain"], ["bright"])]  # fmt: skip
    model = graph(
        nodes, [tensor("image", TensorProto.FLOAT, None, 4, 3), tensor("gain", TensorProto.FLOAT, None)],
        [tensor("bright", TensorProto.FLOAT, None)], {"axes": np.array([1, 2])},
    )  # fmt: skip
    single = np.dtype("float32")
    signature = ModelSignature(
        inputs=Schema([TensorSpec(single, (-1, 4, 3), "image"), TensorSpec(single, (-1,), "gain")])
    )
    folder = saved(model, signature, tmp_path / "model")
    chance = np.random.default_rng(2)
    given = {"image": chance.normal(size=(6, 4, 3)).astype(single), "gain": chance.normal(size=6).astype(single)}
    predictor = loaded(folder)
    theirs = mlflow_says(folder, dict(given))["bright"]
    assert same(predictor.arrays(given)["bright"], theirs)
    assert same(predictor.arrays({name: values.tolist() for name, values in given.items()})["bright"], theirs)
    with pytest.raises(Invalid, match=r"'image' takes the shape \[4, 3\]; row 1 is ragged"):
        predictor.predict({"image": [[[1.0] * 3] * 4, [[1.0] * 3] * 3 + [[1.0] * 2]], "gain": [1.0, 1.0]})


def test_columns_go_one_by_one_to_several_inputs(tmp_path: Path):
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"])]
    model = graph(nodes, [tensor("a", TensorProto.DOUBLE, None), tensor("b", TensorProto.DOUBLE, None)],
                  [tensor("sum", TensorProto.DOUBLE, None)], {})  # fmt: skip
    signature = ModelSignature(inputs=Schema([ColSpec("double", "b"), ColSpec("double", "a")]))
    folder = saved(model, signature, tmp_path / "model")
    frame = pd.DataFrame({"b": [1.5, 2.5], "a": [0.25, 1e9]})
    answer = loaded(folder).arrays(as_columns(frame))
    assert same(answer["sum"], mlflow_says(folder, frame)["sum"].to_numpy())


def test_weights_in_a_file_beside_the_graph_are_found_and_are_part_of_the_digest(tmp_path: Path):
    from taut.errors import Corrupt
    from taut.models import load_model

    signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 300))]))
    folder = saved(linear(300, 40), signature, tmp_path / "model", save_as_external_data=True)
    digest = digest_of(tree_of_folder(folder))
    beside = [
        path for path in folder.iterdir() if path.name not in ("MLmodel", "model.onnx") and path.stat().st_size > 40_000
    ]
    assert len(beside) == 1, "the weights must stand beside, or the test says nothing"
    rows = np.random.default_rng(4).normal(size=(3, 300)).astype(np.float32)
    assert same(loaded(folder).arrays({"input-0": rows})["scores"], mlflow_says(folder, rows)["scores"])
    data = bytearray(beside[0].read_bytes())
    data[100] ^= 1
    beside[0].write_bytes(data)
    with pytest.raises(Corrupt):
        load_model(folder, digest)


def test_texts_and_maps_of_shares_pass_through(tmp_path: Path):
    nodes = [
        helper.make_node("LabelEncoder", ["word"], ["code"], domain="ai.onnx.ml", keys_strings=["a", "b"],
                         values_floats=[1.0, 2.0], default_float=0.0),
        helper.make_node("Unsqueeze", ["code", "axis"], ["column"]),
        helper.make_node("Concat", ["column", "column"], ["both"], axis=1),
        helper.make_node("ZipMap", ["both"], ["shares"], domain="ai.onnx.ml", classlabels_strings=["x", "y"]),
    ]  # fmt: skip
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    )
    held = helper.make_graph(
        nodes, "made", [tensor("word", TensorProto.STRING, None)],
        [helper.make_value_info("shares", maps)], [numpy_helper.from_array(np.array([1]), "axis")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("object"), (-1,), "word")]))
    folder = saved(helper.make_model(held, opset_imports=opsets, ir_version=9), signature, tmp_path / "model")
    answer = loaded(folder).predict({"word": ["a", "zz", "b"]})
    assert answer == {"shares": mlflow_says(folder, {"word": np.array(["a", "zz", "b"], dtype=object)})["shares"]}
    assert answer["shares"][2] == {"x": 2.0, "y": 2.0}


def test_what_the_graph_refuses_is_invalid(tmp_path: Path):
    signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, -1))]))
    folder = saved(linear(5, 3), signature, tmp_path / "model")
    with pytest.raises(Invalid, match="the model refused these rows"):
        loaded(folder).predict({"input-0": [[1.0, 2.0]]})


def test_options_of_the_session_and_providers_that_are_not_here_are_taken_as_mlflow_takes_them(tmp_path: Path):
    signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 5))]))
    options = {"intra_op_num_threads": 2, "inter_op_num_threads": 1, "execution_mode": "sequential",
               "graph_optimization_level": 1, "extra_session_config": {"session.disable_prepacking": "1"}}  # fmt: skip
    folder = saved(linear(5, 3), signature, tmp_path / "model", onnx_session_options=options,
                   onnx_execution_providers=["CUDAExecutionProvider", "CPUExecutionProvider"])  # fmt: skip
    session = loaded(folder).estimator
    assert session.get_providers() == ["CPUExecutionProvider"]
    said = session.get_session_options()
    assert (said.intra_op_num_threads, said.graph_optimization_level.value) == (2, 1)
    assert said.get_session_config_entry("session.disable_prepacking") == "1"


def test_neither_pandas_nor_mlflow_nor_scikit_learn_is_imported(tmp_path: Path):
    signature = ModelSignature(inputs=Schema([ColSpec("double", "a"), ColSpec("double", "b")]))
    folder = saved(linear(2, 3, TensorProto.DOUBLE), signature, tmp_path / "model")
    program = (
        "import sys; from pathlib import Path; from taut.models import load_model\n"
        f"p = load_model(Path({str(folder)!r}), {digest_of(tree_of_folder(folder))!r})\n"
        "assert p.in_process and len(p.predict({'a': [1.0], 'b': [2]})['scores'][0]) == 3\n"
        "print([name for name in ('pandas', 'mlflow', 'sklearn', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
