"""The prediction log of a deployment, as whoever answers requests uses it."""

import threading
from collections.abc import Mapping
from typing import Any

from taut.errors import Conflict
from taut.home import Home
from taut.records import Prediction
from taut.serve.log import Policy, PredictionLog, Said, Stored, log_place
from taut.serve.scoring.joining import Columns, plain_lists, slices
from taut.serve.scoring.said import Known


class JournaledLog:
    """Answers are appended to a journal: in the event loop where that is one call of the kernel.

    Where the policy waits for the disk it `blocks`.
    """

    def __init__(self, home: Home, deployment: str, policy: Policy | None = None) -> None:
        self.blocks = policy is not None and policy.fsync
        self._deployment = deployment
        self._log = PredictionLog.open(log_place(home), deployment, policy)
        self._turn = threading.Lock()  # Where it blocks, one thread looks up while another one writes.

    def answered(self, asked: Mapping[str, Columns]) -> Mapping[str, Known]:
        """What was answered to these ids before."""
        with self._turn:
            found = self._log.answered([*asked])
        return {name: self._known(name, stored, asked[name]) for name, stored in found.items()}

    def append(self, said: Said) -> Mapping[str, Known]:
        """Write a micro-batch down."""
        with self._turn:
            taken = self._log.append(said)
        if not taken:
            return {}
        asked = dict(zip(said.ids, slices(said.inputs, said.counts), strict=True))
        return {name: self._known(name, stored, asked[name]) for name, stored in taken.items()}

    def close(self) -> None:
        """Write what waits, and let go of the files."""
        self._log.close()

    def _known(self, name: str, stored: Stored, columns: Columns) -> Known:
        inputs: dict[str, Any] = plain_lists(columns)
        try:
            self._log.same(name, stored, inputs)
        except Conflict as conflict:
            return conflict
        return Prediction(
            self._deployment, name, stored.revision, stored.model, stored.number, stored.at_ms, stored.event_ms,
            stored.rows, inputs, stored.outputs,
        )  # fmt: skip
