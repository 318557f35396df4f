"""Whether a process should get requests at this moment: the truth, for whoever spreads traffic."""

from collections.abc import Sequence

from taut.serve.scoring.batcher import Batcher
from taut.serve.scoring.limits import UnderWay


class Health:
    """Live is who answers at all; ready is who would answer well."""

    def __init__(self, batchers: Sequence[Batcher], under_way: UnderWay) -> None:
        self.is_draining = False
        self.is_warm = False
        self._batchers = batchers
        self._under_way = under_way

    @property
    def unready(self) -> str:
        """Why this process should get no requests now; empty where it should."""
        if self.is_draining:
            return "it is about to end"
        if not self.is_warm:
            return "it is not warmed up"
        if any(batcher.backend.engine.hangs for batcher in self._batchers):
            return "the model hangs"
        if any(batcher.writer.fails for batcher in self._batchers):
            return "the prediction log cannot be written"
        return "too many requests wait" if self._under_way.is_full else ""
