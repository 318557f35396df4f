"""Moving out: a whole home copied to an `mlruns` folder or to an MLflow server, read back, and compared."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from taut.errors import Conflict, Corrupt, Denied, Invalid, NotFound
from taut.faces.moving.crew import Crew
from taut.faces.moving.folder import FolderSource
from taut.faces.moving.here import HomeSource
from taut.faces.moving.mlruns import FolderTarget
from taut.faces.moving.registry import model_tally, version_tally
from taut.faces.moving.report import Line, Problem, Report, differences
from taut.faces.moving.rest import RestSource
from taut.faces.moving.seen import SeenPlain, SeenThrough
from taut.faces.moving.server import ServerTarget
from taut.faces.moving.source import Source, TheirModel, TheirRun
from taut.faces.moving.verify import ORDER
from taut.ground import wire
from taut.ground.objects.protocol import chunks
from taut.ground.progress import progress
from taut.home import Home
from taut.runs import Artifact, Count, Experiment, LoggedModel, MetricPoint, add_up, logged_tally, run_tally

T = TypeVar("T")
Tallies = dict[tuple[str, str], Mapping[str, Count]]
# A key that is a file and a folder at once is wrong with one run; a full disk is wrong with all of them.
ONE_THING = (NotFound, Conflict, Denied, Invalid, Corrupt, FileExistsError, IsADirectoryError, NotADirectoryError)
DEFAULT_THERE = Experiment("0", "Default", "active", 0, 0)  # MLflow takes it for granted where none was chosen.


@dataclass(slots=True)
class Leaving:
    """A move out under way, and what went wrong so far."""

    source: Source
    crew: Crew
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    moved: int = 0
    known: int = 0

    def one(self, kind: str, name: str, work: Callable[[], bool]) -> None:
        """Do the work for one thing and count it; what is wrong with it is remembered, and the others go on."""
        self.crew.pause()
        try:
            new = work()
        except ONE_THING as problem:
            self.problems.append(Problem(kind, name, str(problem)))
            return
        self.moved += new
        self.known += not new


def move_out_to_folder(home: Home, root: Path, *, jobs: int = 4) -> Report:
    """Copy a home into an `mlruns` folder and read it back. What stands there already is compared, and not replaced.

    Raises Conflict where the folder holds something else than an earlier copy.
    """
    source, target = HomeSource(home), FolderTarget(root)
    leaving = Leaving(source, Crew(jobs))
    experiments = {one.id: one for one in source.experiments()}
    logged = [one for each in experiments for one in source.logged(each)]
    try:
        for experiment in (DEFAULT_THERE, *experiments.values()):
            if experiment is not DEFAULT_THERE or DEFAULT_THERE.id not in experiments:
                target.experiment(experiment)

        def copy_run(one: TheirRun) -> None:
            place = experiments[one.detail.run.experiment_id]
            leaving.one("run", one.detail.run.id, partial(target.run, source, one, place))

        with progress("runs", unit="run") as bar:
            leaving.crew.each((run for each in experiments for run in source.runs(each)), copy_run, bar)
        measured = _measured(source, experiments, {one.model.id for one in logged if one.model.metrics})
        for model in logged:
            whole = replace(model, measured=tuple(measured[model.model.id]))
            place = experiments[model.model.experiment_id]
            leaving.one("logged model", model.model.id, partial(target.logged, source, whole, place))
        for registered in source.models():
            for version in source.versions(registered):
                leaving.one("model version", version.version.point, partial(target.version, source, version))
            target.model(registered)
    finally:
        target.close()
    return _compared(leaving, FolderSource(root), str(root.absolute()))


def _measured(
    source: Source, experiments: Iterable[str], judged: set[str]
) -> Mapping[str, list[tuple[str, MetricPoint]]]:
    """The points that judge these logged models, each with the run that measured it; nothing is read for none."""
    found: dict[str, list[tuple[str, MetricPoint]]] = defaultdict(list)
    for run in (run for each in experiments if judged for run in source.runs(each)):
        for point in source.points(run):
            if point.model_id in judged:
                found[point.model_id].append((run.detail.run.id, point))
    return found


def move_out_to_server(home: Home, url: str, *, jobs: int = 4) -> Report:
    """Copy a home to an MLflow server and read it back. What an earlier move brought there whole is passed over.

    Raises Unavailable where the server stops answering: the same call goes on from there.
    """
    source, there = HomeSource(home), RestSource(url)
    target = ServerTarget(there.client, there)
    leaving = Leaving(source, Crew(jobs))
    experiments = list(source.experiments())
    target.look()
    for experiment in experiments:
        leaving.one("experiment", experiment.id, partial(target.experiment, experiment))
    placed = [one.id for one in experiments if one.id in target.experiments]

    def runs() -> Iterator[TheirRun]:
        for each in placed:
            yield from source.runs(each)

    with progress("making runs", unit="run") as bar:
        leaving.crew.each(runs(), target.begin_run, bar)
    with progress("logged models", unit="model") as bar:
        models = [model for each in placed for model in source.logged(each)]
        leaving.crew.each(
            models, lambda one: leaving.one("logged model", one.model.id, partial(target.model, source, one)), bar
        )
    with progress("runs", len(target.runs), unit="run") as bar:
        leaving.crew.each(
            runs(), lambda one: leaving.one("run", one.detail.run.id, partial(target.run, source, one)), bar
        )
    for model in source.models():
        versions = list(source.versions(model))
        leaving.one("registered model", model.name, partial(target.registered, source, model, versions))
    target.end(experiments)
    return _compared(leaving, SeenThrough(target), there.name, plain=True)


def _compared(leaving: Leaving, target: Source, name: str, *, plain: bool = False) -> Report:
    here, there = tallies(SeenPlain(leaving.source) if plain else leaving.source), tallies(target)
    found = [*leaving.problems]
    for key, tally in here.items():
        found += differences(*key, tally, there.get(key, {}))
    shared = {key: tally for key, tally in there.items() if key in here}
    sums = add_up(here.values()), add_up(shared.values())
    kinds = [kind for kind in ORDER if kind in sums[0]]
    lines = tuple(Line(kind, sums[0][kind], sums[1].get(kind, Count())) for kind in kinds)
    notes = (*leaving.notes, *target.notes)
    return Report(leaving.source.name, name, lines, tuple(found), notes, leaving.moved, leaving.known)


def tallies(source: Source) -> Tallies:
    """Everything in a store, read and counted: histories point by point and files byte by byte."""
    found: Tallies = {}
    with progress("checking", unit="thing") as bar:
        for experiment in source.experiments():
            found["experiment", experiment.id] = {"experiments": _experiment(experiment)}
            for run in source.runs(experiment.id):
                files = hashed_files(source, run.location)
                found["run", run.detail.run.id] = run_tally(run.detail, source.points(run), files)
                bar.advance()
            for one in source.logged(experiment.id):
                found["logged model", one.model.id] = logged_tally(_by_key(one), hashed_files(source, one.location))
                bar.advance()
        for model in source.models():
            found["registered model", model.name] = model_tally(model)
            for version in source.versions(model):
                files = hashed_files(source, version.location)
                found["model version", version.version.point] = version_tally(version.version, files)
                bar.advance()
    return found


def hashed_files(source: Source, location: str) -> list[Artifact]:
    """Every file below a location with the digest of its bytes, read to the end."""
    found = []
    for file in source.files(location):
        hashed = hashlib.sha256()
        with source.open(location, file.path) as stream:
            for chunk in chunks(stream):
                hashed.update(chunk)
        found.append(Artifact(file.path, hashed.hexdigest(), file.size_bytes))
    return found


def _by_key(one: TheirModel) -> LoggedModel:
    return replace(one.model, measured_in=(), metrics=tuple(sorted(one.model.metrics, key=lambda point: point.key)))


def _experiment(one: Experiment) -> Count:
    lifecycle = "" if one.id == "0" else one.lifecycle
    return Count(1, wire.digest([one.name, lifecycle, one.tags]))
