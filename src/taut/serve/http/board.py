"""What the processes of one endpoint count, in memory they share: numbers in a map, a slot of its own for each front.

Each front writes its own slot alone, so nothing is locked; whoever is asked for metrics adds all slots up. The map is
made before the fronts are forked, and a front that takes a dead one's place goes on with its counters.
"""

import math
import mmap
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from taut.errors import Invalid

# Upper bounds in seconds: a compiled model answers in under a millisecond, the request time-out is ten seconds.
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MODEL_BOUNDS_S = (0.0001, 0.00025, 0.0005, *BOUNDS_S)
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
CODES = (200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 503, 504)
OTHER = len(CODES)  # The place of every other status.
PLACE_OF = {code: place for place, code in enumerate(CODES)}

ROWS = OTHER + 1
REQUEST = ROWS + 1  # A histogram: a count a bucket, one beyond the last bound, and the sum.
MODEL = REQUEST + len(BOUNDS_S) + 2
BATCH = MODEL + len(MODEL_BOUNDS_S) + 2
WAITING = BATCH + len(BATCH_BOUNDS) + 2
HELD = WAITING + 1
UNLOGGED = HELD + 1
CONNECTIONS = UNLOGGED + 1  # Of the whole front, in the slot of its first backend.
CELLS = CONNECTIONS + 1
BYTES = 8
UNEVEN = 2  # Connections that one front may have more than another and still take the next.


@dataclass(frozen=True, slots=True)
class Labels:
    """Which version's counters they are."""

    deployment: str
    model: str
    version: str
    revision: str


class Board:
    """The counters of `fronts` processes for each backend of one endpoint, in `memory` that all of them have.

    Without any it makes some, which its forks share. All of them name the same backends in the same order. Raises
    Invalid where the memory is too small.
    """

    def __init__(self, backends: Sequence[Labels], fronts: int = 1, memory: mmap.mmap | None = None) -> None:
        self.backends = tuple(backends)
        self.fronts = fronts
        needed = BYTES * CELLS * fronts * len(self.backends)
        cells = memoryview(mmap.mmap(-1, needed) if memory is None else memory)
        if len(cells) < needed:
            raise Invalid(
                f"{fronts} processes of {len(self.backends)} versions count in {needed} bytes, not {len(cells)}"
            )
        self._cells = cells[:needed].cast("d")

    def meter(self, front: int, backend: int) -> "Slot":
        """The counters that one front writes for one backend; what was under way in its predecessor is over."""
        cells = self._slot(front, backend)
        cells[CONNECTIONS] = 0
        slot = Slot(cells)
        slot.under_way(0, 0)
        slot.unlogged(0.0)
        return slot

    def total(self, backend: int) -> list[float]:
        """The counters of a backend, all fronts together; `UNLOGGED` is the earliest that any of them has."""
        slots = [self._slot(front, backend).tolist() for front in range(self.fronts)]
        cells = [sum(values) for values in zip(*slots, strict=True)]
        cells[UNLOGGED] = min((slot[UNLOGGED] for slot in slots if slot[UNLOGGED]), default=0.0)
        return cells

    def has_its_share(self, front: int, connections: int) -> bool:
        """Write down how many connections a front has open; whether another has so few that the next is rather its."""
        self._slot(front, 0)[CONNECTIONS] = connections
        others = (self._slot(other, 0)[CONNECTIONS] for other in range(self.fronts) if other != front)
        return connections > min(others, default=math.inf) + UNEVEN

    def _slot(self, front: int, backend: int) -> "memoryview[float]":
        start = (front * len(self.backends) + backend) * CELLS
        return self._cells[start : start + CELLS]


class Slot:
    """The counters of one backend in one front."""

    __slots__ = ("_cells",)

    def __init__(self, cells: "memoryview[float]") -> None:
        self._cells = cells

    def answered(self, status: int, seconds: float) -> None:
        """One request that asked for predictions was answered."""
        cells = self._cells
        cells[PLACE_OF.get(status, OTHER)] += 1
        cells[REQUEST + bisect_left(BOUNDS_S, seconds)] += 1
        cells[MODEL - 1] += seconds

    def called(self, seconds: float, requests: int) -> None:
        """The model answered so many requests at once."""
        cells = self._cells
        cells[MODEL + bisect_left(MODEL_BOUNDS_S, seconds)] += 1
        cells[BATCH - 1] += seconds
        cells[BATCH + bisect_left(BATCH_BOUNDS, requests)] += 1
        cells[WAITING - 1] += requests

    def said(self, rows: int) -> None:
        """So many rows were predicted and told."""
        self._cells[ROWS] += rows

    def unlogged(self, since_s: float) -> None:
        """The oldest answer that is not in the log was made then; 0 where there is none."""
        self._cells[UNLOGGED] = since_s

    def under_way(self, requests: int, size_bytes: int) -> None:
        """So many requests wait, and so many bytes of bodies are held."""
        self._cells[WAITING] = requests
        self._cells[HELD] = size_bytes
