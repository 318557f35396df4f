"""What a model writes to its standard output and error, line by line in the server's log."""

import asyncio
import os
import sys
import time

READ_BYTES = 1 << 16
READS_AT_END = 64  # More than a pipe holds, if nobody writes any more.
LINE_MAX = 8_192
BYTES_A_SECOND = 1 << 18
"""What a log is meant to hold; a model that says more in a second is cut short, and the log says by how much."""


class Echo:
    """Copies lines from a pipe to the standard error of this process, each behind the name of the model."""

    def __init__(self, pipe: int, name: str) -> None:
        self._pipe = pipe
        self._name = name
        self._rest = b""
        self._second = 0
        self._told = 0
        self._untold = 0
        self._loop = asyncio.get_running_loop()
        os.set_blocking(pipe, False)
        self._loop.add_reader(pipe, self._read)

    def close(self) -> None:
        """Write down what is left, and read no more."""
        if self._pipe < 0:
            return
        for _ in range(READS_AT_END):
            if not self._read():
                break
        self._end()

    def _end(self) -> None:
        if self._pipe >= 0:
            self._loop.remove_reader(self._pipe)
            if self._rest:
                self._tell(self._rest)
            if self._untold:
                self._note()
            self._pipe = -1

    def _read(self) -> bool:
        """Whether there may be more."""
        try:
            data = os.read(self._pipe, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._end()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_MAX:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._tell(line)
        return True

    def _tell(self, line: bytes) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._told = second, 0
            if self._untold:
                self._note()
        if self._told > BYTES_A_SECOND:
            self._untold += 1
            return
        self._told += len(line)
        text = line[:LINE_MAX].decode("utf-8", "backslashreplace").rstrip("\r")
        sys.stderr.write(f"{self._name}: {text}\n")

    def _note(self) -> None:
        sys.stderr.write(f"{self._name}: {self._untold} lines that came too fast were left out\n")
        self._untold = 0
