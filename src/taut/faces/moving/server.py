"""Moving out to an MLflow server: it gives ids of its own, so tags say what each thing was called here.

`taut.run_id` and `taut.model_id` find what an earlier, interrupted move made; `taut.whole` says that all is there.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from taut.errors import Conflict, Denied, Invalid
from taut.faces.moving.client import API, ARTIFACTS, Client, artifact_path, quoted
from taut.faces.moving.move import batches
from taut.faces.moving.places import scheme_of
from taut.faces.moving.rest import PROXIED, RestSource
from taut.faces.moving.source import File, Source, TheirModel, TheirRun, TheirVersion
from taut.models import RegisteredModel
from taut.runs import Experiment, MetricPoint, ModelInput, RunDetail

RUN_ID, MODEL_ID, VERSION, WHOLE, HOLE = "taut.run_id", "taut.model_id", "taut.version", "taut.whole", "taut.hole"
OURS = frozenset({RUN_ID, MODEL_ID, VERSION, WHOLE, HOLE})
PARENT = "mlflow.parentRunId"
METRICS_A_BATCH, PAIRS_A_BATCH = 1000, 100
CARRIER = "taut models"  # The experiment of runs that carry the files of versions which no run logged.


@dataclass(slots=True)
class ServerTarget:
    """Writes to a server. `runs` and `logged` say by our id what is what there, and where its files go."""

    client: Client
    there: RestSource
    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, TheirRun] = field(default_factory=dict)
    logged: dict[str, TheirModel] = field(default_factory=dict)

    def look(self) -> None:
        """Find what an earlier move made."""
        for experiment in self.there.experiments():
            for run in self.there.runs(experiment.id):
                if (ours := run.detail.run.tags.get(RUN_ID)) is not None:
                    self.runs[ours] = run
            for model in self.there.logged(experiment.id):
                if (ours := model.model.tags.get(MODEL_ID)) is not None:
                    self.logged[ours] = model

    def experiment(self, one: Experiment) -> bool:
        """Find or make an experiment by its name; one that is deleted here is deleted in the end. Raises Conflict."""
        found = next((each for each in self.there.experiments() if each.name == one.name), None)
        if found is not None and found.lifecycle != "active" and one.lifecycle == "active":
            raise Conflict(f"experiment {one.name!r} exists there, deleted: restore it there, or rename it")
        if found is not None:
            self.experiments[one.id] = found.id
            if found.lifecycle == "deleted":
                self._tell("experiments/restore", experiment_id=found.id)
        else:
            answer = self._tell("experiments/create", name=one.name, tags=_pairs(one.tags))
            self.experiments[one.id] = str(answer["experiment_id"])
        for key, value in one.tags.items():
            if found is not None and found.tags.get(key) != value:
                self._tell("experiments/set-experiment-tag", experiment_id=found.id, key=key, value=value)
        return found is None

    def begin_run(self, one: TheirRun) -> None:
        """Make a run, without what was logged to it, so that others can name it."""
        run = one.detail.run
        if run.id in self.runs:
            return
        user = run.tags.get("mlflow.user", run.actor)
        answer = self._tell(
            "runs/create", experiment_id=self.experiments[run.experiment_id], user_id=user, run_name=run.name,
            start_time=run.started_ms, tags=_pairs({RUN_ID: run.id}),
        )  # fmt: skip
        info = answer["run"]["info"]
        made = replace(run, id=info["run_id"], experiment_id=info["experiment_id"], params={}, tags={RUN_ID: run.id})
        self.runs[run.id] = TheirRun(RunDetail(made), info["artifact_uri"])

    def model(self, source: Source, one: TheirModel) -> bool:
        """Make a logged model with its files; its metrics come with the runs that measured them."""
        model, known = one.model, self.logged.get(one.model.id)
        if known is not None and known.model.tags.get(WHOLE) == one.mark:
            return False
        if known is None:
            run = self.runs.get(model.run_id)
            answer = self.client.tell("POST", f"{API}/logged-models", {
                "experiment_id": self.experiments[model.experiment_id], "name": model.name,
                "model_type": model.model_type, "source_run_id": run.detail.run.id if run else "",
                "params": _pairs(model.params), "tags": _pairs(model.tags | {MODEL_ID: model.id}),
            })  # fmt: skip
            info = answer["model"]["info"]
            known = TheirModel(replace(model, id=info["model_id"]), info["artifact_uri"])
            self.logged[model.id] = known
        failed = self._upload(source, one.location, known.location)
        path = f"{API}/logged-models/{known.model.id}"
        if model.status != "PENDING":
            self.client.tell("PATCH", path, {"model_id": known.model.id, "status": f"LOGGED_MODEL_{model.status}"})
        _must_be_whole(failed)
        tags = _pairs(model.tags | {WHOLE: one.mark})
        self.client.tell("PATCH", f"{path}/tags", {"model_id": known.model.id, "tags": tags})
        return True

    def run(self, source: Source, one: TheirRun) -> bool:
        """Log everything to a run that was begun, and end it; a point that is there already is not sent again."""
        run, there = one.detail.run, self.runs[one.detail.run.id]
        if there.detail.run.tags.get(WHOLE) == one.mark:
            return False
        run_id = there.detail.run.id
        if there.detail.run.lifecycle == "deleted":
            self._tell("runs/restore", run_id=run_id)
        for batch in batches(run.params.items(), PAIRS_A_BATCH):
            self._tell("runs/log-batch", run_id=run_id, params=_pairs(dict(batch)))
        for batch in batches(self._tags(run.tags).items(), PAIRS_A_BATCH):
            self._tell("runs/log-batch", run_id=run_id, tags=_pairs(dict(batch)))
        for points in batches(self._new_points(source, one, there), METRICS_A_BATCH):
            self._tell("runs/log-batch", run_id=run_id, metrics=[self._point(point) for point in points])
        self._log_edges(one, there)
        failed = self._upload(source, one.location, there.location)
        ended = {} if run.ended_ms is None else {"end_time": run.ended_ms}
        if not failed:
            self._tell("runs/set-tag", run_id=run_id, key=WHOLE, value=one.mark)
        self._tell("runs/update", run_id=run_id, status=run.status, **ended)
        if run.lifecycle == "deleted":
            self._tell("runs/delete", run_id=run_id)
        _must_be_whole(failed)
        return True

    def registered(self, source: Source, model: RegisteredModel, versions: list[TheirVersion]) -> bool:
        """Make a registered model and its versions with their numbers; one deleted here is made and deleted."""
        there = next((one for one in self.there.models() if one.name == model.name), None)
        if there is None:
            said = {"name": model.name, "description": model.description, "tags": _pairs(model.tags)}
            self._tell("registered-models/create", **said)
        known = {one.version.number: one for one in self.there.versions(model)} if there is not None else {}
        new = there is None
        for one in _with_holes(versions):
            number = one.version.number
            if (found := known.get(number)) is not None and found.version.tags.get(VERSION) != _word(one):
                raise Conflict(f"{one.version.point} exists there already, and is not ours")
            if found is None and number > max(known, default=0):
                self._version(source, one)
                new = True
            if HOLE in one.version.tags and (found is not None or number > max(known, default=0)):
                self.client.tell("DELETE", f"{API}/model-versions/delete", {"name": model.name, "version": str(number)})
        for alias, number in model.aliases.items():
            self._tell("registered-models/alias", name=model.name, alias=alias, version=str(number))
        return new

    def end(self, experiments: list[Experiment]) -> None:
        """Delete there what is deleted here, now that nothing more comes into it."""
        for one in experiments:
            if one.lifecycle == "deleted" and one.id in self.experiments:
                self._tell("experiments/delete", experiment_id=self.experiments[one.id])

    def _version(self, source: Source, one: TheirVersion) -> None:
        version = one.version
        place, run_id, model_id = self._source_of(source, one)
        answer = self._tell(
            "model-versions/create", name=version.name, source=place, run_id=run_id, model_id=model_id,
            description=version.description, tags=_pairs(version.tags | {VERSION: _word(one)}),
        )  # fmt: skip
        number = int(answer["model_version"]["version"])
        if number != version.number:
            raise Conflict(
                f"{version.point} became version {number} there: numbers are not counted on from {number - 1}"
            )
        if version.stage != "None":
            self._tell("model-versions/transition-stage", name=version.name, version=str(number), stage=version.stage,
                       archive_existing_versions=False)  # fmt: skip

    def _source_of(self, source: Source, one: TheirVersion) -> tuple[str, str, str]:
        """A place there that holds exactly the files of a version: its model's, its run's, or that of a carrier."""
        version = one.version
        run = self.runs.get(version.run_id)
        if version.model_id in self.logged:
            made = self.logged[version.model_id]
            return f"models:/{made.model.id}", run.detail.run.id if run else "", made.model.id
        wanted = {(file.path, file.size_bytes) for file in source.files(one.location)}
        if run is not None and wanted:
            files = list(self.there.files(run.location))
            for below in {
                file.path.removesuffix("MLmodel").strip("/") for file in files if file.path.endswith("MLmodel")
            }:
                start = f"{below}/" if below else ""
                if {(f.path[len(start) :], f.size_bytes) for f in files if f.path.startswith(start)} == wanted:
                    return f"{run.location}/{below}".rstrip("/"), run.detail.run.id, ""
        return self._carried(source, one)

    def _carried(self, source: Source, one: TheirVersion) -> tuple[str, str, str]:
        """A run that holds nothing but the files of one version."""
        named = next((each.id for each in self.there.experiments() if each.name == CARRIER), None)
        place = named or str(self._tell("experiments/create", name=CARRIER)["experiment_id"])
        tags = {"taut.carries": one.version.point}
        made = self._tell(
            "runs/create", experiment_id=place, run_name=one.version.point, tags=_pairs(tags), start_time=0
        )
        info = made["run"]["info"]
        _must_be_whole(self._upload(source, one.location, f"{info['artifact_uri']}/model"))
        self._tell("runs/update", run_id=info["run_id"], status="FINISHED", end_time=0)
        return f"{info['artifact_uri']}/model", info["run_id"], ""

    def _tags(self, tags: dict[str, str]) -> dict[str, str]:
        """The tags of a run, as they are there: the parent has another id."""
        parent = self.runs.get(tags.get(PARENT, ""))
        return tags if parent is None else {**tags, PARENT: parent.detail.run.id}

    def _new_points(self, source: Source, one: TheirRun, there: TheirRun) -> Iterator[MetricPoint]:
        known = {point.measured_on("") for point in self.there.points(there)} if there.detail.metrics else set()
        for point in source.points(one):
            if point.model_id or point not in known:
                yield point

    def _point(self, point: MetricPoint) -> dict[str, Any]:
        value = "NaN" if point.value is None else point.value
        said = {"key": point.key, "value": value, "timestamp": point.at_ms, "step": point.step}
        model = self.logged.get(point.model_id)
        return said if model is None else {**said, "model_id": model.model.id}

    def _log_edges(self, one: TheirRun, there: TheirRun) -> None:
        """Inputs and outputs that are not there yet: a stock server takes an output once only."""
        run_id = there.detail.run.id
        inputs = [read for read in one.detail.inputs if read not in there.detail.inputs]
        moved = [self.logged[each.model_id].model for each in one.detail.model_inputs if each.model_id in self.logged]
        models_read = [model.id for model in moved if ModelInput(model.id) not in there.detail.model_inputs]
        if inputs or models_read:
            named = [{"model_id": model_id} for model_id in models_read]
            self._tell("runs/log-inputs", run_id=run_id, models=named, datasets=[
                {
                    "dataset": {
                        "name": read.name, "digest": read.digest, "source_type": read.source_type,
                        "source": read.source, "schema": read.columns, "profile": read.profile,
                    },
                    "tags": _pairs(read.tags),
                }
                for read in inputs
            ])  # fmt: skip
        known = {made.model_id for made in there.detail.outputs}
        made = [(self.logged[each.model_id].model.id, each.step) for each in one.detail.outputs
                if each.model_id in self.logged]  # fmt: skip
        models = [{"model_id": model_id, "step": step} for model_id, step in made if model_id not in known]
        if models:
            self._tell("runs/outputs", run_id=run_id, models=models)

    def _upload(self, source: Source, location: str, to: str) -> list[str]:
        """Copy files to where the server keeps them; returns what it did not take. What is there already stays."""
        here = {(file.path, file.size_bytes) for file in self.there.files(to)} if to else set()
        failed = []
        for file in source.files(location):
            if (file.path, file.size_bytes) in here:
                continue
            try:
                with source.open(location, file.path) as stream:
                    self._put(to, file, stream)
            except (Invalid, Denied, Conflict, OSError) as problem:
                failed.append(f"its file {file.path!r} was not taken: {problem}")
        return failed

    def _put(self, root: str, file: File, stream: BinaryIO) -> None:
        """One file, through the server's proxy or into a folder that this machine shares with it."""
        if scheme_of(root) == PROXIED:
            self.client.upload(f"{ARTIFACTS}/{quoted(f'{artifact_path(root)}/{file.path}')}", stream, file.size_bytes)
            return
        folder = Path(root.removeprefix("file://"))
        if scheme_of(root) not in {"", "file"} or not any(parent.is_dir() for parent in list(folder.parents)[:-1]):
            raise Invalid(f"the server keeps it in {root}, which cannot be written from here")
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / file.path).open("wb") as target:
            shutil.copyfileobj(stream, target)

    def _tell(self, path: str, /, **body: object) -> dict[str, Any]:
        return self.client.tell("POST", f"{API}/{path}", body)


def _with_holes(versions: list[TheirVersion]) -> Iterator[TheirVersion]:
    """Versions by number; in place of one that was deleted here, the next one again, marked as a hole."""
    number = 0
    for one in sorted(versions, key=lambda each: each.version.number):
        number += 1
        while number < one.version.number:
            hole = replace(one.version, number=number, stage="None", description="", tags={HOLE: "1"})
            yield replace(one, version=hole)
            number += 1
        yield one


def _word(one: TheirVersion) -> str:
    """What tells a version of this home from one of another that has the same name and number."""
    return f"{one.version.point} {one.version.created_ms} {one.version.digest[:12]}"


def _must_be_whole(failed: list[str]) -> None:
    if failed:
        raise Invalid("; ".join(failed))


def _pairs(pairs: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs.items()]
