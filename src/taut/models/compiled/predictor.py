"""A compiled model that answers columns with columns, as `Predictor` does, without the libraries it was made with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from taut.errors import Corrupt, Invalid, UsageError
from taut.models.compiled.convert import Described
from taut.models.compiled.graph import ANSWER, INPUT, MISSING, REFUSED, UNKNOWN
from taut.models.inputs import Cell, checked_column, completed, must_be_even
from taut.models.signature import Signature, SignatureColumn, check_names

Columns = dict[str, list[Cell]]


@dataclass(frozen=True)
class CompiledPredictor:
    """A graph in memory: its signature, and `predict` from columns to columns."""

    signature: Signature
    session: Any
    described: Described

    @property
    def classes(self) -> tuple[Cell, ...]:
        """The classes that it gives probabilities of, in their order; empty for a model that gives none."""
        return tuple(self.described.classes)

    def predict(self, columns: Mapping[str, Sequence[Cell]]) -> Columns:
        """Score rows given by columns, all of one length; a missing value is None or NaN. As `Predictor.predict`."""
        return self.answered(self.matrix(columns))

    def matrix(self, columns: Mapping[str, Sequence[Cell]]) -> Any:
        """Rows as the graph takes them [rows, columns]: numbers, and texts by their codes. Raises Invalid."""
        import numpy as np

        columns = completed(self.signature, columns)
        check_names(self.signature, columns)
        must_be_even(self.signature, columns)
        rows = np.empty((len(columns[self.signature.inputs[0].name]), len(self.signature.inputs)))
        for place, column in enumerate(self.signature.inputs):
            rows[:, place] = self._coded(column, columns[column.name])
        return rows

    def answered(self, rows: Any) -> Columns:
        """The answer to rows of `matrix`. Raises Invalid for a row that the model itself refuses."""
        answer, *refused = self.session.run([ANSWER, REFUSED] if self.described.refusals else [ANSWER], {INPUT: rows})
        if refused and refused[0].any():
            reason = self.described.refusals[int(refused[0].any(axis=0).argmax())]
            raise Invalid(f"the model refused these rows: {reason}")
        if not self.described.classes:
            return {"prediction": answer[:, 0].tolist()}
        classes = self.described.classes
        said: Columns = {"prediction": [classes[place] for place in answer.argmax(axis=1).tolist()]}
        if len(classes) == 2:
            return said | {"probability": answer[:, 1].tolist()}
        return said | {f"probability_{name}": answer[:, place].tolist() for place, name in enumerate(classes)}

    def _coded(self, column: SignatureColumn, values: Sequence[Cell]) -> Any:
        checked = checked_column(column, values)
        if column.kind == "boolean":
            return checked.astype("float64")
        if column.kind != "string":
            return checked
        known = self.described.vocabularies.get(column.name, {})
        return [known.get(value, UNKNOWN) if isinstance(value, str) else MISSING for value in values]


def load_compiled(graph: bytes, signature: Signature, *, threads: int = 1) -> CompiledPredictor:
    """A compiled model from the bytes of its graph. Raises UsageError without ONNX Runtime, Corrupt for no graph."""
    try:
        import onnxruntime
    except ImportError:
        raise UsageError("a compiled model needs ONNX Runtime", hint="pip install 'taut[compile]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        written = session.get_modelmeta().custom_metadata_map["taut"]
        described = msgspec.json.decode(written, type=Described)
    except (KeyError, msgspec.MsgspecError, onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf) as problem:
        raise Corrupt(f"the compiled model cannot be read: {str(problem)[:300]}") from problem
    return CompiledPredictor(signature, session, described)
