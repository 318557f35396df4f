"""What a graph answers: a value a row, or shares of classes made from raw scores."""

from dataclasses import dataclass
from typing import Any

from taut.models.compiled.graph import Graph, Unsupported


@dataclass(frozen=True, slots=True)
class Answered:
    """The tensor that answers: shares of the classes [rows, classes], or one value [rows, 1] where there are none.

    `single` says that the model itself adds in float32, so that its last digits are its order of adding.
    """

    tensor: str
    classes: tuple[Any, ...] = ()
    single: bool = False


def classes_of(model: Any) -> tuple[Any, ...]:
    """The classes of a classifier as plain values. Raises Unsupported for one of several outputs."""
    classes = model.classes_
    if isinstance(classes, list):
        raise Unsupported("a model of several outputs")
    return tuple(classes.tolist())


def of_raw(graph: Graph, raw: str, classes: tuple[Any, ...], *, factor: float = 1.0) -> Answered:
    """Shares from raw scores: the logistic function for two classes, softmax for more."""
    if len(classes) > 2:
        return Answered(graph.op("Softmax", raw, axis=1), classes)
    return _of_two(graph, graph.op("Sigmoid", _times(graph, raw, factor)), classes)


def plus(graph: Graph, tensor: str, values: Any) -> str:
    """A tensor plus a number for each of its columns."""
    import numpy as np

    return graph.op("Add", tensor, graph.constant(np.asarray(values, dtype=np.float64).reshape(1, -1)))


def _of_two(graph: Graph, second: str, classes: tuple[Any, ...]) -> Answered:
    import numpy as np

    first = graph.op("Sub", graph.constant(np.array([[1.0]])), second)
    return Answered(graph.op("Concat", first, second, axis=1), classes)


def _times(graph: Graph, tensor: str, factor: float) -> str:
    import numpy as np

    return tensor if factor == 1.0 else graph.op("Mul", tensor, graph.constant(np.array(factor)))
