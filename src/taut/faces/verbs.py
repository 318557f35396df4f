"""THE table of verbs: what every face may call, by name. Adding one costs a function in its room and a row here."""

from importlib import import_module
from types import MappingProxyType
from typing import Any

from taut.errors import NotFound
from taut.home import Verb

# Name -> where its function is; imported when it is called, so that no command pays for another's packages.
VERBS: MappingProxyType[str, str] = MappingProxyType(
    {
        "artifact.all": "taut.runs.artifacts:all_artifacts",
        "artifact.delete": "taut.runs.artifacts:delete_artifacts",
        "artifact.find": "taut.runs.artifacts:find_artifact",
        "artifact.list": "taut.runs.artifacts:list_artifacts",
        "artifact.put": "taut.runs.artifacts:put_artifact",
        "data.find": "taut.data.versions:find_versions",
        "data.list": "taut.data.versions:list_datasets",
        "data.record": "taut.data.versions:record_dataset",
        "data.show": "taut.data.versions:find_dataset",
        "deployment.check": "taut.deploy.deployments:check_deployment",
        "deployment.list": "taut.deploy.deployments:list_deployments",
        "deployment.record": "taut.deploy.deployments:record_deployment",
        "deployment.report": "taut.deploy.states:report_state",
        "deployment.show": "taut.deploy.deployments:find_deployment",
        "deployment.state": "taut.deploy.states:find_state",
        "deployment.states": "taut.deploy.states:list_states",
        "experiment.create": "taut.runs.experiments:create_experiment",
        "experiment.delete": "taut.runs.experiments:delete_experiment",
        "experiment.ensure": "taut.runs.experiments:ensure_experiment",
        "experiment.find": "taut.runs.experiments:find_experiment",
        "experiment.get": "taut.runs.experiments:get_experiment",
        "experiment.list": "taut.runs.experiments:list_experiments",
        "experiment.rename": "taut.runs.experiments:rename_experiment",
        "experiment.restore": "taut.runs.experiments:restore_experiment",
        "experiment.tag": "taut.runs.experiments:tag_experiment",
        "gate.list": "taut.models.evidence:list_gates",
        "gate.record": "taut.models.evidence:record_gate",
        "home.fsck": "taut.govern.fsck:check_home",
        "home.status": "taut.govern.status:show_line",
        "label.log": "taut.serve.labels:log_labels",
        "ledger.show": "taut.govern.history:show_ledger",
        "logged.create": "taut.runs.logged:create_logged_model",
        "logged.delete": "taut.runs.logged:delete_logged_model",
        "logged.finish": "taut.runs.logged:finish_logged_model",
        "logged.get": "taut.runs.logged:get_logged_model",
        "logged.params": "taut.runs.logged:log_model_params",
        "logged.search": "taut.runs.logged:search_logged_models",
        "logged.tag": "taut.runs.logged:tag_logged_model",
        "loop.record": "taut.pipelines.steps:record_step",
        "loop.steps": "taut.pipelines.steps:list_steps",
        "model.alias": "taut.models.aliases:set_alias",
        "model.create": "taut.models.registry:create_model",
        "model.delete": "taut.models.keeping:delete_model",
        "model.delete_version": "taut.models.keeping:delete_version",
        "model.describe": "taut.models.keeping:describe_model",
        "model.describe_version": "taut.models.keeping:describe_version",
        "model.files": "taut.models.registry:model_files",
        "model.find": "taut.models.registry:find_model",
        "model.latest": "taut.models.search:latest_versions",
        "model.list": "taut.models.registry:list_models",
        "model.promote": "taut.models.aliases:promote_model",
        "model.record": "taut.models.registry:record_model",
        "model.register": "taut.models.registry:register_model",
        "model.rename": "taut.models.keeping:rename_model",
        "model.search": "taut.models.search:search_models",
        "model.search_versions": "taut.models.search:search_versions",
        "model.served": "taut.models.registry:deployments_of",
        "model.show": "taut.models.registry:show_model",
        "model.stage": "taut.models.keeping:set_stage",
        "model.tag": "taut.models.keeping:tag_model",
        "model.tag_version": "taut.models.keeping:tag_version",
        "model.unalias": "taut.models.aliases:delete_alias",
        "model.versions": "taut.models.registry:list_versions",
        "prediction.labelled": "taut.serve.labels:labelled_rows",
        "prediction.list": "taut.serve.log:list_predictions",
        "prediction.log": "taut.serve.log:log_prediction",
        "prediction.rows": "taut.serve.labels:predicted_rows",
        "prediction.show": "taut.serve.log:find_prediction",
        "prediction.stored": "taut.serve.log:find_answer",
        "prediction.traffic": "taut.serve.labels:traffic",
        "prediction.why": "taut.govern.trace:trace_prediction",
        "run.capture": "taut.runs.tracking:record_capture",
        "run.create": "taut.runs.tracking:create_run",
        "run.delete": "taut.runs.tracking:delete_run",
        "run.detail": "taut.runs.tracking:run_detail",
        "run.finish": "taut.runs.capture:finish_run",
        "run.get": "taut.runs.tracking:get_run",
        "run.history": "taut.runs.batches:metric_history",
        "run.inputs": "taut.runs.batches:log_inputs",
        "run.log": "taut.runs.batches:log_batch",
        "run.outputs": "taut.runs.batches:log_outputs",
        "run.page": "taut.runs.search:page_of_runs",
        "run.resolve": "taut.runs.tracking:resolve_run",
        "run.restore": "taut.runs.tracking:restore_run",
        "run.search": "taut.runs.search:search_runs",
        "run.untag": "taut.runs.batches:delete_tag",
        "run.update": "taut.runs.tracking:update_run",
        "token.create": "taut.govern.tokens:create_token",
        "token.list": "taut.govern.tokens:show_tokens",
        "token.revoke": "taut.govern.tokens:end_token",
        "watch.alerts": "taut.watch.alerts:list_alerts",
        "watch.close": "taut.watch.windows:close_windows",
        "watch.dismiss": "taut.watch.dismissal:dismiss_alert",
        "watch.handled": "taut.watch.alerts:handle_alert",
        "watch.newest": "taut.watch.windows:newest_window",
        "watch.refer": "taut.watch.references:set_reference",
        "watch.reference": "taut.watch.references:find_reference",
        "watch.references": "taut.watch.references:list_references",
        "watch.report": "taut.watch.report:watch_report",
        "watch.source": "taut.watch.exports:record_source",
        "watch.successor": "taut.watch.due:find_successor",
        "watch.windows": "taut.watch.windows:list_windows",
    }
)


def load_verb(name: str) -> Verb[..., Any]:
    """The verb of that name. Raises NotFound."""
    if name not in VERBS:
        raise NotFound(f"this server has no verb {name!r}", hint="use the same version of taut on both sides")
    module, _, function = VERBS[name].partition(":")
    verb = getattr(import_module(module), function)
    assert isinstance(verb, Verb), VERBS[name]
    assert verb.name == name, (verb.name, name)
    return verb
