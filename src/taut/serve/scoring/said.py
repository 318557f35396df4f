"""What a prediction log can do for whoever answers; what it is told is `taut.serve.log.Said`."""

from collections.abc import Mapping
from typing import Protocol

from taut.errors import Conflict
from taut.records import Prediction
from taut.serve.log import Said
from taut.serve.scoring.joining import Columns

Known = Prediction | Conflict
"""What an id got before that a caller chose: the answer, where the same was asked, else the conflict."""


class Log(Protocol):
    """Where answers are written down before they leave.

    `blocks` says whether a call waits for a disk or a network; then it is made in a thread, else in the event loop.
    """

    blocks: bool

    def answered(self, asked: Mapping[str, Columns]) -> Mapping[str, Known]:
        """What was answered to these ids before, which now ask this; those that are new are missing."""
        ...

    def append(self, said: Said) -> Mapping[str, Known]:
        """Keep what was said; it is safe once this returns. Raises a kind of TautError, or OSError.

        Returns what is to be told instead to ids that another process answered in this moment.
        """
        ...

    def close(self) -> None:
        """Let go of what the log holds open."""
        ...
