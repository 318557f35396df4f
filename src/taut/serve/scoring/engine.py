"""Engines call models: many requests in one call, one outcome for each, and nobody harmed by another's bad rows."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from taut.errors import Invalid, TautError
from taut.models.signature import Signature
from taut.serve.processes import ModelFailed
from taut.serve.scoring.joining import Columns, count_rows, join, slices
from taut.serve.scoring.worker import Worker

Outcome = Columns | Exception
"""What became of one request: its outputs, or Invalid, ModelFailed, TimeoutError, Unavailable."""

Params = Mapping[str, Any]
NO_PARAMS: Params = MappingProxyType({})
Predict = Callable[[Columns], Columns]


class Engine(Protocol):
    """A model, wherever it runs. `compiled` says that it answers at once and can neither hang nor harm its process."""

    @property
    def signature(self) -> Signature:
        """What the model takes."""
        ...

    @property
    def compiled(self) -> bool:
        """Whether it may be called in the event loop, by `answer` of InProcess."""
        ...

    @property
    def hangs(self) -> bool:
        """Whether no call comes back in time at this moment."""
        ...

    def start(self) -> Awaitable[None]:
        """Load what is not loaded yet. Raises what loading does."""
        ...

    def score(
        self, requests: Sequence[Columns], deadline_s: float, *, params: Params = NO_PARAMS
    ) -> Awaitable[list[Outcome]]:
        """One outcome a request, in their order, by `deadline_s` of the monotonic clock. Raises nothing."""
        ...

    def close(self) -> None:
        """Let go of threads and processes."""
        ...


class Model(Protocol):
    """What `Predictor` and `CompiledPredictor` have in common, and all that is asked of them here."""

    @property
    def signature(self) -> Signature:
        """What it takes."""
        ...

    @property
    def predict(self) -> Callable[..., Columns]:
        """Columns from columns."""
        ...


class InProcess:
    """A compiled model: a few rows are answered where they are asked, many rows in a thread."""

    compiled = True
    hangs = False

    def __init__(self, model: Model) -> None:
        self.signature = model.signature
        self._predict = model.predict
        self._worker = Worker[list[Outcome]]("rows")

    async def start(self) -> None:
        """Nothing is left to load."""

    def answer(self, requests: Sequence[Columns]) -> list[Outcome]:
        """One outcome a request, now."""
        return answer_all(self._predict, requests)

    def joined(self, table: Columns, rows: int) -> Columns:
        """The outputs of a table of so many rows. Raises what the model raises."""
        return called(self._predict, table, rows)

    async def score(
        self, requests: Sequence[Columns], deadline_s: float, *, params: Params = NO_PARAMS
    ) -> list[Outcome]:
        """One outcome a request, from a thread; a graph takes no params."""
        return await asyncio.wrap_future(self._worker.submit(lambda: answer_all(self._predict, requests)))

    def close(self) -> None:
        """Let go of the thread."""
        self._worker.close()


def answer_all(predict: Predict, requests: Sequence[Columns]) -> list[Outcome]:
    """One outcome a request, from as few calls as it takes.

    Where a call fails, each half of its requests is asked again, so that in the end only the guilty ones fail.
    """
    try:
        counts = [count_rows(columns) for columns in requests]
        outputs = called(predict, join(requests, counts), sum(counts))
        return [*slices(outputs, counts)]
    except Exception as problem:  # noqa: BLE001  # A model is foreign code and may raise anything.
        if len(requests) == 1:
            return [_outcome(problem)]
    half = len(requests) // 2
    return answer_all(predict, requests[:half]) + answer_all(predict, requests[half:])


def called(predict: Predict, table: Columns, rows: int) -> Columns:
    """The outputs of one call. Raises what the model raises, ModelFailed where it answers other than so many rows."""
    outputs = predict(table)
    for name, values in outputs.items():
        if len(values) != rows:
            raise ModelFailed(f"the model gave {len(values)} values of {name!r} for {rows} rows")
    return outputs


def _outcome(problem: Exception) -> Exception:
    if isinstance(problem, TautError | ModelFailed):
        return problem
    if isinstance(problem, OverflowError):
        return Invalid(f"a number is too large for its column: {problem}")
    return ModelFailed("".join(traceback.format_exception(problem)))
