"""Scalability & performance: does serving hold under load, and does the cluster know what it needs?"""

import ast

from taut.audit.check import Check, Outcome, failed, not_applicable, passed, unknown
from taut.audit.code import Function, Source, dotted, is_constant, nodes_in
from taut.audit.configuration import containers_of
from taut.audit.serving import Handler, image_commands, model_servers, predictors, serving_sources
from taut.audit.training import training_sources
from taut.audit.tree import mapping_at, text_at
from taut.audit.workflow import Workflow

_LOADERS = frozenset(
    ["load_model", "from_pretrained", "hf_hub_download", "download_file", "download_artifacts", "pyfunc_load"]
)
_LOADS = frozenset(
    [
        "joblib.load",
        "pickle.load",
        "pickle.loads",
        "dill.load",
        "cloudpickle.load",
        "torch.load",
        "skops.io.load",
        "keras.models.load_model",
    ]
)
_CACHES = ("cache", "lru_cache", "cached", "cache_resource", "singleton")
_BLOCKING = (
    "requests.",
    "time.sleep",
    "urllib.request.",
    "pandas.read_",
    "joblib.load",
    "pickle.load",
    "subprocess.run",
)
_PRODUCTION = (
    "gunicorn",
    "waitress",
    "uvicorn",
    "hypercorn",
    "uwsgi",
    "granian",
    "daphne",
    "bentoml",
    "mlflow models serve",
    "taut ",
)
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "InferenceService", "ReplicaSet")
_SERVING_WORKLOADS = ("Deployment", "StatefulSet", "Pod", "ReplicaSet")


def load_once(workflow: Workflow) -> Outcome:
    """SC01: the model is loaded at the start, not inside the request."""
    answering = [one for one in predictors(workflow) if not _reloads(one)]
    if not answering:
        return not_applicable("No request handler that predicts was found.")
    loads = [handler.source.place(line) for handler in answering for line in _loads_in(handler)]
    if loads:
        return failed("The model is loaded inside the request handler.", loads)
    return passed("No handler loads a model while a caller waits.", [handler.place for handler in answering])


def _reloads(handler: Handler) -> bool:
    return any(word in handler.route + handler.function.name for word in ("reload", "refresh", "retrain", "train"))


def _loads_in(handler: Handler) -> list[int]:
    """The lines on which a handler, or an uncached helper of it, loads a model."""
    functions = [handler.function, *(one for one in handler.reached if not _is_cached(one))]
    return [line for function in functions for line in _unguarded_loads(function, handler.source)]


def _is_cached(function: Function) -> bool:
    return any(dotted(_called(one), {}).rpartition(".")[2] in _CACHES for one in function.decorator_list)


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _unguarded_loads(function: Function, source: Source) -> list[int]:
    """Loads that happen on each call; one behind `if model is None` or a cache's `not in` happens once."""
    guarded = {
        id(inner)
        for node in nodes_in(function)
        if isinstance(node, ast.If) and _asks_for_absence(node.test)
        for inner in nodes_in(node)
    }
    found = []
    for node in nodes_in(function):
        if isinstance(node, ast.Call) and id(node) not in guarded:
            name = dotted(node.func, source.aliases)
            if name in _LOADS or name.rpartition(".")[2] in _LOADERS:
                found.append(node.lineno)
    return found


def _asks_for_absence(test: ast.expr) -> bool:
    return any(
        (isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.NotIn))
        or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))
        for node in nodes_in(test)
    )


def serve_blocking(workflow: Workflow) -> Outcome:
    """SC02: an `async def` handler does not predict or wait for others on the event loop itself."""
    waiting = [one for one in predictors(workflow) if isinstance(one.function, ast.AsyncFunctionDef)]
    if not waiting:
        return not_applicable("No asynchronous handler that predicts was found.")
    blocking = []
    for handler in waiting:
        awaited = {id(node.value) for node in nodes_in(handler.function) if isinstance(node, ast.Await)}
        for node in nodes_in(handler.function):
            if isinstance(node, ast.Call) and id(node) not in awaited:
                name = dotted(node.func, handler.source.aliases)
                if name.startswith(_BLOCKING) or (
                    name.rpartition(".")[2] in {"predict", "predict_proba"} and "." in name
                ):
                    blocking.append(handler.source.place(node.lineno))
    if blocking:
        return failed("An asynchronous handler computes or waits on the event loop itself.", blocking)
    return passed("Asynchronous handlers hand their work on.", [handler.place for handler in waiting])


def dev_server(workflow: Workflow) -> Outcome:
    """SC03: what starts in production is a production server without debugger or reloader."""
    sources = [source for source in serving_sources(workflow) if source.parsed]
    servers = model_servers(workflow)
    if not sources:
        return (
            passed("A server made for models answers.", servers)
            if servers
            else not_applicable("Nothing here is served by code.")
        )
    starts = image_commands(workflow)
    development = {source.path.rpartition("/")[2]: source for source in sources if _development_start(source)}
    bad = [
        place for place, command in starts if "--reload" in command or "flask run" in command or "--debug" in command
    ]
    for place, command in starts:
        named = [word.rpartition("/")[2] for word in command.split()]
        if not any(server in command for server in _PRODUCTION):
            bad += [place for word in named if word in development]
    if bad:
        return failed("Production starts a development server.", bad)
    good = [place for place, command in starts if any(server in command for server in _PRODUCTION)]
    good += [
        one.place
        for one in workflow.scripts
        if any(server in one.text for server in _PRODUCTION[:6]) and "install" not in one.text
    ]
    if good or servers:
        return passed("A production server starts the code.", good or servers)
    if development:
        places = [source.place(_development_start(source)) for source in development.values()]
        return failed("The only way to start the service is its development server.", places)
    return unknown("Nothing says how the service is started.", [f"{source.path}:1" for source in sources])


def _development_start(source: Source) -> int:
    """The line that starts Flask's own server, or any server with a debugger or reloader; 0 where none does."""
    for call in source.calls:
        if call.last == "run" and call.receiver in {"app", "application", "api", "server", "create_app()"}:
            return call.line
        if call.last == "run" and source.made_by.get(call.receiver, "").endswith("Flask"):
            return call.line
        if call.name == "uvicorn.run" and is_constant(call.keyword("reload"), True):
            return call.line
    return 0


def k8s_resources(workflow: Workflow) -> Outcome:
    """SC04: every container states what it needs and the most it may take."""
    places, bad = 0, []
    for document in workflow.manifests(*_WORKLOADS):
        for _, container in containers_of(document):
            places += 1
            resources = mapping_at(container, "resources")
            if not (resources.get("requests") and resources.get("limits")):
                bad.append(f"{document.path}:{container.line}")
    if bad:
        return failed("Containers state no requests or no limits.", bad)
    return (
        passed("Every container states requests and limits.")
        if places
        else not_applicable("There are no Kubernetes workloads.")
    )


def k8s_readiness(workflow: Workflow) -> Outcome:
    """SC05: a container that listens tells when it is ready."""
    places, bad = 0, []
    for document in workflow.manifests(*_SERVING_WORKLOADS):
        for _, container in containers_of(document):
            if not container.get("ports"):
                continue
            places += 1
            if not (container.get("readinessProbe") or container.get("startupProbe")):
                bad.append(f"{document.path}:{container.line}")
    if bad:
        return failed("A container that listens has no readiness probe.", bad)
    return (
        passed("Containers tell when they are ready.") if places else not_applicable("No Kubernetes container listens.")
    )


def k8s_scaling(workflow: Workflow) -> Outcome:
    """SC06: a deployment has more than one replica, or something that scales it."""
    deployments = [one for one in workflow.manifests("Deployment") if any(True for _ in containers_of(one))]
    if not deployments:
        return not_applicable("There are no Kubernetes deployments.")
    scalers = workflow.manifests("HorizontalPodAutoscaler", "ScaledObject", "KnativeServing", "Rollout")
    scaled = {text_at(one.tree, "spec", "scaleTargetRef", "name") for one in scalers}
    bad = [
        f"{one.path}:{one.tree.line if not isinstance(one.tree, str | list) else 1}"
        for one in deployments
        if text_at(one.tree, "spec", "replicas") in {"", "1"}
        and text_at(one.tree, "metadata", "name") not in scaled
        and "template" not in text_at(one.tree, "spec", "replicas")
    ]
    if bad:
        return failed("A deployment has one replica, and nothing scales it.", bad)
    return passed("Deployments have replicas to spare, or scale.", [f"{one.path}:1" for one in scalers])


def row_loops(workflow: Workflow) -> Outcome:
    """SC07: code that trains or serves works on columns, not row by row."""
    sources = {source.path: source for source in (*training_sources(workflow), *serving_sources(workflow))}
    if not sources:
        return not_applicable("No model is trained or served here.")
    slow = [
        source.place(call.line)
        for source in sources.values()
        for call in source.calls
        if call.last == "iterrows" or (call.last == "apply" and is_constant(call.keyword("axis"), 1))
    ]
    if slow:
        return failed("Rows are handled one at a time.", slow)
    return passed("No loop over rows was found.")


CHECKS: tuple[Check, ...] = (
    Check(
        "SC01", "serve.load_once", "scalability", 5, "the model is loaded once, at the start",
        "Each request takes seconds, and fails whenever the store does.",
        "Load the model when the service starts.", "taut serve",
        load_once,
    ),
    Check(
        "SC02", "serve.blocking", "scalability", 3, "asynchronous handlers do not block",
        "One request stops all the others.",
        "Hand the prediction to a thread pool, or write a plain `def` handler.", "await "
        "run_in_threadpool(model.predict, rows)",
        serve_blocking,
    ),
    Check(
        "SC03", "serve.dev_server", "scalability", 5, "a production server starts the service",
        "One thread serves everybody, and the debugger may be open to them.",
        "Start the service with a production server.", "taut serve",
        dev_server,
    ),
    Check(
        "SC04", "k8s.resources", "scalability", 3, "containers state requests and limits",
        "Pods are evicted, or starve their neighbours.",
        "State requests and limits for each container.", "taut deploy --target kubernetes",
        k8s_resources,
    ),
    Check(
        "SC05", "k8s.readiness", "scalability", 3, "containers tell when they are ready",
        "Traffic arrives before the model is loaded.",
        "Add a readiness probe on the health route.", "taut deploy --target kubernetes",
        k8s_readiness,
    ),
    Check(
        "SC06", "k8s.scaling", "scalability", 1, "deployments have replicas or scale",
        "There is no headroom, and no second one when the first dies.",
        "Run two replicas, or add an autoscaler.", "kubectl autoscale deployment NAME --min=2 --max=6",
        k8s_scaling,
    ),
    Check(
        "SC07", "data.row_loops", "scalability", 1, "data is handled by columns",
        "What takes minutes takes hours.",
        "Write the loop over rows as an operation on columns.", "frame['c'] = frame['a'] + frame['b']",
        row_loops,
    ),
)  # fmt: skip
"""The rows of this principle."""
