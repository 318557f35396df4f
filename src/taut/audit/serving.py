"""Where a workflow answers: web handlers that predict, servers of models, deployments, and models copied by hand."""

import ast
import re
from dataclasses import dataclass

from taut.audit.code import Function, Source, constant_text, dotted, nodes_in
from taut.audit.configuration import containers_of, services_of
from taut.audit.remember import remembered
from taut.audit.workflow import Workflow

WEB_PACKAGES = frozenset(
    [
        "fastapi",
        "flask",
        "starlette",
        "aiohttp",
        "sanic",
        "bottle",
        "tornado",
        "quart",
        "falcon",
        "litestar",
        "django",
        "flask_restful",
        "flask_restx",
        "robyn",
        "blacksheep",
        "connexion",
        "responder",
    ]
)
SERVER_PACKAGES = frozenset(
    [
        "bentoml",
        "ray.serve",
        "litserve",
        "torchserve",
        "ts",
        "kserve",
        "mlserver",
        "seldon_core",
        "tritonclient",
        "cog",
        "truss",
    ]
)
"""Servers of models that bring health routes and metrics along."""

_PREDICTIVE = re.compile(r"predict|score|scoring|infer|invocation|recommend|classif|forecast|detect|estimate|generate")
_PREDICT_CALLS = frozenset(
    ["predict", "predict_proba", "predict_one", "decision_function", "transform_and_predict", "infer", "inference"]
)
_ROUTE_WORDS = frozenset(["route", "get", "post", "put", "patch", "delete", "api_route", "websocket"])
_SERVER_COMMAND = re.compile(
    r"\b(mlflow models serve|mlflow deployments|bentoml serve|torchserve|tritonserver|seldon-core|"
    r"mlserver start|ray serve|"
    r"serve run|taut (serve|deploy|apply|up)|tensorflow_model_server)\b"
)
_COPY_BY_HAND = re.compile(
    r"(\b(scp|rsync|pscp|sftp|lftp)\b.*(\w+@)?[\w.${}-]+:[\w/~.$]|\bsftp\s+\S+@|"
    r"\bcopy\b.{0,60}\b(model|\w+\.(pkl|joblib|pt|h5|onnx))\b.{0,60}\b(server|host|machine|vm)\b)",
    re.IGNORECASE,
)
_REMOTE_CLASSES = frozenset({"paramiko", "fabric", "pysftp", "scp", "ftplib"})


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that answers requests: its route, and the calls it makes itself or through its helpers."""

    source: Source
    function: Function
    route: str
    methods: tuple[str, ...]
    reached: tuple[Function, ...]

    @property
    def place(self) -> str:
        """`path:line` of the function."""
        return self.source.place(self.function.lineno)

    @property
    def predicts(self) -> bool:
        """Whether it answers with a prediction: it calls a model, or its route or name says so and it takes input."""
        called = {call_name.rpartition(".")[2] for call_name, _ in self.calls()}
        if called & _PREDICT_CALLS:
            return True
        named = bool(_PREDICTIVE.search(self.route.lower()) or _PREDICTIVE.search(self.function.name.lower()))
        return named and ("post" in self.methods or bool(self.function.args.args))

    def calls(self) -> list[tuple[str, ast.Call]]:
        """Each call with its dotted name, those of the helpers in the same file included."""
        return [
            (dotted(node.func, self.source.aliases), node)
            for function in (self.function, *self.reached)
            for node in nodes_in(function)
            if isinstance(node, ast.Call)
        ]


@remembered
def handlers_of(source: Source) -> list[Handler]:
    """The request handlers of a source, in the order of the text."""
    web = source.imports_any(WEB_PACKAGES | {"bentoml", "litserve"})
    if not web or not source.parsed:
        return []
    by_name = {function.name: function for function in source.functions}
    found = []
    for function in source.functions:
        route = _route_of(function)
        if route is None:
            continue
        called = {
            name.rpartition(".")[2]
            for node in nodes_in(function)
            if isinstance(node, ast.Call)
            for name in [dotted(node.func, source.aliases), *(_named_argument(one) for one in node.args)]
        }
        reached = tuple(by_name[name] for name in sorted(called & by_name.keys()) if by_name[name] is not function)
        found.append(Handler(source, function, route[0], route[1], reached))
    return found


def _named_argument(node: ast.expr) -> str:
    """The name of a function that is handed on, as to a thread pool; empty for any other argument."""
    return node.id if isinstance(node, ast.Name) else ""


def _route_of(function: Function) -> tuple[str, tuple[str, ...]] | None:
    """The path and methods of a decorated handler; the class methods `get` and `post` of resources count as well."""
    for decorator in function.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        target = call.func if call else decorator
        name = dotted(target, {})
        word = name.rpartition(".")[2]
        if "." in name and word in _ROUTE_WORDS and call:
            path = constant_text(call.args[0]) if call.args else None
            methods = [word] if word not in {"route", "api_route"} else _methods(call)
            return path or "", tuple(methods)
        if name in {"bentoml.api", "svc.api"}:
            return "/" + function.name, ("post",)
    if function.name == "post" and function.args.args and function.args.args[0].arg == "self":
        return "", ("post",)
    return None


def _methods(call: ast.Call) -> list[str]:
    for keyword in call.keywords:
        if keyword.arg == "methods" and isinstance(keyword.value, ast.List | ast.Tuple):
            return [(constant_text(item) or "").lower() for item in keyword.value.elts]
    return ["get"]


@remembered
def handlers(workflow: Workflow) -> list[Handler]:
    """Every request handler outside of tests."""
    return [handler for source in workflow.code for handler in handlers_of(source)]


@remembered
def predictors(workflow: Workflow) -> list[Handler]:
    """The handlers that answer with predictions."""
    return [handler for handler in handlers(workflow) if handler.predicts]


@remembered
def serving_sources(workflow: Workflow) -> list[Source]:
    """The sources that answer with predictions, or drive a server of models."""
    found = {handler.source.path: handler.source for handler in predictors(workflow)}
    found |= {source.path: source for source in workflow.code if source.imports_any(SERVER_PACKAGES)}
    return list(found.values())


@remembered
def model_servers(workflow: Workflow) -> list[str]:
    """Where a ready-made server of models is started or declared: taut, MLflow, KServe, BentoML and the like."""
    found = [
        command.place for command in (*workflow.ci_runs, *workflow.scripts) if _SERVER_COMMAND.search(command.text)
    ]
    if workflow.taut.deployments:
        found.append(workflow.taut.place(workflow.taut.deployments))
    found += [f"{one.path}:1" for one in workflow.manifests("InferenceService", "SeldonDeployment", "RayService")]
    for dockerfile in workflow.dockerfiles:
        for one in dockerfile.instructions:
            if _SERVER_COMMAND.search(one.rest.replace('", "', " ").replace('","', " ")):
                found.append(f"{dockerfile.path}:{one.line}")
    found += [f"{source.path}:1" for source in workflow.code if source.imports_any(SERVER_PACKAGES)]
    return found


@remembered
def copies_by_hand(workflow: Workflow) -> list[str]:
    """Where a script or manual copies files to a server; what CI runs itself is not by hand."""
    by_machine = {command.place for command in workflow.ci_runs}
    found = [
        command.place
        for command in (*workflow.scripts, *workflow.advice)
        if _COPY_BY_HAND.search(command.text) and command.place not in by_machine
    ]
    for source in workflow.code:
        found += [
            source.place(call.line)
            for call in source.calls
            if call.last in {"put", "upload", "storbinary", "sync"} and source.imports_any(_REMOTE_CLASSES)
        ]
        found += [source.place(line) for line, text in source.strings if _is_copy_command(text)]
    return found


def _is_copy_command(text: str) -> bool:
    return text.startswith(("scp ", "rsync ")) and bool(_COPY_BY_HAND.search(text))


def serves(workflow: Workflow) -> bool:
    """Whether the workflow puts a model where others ask it: serving code, a server, manifests, or a copy by hand."""
    return bool(serving_places(workflow))


@remembered
def serving_places(workflow: Workflow) -> list[str]:
    """The places that show that a model is served: handlers first, then servers, then copies made by hand."""
    found = [handler.place for handler in predictors(workflow)]
    return found or model_servers(workflow) or copies_by_hand(workflow)


def image_commands(workflow: Workflow) -> list[tuple[str, str]]:
    """What starts in production: (`path:line`, command) of images, compose files, Procfiles and manifests."""
    found = [
        (f"{dockerfile.path}:{one.line}", re.sub(r'["\[\],]+', " ", one.rest))
        for dockerfile in workflow.dockerfiles
        for one in dockerfile.last_stage()
        if one.word in {"CMD", "ENTRYPOINT"}
    ]
    for document in workflow.documents:
        for _, service in services_of(document):
            if "command" in service:
                found.append((f"{document.path}:{service.key_lines['command']}", _words(service["command"])))
        for _, container in containers_of(document):
            words = " ".join(_words(container[key]) for key in ("command", "args") if key in container)
            if words:
                found.append((f"{document.path}:{container.line}", words))
    for file in workflow.named("procfile"):
        found += [(f"{file.path}:{number}", line) for number, line in file.lines() if line.strip()]
    return found


def _words(tree: object) -> str:
    return " ".join(map(str, tree)) if isinstance(tree, list) else str(tree)
