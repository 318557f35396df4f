"""Deployments as objects of a Kubernetes cluster: manifests in a folder, applied by kubectl where one is set up."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import msgspec

from taut.deploy.dockerfile import PORT
from taut.deploy.engines import run_program
from taut.deploy.image import graph_of
from taut.deploy.manifests import manifests_of, render_manifests
from taut.deploy.targets import Step
from taut.errors import Unavailable, UsageError
from taut.ground import wire
from taut.home import Home
from taut.models import find_model
from taut.models.package import cache_folder
from taut.project import DeploymentSpec
from taut.records import Deployment, DeploymentState

ROLLOUT_WITHIN_S = 300  # Past the time that Kubernetes itself gives a rollout before it calls it failed.
KINDS = "deployment,service,networkpolicy,poddisruptionbudget,horizontalpodautoscaler"


class _Replicas(msgspec.Struct):
    readyReplicas: int = 0
    updatedReplicas: int = 0


class _Object(msgspec.Struct):
    """What is read of a Deployment as the cluster tells it."""

    status: _Replicas = msgspec.field(default_factory=_Replicas)


def plan(home: Home, deployment: Deployment, spec: DeploymentSpec) -> tuple[Step, ...]:
    """The objects that `apply` would change, as the cluster's own comparison tells them; empty where none would.

    Raises UsageError where no cluster is set up.
    """
    with tempfile.TemporaryDirectory(prefix="taut-") as folder:
        written = write_manifests(home, deployment, spec, Path(folder))
        if not _is_set_up():
            raise UsageError("kubectl knows no cluster here to hold the manifests against", hint="kubectl cluster-info")
        # Exit status 1 says that something differs, more than that is a failure.
        said = _kubectl(_namespace(), "diff", "--filename", str(written), fine=(1,))
    texts: dict[str, list[str]] = {}
    where = ""
    for line in said.splitlines():
        if line.startswith("diff "):
            where = _object_of(line)
        elif where and line[:1] in "+-" and not line.startswith(("+++", "---")):
            texts.setdefault(where, []).append(line)
    return tuple(
        Step("start" if all(line[0] == "+" for line in lines) else "change", where, f"{len(lines)} lines differ")
        for where, lines in texts.items()
    )


def apply(home: Home, deployment: Deployment, spec: DeploymentSpec) -> DeploymentState:
    """Write the manifests, apply them, and wait for the rollout; Kubernetes ends the older pods as the new get ready.

    The image must be where the cluster pulls from: `image` of the deployment names that repository. Raises UsageError
    with the place of the manifests where no cluster is set up, Unavailable where the rollout does not end well; then
    the older revision still answers.
    """
    written = write_manifests(home, deployment, spec)
    if not _is_set_up():
        raise UsageError(
            f"the manifests of {deployment.point} are in {written}, but kubectl knows no cluster here to apply them to",
            hint=f"kubectl apply --filename {written}",
        )
    namespace = _namespace()
    _kubectl(namespace, "apply", "--filename", str(written))
    _kubectl(
        namespace, "rollout", "status", f"deployment/{deployment.name}", f"--timeout={ROLLOUT_WITHIN_S}s",
        within_s=ROLLOUT_WITHIN_S + 30.0,
    )  # fmt: skip
    url = f"http://{deployment.name}.{namespace}.svc:{PORT}"
    now_ms = home.clock.now_ms()
    return DeploymentState(deployment.name, deployment.revision, "running", url, namespace, now_ms)


def status(home: Home, state: DeploymentState) -> DeploymentState:
    """The state as it is now: running while at least one pod is ready."""
    if state.status == "stopped":
        return state
    said = _kubectl(state.handle, "get", "deployment", state.name, "--ignore-not-found", "--output", "json")
    found = wire.decode(said, _Object, what="what kubectl says of a deployment") if said.strip() else _Object()
    lives = found.status.readyReplicas > 0
    return replace(state, status="running" if lives else "failed", at_ms=home.clock.now_ms())


def remove(home: Home, state: DeploymentState) -> None:
    """Delete every object of the deployment; pods end after what they had accepted. Gone already is no error."""
    if not state.handle:
        return  # It never was in a cluster.
    chosen = f"app.kubernetes.io/managed-by=taut,app.kubernetes.io/instance={state.name}"
    _kubectl(state.handle, "delete", KINDS, "--selector", chosen, "--ignore-not-found", "--wait=true", within_s=120.0)


def logs(home: Home, state: DeploymentState, *, lines: int = 100) -> str:
    """The newest lines of one pod of the deployment; empty where it never was in a cluster."""
    if not state.handle:
        return ""
    return _kubectl(state.handle, "logs", f"deployment/{state.name}", f"--tail={lines}")


def write_manifests(home: Home, deployment: Deployment, spec: DeploymentSpec, folder: Path | None = None) -> Path:
    """Write `NAME.yaml` into a folder (by default one of the home's own); returns its path."""
    version = find_model(home, f"{deployment.model}@{deployment.number}")
    text = render_manifests(manifests_of(home, deployment, spec, version, graph_of(home, version)))
    place = folder or cache_folder(home).parent / "manifests"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{deployment.name}.yaml").write_text(text)
    return place / f"{deployment.name}.yaml"


def _is_set_up() -> bool:
    """Whether kubectl is installed and has a context that says which cluster is meant."""
    if shutil.which("kubectl") is None:
        return False
    try:
        run_program(["kubectl", "config", "current-context"])
    except Unavailable:
        return False  # It says so where there is none.
    return True


def _namespace() -> str:
    said = run_program(["kubectl", "config", "view", "--minify", "--output", "jsonpath={..namespace}"])
    return said.strip() or "default"


def _object_of(line: str) -> str:
    """The object in a head of kubectl's comparison: its files are called GROUP.VERSION.KIND.NAMESPACE.NAME."""
    words = line.rpartition("/")[2].split(".")
    return f"{words[-3].lower()} {words[-1]}" if len(words) > 2 else line.rpartition("/")[2]


def _kubectl(namespace: str, *words: str, within_s: float = 60.0, fine: tuple[int, ...] = ()) -> str:
    return run_program(["kubectl", "--namespace", namespace, *words], within_s=within_s, fine=fine)
