"""Two stores with ids of their own, made comparable: theirs by our ids, ours without what differs by nature."""

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from taut.faces.moving.server import OURS, PARENT, VERSION, ServerTarget
from taut.faces.moving.source import File, Source, TheirModel, TheirRun, TheirVersion
from taut.models import RegisteredModel
from taut.records import Run
from taut.runs import Experiment, MetricPoint

VERSIONS = "mlflow.modelVersions"
USER, NAME = "mlflow.user", "mlflow.runName"


class SeenPlain:
    """Ours, without what a server decides itself: times of what it makes, places of files, tags that repeat a field."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def name(self) -> str:
        """As it is."""
        return self._source.name

    @property
    def notes(self) -> list[str]:
        """As they are."""
        return self._source.notes

    def experiments(self) -> Iterator[Experiment]:
        """As they are."""
        return self._source.experiments()

    def runs(self, experiment_id: str) -> Iterator[TheirRun]:
        """Without tags that repeat a field."""
        for one in self._source.runs(experiment_id):
            yield replace(one, detail=replace(one.detail, run=_plain_run(one.detail.run)))

    def points(self, run: TheirRun) -> Iterator[MetricPoint]:
        """As they are."""
        return self._source.points(run)

    def logged(self, experiment_id: str) -> Iterator[TheirModel]:
        """Without times, and without the tag that lists versions, which have other places there."""
        for one in self._source.logged(experiment_id):
            tags = {key: value for key, value in one.model.tags.items() if key != VERSIONS}
            yield replace(one, model=replace(one.model, created_ms=0, updated_ms=0, tags=tags))

    def models(self) -> Iterator[RegisteredModel]:
        """Without times."""
        for one in self._source.models():
            yield replace(one, created_ms=0, updated_ms=0)

    def versions(self, model: RegisteredModel) -> Iterator[TheirVersion]:
        """Without times, users and sources."""
        for one in self._source.versions(model):
            yield replace(one, version=replace(one.version, source="", created_ms=0, updated_ms=0, actor=""))

    def files(self, location: str) -> Iterator[File]:
        """As they are."""
        return self._source.files(location)

    def open(self, location: str, path: str) -> BinaryIO:
        """As it is."""
        return self._source.open(location, path)


class SeenThrough(SeenPlain):
    """The server's, by our ids; what did not come from here is not seen."""

    def __init__(self, target: ServerTarget) -> None:
        super().__init__(target.there)
        self._run_ids = {one.detail.run.id: ours for ours, one in target.runs.items()}
        self._model_ids = {one.model.id: ours for ours, one in target.logged.items()}
        self._experiment_ids = {there: ours for ours, there in target.experiments.items()}
        self._there = {ours: there for there, ours in self._experiment_ids.items()}
        self._runs_there = {ours: there for there, ours in self._run_ids.items()}

    def experiments(self) -> Iterator[Experiment]:
        """By our ids."""
        for one in super().experiments():
            if one.id in self._experiment_ids:
                yield replace(one, id=self._experiment_ids[one.id])

    def runs(self, experiment_id: str) -> Iterator[TheirRun]:
        """By our ids, those of parents and of logged models too."""
        for one in super().runs(self._there[experiment_id]):
            run = one.detail.run
            if run.id in self._run_ids:
                tags = {key: value for key, value in run.tags.items() if key not in OURS}
                if PARENT in tags:
                    tags[PARENT] = self._run_ids.get(tags[PARENT], tags[PARENT])
                ours = replace(run, id=self._run_ids[run.id], experiment_id=experiment_id, tags=tags)
                outputs = tuple(
                    replace(made, model_id=self._model_ids.get(made.model_id, "")) for made in one.detail.outputs
                )
                read = tuple(
                    replace(each, model_id=self._model_ids.get(each.model_id, "")) for each in one.detail.model_inputs
                )
                yield replace(one, detail=replace(one.detail, run=ours, outputs=outputs, model_inputs=read))

    def points(self, run: TheirRun) -> Iterator[MetricPoint]:
        """Asked for by their id."""
        theirs = replace(run.detail.run, id=self._runs_there[run.detail.run.id])
        return self._source.points(replace(run, detail=replace(run.detail, run=theirs)))

    def logged(self, experiment_id: str) -> Iterator[TheirModel]:
        """By our ids."""
        for one in super().logged(self._there[experiment_id]):
            model = one.model
            if model.id in self._model_ids:
                ours = self._model_ids[model.id]
                tags = {key: value for key, value in model.tags.items() if key not in OURS}
                metrics = tuple(point.measured_on(ours) for point in model.metrics)
                run_id = self._run_ids.get(model.run_id, "")
                yield replace(one, model=replace(model, id=ours, run_id=run_id, tags=tags, metrics=metrics))

    def versions(self, model: RegisteredModel) -> Iterator[TheirVersion]:
        """By our ids; a run that was made to carry files is none of ours."""
        for one in super().versions(model):
            version = one.version
            if VERSION in version.tags:
                tags = {key: value for key, value in version.tags.items() if key not in OURS}
                run_id = self._run_ids.get(version.run_id, "")
                yield replace(one, version=replace(version, tags=tags, run_id=run_id))


def _plain_run(run: Run) -> Run:
    user = run.tags.get(USER, run.actor)
    tags = {key: value for key, value in run.tags.items() if (key, value) not in {(USER, user), (NAME, run.name)}}
    return replace(run, actor=user, tags=tags)
