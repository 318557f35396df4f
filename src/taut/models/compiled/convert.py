"""A fitted pipeline as an ONNX graph in float64, from the columns of its signature to its answer."""

from typing import Any

import msgspec

from taut.models.compiled.finals import apply_final
from taut.models.compiled.graph import INPUT, Column, Graph, Unsupported
from taut.models.compiled.steps import apply_step
from taut.models.signature import Signature

NUMBERS = ("double", "long", "integer", "boolean", "float")


class Described(msgspec.Struct, frozen=True):
    """What goes along with a graph: the classes it gives shares of, codes of texts by column, reasons to refuse."""

    classes: list[str | int | float | bool]
    vocabularies: dict[str, dict[str, int]]
    refusals: list[str]


class Converted(msgspec.Struct, frozen=True):
    """A graph as ONNX; `single` says that the model itself adds in float32."""

    graph: bytes
    single: bool


def convert(model: Any, signature: Signature) -> Converted:
    """The graph of a fitted estimator or pipeline of scikit-learn. Raises Unsupported that says what has none."""
    graph = Graph()
    graph.columns(INPUT, len(signature.inputs))
    columns = []
    for place, column in enumerate(signature.inputs):
        if column.kind not in (*NUMBERS, "string"):
            raise Unsupported(f"column {column.name!r} of type {column.kind}")
        columns.append(Column(INPUT, place, column.name if column.kind == "string" else None))
    columns = _rounded(graph, signature, columns)
    steps = list(model.steps) if hasattr(model, "steps") else [("", model)]
    for _, step in steps[:-1]:
        columns = apply_step(graph, step, columns)
    answered = apply_final(graph, steps[-1][1], columns)
    reasons = [reason for _, reason in graph.refusals]
    described = Described(list(answered.classes), graph.vocabularies, reasons)
    written = msgspec.json.encode(described).decode()
    return Converted(graph.build(answered.tensor, width=len(signature.inputs), described=written), answered.single)


def _rounded(graph: Graph, signature: Signature, columns: list[Column]) -> list[Column]:
    """Columns of float32 rounded to it, as the table that the model itself sees rounds them."""
    from onnx import TensorProto

    narrow = [place for place, column in enumerate(signature.inputs) if column.kind == "float"]
    if not narrow:
        return columns
    single = graph.op("Cast", graph.matrix([columns[place] for place in narrow]), to=TensorProto.FLOAT)
    made = graph.columns(graph.op("Cast", single, to=TensorProto.DOUBLE), len(narrow))
    for place, column in zip(narrow, made, strict=True):
        columns[place] = column
    return columns
