"""taut.yaml: the gate, the deployments, the monitors and what an alert triggers. The one small file that taut adds."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from taut.errors import NotFound
from taut.ground.yaml import read_yaml

FILE = "taut.yaml"
WORKERS_MAX = 256  # More processes on one socket than any machine has a use for.

Measure = Literal["roc_auc", "brier", "log_loss", "accuracy", "calibration_error"]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of taut.yaml: a misspelt key is an error, not a silence."""


class CheckSpec(_Section, frozen=True):
    """One question of a gate: a measure within bounds, or not worse than the champion's.

    `worse_by_at_most` is in the measure's own units; the check passes where the 95 % interval of the paired difference
    does not show the candidate worse by more than that.
    """

    measure: Measure
    at_least: float | None = None
    at_most: float | None = None
    against: Literal["", "champion"] = ""
    worse_by_at_most: float = 0.0


class GateSpec(_Section, frozen=True):
    """What a version must pass: labelled rows in a CSV file, its target column, and the checks.

    `time` names the column with each row's ISO time, whose days are resampled whole: rows of one day share their
    luck. `improves`: where there is a champion, at least one of these measures must be shown better than its.
    `reproduced`: the run that made the version must have been run again by `taut reproduce`, with this verdict or a
    better one. `contract`: the labelled rows must keep this contract of `taut data contract`, a file beside taut.yaml.
    """

    data: str
    target: str
    time: str = ""
    improves: tuple[Measure, ...] = ()
    checks: tuple[CheckSpec, ...] = ()
    reproduced: Literal["", "bytes", "content", "predictions", "metrics"] = ""
    contract: str = ""


class ModelSpec(_Section, frozen=True):
    """A registered model."""

    gate: GateSpec | None = None


class LogSpec(_Section, frozen=True):
    """What of a deployment's answers is kept: see `taut.serve.log.policy.Policy`.

    `sample` is the share of requests, `redact` names input columns that are never written down, `retain` is how long
    answers are kept (empty: for good). `encrypt` left out: where the home has a key. `asynchronous` is a duration:
    answers do not wait for the log, and a crash loses at most what was said in it, or so many records.
    """

    sample: float = 1.0
    redact: tuple[str, ...] = ()
    encrypt: bool | None = None
    retain: str = ""
    fsync: Literal["no", "batch"] = "no"
    asynchronous: str = ""
    asynchronous_records: int = 1000


class DeploymentSpec(_Section, frozen=True):
    """What shall serve: `model` is `name@alias` or `name@number`; port 0 takes a free one.

    `log` says what is kept of its answers; `workers` processes answer side by side, 0 is one for each core that they
    may use. For Kubernetes `image` is the repository that the cluster pulls from, and `replicas_max` above `replicas`
    scales. `access` says who may ask: whom the home lets in (`token`), everybody (`open`), or the one or the other as
    the home's server would (`auto`); `rate` how often each caller may, as `100/s` or `100/s burst 20`.
    """

    model: str
    target: Literal["process", "docker", "kubernetes"] = "process"
    host: str = "127.0.0.1"
    port: int = 0
    replicas: int = 1
    cpu: str = "1"
    memory: str = "1Gi"
    image: str = ""
    replicas_max: int = 0
    log: LogSpec = LogSpec()
    workers: Annotated[int, msgspec.Meta(ge=0, le=WORKERS_MAX)] = 0
    access: Literal["auto", "open", "token"] = "auto"
    rate: str = ""


class MonitorSpec(_Section, frozen=True):
    """How a deployment is watched. `score` is the output that is a probability of the positive class.

    `alpha` bounds the chance of any false page over the whole life of a reference.
    """

    score: str = "probability"
    window: str = "7d"
    lateness: str = "0 s"
    reference: str = "28d"
    alpha: float = 0.01
    tolerance: float = 0.01
    features: tuple[str, ...] = ()


class TriggerSpec(_Section, frozen=True):
    """What an alert starts: a command that trains on `labelled`, the labelled rows, less the newest in `holdout`."""

    on: Literal["page", "ticket"] = "page"
    run: str = ""
    model: str = ""
    labelled: str = "data/labelled.csv"
    holdout: str = "data/holdout.csv"
    holdout_for: str = "14d"
    cooldown: str = "14d"
    target: str = "label"


class ProjectFile(_Section, frozen=True):
    """The whole of taut.yaml; monitors and triggers are named by the deployment they belong to."""

    models: dict[str, ModelSpec] = {}
    deployments: dict[str, DeploymentSpec] = {}
    monitors: dict[str, MonitorSpec] = {}
    triggers: dict[str, TriggerSpec] = {}

    def gate_of(self, model: str) -> GateSpec:
        """What versions of a model must pass. Raises NotFound."""
        found = self.models.get(model)
        if found is None or found.gate is None:
            raise NotFound(
                f"taut.yaml has no gate for model {model!r}", hint=f"add models: {model}: gate: to taut.yaml"
            )
        return found.gate


def read_project(folder: Path) -> ProjectFile:
    """Read `folder/taut.yaml`. Raises NotFound where there is none, Invalid with line and column."""
    return read_yaml(folder / FILE, ProjectFile)
