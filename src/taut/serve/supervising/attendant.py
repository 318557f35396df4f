"""The attendant of a revision: a process beside its fronts that judges its canary and has its log sealed.

It opens the home, which the supervisor does not, and ends when the supervisor hangs up. Nobody waits for it: should it
be killed, the loop of `taut up` does the same.
"""

import select
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from taut.errors import TautError
from taut.home import Home
from taut.records import Deployment
from taut.serve.http.board import Board
from taut.serve.log import log_place
from taut.serve.log.journal import is_written, journals_in
from taut.serve.log.learning import sealing_command
from taut.serve.supervising.children import Line
from taut.serve.supervising.judge import judge_canary

ROUND_S = 2.0
SEAL_S = 30.0  # Journals are read as they are, so that sealing may wait until it is worth a process.
SEAL_BYTES = 128 << 20  # Of journals, and not longer: readers look through all that is not sealed.


@dataclass(slots=True)
class Attendant:
    """What is done beside the fronts of a revision; `source` is the handle of their supervisor."""

    home: Home
    deployment: Deployment
    board: Board
    source: str
    _sealing: "subprocess.Popen[bytes] | None" = None
    _due_s: float = field(default_factory=lambda: time.monotonic() + SEAL_S)

    def attend(self, line: Line, *, round_s: float = ROUND_S) -> None:
        """Go round until the other end of the line is closed; what cannot be done now is tried again.

        Then the last fronts have ended. Of a home at a server, what they wrote is sealed before this returns: a
        container takes what lies in it along.
        """
        while not select.select([line.end], [], [], round_s)[0]:
            try:
                if self.deployment.canary is not None:
                    judge_canary(self.home, self.deployment, self.board, self.source)
                self._seal()
            except (TautError, OSError) as problem:
                sys.stderr.write(f"{self.deployment.point} is not attended to at this moment: {problem}\n")
        if self.home.remote is not None:
            self._seal_rest()

    def _seal(self) -> None:
        """Have finished journals sealed, in a process of its own, for Arrow is large.

        Of a home at a server that process stays, for the server sees nothing before it is sealed.
        """
        if self._sealing is not None and self._sealing.poll() is None:
            return
        command = sealing_command(self.home, self.deployment.name)
        if self.home.remote is not None:
            self._sealing = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            return
        waiting_bytes = 0
        for path in self._journals():
            with suppress(FileNotFoundError):  # Somebody else has sealed it.
                waiting_bytes += 0 if is_written(path) else path.stat().st_size
        if waiting_bytes >= SEAL_BYTES or (waiting_bytes and time.monotonic() >= self._due_s):
            self._due_s = time.monotonic() + SEAL_S
            self._sealing = subprocess.Popen([*command, "--once"], stdin=subprocess.DEVNULL)

    def _journals(self) -> list[Path]:
        return journals_in(log_place(self.home).folder / self.deployment.name)

    def _seal_rest(self) -> None:
        """Wait until the process that seals has done its last round, or another has done one."""
        if self._sealing is not None and self._sealing.poll() is None:
            self._sealing.terminate()
            self._sealing.wait()
        elif self._journals():
            command = [*sealing_command(self.home, self.deployment.name), "--once"]
            subprocess.run(command, stdin=subprocess.DEVNULL, check=False)  # It says itself what it could not do.
