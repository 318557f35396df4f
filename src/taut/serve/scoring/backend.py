"""One model version behind an endpoint: what it is called there, and the engine that answers for it."""

from dataclasses import dataclass
from pathlib import Path

from taut.models import ServedForm
from taut.serve.log.said import Role
from taut.serve.processes import ModelProcesses
from taut.serve.scoring.engine import Engine, InProcess


@dataclass(frozen=True, slots=True)
class Backend:
    """A version that takes part in serving an endpoint: live, canary or shadow."""

    deployment: str
    revision: int
    model: str
    number: int
    engine: Engine
    role: Role = "live"


def engine_of(form: ServedForm, name: str, *, memory_bytes: int = 0) -> Engine:
    """What answers for a version: a graph in this process, foreign code in processes of its own, called `name`.

    Each of those may have so much memory (0: no bound).
    """
    if form.in_process:
        return InProcess(form.load())
    return ModelProcesses(
        Path(form.folder), form.digest, name=name, signature=form.signature, memory_bytes=memory_bytes
    )
