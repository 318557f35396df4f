"""The answers of a span by columns, in parts: of Arrow where it is installed, else lists of the requests' own cells.

Without Arrow there are no segments to read, only rows of the database and journals.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from taut.records import Prediction
from taut.serve.log.labelling import labels_of
from taut.serve.log.reading import PredictionReader
from taut.serve.log.spans import Span

LISTED_ROWS = 4_096  # A value of Python for each cell.


class LoggedPart(Protocol):
    """Some answered rows by columns, each a list or a column of Arrow."""

    @property
    def rows(self) -> int:
        """How many."""
        ...

    @property
    def labels(self) -> NDArray[np.float64]:
        """What turned out to be true of each, NaN where nobody said, shape (rows,)."""
        ...

    def inputs(self) -> dict[str, Any]:
        """The inputs by name; where a request had none of a name, its rows have nothing there."""
        ...

    def output(self, *names: str) -> Any:
        """For each row what was answered as the first of these outputs that its request has; nothing for none."""
        ...


@dataclass(frozen=True, slots=True)
class ListedPart:
    """The rows of some requests as lists."""

    requests: Sequence[Prediction]
    labels: NDArray[np.float64]
    wanted: Collection[str] | None

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.labels)

    def inputs(self) -> dict[str, Any]:
        """The inputs by name, None where a request had none of a name."""
        names = dict.fromkeys(name for one in self.requests for name in one.inputs)
        return {name: self._column([name], "inputs") for name in names if self.wanted is None or name in self.wanted}

    def output(self, *names: str) -> Any:
        """For each row the first of these outputs that its request has, None for none."""
        return self._column(names, "outputs")

    def _column(self, names: Sequence[str], kind: str) -> list[Any]:
        cells: list[Any] = []
        for one in self.requests:
            columns = one.inputs if kind == "inputs" else one.outputs
            cells += next((columns[name] for name in names if name in columns), [None] * one.rows)
        return cells


def logged_parts(
    log: PredictionReader, span: Span, *, inputs: Collection[str] | None = None, outputs: Sequence[str] = ()
) -> Iterator[LoggedPart]:
    """The answered rows of a span, each once, in parts of some thousands, in no order.

    `inputs` are those that are wanted, None for all; `outputs` those whose values are.
    """
    if find_spec("pyarrow") is None:
        yield from listed_parts(log, span, inputs=inputs)
        return
    from taut.serve.log.columnar import arrow_parts

    yield from arrow_parts(log, span, inputs=inputs, outputs=outputs)


def listed_parts(log: PredictionReader, span: Span, *, inputs: Collection[str] | None = None) -> Iterator[ListedPart]:
    """The same as lists: some microseconds a cell."""
    some: list[Prediction] = []
    waiting = 0
    for one in log.requests(span):
        some.append(one)
        waiting += one.rows
        if waiting >= LISTED_ROWS:
            yield _listed(log, some, inputs)
            some, waiting = [], 0
    if some:
        yield _listed(log, some, inputs)


def _listed(log: PredictionReader, some: Sequence[Prediction], inputs: Collection[str] | None) -> ListedPart:
    known = labels_of(log.tx, log.deployment, [one.id for one in some])
    labels = [known.get(one.id, {}).get(row, np.nan) for one in some for row in range(one.rows)]
    return ListedPart(tuple(some), np.array(labels, np.float64), inputs)
