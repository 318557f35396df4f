"""A home of ours read as any other store is, so that moving out reads what moving in writes."""

from collections.abc import Iterator
from typing import BinaryIO

from taut.errors import NotFound
from taut.faces.moving.source import File, TheirModel, TheirRun, TheirVersion
from taut.home import Home
from taut.models import RegisteredModel, list_models, list_versions, model_files
from taut.runs import (
    Experiment,
    MetricPoint,
    all_artifacts,
    find_artifact,
    list_experiments,
    metric_history,
    model_root,
    page_of_runs,
    run_root,
    search_logged_models,
)

TREE = "version:"  # A version's files are a tree of their own, wherever they came from: `version:NAME@NUMBER`.
RUNS_A_PAGE = 1000


class HomeSource:
    """Reads a home, on a folder or behind a server."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        """Where the home is."""
        return self._home.place

    def experiments(self) -> Iterator[Experiment]:
        """Every experiment, oldest first."""
        yield from reversed(list_experiments(self._home))

    def runs(self, experiment_id: str) -> Iterator[TheirRun]:
        """Every run, a page at a time."""
        token = ""
        while True:
            page = page_of_runs(
                self._home, [experiment_id], view="all", order_by=["attributes.start_time ASC"],
                max_results=RUNS_A_PAGE, page_token=token,
            )  # fmt: skip
            for detail in page.runs:
                yield TheirRun(detail, run_root(experiment_id, detail.run.id))
            token = page.next_page
            if not token:
                return

    def points(self, run: TheirRun) -> Iterator[MetricPoint]:
        """The history of each metric, a page at a time."""
        for latest in run.detail.metrics:
            token = ""
            while True:
                page = metric_history(self._home, run.detail.run.id, latest.key, page_token=token)
                yield from page.points
                token = page.next_page
                if not token:
                    break

    def logged(self, experiment_id: str) -> Iterator[TheirModel]:
        """Logged models; what judges them stands with their runs."""
        token = ""
        while True:
            page = search_logged_models(
                self._home, [experiment_id], order_by=["attributes.creation_timestamp ASC"], page_token=token
            )
            for model in page.models:
                yield TheirModel(model, model_root(experiment_id, model.id))
            token = page.next_page
            if not token:
                return

    def models(self) -> Iterator[RegisteredModel]:
        """The registry's names."""
        yield from list_models(self._home)

    def versions(self, model: RegisteredModel) -> Iterator[TheirVersion]:
        """The versions of a name."""
        for version in list_versions(self._home, model.name):
            yield TheirVersion(version, f"{TREE}{version.name}@{version.number}")

    def files(self, location: str) -> Iterator[File]:
        """Every file of a run, a logged model or a version."""
        if location.startswith(TREE):
            name, _, number = location.removeprefix(TREE).rpartition("@")
            yield from (File(file.path, file.size_bytes) for file in model_files(self._home, name, int(number)))
        else:
            yield from (File(file.path, file.size_bytes) for file in all_artifacts(self._home, location))

    def open(self, location: str, path: str) -> BinaryIO:
        """A file's bytes."""
        return self._home.objects.open(self._oid(location, path))

    def _oid(self, location: str, path: str) -> str:
        if not location.startswith(TREE):
            return find_artifact(self._home, location, path).oid
        name, _, number = location.removeprefix(TREE).rpartition("@")
        for file in model_files(self._home, name, int(number)):
            if file.path == path:
                return file.oid
        raise NotFound(f"{name}@{number} has no file {path!r}")
