"""The ONNX flavour: a graph in ONNX Runtime, answered without pandas and without the library that made it."""

from typing import Any

from taut.models.flavours.saved import Loaded, Saved, loading
from taut.models.inputs import Table
from taut.models.values import objects

MODES = {"SEQUENTIAL": "ORT_SEQUENTIAL", "PARALLEL": "ORT_PARALLEL"}
WIDTHS = {"tensor(float)": "float32"}
THREADS = 1
"""Of a graph that says nothing of threads: a server has a process a core."""


def load(saved: Saved) -> Loaded:
    """A session over the graph's file, so that data beside it is found; all of them were verified."""
    path = saved.setting("data")
    place = saved.place(path)
    with loading(saved, path):
        import onnxruntime

        session = onnxruntime.InferenceSession(
            str(place), _options(saved, onnxruntime), providers=_providers(saved, onnxruntime)
        )
        errors = onnxruntime.capi.onnxruntime_pybind11_state
    refusals = (ValueError, TypeError, errors.InvalidArgument, errors.Fail, errors.RuntimeException)
    return Loaded(
        session, lambda data, _: _ask(session, data), refusals, frames=False, in_process=True,
        no_graph="it is a graph already, which ONNX Runtime answers by as it is",
    )  # fmt: skip


def _ask(session: Any, data: Any) -> Any:
    """Outputs by name. Columns go to the inputs of their names, or all of them to the only one there is."""
    import numpy as np

    if hasattr(data, "iloc"):
        data = Table({str(name): data[name].to_numpy() for name in data.columns})
    inputs = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    if not isinstance(data, dict):
        if len(inputs) != 1:
            raise ValueError(f"the graph takes {len(inputs)} inputs, {', '.join(one.name for one in inputs)}")
        data = {inputs[0].name: data}
    elif isinstance(data, Table):
        if len(inputs) == 1:
            data = {inputs[0].name: np.column_stack(list(data.values()))}
        else:
            data = {one.name: _shaped(one, data[one.name]) for one in inputs if one.name in data}
    feeds = {name: _narrowed(inputs, name, values) for name, values in data.items()}
    answered = dict(zip(names, session.run(names, feeds), strict=True))
    return {name: _of_maps(values) for name, values in answered.items()}


def _shaped(wanted: Any, column: Any) -> Any:
    """A column as the graph's input has it: a value a row, or rows of one value."""
    return column.reshape(-1, 1) if len(wanted.shape or ()) == 2 else column


def _narrowed(inputs: Any, name: str, values: Any) -> Any:
    """Doubles rounded for an input of floats, as MLflow rounds them: a request in JSON knows no floats."""
    kind = next((one.type for one in inputs if one.name == name), "")
    return values.astype(WIDTHS[kind]) if kind in WIDTHS and values.dtype == "float64" else values


def _of_maps(values: Any) -> Any:
    """Shares by class, which converters of classifiers write as a list of maps, stay as they are: a map a row."""
    return objects(values) if isinstance(values, list) else values


def _options(saved: Saved, onnxruntime: Any) -> Any:
    """The session's options as they were saved with the model."""
    said = saved.model.flavours[saved.name].get("onnx_session_options") or {}
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = int(said.get("inter_op_num_threads") or THREADS)
    options.intra_op_num_threads = int(said.get("intra_op_num_threads") or THREADS)
    options.log_severity_level = 3
    if mode := str(said.get("execution_mode") or "").upper():
        options.execution_mode = getattr(onnxruntime.ExecutionMode, MODES[mode])
    if said.get("graph_optimization_level"):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel(said["graph_optimization_level"])
    for key, value in (said.get("extra_session_config") or {}).items():
        options.add_session_config_entry(str(key), str(value))
    return options


def _providers(saved: Saved, onnxruntime: Any) -> list[Any]:
    """Of the providers that were saved with the model those that are here, else the processor."""
    said = saved.model.flavours[saved.name].get("providers") or []
    here = set(onnxruntime.get_available_providers())
    each = [tuple(one) if isinstance(one, list) else one for one in ([said] if isinstance(said, str) else said)]
    usable = [one for one in each if (one[0] if isinstance(one, tuple) and one else one) in here]
    return usable or ["CPUExecutionProvider"]
