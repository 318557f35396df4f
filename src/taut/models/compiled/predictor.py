"""A compiled model that answers columns with columns, as `Predictor` does, without the libraries it was made with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from taut.errors import Corrupt, Invalid, UsageError
from taut.models.compiled.convert import Described
from taut.models.compiled.graph import ANSWER, INPUT, REFUSED
from taut.models.compiled.matrix import Matrix
from taut.models.inputs import Cell
from taut.models.signature import Signature

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
        return self._matrix.rows(columns)

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

    @cached_property
    def _matrix(self) -> Matrix:
        return Matrix(self.signature, self.described.vocabularies)


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
