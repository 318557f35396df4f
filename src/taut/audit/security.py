"""Security & governance: who may ask, change and read; and what may an attacker run?"""

import ast
import re

from taut.audit.check import Check, Outcome, failed, missing, not_applicable, passed
from taut.audit.code import Call, Source, constant_text, dotted, is_constant, names_in, nodes_in, words_in
from taut.audit.configuration import Dockerfile, containers_of
from taut.audit.secrets import secrets_in
from taut.audit.serving import Handler, predictors, serving_sources
from taut.audit.tree import Mapping, mapping_at, mappings_of, text_at
from taut.audit.workflow import Workflow

_PICKLES = frozenset(
    [
        "pickle.load",
        "pickle.loads",
        "joblib.load",
        "dill.load",
        "dill.loads",
        "cloudpickle.load",
        "cloudpickle.loads",
        "pandas.read_pickle",
        "shelve.open",
    ]
)
_SAFE = frozenset({"yaml.safe_load", "safetensors.torch.load_file", "skops.io.load", "onnxruntime.InferenceSession"})
_SAFE_LOADERS = frozenset({"SafeLoader", "CSafeLoader", "BaseLoader", "CBaseLoader"})
_DUMPS = frozenset({"dump", "to_pickle", "save"})
_AUTH_WORDS = re.compile(
    r"auth|api_?key|token|bearer|credential|oauth|jwt|login_required|current_user|verify_user|permission|"
    r"security|principal"
)
_AUTH_PACKAGES = frozenset(
    [
        "flask_httpauth",
        "flask_jwt_extended",
        "flask_login",
        "fastapi_users",
        "authlib",
        "jose",
        "jwt",
        "flask_security",
        "fastapi.security",
    ]
)
_RAW_BODY = frozenset(["get_json", "json", "body", "form", "get_data"])
_SCHEMA_PACKAGES = frozenset(
    [
        "pydantic",
        "marshmallow",
        "jsonschema",
        "msgspec",
        "cerberus",
        "attrs",
        "pandera",
        "voluptuous",
        "flask_restx",
        "webargs",
        "schema",
        "dataclasses_json",
    ]
)
_PLAIN_TYPES = frozenset(["Request", "dict", "Dict", "Any", "list", "List", "str", "object", "Response", "HttpRequest"])
_NONROOT_BASE = re.compile(
    r"nonroot|distroless.*:.*nonroot|jupyter/|bitnami/|cgr\.dev/chainguard|apache/airflow|openshift|/ubi\d.*python"
)
_PIPED = re.compile(
    r"\b(curl|wget)\b[^|;&]*\|\s*(sudo\s+)?(\w*/)*(ba|z|da)?sh\b|\b(ba)?sh\s+(-c\s+)?[\"']?<?\(?\$?\(?\s*(curl|wget)\b"
)
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ReplicaSet")


def no_secrets(workflow: Workflow) -> Outcome:
    """SG01: no credential stands in a shared file."""
    if not any(file.text for file in workflow.shared()):
        return not_applicable("No shared text was found.")
    found = secrets_in(workflow)
    if found:
        return failed("Credentials stand in shared files.", found)
    return passed("No credential was found in shared files.")


def safe_load(workflow: Workflow) -> Outcome:
    """SG04: files that come from elsewhere are not read by something that runs what they hold."""
    unsafe: list[str] = []
    safe: list[str] = []
    for source in workflow.code:
        for call in source.calls:
            verdict = _load_verdict(call, source)
            if verdict is not None:
                (safe if verdict else unsafe).append(source.place(call.line))
    if unsafe:
        return failed("Files are read in a way that runs what they hold.", unsafe)
    return passed("Stored objects are read safely.", safe) if safe else not_applicable("No stored objects are read.")


def _load_verdict(call: Call, source: Source) -> bool | None:
    """Whether a call reads a stored object safely; None for a call that reads none."""
    if call.name in _SAFE:
        return True
    if call.name == "torch.load":
        return is_constant(call.keyword("weights_only"), True)
    if call.name in {"yaml.load", "yaml.load_all"}:
        given = call.keyword("Loader") or (call.arguments()[1] if len(call.arguments()) > 1 else None)
        loaders = _loaders(given, source) if given is not None else frozenset()
        return bool(loaders) and loaders <= _SAFE_LOADERS
    if call.name == "numpy.load":
        return False if is_constant(call.keyword("allow_pickle"), True) else None
    if call.name in _PICKLES:
        return _written_here(call, source) or _hash_checked(call, source)
    return None


def _loaders(given: ast.expr, source: Source) -> frozenset[str]:
    """Every loader of yaml that an expression may come to: its names are followed to what they were made from."""
    found: set[str] = set()
    followed: set[str] = set()
    waiting: list[ast.AST] = [given]
    while waiting:
        for node in nodes_in(waiting.pop()):
            name = dotted(node, source.aliases) if isinstance(node, ast.Attribute | ast.Name) else ""
            if name.startswith("yaml."):
                found.add(name.rpartition(".")[2])
            elif isinstance(node, ast.Call) and dotted(node.func, {}) == "getattr" and len(node.args) > 1:
                found.add(constant_text(node.args[1]) or "?")
            elif isinstance(node, ast.Name) and name not in followed:
                followed.add(name)
                waiting += _origins(name, source)
    return frozenset(found)


def _origins(name: str, source: Source) -> list[ast.AST]:
    """What a name of a source may stand for: values assigned to it, results of its function, bases of its class."""
    given = [(target, node.value) for node in source.of(ast.Assign) for target in node.targets]
    given += [(node.target, node.value) for node in source.of(ast.AnnAssign) if node.value is not None]
    values = [value for target, value in given if isinstance(target, ast.Name) and target.id == name]
    bodies = [inner for one in source.functions if one.name == name for inner in one.body]
    bases = [base for one in source.of(ast.ClassDef) if one.name == name for base in one.bases]
    return [*values, *bodies, *bases]


def _written_here(call: Call, source: Source) -> bool:
    """Whether the same file also writes the path that is read, so that the object is its own."""
    read = {text for node in call.arguments() for text in _texts(node)}
    written = {
        text for other in source.calls if other.last in _DUMPS for node in other.arguments() for text in _texts(node)
    }
    return bool(read & written)


def _texts(node: ast.expr) -> set[str]:
    return {
        one.value
        for one in nodes_in(node)
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and "." in one.value
    }


def _hash_checked(call: Call, source: Source) -> bool:
    """Whether a digest is computed before the load in the same function."""
    return any(
        other.name.startswith(("hashlib.", "hmac.")) and other.scope == call.scope and other.line <= call.line
        for other in source.calls
    )


def serve_auth(workflow: Workflow) -> Outcome:
    """SG05: whoever asks for a prediction must say who they are."""
    answering = predictors(workflow)
    if not answering:
        return not_applicable("No request handler that predicts was found.")
    found = [source.place(line) for source in serving_sources(workflow) for line in _auth_lines(source)]
    found += _gateways(workflow)
    if found:
        return passed("Callers must say who they are.", found)
    return missing(workflow, "Anybody who reaches the service may ask it.", [handler.place for handler in answering])


def _auth_lines(source: Source) -> list[int]:
    """Lines of serving code that ask callers who they are: a dependency, a decorator, middleware, a header."""
    found = []
    for call in source.calls:
        given = [*call.arguments(), *(one.value for one in (call.node.keywords if call.node else []))]
        words = {word for argument in given for word in words_in(argument)}
        asks = call.last in {"Depends", "Security", "add_middleware", "get", "before_request", "Header"}
        if (
            asks and any(_AUTH_WORDS.search(word) for word in words) and ("headers" in call.name or call.last != "get")
        ) or call.last in {
            "APIKeyHeader",
            "HTTPBearer",
            "HTTPBasic",
            "OAuth2PasswordBearer",
            "HTTPBasicAuth",
            "HTTPTokenAuth",
        }:
            found.append(call.line)
    for function in source.functions:
        words = {word for one in function.decorator_list for word in words_in(one) if not word.startswith("/")}
        if any(_AUTH_WORDS.search(word) for word in words):
            found.append(function.lineno)
    if not found and source.imports_any(_AUTH_PACKAGES):
        found.append(1)
    return found


def _gateways(workflow: Workflow) -> list[str]:
    """Configuration in front of the service that asks callers who they are."""
    found = [
        f"{one.path}:1" for one in workflow.manifests("AuthorizationPolicy", "RequestAuthentication", "SecurityPolicy")
    ]
    for document in workflow.manifests("Ingress", "HTTPRoute", "VirtualService"):
        annotations = mapping_at(document.tree, "metadata", "annotations")
        found += [f"{document.path}:{annotations.key_lines[key]}" for key in annotations if "auth" in key]
    for file in workflow.files:
        if file.suffix == ".conf" or "nginx" in file.name:
            found += [
                f"{file.path}:{number}"
                for number, line in file.lines()
                if re.match(r"\s*auth_(basic|request|jwt)\s", line)
            ]
    return found


def fail_closed(workflow: Workflow) -> Outcome:
    """SG06: a check of credentials stays shut when its secret is not set, and certificates are verified."""
    bad = [source.place(call.line) for source in workflow.code for call in source.calls if _skips_verification(call)]
    checks = 0
    for source in workflow.code:
        unset = _optional_secrets(source)
        for names, plainly in _credential_checks(source):
            checks += 1
            for name in names & unset.keys():
                stands_open = not _guarded(source, name) if plainly else name in _with_default(source)
                bad += [source.place(unset[name])] if stands_open else []
    if bad:
        return failed("A check stands open when it is not configured, or verification is switched off.", bad)
    return (
        passed("Checks of credentials stay shut when they are not configured.")
        if checks
        else not_applicable("No check of credentials was found.")
    )


def _credential_checks(source: Source) -> list[tuple[frozenset[str], bool]]:
    """The names in each comparison of a credential inside a function, and whether it is a plain one (`==`, `!=`)."""
    plain = [
        (names_in(node), True)
        for node in source.of(ast.Compare)
        if isinstance(node.ops[0], ast.Eq | ast.NotEq) and _compares_credential(node) and _is_inside(node, source)
    ]
    constant_time = [
        (names_in(call.node), False)
        for call in source.calls
        if call.node and call.last == "compare_digest" and call.scope
    ]
    return plain + constant_time


def _is_inside(node: ast.expr, source: Source) -> bool:
    """Whether an expression stands inside a function."""
    return any(one.lineno <= node.lineno <= (one.end_lineno or one.lineno) for one in source.functions)


def _skips_verification(call: Call) -> bool:
    web = call.name.startswith(("requests.", "httpx.", "aiohttp.")) or call.last in {"Client", "Session"}
    if web and is_constant(call.keyword("verify"), False):
        return True
    if call.name in {"jwt.decode", "jose.jwt.decode"}:
        options = call.keyword("options")
        off = isinstance(options, ast.Dict) and any(
            constant_text(key) == "verify_signature" and is_constant(value, False)
            for key, value in zip(options.keys, options.values, strict=True)
        )
        return off or is_constant(call.keyword("verify"), False)
    return False


def _optional_secrets(source: Source) -> dict[str, int]:
    """Names that hold a secret from the environment which may be unset, or has a default that everybody can read."""
    found: dict[str, int] = {}
    for node in source.of(ast.Assign):
        if not isinstance(node.value, ast.Call):
            continue
        call = node.value
        name = ast.unparse(call.func) if isinstance(call.func, ast.Name | ast.Attribute) else ""
        asked = constant_text(call.args[0]) if call.args else None
        if name in {"os.getenv", "os.environ.get", "getenv", "environ.get"} and asked and _AUTH_OR_SECRET.search(asked):
            found |= {target.id: node.lineno for target in node.targets if isinstance(target, ast.Name)}
    return found


_AUTH_OR_SECRET = re.compile(r"key|token|secret|password|auth", re.IGNORECASE)


def _with_default(source: Source) -> set[str]:
    """The names among the optional secrets that fall back to a literal."""
    return {
        target.id
        for node in source.of(ast.Assign)
        if isinstance(node.value, ast.Call) and len(node.value.args) > 1
        if constant_text(node.value.args[1])
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _compares_credential(node: ast.Compare) -> bool:
    return any(_AUTH_WORDS.search(word) or word in {"key", "secret", "password"} for word in words_in(node))


def _guarded(source: Source, name: str) -> bool:
    """Whether the code gives up where the secret is not set; a readable default cannot be guarded."""
    if name in _with_default(source):
        return False
    for node in source.of(ast.If):
        if name in names_in(node.test):
            absent = any(
                (isinstance(one, ast.UnaryOp) and isinstance(one.op, ast.Not))
                or (
                    isinstance(one, ast.Compare)
                    and isinstance(one.ops[0], ast.Is)
                    and is_constant(one.comparators[0], None)
                )
                for one in nodes_in(node.test)
            )
            if absent and any(isinstance(one, ast.Raise) for statement in node.body for one in nodes_in(statement)):
                return True
    return any(name in names_in(node.test) for node in source.of(ast.Assert))


def serve_schema(workflow: Workflow) -> Outcome:
    """SG07: the body of a request is held against a schema."""
    answering = [
        handler for handler in predictors(workflow) if "get" not in handler.methods or len(handler.methods) > 1
    ]
    if not answering:
        return not_applicable("No handler that predicts takes a body.")
    raw = [handler for handler in answering if _reads_raw(handler) and not _validates(handler)]
    if raw:
        return failed("The body of a request is used as it comes.", [handler.place for handler in raw])
    return passed("Bodies of requests are held against a schema.", [handler.place for handler in answering])


def _reads_raw(handler: Handler) -> bool:
    annotations = {word for one in handler.function.args.args if one.annotation for word in names_in(one.annotation)}
    typed = [one for one in handler.function.args.args if one.annotation and one.arg not in {"self", "request"}]
    if annotations & {"dict", "Dict", "Any"} and not annotations - _PLAIN_TYPES:
        return True
    if typed:
        return False
    for node in nodes_in(handler.function):
        if isinstance(node, ast.Attribute) and node.attr in _RAW_BODY and "request" in names_in(node.value):
            return True
    return False


def _validates(handler: Handler) -> bool:
    called = {name.rpartition(".")[2] for name, _ in handler.calls()}
    return bool(
        called & {"validate", "model_validate", "parse_obj", "load", "is_valid", "convert", "validate_request"}
    ) and (handler.source.imports_any(_SCHEMA_PACKAGES))


def docker_nonroot(workflow: Workflow) -> Outcome:
    """SG08: what runs in an image is not root."""
    images = [one for one in workflow.dockerfiles if one.last_stage()]
    if not images:
        return not_applicable("There is no Dockerfile.")
    bad = [place for place in map(_root_place, images) if place]
    if bad:
        return failed("What runs in the image is root.", bad)
    return passed("What runs in images is not root.", [f"{one.path}:1" for one in images])


def _root_place(dockerfile: Dockerfile) -> str:
    """Where an image makes root its user, or leaves it so; empty where it does not."""
    stage = dockerfile.last_stage()
    users = [one for one in stage if one.word == "USER"]
    if users:
        name = users[-1].rest.split(":")[0].strip("\"' ")
        return f"{dockerfile.path}:{users[-1].line}" if name in {"root", "0", ""} else ""
    base = stage[0].rest.split()
    earlier = {words[2] for one in dockerfile.of("FROM") if len(words := one.rest.split()) > 2}
    named = base[0] if base else ""
    inherits = named in earlier and bool(dockerfile.of("USER"))
    return "" if _NONROOT_BASE.search(named) or inherits else f"{dockerfile.path}:{stage[0].line}"


def k8s_security(workflow: Workflow) -> Outcome:
    """SG09: containers in the cluster run without rights that they do not need."""
    places, bad = 0, []
    for document in workflow.manifests(*_WORKLOADS):
        for pod, container in containers_of(document):
            places += 1
            context = mapping_at(container, "securityContext")
            if text_at(context, "privileged") == "true" or not (context or mapping_at(pod, "securityContext")):
                bad.append(f"{document.path}:{container.line}")
        bad += [
            f"{document.path}:{one.key_lines['hostPath']}" for one in mappings_of(document.tree) if "hostPath" in one
        ]
    if bad:
        return failed("Containers run with rights that they do not need.", bad)
    return (
        passed("Containers state a security context.")
        if places
        else not_applicable("There are no Kubernetes workloads.")
    )


def ci_permissions(workflow: Workflow) -> Outcome:
    """SG10: each GitHub workflow states what its token may do."""
    bad: list[str] = []
    good: list[str] = []
    for document in workflow.documents:
        top = document.tree
        if ".github/workflows/" not in document.path or not isinstance(top, Mapping) or "jobs" not in top:
            continue
        jobs = [job for job in mapping_at(top, "jobs").values() if isinstance(job, Mapping)]
        stated = ("permissions" in top and text_at(top, "permissions") != "write-all") or (
            bool(jobs) and all("permissions" in job for job in jobs)
        )
        (good if stated else bad).append(f"{document.path}:{top.key_lines.get('permissions', top.line)}")
    if bad:
        return failed("A GitHub workflow does not limit what its token may do.", bad)
    return passed("Workflows limit their tokens.", good) if good else not_applicable("There are no GitHub workflows.")


def remote_script(workflow: Workflow) -> Outcome:
    """SG12: nothing that CI or an image runs is fetched and run in one breath."""
    places = [(f"{one.path}:{line.line}", line.rest) for one in workflow.dockerfiles for line in one.of("RUN")]
    places += [(f"{file.path}:{number}", line) for file in workflow.ci for number, line in file.lines()]
    if not places:
        return not_applicable("There is neither CI nor a Dockerfile.")
    bad = [place for place, text in places if _PIPED.search(text) and not text.strip().startswith("#")]
    if bad:
        return failed("A script is fetched from the net and run unseen.", bad)
    return passed("No script is fetched and run unseen.")


CHECKS: tuple[Check, ...] = (
    Check(
        "SG01", "sec.no_secrets", "security", 8, "no credential stands in a shared file",
        "Whoever reads the files takes over what the credential opens.",
        "Revoke it, and read its successor from the environment or a secret store.", "os.environ['DB_PASSWORD']",
        no_secrets,
    ),
    Check(
        "SG04", "sec.safe_load", "security", 5, "stored objects are read safely",
        "A changed file runs any code on the machine that loads it.",
        "Use a format that holds data alone, or check the digest before loading.", "skops.io.load, "
        "torch.load(..., weights_only=True)",
        safe_load,
    ),
    Check(
        "SG05", "serve.auth", "security", 5, "callers must say who they are",
        "Anybody can query the model, or copy it by asking often enough.",
        "Ask for a token in front of every prediction.", "taut serve",
        serve_auth,
    ),
    Check(
        "SG06", "sec.auth_fail_closed", "security", 8, "checks stay shut when not configured",
        "One forgotten variable opens the service to everybody.",
        "Refuse to start without the secret, and compare in constant time.", "os.environ['API_KEY'], "
        "hmac.compare_digest",
        fail_closed,
    ),
    Check(
        "SG07", "serve.schema", "security", 3, "bodies of requests are held against a schema",
        "Wrong input crashes the service, or is answered with nonsense.",
        "Declare the input as a typed model.", "class Rows(pydantic.BaseModel)",
        serve_schema,
    ),
    Check(
        "SG08", "docker.nonroot", "security", 3, "images do not run as root",
        "Whoever escapes the service owns the container, and perhaps the host.",
        "Create a user and switch to it.", "taut image",
        docker_nonroot,
    ),
    Check(
        "SG09", "k8s.security", "security", 3, "containers have no rights they do not need",
        "Whoever escapes the service owns the node.",
        "Set runAsNonRoot, drop capabilities, and mount nothing of the host.", "taut deploy --target kubernetes",
        k8s_security,
    ),
    Check(
        "SG10", "sec.ci_permissions", "security", 3, "CI tokens are limited",
        "A compromised step can write to the repository.",
        "State the least permissions at the top of each workflow.", "permissions: {contents: read}",
        ci_permissions,
    ),
    Check(
        "SG12", "sec.remote_script", "security", 3, "no fetched script is run unseen",
        "Whoever changes that script runs code in your build.",
        "Download a fixed version, compare its digest, then run it.", "sha256sum --check",
        remote_script,
    ),
)  # fmt: skip
"""The rows of this principle."""
