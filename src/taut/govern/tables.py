"""Which subjects of the ledger the rows of each table belong to: what an anchor digests, and what may change them.

A row belongs to a group; whatever changes a group appends an entry that names one of its subjects. So a group whose
subjects no entry has named since an anchor must be what it was then.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

Key = tuple[str, ...]

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Rows of one table in groups by `key`, expressions of SQL; `subjects` are those that a group belongs to.

    `order` says how the rows of a group follow each other, the primary key where nothing is said; it begins with what
    tells groups apart. `instead` digests another expression in a column's place. `grows` says that rows are only ever
    added, by what no entry tells: then `where` chooses those from before the anchor.
    """

    table: str
    key: tuple[str, ...]
    subjects: Callable[[Key], tuple[str, ...]]
    join: str = ""
    order: tuple[str, ...] = ()
    instead: dict[str, str] = field(default_factory=dict)
    where: str = ""
    name: str = ""
    grows: bool = False

    @property
    def called(self) -> str:
        """What it is named in the ledger."""
        return self.name or self.table


def _point(kind: str) -> Callable[[Key], tuple[str, ...]]:
    return lambda key: (f"{kind}:{key[0]}",)


def _numbered(kind: str) -> Callable[[Key], tuple[str, ...]]:
    return lambda key: (f"{kind}:{key[0]}@{key[1]}",)


def _run(key: Key) -> tuple[str, ...]:
    run_id, experiment_id = key
    return (f"run:{run_id}", f"experiment:{experiment_id}")


def _trace(key: Key) -> tuple[str, ...]:
    trace_id, experiment_id, *linked = key
    runs = (f"run:{linked[1]}",) if linked and linked[0] == "run" else ()
    return (f"trace:{trace_id}", f"experiment:{experiment_id}", *runs)


def _artifact(key: Key) -> tuple[str, ...]:
    """`EXPERIMENT/RUN/artifacts`, `EXPERIMENT/models/MODEL/artifacts` or `EXPERIMENT/traces/TRACE/artifacts`."""
    experiment_id, *parts = key[0].split("/")
    owner = f"logged-model:{parts[1]}" if parts[0] == "models" else f"trace:{parts[1]}"
    return (f"run:{parts[0]}" if len(parts) == 2 else owner, f"experiment:{experiment_id}") if len(parts) > 1 else ()


def _grant(key: Key) -> tuple[str, ...]:
    set_id, kind, resource, user = key
    return (f"grants:{set_id}", f"user:{user}", f"actor:{user}", f"{kind}:{resource}")


def _token(key: Key) -> tuple[str, ...]:
    """A session ends with its user's password, and an own token with its user."""
    return (f"token:{key[0]}", f"user:{key[1]}")


def _binding(key: Key) -> tuple[str, ...]:
    user, project = key
    return (f"user:{user}", f"project:{project}")


def _version(key: Key) -> tuple[str, ...]:
    name, number = key
    return (f"model:{name}@{number}", f"model:{name}")


def _moved(key: Key) -> tuple[str, ...]:
    """What was moved is named by an id of ours, or by a whole point, as `model:churn@3`."""
    ids = (f"{kind}:{key[2]}" for kind in ("experiment", "run", "logged-model", "model", "trace"))
    return (*ids, key[2], without_number(key[2]))


def _arrow(key: Key) -> tuple[str, ...]:
    """An alias is moved by what names its model: `alias:churn@champion`."""
    aliased = [f"model:{point[6:].rpartition('@')[0]}" for point in key if point.startswith("alias:")]
    return (*(form for point in key for form in (point, without_number(point))), *aliased)


def without_number(point: str) -> str:
    """A point without the number of its version: `model:churn` of `model:churn@3`.

    >>> without_number("model:churn@3"), without_number("user:ada@example.org")
    ('model:churn', 'user:ada@example.org')
    """
    name, _, number = point.rpartition("@")
    return name if name and number.isdigit() else point


TRACE_JOIN = "LEFT JOIN trace ON trace.id = {table}.trace_id"
SET_JOIN = "LEFT JOIN grant_set ON grant_set.id = {table}.set_id LEFT JOIN account ON account.id = grant_set.account_id"
_SERIES_JOIN = "LEFT JOIN series ON series.id = {table}.series"


def _of_trace(table: str) -> Scope:
    return Scope(table, (f"{table}.trace_id", "COALESCE(trace.experiment_id, '')"), _trace, join=TRACE_JOIN)


def _of_deployment(table: str) -> Scope:
    return Scope(table, ("deployment",), lambda key: (f"deployment:{key[0]}", f"window:{key[0]}"))


SCOPES: tuple[Scope, ...] = (
    Scope("experiment", ("id",), _point("experiment")),
    Scope("run", ("id", "experiment_id"), _run),
    *(Scope(table, ("run_id",), _point("run")) for table in ("run_input", "run_output", "run_model_input")),
    Scope("reproduction", ("run_id",), _point("run"), order=("run_id", "id")),
    *(Scope(table, ("run_id",), _point("run")) for table in ("param", "run_tag")),
    # Whether a series has moved of late is housekeeping, and may be done by what is logged to another run.
    Scope(
        "series",
        ("run_id",),
        _point("run"),
        instead={
            "newest": "CASE WHEN newest = 2 THEN 1 ELSE newest END",
            "stood": "CASE WHEN newest = 1 AND stood = value THEN NULL WHEN newest = 2 THEN NULL ELSE stood END",
        },
        order=("run_id", "id"),
    ),
    Scope("point", ("series", "COALESCE(series.run_id, '')"), lambda key: (f"run:{key[1]}",), join=_SERIES_JOIN,
          order=("point.series", "point.step", "point.at_ms", "point.value")),
    Scope("chunk", ("series", "COALESCE(series.run_id, '')"), lambda key: (f"run:{key[1]}",), join=_SERIES_JOIN),
    Scope("artifact", ("root",), _artifact),
    Scope("artifact_folder", ("root",), _artifact),
    Scope("logged_model", ("id",), _point("logged-model")),
    Scope("trace", ("id", "experiment_id"), _trace),
    *(_of_trace(table) for table in ("trace_tag", "trace_metadata", "trace_span", "trace_assessment")),
    Scope("trace_link", ("trace_link.trace_id", "COALESCE(trace.experiment_id, '')", "kind", "target"), _trace,
          join=TRACE_JOIN),
    Scope("evaluation_dataset", ("id",), _point("evaluation")),
    Scope("evaluation_record", ("dataset_id",), _point("evaluation")),
    Scope("evaluation_experiment", ("dataset_id",), _point("evaluation")),
    Scope("registered_model", ("name",), _point("model")),
    Scope("model_version", ("name",), _point("model")),
    Scope("model_alias", ("name",), _point("model")),
    Scope("compilation", ("model", "number"), _numbered("model")),
    Scope("batch_job", ("id", "model"), lambda key: (f"batch:{key[0]}", f"model:{key[1]}")),
    Scope("gate_result", ("id", "model"), lambda key: (f"gate:{key[0]}", f"model:{key[1]}")),
    Scope("dataset_version", ("name", "number"), _numbered("data")),
    Scope("dataset_profile", ("name", "number"), _numbered("data")),
    Scope("lineage", ("source", "target"), _arrow),
    Scope("deployment", ("name", "revision"), _numbered("deployment")),
    Scope("deployment_backend", ("name", "revision"), _numbered("deployment")),
    Scope("deployment_state", ("name",), _point("deployment")),
    Scope("label", ("deployment",), _point("deployment")),
    *(_of_deployment(table) for table in ("monitor_reference", "monitor_window", "monitor_state", "monitor_counts")),
    Scope("alert", ("id",), _point("alert")),
    Scope("step", ("plan",), lambda key: (key[0],)),
    # When a token was last used no entry tells: it is noted now and then, for whoever looks for tokens to end.
    Scope("token", ("token.id", "COALESCE(account.name, '')"), _token, instead={"used_ms": "NULL"},
          join="LEFT JOIN account ON account.id = token.account_id"),
    Scope("project", ("name",), _point("project")),
    Scope("binding", ("COALESCE(account.name, '')", "COALESCE(project.name, '')"), _binding,
          join="LEFT JOIN account ON account.id = binding.account_id LEFT JOIN project ON project.id = binding.project",
          order=("account.name", "project.name", "binding.id")),
    Scope("trust", ("trust.id", "COALESCE(project.name, '')"), lambda key: (f"trust:{key[0]}", f"project:{key[1]}"),
          join="LEFT JOIN project ON project.id = trust.project"),
    Scope("group_role", ("group_role.name", "COALESCE(project.name, '')"),
          lambda key: (f"group:{key[0]}", f"project:{key[1]}"),
          join="LEFT JOIN project ON project.id = group_role.project",
          order=("group_role.name", "project.name", "group_role.role")),
    Scope("account_link", ("COALESCE(account.name, '')",), _point("user"),
          join="LEFT JOIN account ON account.id = account_link.account_id",
          order=("account.name", "account_link.issuer", "account_link.subject")),
    Scope("oidc_client", ("issuer", "client_id"), lambda key: (f"oidc-client:{key[0]} {key[1]}",)),
    Scope("approval_policy", ("model",), _point("model")),
    Scope("promotion", ("model", "number"), _version, order=("model", "number", "id")),
    Scope("decision", ("promotion.model", "promotion.number"), _version,
          join="JOIN promotion ON promotion.id = decision.promotion",
          order=("promotion.model", "promotion.number", "decision.promotion", "decision.person")),
    Scope("account", ("name",), _point("user")),
    Scope("access_state", (), lambda _: ("access",)),
    Scope("grant_set", ("grant_set.id", "COALESCE(account.name, '')"),
          lambda key: (f"grants:{key[0]}", f"user:{key[1]}", f"actor:{key[1]}"),
          join="LEFT JOIN account ON account.id = grant_set.account_id"),
    Scope("grant_row", ("set_id", "kind", "resource", "COALESCE(account.name, '')"), _grant, join=SET_JOIN),
    Scope("grant_holder", ("set_id", "COALESCE(account.name, '')"),
          lambda key: (f"grants:{key[0]}", f"user:{key[1]}"),
          join="LEFT JOIN account ON account.id = grant_holder.account_id"),
    Scope("webhook", ("id",), _point("webhook")),
    Scope("moved", ("source", "kind", "ours"), _moved),
    Scope("ledger_key", (), lambda _: ("ledger:key",)),
    Scope("ledger_kept", ("origin",), _point("ledger")),
    Scope("prediction_segment", ("deployment", "number"), _numbered("segment")),
    # No entry tells of a prediction, which is written once: those of past hours lie in groups by hour, the last alone.
    Scope("prediction", ("deployment", "at_ms / 3600000"), lambda key: (f"predictions:{key[0]}",),
          where="at_ms < :open_ms", grows=True),
    Scope("prediction", ("deployment", "id"), lambda key: (f"predictions:{key[0]}",),
          where="at_ms >= :open_ms AND at_ms <= :until_ms", name="prediction of the last hour", grows=True),
)  # fmt: skip

CATALOGUE = Scope("catalogue", (), lambda _: ())
"""The tables, indexes, triggers and functions themselves: only an upgrade changes them."""

EXEMPT: dict[str, str] = {
    "ledger": "the tree covers it",
    "ledger_tile": "it is held against the entries",
    "ledger_state": "the entries of anchors name its hashes",
    "deployment_figures": "what Prometheus was told last; it is computed from what is digested, and decides nothing",
    "migration": "a newer taut adds to it, and an older one refuses it",
    "answered": "answers of the last day, forgotten after it",
    "moving_run": "where searches look for what has not settled; housekeeping, which fsck holds against the series",
    "rollout": "counts of a canary under way; what came of them stands in the revision that ended it",
    "shown_token": "ID tokens of the last day, which count no second time; forgotten when they would not count anyway",
    "prediction_journal": "how far journals lie in segments; journals are files of machines, which no anchor sees",
    "webhook_cursor": "how far the ledger was read for webhooks; nothing is decided by it",
    "notice": "a queue: what came of each is told by the ledger, and what it tells stands in its alert",
    "webhook_delivery": "a queue: what is in it was told by the ledger",
}
"""Tables that no anchor digests, and why."""
