"""The prediction log as rows of the home's own tables: a transaction a request, many of them side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from taut.home import Home
from taut.records import Prediction
from taut.serve.log import find_answer, log_prediction, same_inputs
from taut.serve.scoring.joining import plain_lists, slices
from taut.serve.scoring.said import Said
from taut.serve.scoring.workers import Workers

THREADS = 16  # So many share one commit of the log.


class SqlLog:
    """Predictions of one deployment, kept by the home."""

    blocks = True

    def __init__(self, home: Home, deployment: str) -> None:
        self._home = home
        self._deployment = deployment
        self._workers = Workers[Prediction](THREADS, "log")

    def answered(self, ids: Sequence[str]) -> Mapping[str, Prediction]:
        """What was answered to these ids before."""
        found = ((one, find_answer(self._home, self._deployment, one)) for one in ids)
        return {one: stored for one, stored in found if stored is not None}

    def same(self, request_id: str, stored: Prediction, inputs: Mapping[str, Any]) -> Prediction:
        """What was stored, where it was asked the same; else Conflict."""
        assert stored.id == request_id, (stored.id, request_id)
        return same_inputs(stored, plain_lists(inputs))

    def append(self, said: Said) -> Mapping[str, Prediction]:
        """Write each request down. Raises the first problem once all were tried; to say it again does no harm."""
        inputs, outputs = slices(plain_lists(said.inputs), said.counts), slices(said.outputs, said.counts)
        writing = [
            self._workers.submit(
                lambda place=place: log_prediction(  # type: ignore[misc]  # Bound now, for the loop goes on.
                    self._home, self._deployment, said.ids[place], said.revision, said.event_ms[place],
                    inputs[place], outputs[place],
                )
            )
            for place in range(len(said.ids))
        ]  # fmt: skip
        problems = [problem for one in writing if (problem := one.exception()) is not None]
        if problems:
            raise problems[0]
        return {one: stored.result() for one, stored in zip(said.ids, writing, strict=True)}

    def close(self) -> None:
        """Let go of the threads."""
        self._workers.close()
