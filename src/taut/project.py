"""taut.yaml: the gate, the deployments, the monitors and what an alert triggers. The one small file that taut adds."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from taut.errors import Invalid, NotFound
from taut.ground.clock import duration_ms
from taut.ground.yaml import read_yaml

FILE = "taut.yaml"
ANSWER_MAX_MS = 600_000
WORKERS_MAX = 256  # More processes on one socket than any machine has a use for.

LEARN_FROM = ("all", "since-reference")  # Besides durations: from which moment on a retraining learns.

Measure = Literal["roc_auc", "brier", "log_loss", "accuracy", "calibration_error"]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of taut.yaml: a misspelt key is an error, not a silence."""


def _must_last(written: str, name: str) -> None:
    """Raises ValueError where something is no duration."""
    try:
        duration_ms(written)
    except Invalid as problem:
        raise ValueError(f"{name}: {problem.message}") from None


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


class LimitsSpec(_Section, frozen=True):
    """What bounds one request, and all that a serving process holds at once.

    `body` is the size of a request, `answer` the time until its answer; `waiting` requests may be accepted and not yet
    answered, `share` of them for one known caller (0: no bound of its own). `model_memory` bounds each process of a
    model that is not compiled (empty: no bound).
    """

    body: str = "16Mi"
    answer: str = "10s"
    waiting: int = 2048
    share: int = 0
    model_memory: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what is no duration, none that a server keeps, or no count."""
        try:
            answer_ms = duration_ms(self.answer)
        except Invalid as problem:
            raise ValueError(problem.message) from None
        if not 0 < answer_ms <= ANSWER_MAX_MS:
            raise ValueError(f"an answer may take up to {ANSWER_MAX_MS // 60_000} min, and more than nothing")
        if self.waiting < 1 or self.share < 0:
            raise ValueError("waiting is 1 at least, share 0 at least")


class RollbackSpec(_Section, frozen=True):
    """What a canary may do worse than the live version before it is taken away, and how sure that has to be.

    `errors` and `slower` are shares of requests beyond live's: those that fail, and those that take longer than
    `latency_ms` (0: `latency_factor` times live's 99th percentile). `harm` is what the mean loss of labelled rows may
    be beyond live's (left out: labels are not looked at): the square of what the output `score` is off its label, both
    between 0 and 1, else whether the prediction is wrong; labels are waited for during `lateness`, in the time of
    events. `alpha` bounds the chance that a canary as good as that is ever taken away, over all steps; none is before
    it has answered `min_requests`.
    """

    automatic: bool = True
    errors: float = 0.01
    slower: float = 0.01
    latency_ms: float = 0.0
    latency_factor: float = 2.0
    harm: float | None = None
    score: str = "probability"
    lateness: str = "0 s"
    alpha: float = 0.01
    min_requests: int = 100

    def __post_init__(self) -> None:
        """Raises ValueError, which readers of YAML tell with the place, for what is no share, bound or count."""
        if self.harm is not None and not 0.0 <= self.harm < 1.0:
            raise ValueError("harm is a difference of mean losses, from 0 to below 1")
        try:
            duration_ms(self.lateness)
        except Invalid as problem:
            raise ValueError(problem.message) from None
        if not (0.0 <= self.errors < 1.0 and 0.0 <= self.slower < 1.0 and 0.0 < self.alpha < 1.0):
            raise ValueError("errors and slower are shares from 0 to below 1, alpha lies between 0 and 1")
        if not (0.0 <= self.latency_ms < 1e9 and 0.0 < self.latency_factor < 1e9 and self.min_requests >= 0):
            raise ValueError("latency_ms, latency_factor and min_requests are not below 0")


class RolloutSpec(_Section, frozen=True):
    """How a new version takes over: by which shares in percent, each for at least `hold` and `requests` of its own.

    Without steps it takes over at once. `by_key` is the input column, or `header:NAME`, whose value decides who gets
    the canary; empty is the header `x-routing-key` where there is one. `ungated_shadows` lets versions be shadows that
    no gate has judged.
    """

    steps: tuple[float, ...] = ()
    hold: str = "10min"
    requests: int = 100
    by_key: str = ""
    ungated_shadows: bool = False
    rollback: RollbackSpec = RollbackSpec()

    def __post_init__(self) -> None:
        """Raises ValueError where the steps do not rise or go past 100 %, or `hold` is no duration."""
        if any(not 0.0 < step <= 100.0 for step in self.steps) or list(self.steps) != sorted(set(self.steps)):
            raise ValueError("steps are percent, each larger than the one before, the last 100 at most")
        if self.requests < 0:
            raise ValueError("requests are not below 0")
        try:
            duration_ms(self.hold)
        except Invalid as problem:
            raise ValueError(problem.message) from None


class DeploymentSpec(_Section, frozen=True):
    """What shall serve: `model` is `name@alias` or `name@number`; port 0 takes a free one.

    `log` says what is kept of its answers, `access_log` which requests get a line in its output; with a `grpc_port` it
    speaks gRPC there. `workers` processes answer side by side, 0 is one for each core that they
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
    rollout: RolloutSpec | None = None
    limits: LimitsSpec = LimitsSpec()
    access_log: Literal["off", "errors", "all"] = "off"
    grpc_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    access: Literal["auto", "open", "token"] = "auto"
    rate: str = ""


class TellSpec(_Section, frozen=True):
    """Who is told, by the names of receivers: of alerts that are a page, of those that are a ticket.

    Each hears when an alert was opened and when it was closed; those among `updates` of every window in alarm too.
    """

    page: tuple[str, ...] = ()
    ticket: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()

    def of(self, severity: str) -> tuple[str, ...]:
        """Who hears of alerts of a severity."""
        return self.page if severity == "page" else self.ticket


class ReceiverSpec(_Section, frozen=True):
    """A place that is told of alerts. What is secret stands in environment variables, named by the `..._from` keys.

    `webhook`, `slack` and `alertmanager` have a `url` or a `url_from`; a webhook's `secret_from` signs what it gets.
    `email` goes from `sender` to the addresses in `to` by way of `host` and `port`, with the user and password that
    `user_from` and `password_from` name; `tls` is how its line is secured.
    """

    kind: Literal["webhook", "slack", "alertmanager", "email"]
    url: str = ""
    url_from: str = ""
    secret_from: str = ""
    host: str = ""
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user_from: str = ""
    password_from: str = ""
    sender: str = ""
    to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError where what its kind needs is missing, or belongs to another kind."""
        of_mail = bool(self.host or self.sender or self.to or self.user_from or self.password_from)
        if self.kind == "email":
            if not (self.host and self.sender and self.to) or self.url or self.url_from or self.secret_from:
                raise ValueError("an email has host, sender and to, and no url")
            if bool(self.user_from) != bool(self.password_from):
                raise ValueError("user_from and password_from come together")
        elif bool(self.url) == bool(self.url_from) or of_mail:
            raise ValueError(f"a receiver of the kind {self.kind} has a url or a url_from, and nothing of an email")
        if self.secret_from and self.kind != "webhook":
            raise ValueError("only a webhook is signed: secret_from belongs to the kind webhook")


class NotifySpec(TellSpec, frozen=True):
    """The receivers by name, and who of them is told where a monitor says nothing of its own."""

    receivers: dict[str, ReceiverSpec] = {}


class MonitorSpec(_Section, frozen=True):
    """How a deployment is watched. `score` is the output that is a probability of the positive class.

    `alpha` bounds the chance of any false page over the whole life of a reference; with `alpha_per: year` it is the
    budget of a year, and so many of them pass on average until one comes. `notify` left out is that of the whole file.
    For `cooldown`, in the time of events, after an alert was closed, the next one of the same budget about the same
    version is written down and not told.
    """

    score: str = "probability"
    window: str = "7d"
    lateness: str = "0 s"
    reference: str = "28d"
    alpha: float = 0.01
    alpha_per: Literal["life", "year"] = "life"
    tolerance: float = 0.01
    features: tuple[str, ...] = ()
    notify: TellSpec | None = None
    cooldown: str = "7d"

    def __post_init__(self) -> None:
        """Raises ValueError where the cool-down is no duration."""
        _check_duration(self.cooldown)


class BudgetSpec(_Section, frozen=True):
    """How many retrainings a trigger may start within `per`, in the time of events."""

    runs: int = 3
    per: str = "30d"

    def __post_init__(self) -> None:
        """Raises ValueError where there is not one run at least, or `per` is no duration."""
        if self.runs < 1:
            raise ValueError("a budget has 1 run at least; without a trigger nothing is retrained at all")
        _must_last(self.per, "per")


class TriggerSpec(_Section, frozen=True):
    """What an alert starts: a command that trains on `labelled`, the labelled rows, less the newest in `holdout`.

    An alert waits, open, while the `cooldown` since the last answer runs (in the time of events), until as many
    `labels` have come since then, and while the `budget` is spent. 100 labels are what a gate asks for at least.
    `learn_from` is the window to learn from: `all`, `since-reference` (what came since the reference in force began),
    or a duration before the rows that are held back to judge by.
    """

    on: Literal["page", "ticket"] = "page"
    run: str = ""
    model: str = ""
    labelled: str = "data/labelled.csv"
    holdout: str = "data/holdout.csv"
    holdout_for: str = "14d"
    cooldown: str = "14d"
    labels: int = 100
    budget: BudgetSpec = BudgetSpec()
    learn_from: str = "all"
    target: str = "label"

    def __post_init__(self) -> None:
        """Raises ValueError, which readers of YAML tell with the place, for what is no duration or no count."""
        _must_last(self.holdout_for, "holdout_for")
        _must_last(self.cooldown, "cooldown")
        if self.labels < 0:
            raise ValueError("labels is a count of new labels, 0 at least")
        if self.learn_from not in LEARN_FROM:
            try:
                long_ms = duration_ms(self.learn_from)
            except Invalid:
                long_ms = 0
            if not long_ms:
                raise ValueError(
                    f"learn_from is {', '.join(LEARN_FROM)} or a duration, as 90d; not {self.learn_from!r}"
                )


class ProjectFile(_Section, frozen=True):
    """The whole of taut.yaml; monitors and triggers are named by the deployment they belong to."""

    models: dict[str, ModelSpec] = {}
    deployments: dict[str, DeploymentSpec] = {}
    monitors: dict[str, MonitorSpec] = {}
    triggers: dict[str, TriggerSpec] = {}
    notify: NotifySpec = NotifySpec()

    def __post_init__(self) -> None:
        """Give monitors that name nobody the receivers of all. Raises ValueError for a receiver that is not there."""
        every = TellSpec(page=self.notify.page, ticket=self.notify.ticket, updates=self.notify.updates)
        told = {name: monitor.notify or every for name, monitor in self.monitors.items()}
        for where, one in {"notify": every, **{f"monitors: {name}: notify": one for name, one in told.items()}}.items():
            unknown = sorted({*one.page, *one.ticket, *one.updates} - self.notify.receivers.keys())
            if unknown:
                raise ValueError(f"{where} names {', '.join(unknown)}, which notify: receivers: does not hold")
        monitors = {name: msgspec.structs.replace(one, notify=told[name]) for name, one in self.monitors.items()}
        msgspec.structs.force_setattr(self, "monitors", monitors)

    def gate_of(self, model: str) -> GateSpec:
        """What versions of a model must pass. Raises NotFound."""
        found = self.models.get(model)
        if found is None or found.gate is None:
            raise NotFound(
                f"taut.yaml has no gate for model {model!r}", hint=f"add models: {model}: gate: to taut.yaml"
            )
        return found.gate


def _check_duration(written: str) -> None:
    """Raises ValueError, which readers of YAML tell with the place, for what is no duration."""
    try:
        duration_ms(written)
    except Invalid as problem:
        raise ValueError(problem.message) from None


def read_project(folder: Path) -> ProjectFile:
    """Read `folder/taut.yaml`. Raises NotFound where there is none, Invalid with line and column."""
    return read_yaml(folder / FILE, ProjectFile)
