"""What the supervisor of a deployment is asked through its door: how it is, and to serve another revision.

One JSON object on a line each way, then the line ends. It is said within one version of taut alone: a supervisor of
another version is followed by a new one, through the socket that it hands over.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from taut.deploy.running import Serving, at_door
from taut.errors import Invalid, TautError, Unavailable, error_of
from taut.ground import wire

ANSWER_WITHIN_S = 3.0  # It does nothing that takes long, on a machine that may be loaded.
BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Asked:
    """`look` asks how it is, `serve` to serve `revision` with so many `workers` (0: one a core)."""

    do: Literal["look", "serve"]
    revision: int = 0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of ours on its way from one process to another."""

    kind: str
    message: str
    hint: str = ""

    @property
    def error(self) -> TautError:
        """The error itself."""
        return error_of(self.kind, self.message, self.hint)


@dataclass(frozen=True, slots=True)
class Told:
    """The answer: how it is now, and why what was asked could not be done."""

    serving: Serving
    failure: Failure | None = None


def ask_supervisor(folder: Path, serving: Serving, asked: Asked, *, within_s: float = ANSWER_WITHIN_S) -> Told | None:
    """What a supervisor answers; None where it died, hangs or does not understand.

    To serve another revision it answers when that is done, or could not be done and the old one serves on.
    """
    try:
        with at_door(folder, serving, "ctl", within_s=within_s) as line:
            line.sendall(wire.encode(asked) + b"\n")
            said = bytearray()
            while not said.endswith(b"\n") and len(said) < BYTES_MAX:
                part = line.recv(65_536)
                if not part:
                    return None
                said += part
        return wire.decode(bytes(said), Told, what="what the supervisor says")
    except (OSError, Invalid):
        return None


def is_heard(folder: Path, serving: Serving) -> bool:
    """Whether the supervisor answers at all."""
    return ask_supervisor(folder, serving, Asked("look")) is not None


def serve_revision(folder: Path, serving: Serving, revision: int, workers: int, *, within_s: float) -> Serving | None:
    """Let a supervisor serve another revision in place; None where it cannot be asked.

    Returns when the new one answers and the old one has answered all that it had accepted. Raises Unavailable with
    the reason where the new one does not come up; then the old one serves on.
    """
    told = ask_supervisor(folder, serving, Asked("serve", revision, workers), within_s=within_s)
    if told is None:
        return None
    if told.failure is not None:
        raise Unavailable(
            f"deployment:{serving.deployment}@{revision} did not come up: {told.failure.message}",
            hint=told.failure.hint,
        )
    return told.serving
