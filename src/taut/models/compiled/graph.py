"""A graph under construction: tables of numbers in float64, whose texts are codes of a vocabulary.

One input holds all columns of the signature, a row each; a text is its place in the vocabulary of its column. So no
text enters the graph, and no value is rounded on its way to a comparison: a threshold of a tree or a time in seconds
stands there as the model itself compares it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = -1.0  # The code of a text that the model never saw.
MISSING = -2.0  # The code of a missing text.
OPSET, ML_OPSET, IR = 21, 5, 10
ML = "ai.onnx.ml"
INPUT, ANSWER, REFUSED = "rows", "answer", "refused"


class Unsupported(Exception):
    """A model, or a setting of it, that is not written as a graph; its text says which."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: place `index` of a tensor [rows, width]; `words` says whose vocabulary it codes."""

    tensor: str
    index: int
    words: str | None = None


@dataclass
class Graph:
    """Operators in the order that they are computed in, their constants, vocabularies and reasons to refuse a row."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    widths: dict[str, int] = field(default_factory=dict)
    vocabularies: dict[str, dict[str, int]] = field(default_factory=dict)
    refusals: list[tuple[str, str]] = field(default_factory=list)

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator of one output; returns the name of that."""
        from onnx import helper

        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def constant(self, values: Any) -> str:
        """Add an array; returns its name."""
        import numpy as np
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def columns(self, tensor: str, width: int) -> list[Column]:
        """The columns of a tensor of numbers, so many of them."""
        self.widths[tensor] = width
        return [Column(tensor, place) for place in range(width)]

    def matrix(self, columns: Sequence[Column]) -> str:
        """The columns side by side in one tensor [rows, columns]; where they lie so already, that one.

        Raises Unsupported for none at all.
        """
        import numpy as np

        if not columns:
            raise Unsupported("a step that takes no column")
        parts: list[str] = []
        at = 0
        while at < len(columns):
            tensor, until = columns[at].tensor, at
            while until < len(columns) and columns[until].tensor == tensor:
                until += 1
            places = [column.index for column in columns[at:until]]
            whole = places == list(range(self.widths[tensor]))
            chosen = np.array(places, dtype=np.int64)
            parts.append(tensor if whole else self.op("Gather", tensor, self.constant(chosen), axis=1))
            at = until
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=1)

    def code(self, words: str, value: object) -> float:
        """The code of a text in a column's vocabulary, which learns it; None and NaN are the missing text."""
        if not isinstance(value, str):
            return MISSING
        known = self.vocabularies.setdefault(words, {})
        return float(known.setdefault(value, len(known)))

    def refuse(self, mask: str, reasons: Iterable[str]) -> None:
        """Refuse rows where a mask [rows, reasons] is true: the model itself would raise there."""
        import numpy as np

        for place, reason in enumerate(reasons):
            chosen = self.constant(np.array([place], dtype=np.int64))
            self.refusals.append((self.op("Gather", mask, chosen, axis=1), reason))

    def refuse_any(self, mask: str, reason: str) -> None:
        """Refuse rows where a mask is true in any column."""
        import numpy as np
        from onnx import TensorProto

        numbers = self.op("Cast", mask, to=TensorProto.INT32)
        some = self.op("ReduceMax", numbers, self.constant(np.array([1], dtype=np.int64)), keepdims=1)
        self.refusals.append((self.op("Cast", some, to=TensorProto.BOOL), reason))

    def build(self, answer: str, *, width: int, described: str) -> bytes:
        """The graph as ONNX: from `rows` to `answer`, and to `refused` [rows, reasons] where there are reasons.

        `described` goes along as text. Raises Unsupported where ONNX itself finds the graph wrong.
        """
        import onnx
        from onnx import TensorProto, helper

        outputs = [helper.make_tensor_value_info(ANSWER, TensorProto.DOUBLE, [None, None])]
        self.nodes.append(helper.make_node("Identity", [answer], [ANSWER]))
        if self.refusals:
            masks = [mask for mask, _ in self.refusals]
            self.nodes.append(helper.make_node("Concat", masks, [REFUSED], axis=1))
            outputs.append(helper.make_tensor_value_info(REFUSED, TensorProto.BOOL, [None, len(masks)]))
        rows = helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, width])
        made = helper.make_model(
            helper.make_graph(self.nodes, "taut", [rows], outputs, self.constants),
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)], ir_version=IR,
            producer_name="taut",
        )  # fmt: skip
        helper.set_model_props(made, {"taut": described})
        try:
            onnx.checker.check_model(made)
        except onnx.checker.ValidationError as problem:
            raise Unsupported(f"a graph that ONNX refuses: {str(problem).splitlines()[0]}") from problem
        written: bytes = made.SerializeToString()
        return written
