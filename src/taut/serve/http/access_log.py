"""The access log: one line of JSON a request, written once a turn of the event loop."""

import asyncio
import os
import random
import select
from collections.abc import Callable

import msgspec

from taut.ground.clock import iso
from taut.serve.http.answers import Answer

PATH_MAX = 1000  # So that a line fits into a pipe whole.


class _Line(msgspec.Struct, omit_defaults=True):
    at: str
    method: str
    path: str
    status: int
    bytes: int
    ms: float
    client: str = ""
    rows: int = 0
    id: str = ""
    version: int = 0
    revision: int = 0


class AccessLog:
    """Writes to an open file descriptor. `sample` is the share of good answers that are written; errors all are.

    A line names no value of a request. A log that cannot be written loses lines, and never an answer.
    """

    def __init__(self, descriptor: int, now_ms: Callable[[], int], *, sample: float = 1.0, seed: int = 0) -> None:
        self._descriptor = descriptor
        self._now_ms = now_ms
        self._sample = sample
        self._chance = random.Random(seed)
        self._lines: list[bytes] = []
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._encode = msgspec.json.Encoder().encode
        self.lost = 0

    def answered(self, method: str, path: str, client: str, answer: Answer, seconds: float) -> None:
        """One request was answered."""
        if answer.status < 400 and self._sample < 1.0 and self._chance.random() >= self._sample:
            return
        line = _Line(
            iso(self._now_ms()), method, path[:PATH_MAX], answer.status, len(answer.body), round(seconds * 1000, 3),
            client, answer.rows, answer.id, answer.number, answer.revision,
        )  # fmt: skip
        self._lines.append(self._encode(line) + b"\n")
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what is there."""
        lines, self._lines = self._lines, []
        while lines:
            part = [lines.pop(0)]
            size = len(part[0])
            while lines and size + len(lines[0]) <= select.PIPE_BUF:
                size += len(lines[0])
                part.append(lines.pop(0))
            if not self._is_written(b"".join(part)):
                self.lost += len(part) + len(lines)
                return

    def _is_written(self, part: bytes) -> bool:
        """Write what fits into a pipe whole; a reader that sleeps, or is gone, must not hold up the loop."""
        try:
            return bool(self._poll.poll(0)) and os.write(self._descriptor, part) == len(part)
        except OSError:  # A full disk, or a pipe whose reader left.
            return False
