"""What a store of MLflow's is read as: the house's own records, with where their files lie; a reader a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from taut.ground import wire
from taut.models import RegisteredModel
from taut.records import ModelVersion
from taut.runs import Experiment, LoggedModel, MetricPoint, RunDetail


@dataclass(frozen=True, slots=True)
class TheirRun:
    """A run there; `detail` holds the latest points only, `location` is the root of its artifacts, empty for none."""

    detail: RunDetail
    location: str

    @property
    def mark(self) -> str:
        """Its fingerprint: what a listing tells, so that a change shows without reading histories and files."""
        return wire.digest(self.detail)


@dataclass(frozen=True, slots=True)
class TheirModel:
    """A logged model there; `measured` are all points that judge it, each with the run that measured it."""

    model: LoggedModel
    location: str
    measured: tuple[tuple[str, MetricPoint], ...] = ()

    @property
    def mark(self) -> str:
        """Its fingerprint."""
        return wire.digest([self.model, self.measured])


@dataclass(frozen=True, slots=True)
class TheirVersion:
    """A version of a registered model there; its number, source and so on stand in `version`, its digest is empty."""

    version: ModelVersion
    location: str

    @property
    def mark(self) -> str:
        """Its fingerprint."""
        return wire.digest(self.version)


@dataclass(frozen=True, slots=True)
class File:
    """A file below a location, by its path from there."""

    path: str
    size_bytes: int


class Source(Protocol):
    """A store that can be read whole. Nothing is written to it. May be asked from several threads at once.

    Raises Unavailable where the store itself does not answer, NotFound where files cannot be reached.
    """

    @property
    def name(self) -> str:
        """What it is known by, without secrets; the same store has the same name next time."""
        ...

    @property
    def notes(self) -> list[str]:
        """What could not be read so far and was passed over, in sentences."""
        ...

    def experiments(self) -> Iterator[Experiment]:
        """Every experiment, deleted ones included."""
        ...

    def runs(self, experiment_id: str) -> Iterator[TheirRun]:
        """Every run of an experiment, deleted ones included."""
        ...

    def points(self, run: TheirRun) -> Iterator[MetricPoint]:
        """Every point of every metric of a run; none twice."""
        ...

    def logged(self, experiment_id: str) -> Iterator[TheirModel]:
        """The logged models of an experiment that are not deleted."""
        ...

    def models(self) -> Iterator[RegisteredModel]:
        """Every registered model, with its aliases."""
        ...

    def versions(self, model: RegisteredModel) -> Iterator[TheirVersion]:
        """The versions of a registered model that are not deleted, oldest first."""
        ...

    def files(self, location: str) -> Iterator[File]:
        """Every file below a location; none where nothing was ever put there."""
        ...

    def open(self, location: str, path: str) -> BinaryIO:
        """The bytes of a file."""
        ...
