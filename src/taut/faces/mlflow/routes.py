"""THE table of MLflow routes: method, path, permission, what is asked and what answers. One function, one row each."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from taut.faces.mlflow import (
    assessments,
    browsing,
    evaluation,
    experiments,
    files,
    graphql,
    logged,
    otlp,
    registry,
    roles,
    runs,
    traces,
    users,
    webhooks,
    workspaces,
)
from taut.home import Home
from taut.runs import Batch

Answer = Callable[[Home, Any], dict[str, Any] | Batch]
Stream = Callable[[Home, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. `path` stands below `/api/2.0/` and `/ajax-api/2.0/`, or those of another `api`; one that begins
    with a slash is reached as it is written, and nowhere else. `needs` is checked before anything is read.

    `takes` is what the JSON body, the query and the path are put together into; where it is None, `answers` reads
    the request itself. Where it `logs`, it answers with a batch, which is written with those that others log just then.
    What is `short` takes a read or a small transaction, and is done on the event loop where nothing holds it up.
    """

    method: str
    path: str
    needs: str
    answers: Answer | Stream
    takes: type[msgspec.Struct] | None = None
    api: str = "2.0"
    logs: bool = False
    short: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        """The paths it is reached at: the second is the one that MLflow's own pages use."""
        if self.path.startswith("/"):
            return (self.path,)
        return f"/api/{self.api}/{self.path}", f"/ajax-api/{self.api}/{self.path}"

    @property
    def heeds_keys(self) -> bool:
        """Whether an Idempotency-Key counts: where something is changed, within the home, and answered in JSON."""
        changes = self.method != "GET" and not self.needs.endswith(":read")
        return changes and self.takes is not None and self.answers is not webhooks.test

    @property
    def of_server(self) -> bool:
        """Whether what it changes stands in the server's own home, whatever the project: users do."""
        return self.answers in OF_SERVER


OF_SERVER = frozenset({users.create, users.update_password, users.update_admin, users.delete, workspaces.update})
E = "mlflow/experiments"
R = "mlflow/runs"
L = "mlflow/logged-models"
M = "mlflow/registered-models"
V = "mlflow/model-versions"
A = "mlflow-artifacts/artifacts"
U = "mlflow/users"
G = "mlflow/roles"
T = "mlflow/traces"
ASSESSMENT = T + "/{trace_id}/assessments/{assessment_id}"
W = "mlflow/webhooks"
D = "mlflow/datasets"
P = "mlflow/workspaces"
PAGES = "/ajax-api/2.0/mlflow"  # What only MLflow's own pages ask.

ROUTES: tuple[Route, ...] = (
    Route("POST", f"{E}/create", "experiment:create", experiments.create, experiments.Create),
    Route("GET", f"{E}/get", "run:read", experiments.get, experiments.ById, short=True),
    Route("GET", f"{E}/get-by-name", "run:read", experiments.get_by_name, experiments.ByName, short=True),
    Route("POST", f"{E}/search", "run:read", experiments.search, experiments.Search),
    Route("GET", f"{E}/search", "run:read", experiments.search, experiments.Search),
    Route("POST", f"{E}/update", "experiment:write", experiments.update, experiments.Update),
    Route("POST", f"{E}/delete", "experiment:admin", experiments.delete, experiments.ById),
    Route("POST", f"{E}/restore", "experiment:admin", experiments.restore, experiments.ById),
    Route("POST", f"{E}/set-experiment-tag", "experiment:write", experiments.set_tag, experiments.Tag, short=True),
    Route("POST", f"{E}/delete-experiment-tag", "experiment:write", experiments.delete_tag, experiments.Tag),
    Route("POST", f"{R}/create", "run:write", runs.create, runs.Create, short=True),
    Route("GET", f"{R}/get", "run:read", runs.get, runs.ById, short=True),
    Route("POST", f"{R}/update", "run:write", runs.update, runs.Update, short=True),
    Route("POST", f"{R}/delete", "run:delete", runs.delete, runs.ById),
    Route("POST", f"{R}/restore", "run:delete", runs.restore, runs.ById),
    Route("POST", f"{R}/search", "run:read", runs.search, runs.Search),
    Route("POST", f"{R}/log-metric", "run:write", runs.log_metric, runs.Metric, logs=True),
    Route("POST", f"{R}/log-parameter", "run:write", runs.log_param, runs.Param, logs=True),
    Route("POST", f"{R}/set-tag", "run:write", runs.set_tag, runs.Param, logs=True),
    Route("POST", f"{R}/delete-tag", "run:write", runs.delete_tag, runs.Key, short=True),
    Route("POST", f"{R}/log-batch", "run:write", runs.log_all, runs.LogBatch, logs=True),
    Route("POST", f"{R}/log-inputs", "run:write", runs.inputs, runs.Inputs, short=True),
    Route("POST", f"{R}/outputs", "run:write", runs.outputs, runs.Outputs, short=True),
    Route("POST", f"{R}/log-model", "run:write", browsing.note, browsing.Noted),
    Route("GET", "mlflow/metrics/get-history", "run:read", runs.history, runs.History),
    Route("GET", "mlflow/metrics/get-history-bulk-interval", "run:read", runs.chart, runs.Chart),
    Route("GET", "mlflow/artifacts/list", "artifact:read", runs.files, runs.Files),
    Route("GET", A, "artifact:read", files.list_files),
    Route("GET", A + "/{path:path}", "artifact:read", files.download),
    Route("PUT", A + "/{path:path}", "artifact:write", files.upload),
    Route("DELETE", A + "/{path:path}", "artifact:write", files.delete),
    Route("GET", "/get-artifact", "artifact:read", browsing.run_file),
    Route("GET", "/model-versions/get-artifact", "artifact:read", browsing.version_file),
    Route("GET", f"{PAGES}/logged-models/{{model_id}}/artifacts/files", "artifact:read", browsing.model_file),
    Route("GET", L + "/{model_id}/artifacts/directories", "run:read", browsing.directory, browsing.Directory),
    Route("GET", f"{PAGES}/get-trace-artifact", "run:read", browsing.trace_file),
    Route("GET", "/ajax-api/3.0/mlflow/get-trace-artifact", "run:read", browsing.trace_file),
    Route("POST", f"{PAGES}/upload-artifact", "artifact:write", browsing.upload),
    Route("GET", f"{PAGES}/metrics/get-history-bulk", "run:read", browsing.bulk_history, browsing.Bulk),
    Route("POST", f"{E}/search-datasets", "run:read", browsing.datasets, browsing.Experiments),
    # MLflow writes this path without its slash, and its pages ask for it so.
    Route(
        "POST", "/ajax-api/2.0mlflow/experiments/search-datasets", "run:read", browsing.datasets, browsing.Experiments
    ),
    Route("POST", "/graphql", "run:read", graphql.ask, graphql.Query),
    Route("GET", "/graphql", "run:read", graphql.ask, graphql.Query),
    Route("POST", L, "run:write", logged.create, logged.Create),
    Route("POST", f"{L}/search", "run:read", logged.search, logged.Search),
    Route("GET", L + "/{model_id}", "run:read", logged.get, logged.ById),
    Route("PATCH", L + "/{model_id}", "run:write", logged.finish, logged.Finish),
    Route("DELETE", L + "/{model_id}", "run:delete", logged.delete, logged.ById),
    Route("POST", L + "/{model_id}/params", "run:write", logged.log_params, logged.Params),
    Route("PATCH", L + "/{model_id}/tags", "run:write", logged.set_tags, logged.Tags),
    Route("DELETE", L + "/{model_id}/tags/{tag_key}", "run:write", logged.delete_tag, logged.TagKey),
    Route("POST", f"{M}/create", "model:write", registry.create, registry.CreateModel),
    Route("GET", f"{M}/get", "model:read", registry.get, registry.ByName, short=True),
    Route("GET", f"{M}/search", "model:read", registry.search, registry.SearchModels),
    Route("POST", f"{M}/rename", "model:write", registry.rename, registry.Rename),
    Route("PATCH", f"{M}/update", "model:write", registry.update, registry.Describe),
    Route("DELETE", f"{M}/delete", "model:delete", registry.delete, registry.ByName),
    Route("POST", f"{M}/set-tag", "model:write", registry.set_tag, registry.Tag),
    Route("DELETE", f"{M}/delete-tag", "model:write", registry.delete_tag, registry.Tag),
    Route("POST", f"{M}/alias", "model:promote", registry.point_alias, registry.PointAlias),
    Route("DELETE", f"{M}/alias", "model:promote", registry.drop_alias, registry.Alias),
    Route("GET", f"{M}/alias", "model:read", registry.by_alias, registry.Alias, short=True),
    Route("POST", f"{M}/get-latest-versions", "model:read", registry.latest, registry.Latest),
    Route("GET", f"{M}/get-latest-versions", "model:read", registry.latest, registry.Latest),
    Route("POST", f"{V}/create", "model:write", registry.create_version, registry.CreateVersion),
    Route("GET", f"{V}/get", "model:read", registry.get_version, registry.ByVersion, short=True),
    Route("GET", f"{V}/search", "model:read", registry.search_all_versions, registry.SearchVersions),
    Route("GET", f"{V}/get-download-uri", "model:read", registry.download_uri, registry.ByVersion),
    Route("PATCH", f"{V}/update", "model:write", registry.update_version, registry.DescribeVersion),
    Route("DELETE", f"{V}/delete", "model:delete", registry.remove_version, registry.ByVersion),
    Route("POST", f"{V}/set-tag", "model:write", registry.set_version_tag, registry.VersionTag),
    Route("DELETE", f"{V}/delete-tag", "model:write", registry.delete_version_tag, registry.VersionTag),
    Route("POST", f"{V}/transition-stage", "model:promote", registry.transition, registry.Stage),
    Route("POST", f"{U}/create", "user:create", users.create, users.NewUser),
    Route("GET", f"{U}/get", "self", users.get, users.ByName),
    Route("GET", f"{U}/list", "project:read", users.list_all, users.Nothing),
    Route("GET", f"{U}/current", "self", users.current, users.Nothing),
    Route("PATCH", f"{U}/update-password", "self", users.update_password, users.Password),
    Route("PATCH", f"{U}/update-admin", "user:admin", users.update_admin, users.Admin),
    Route("DELETE", f"{U}/delete", "user:admin", users.delete, users.ByName),
    Route("GET", f"{U}/current/permissions", "self", users.own_permissions, users.Nothing, "3.0"),
    Route("GET", f"{U}/permissions/list", "self", users.permissions_of, users.ByName, "3.0"),
    Route("GET", f"{U}/permissions/get", "self", users.level, users.OnResource, "3.0"),
    Route("POST", f"{U}/permissions/grant", "self", users.grant, users.GrantOnResource, "3.0"),
    Route("POST", f"{U}/permissions/revoke", "self", users.revoke, users.OnResource, "3.0"),
    Route("GET", f"{U}/roles/list", "self", users.roles_of, users.ByName, "3.0"),
    Route("POST", f"{E}/permissions/create", "self", users.create_on_experiment, users.GrantOnExperiment),
    Route("GET", f"{E}/permissions/get", "self", users.get_on_experiment, users.OnExperiment),
    Route("PATCH", f"{E}/permissions/update", "self", users.update_on_experiment, users.GrantOnExperiment),
    Route("DELETE", f"{E}/permissions/delete", "self", users.delete_on_experiment, users.OnExperiment),
    Route("POST", f"{M}/permissions/create", "self", users.create_on_model, users.GrantOnModel),
    Route("GET", f"{M}/permissions/get", "self", users.get_on_model, users.OnModel),
    Route("PATCH", f"{M}/permissions/update", "self", users.update_on_model, users.GrantOnModel),
    Route("DELETE", f"{M}/permissions/delete", "self", users.delete_on_model, users.OnModel),
    Route("POST", f"{G}/create", "role:admin", roles.create, roles.NewRole, "3.0"),
    Route("GET", f"{G}/get", "role:admin", roles.get, roles.ById, "3.0"),
    Route("GET", f"{G}/list", "role:admin", roles.list_all, roles.Some, "3.0"),
    Route("PATCH", f"{G}/update", "role:admin", roles.update, roles.Change, "3.0"),
    Route("DELETE", f"{G}/delete", "role:admin", roles.delete, roles.ById, "3.0"),
    Route("POST", f"{G}/permissions/add", "role:admin", roles.add_permission, roles.NewPermission, "3.0"),
    Route("DELETE", f"{G}/permissions/remove", "role:admin", roles.remove_permission, roles.ByPermission, "3.0"),
    Route("GET", f"{G}/permissions/list", "role:admin", roles.list_permissions, roles.ById, "3.0"),
    Route("PATCH", f"{G}/permissions/update", "role:admin", roles.update_permission, roles.ChangePermission, "3.0"),
    Route("POST", f"{G}/assign", "role:admin", roles.assign, roles.Assignment, "3.0"),
    Route("DELETE", f"{G}/unassign", "role:admin", roles.unassign, roles.Assignment, "3.0"),
    Route("GET", f"{G}/users/list", "role:admin", roles.holders, roles.ById, "3.0"),
    Route("GET", P, "audit:head", workspaces.list_all, workspaces.Nothing, "3.0"),
    Route("POST", P, "server:admin", workspaces.create, api="3.0"),
    Route("GET", P + "/{workspace_name}", "audit:head", workspaces.get, workspaces.ByName, "3.0"),
    Route("PATCH", P + "/{workspace_name}", "project:admin", workspaces.update, workspaces.Update, "3.0"),
    Route("DELETE", P + "/{workspace_name}", "server:admin", workspaces.delete, api="3.0"),
    Route("POST", "/v1/traces", "run:write", otlp.export),
    Route("POST", T, "run:write", traces.start, traces.Start, api="3.0"),
    Route("GET", f"{T}/get", "run:read", traces.get, traces.Get, api="3.0"),
    Route("GET", f"{T}/batchGet", "run:read", traces.get_all, traces.ByIds, api="3.0"),
    Route("POST", f"{T}/batchGetInfos", "run:read", traces.get_all_infos, traces.ByIds, api="3.0"),
    Route("POST", f"{T}/search", "run:read", traces.search, traces.Search, api="3.0"),
    Route("POST", f"{T}/delete-traces", "run:delete", traces.delete, traces.Delete, api="3.0"),
    Route("GET", T + "/{trace_id}", "run:read", traces.get_info, traces.ById, api="3.0"),
    Route("PATCH", T + "/{trace_id}/tags", "run:write", traces.set_tag, traces.Tag, api="3.0"),
    Route("DELETE", T + "/{trace_id}/tags", "run:write", traces.delete_tag, traces.Tag, api="3.0"),
    Route("POST", T + "/{trace_id}/assessments", "run:write", assessments.create, assessments.Create, api="3.0"),
    Route("GET", ASSESSMENT, "run:read", assessments.get, assessments.ById, api="3.0"),
    Route("PATCH", ASSESSMENT, "run:write", assessments.update, assessments.Update, api="3.0"),
    Route("DELETE", ASSESSMENT, "run:write", assessments.delete, assessments.ById, api="3.0"),
    Route("PATCH", T + "/{trace_id}/tags", "run:write", traces.set_tag, traces.Tag),
    Route("DELETE", T + "/{trace_id}/tags", "run:write", traces.delete_tag, traces.Tag),
    Route("POST", f"{T}/delete-traces", "run:delete", traces.delete, traces.Delete),
    Route("POST", f"{T}/link-to-run", "run:write", traces.link_run, traces.LinkRun),
    Route("POST", f"{T}/link-prompts", "run:write", traces.link_all_prompts, traces.LinkPrompts),
    Route("POST", T, "run:write", traces.old_start, traces.OldStart),
    Route("PATCH", T + "/{trace_id}", "run:write", traces.old_end, traces.OldEnd),
    Route("GET", T + "/{trace_id}/info", "run:read", traces.old_info, traces.ById),
    Route("GET", T, "run:read", traces.old_search, traces.OldSearch),
    Route("POST", W, "webhook:admin", webhooks.create, webhooks.Create),
    Route("GET", W, "webhook:admin", webhooks.all_of_them, webhooks.List),
    Route("GET", W + "/{webhook_id}", "webhook:admin", webhooks.get, webhooks.ById),
    Route("PATCH", W + "/{webhook_id}", "webhook:admin", webhooks.update, webhooks.Update),
    Route("DELETE", W + "/{webhook_id}", "webhook:admin", webhooks.delete, webhooks.ById),
    Route("POST", W + "/{webhook_id}/test", "webhook:admin", webhooks.test, webhooks.Test),
    Route("POST", f"{D}/create", "dataset:write", evaluation.create, evaluation.Create, api="3.0"),
    Route("POST", f"{D}/search", "dataset:read", evaluation.search, evaluation.Search, api="3.0"),
    Route("GET", f"{D}/search", "dataset:read", evaluation.search, evaluation.Search, api="3.0"),
    Route("GET", D + "/{dataset_id}", "dataset:read", evaluation.get, evaluation.ById, api="3.0"),
    Route("DELETE", D + "/{dataset_id}", "dataset:write", evaluation.delete, evaluation.ById, api="3.0"),
    Route("PATCH", D + "/{dataset_id}/tags", "dataset:write", evaluation.set_tags, evaluation.Tags, api="3.0"),
    Route("DELETE", D + "/{dataset_id}/tags/{key}", "dataset:write", evaluation.delete_tag, evaluation.Tag, api="3.0"),
    Route("POST", D + "/{dataset_id}/records", "dataset:write", evaluation.upsert, evaluation.Upsert, api="3.0"),
    Route("GET", D + "/{dataset_id}/records", "dataset:content", evaluation.records, evaluation.Records, api="3.0"),
    Route("DELETE", D + "/{dataset_id}/records", "dataset:write", evaluation.forget, evaluation.Forget, api="3.0"),
    Route(
        "GET", D + "/{dataset_id}/experiment-ids", "dataset:read", evaluation.experiment_ids, evaluation.ById, api="3.0"
    ),
    Route(
        "POST",
        D + "/{dataset_id}/add-experiments",
        "dataset:write",
        evaluation.add_experiments,
        evaluation.Experiments,
        api="3.0",
    ),
    Route(
        "POST",
        D + "/{dataset_id}/remove-experiments",
        "dataset:write",
        evaluation.remove_experiments,
        evaluation.Experiments,
        api="3.0",
    ),
)
