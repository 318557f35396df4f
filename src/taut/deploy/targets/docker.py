"""Deployments as containers of this machine's Docker or podman: without rights, read-only, bounded, found by labels."""

import socket
import time
from dataclasses import replace
from math import ceil
from urllib.parse import urlsplit

import msgspec

from taut import __version__
from taut.deploy.containers import ANY_PORT, Found, container_labels, home_digest, list_containers
from taut.deploy.deployments import ended_within_s
from taut.deploy.dockerfile import PORT, PREDICTIONS
from taut.deploy.engines import Engine, require_engine
from taut.deploy.image import default_tag, digests_of, graph_of, make_image
from taut.deploy.quantities import bytes_of, cores_of
from taut.deploy.running import locked, reached, run_folder
from taut.deploy.targets import Step
from taut.deploy.targets.process import answers
from taut.errors import Unavailable, UsageError
from taut.ground.remote import remote_token
from taut.home import Home
from taut.models import find_model
from taut.models.package import cache_folder
from taut.project import DeploymentSpec
from taut.records import Deployment, DeploymentState, ModelVersion

READY_WITHIN_S = 120.0  # A container starts in a second; loading scikit-learn on a loaded machine was seen to take 40.
POLL_S = 0.1
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # What a container listens on; the engine says who reaches it.
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
PROCESSES_MAX = 256


def plan(home: Home, deployment: Deployment, spec: DeploymentSpec) -> tuple[Step, ...]:
    """What `apply` would do to images and containers of this machine; empty where the revision answers already.

    Raises UsageError where no engine answers, or for more than one replica.
    """
    engine = _engine_for(deployment, spec)
    found = list_containers(engine, home, deployment.name)
    current = _answering(found, deployment)
    steps: list[Step] = []
    if current is None:
        version = find_model(home, f"{deployment.model}@{deployment.number}")
        graph = graph_of(home, version)
        if not _has_image(engine, version, graph):
            steps.append(Step("build", f"image {default_tag(version, graph)}", f"{version.name}@{version.number}"))
        where = f"{spec.host}:{spec.port}" if spec.port else f"{spec.host}, on a free port"
        steps.append(Step("start", "container", f"revision {deployment.revision} at {where}"))
    steps += [
        Step("end", f"container {one.id[:12]}", f"revision {one.revision}, after what it had accepted")
        for one in found
        if current is None or one.id != current.id
    ]
    return tuple(steps)


def apply(home: Home, deployment: Deployment, spec: DeploymentSpec) -> DeploymentState:
    """Make this revision answer in a container, then end the older ones; one that answers already is kept.

    A port of its own is taken over from the older revision only after the new one has answered on another: a version
    that does not come up takes nothing away. Between the two stands the start of a container, in which nobody answers;
    with port 0 there is no such moment, and another port. Predictions are logged where home is a server's URL; a
    container reaches no folder of this machine.
    """
    engine = _engine_for(deployment, spec)
    with locked(run_folder(home), f"{deployment.name}.start"):
        found = list_containers(engine, home, deployment.name)
        current = _answering(found, deployment) or _replaced(engine, home, deployment, spec, found)
        for other in list_containers(engine, home, deployment.name):
            if other.id != current.id:
                _end(engine, other)
    now_ms = home.clock.now_ms()
    return DeploymentState(
        deployment.name, deployment.revision, "running", current.url, f"{engine.name}:{current.id}", now_ms
    )


def status(home: Home, state: DeploymentState) -> DeploymentState:
    """The state as it is now: running only where the container runs and answers."""
    if state.status == "stopped":
        return state
    engine, _, container = state.handle.partition(":")
    lives = any(
        one.running and answers(one.url)
        for one in list_containers(Engine(engine), home, state.name)
        if one.id == container
    )
    return replace(state, status="running" if lives else "failed", at_ms=home.clock.now_ms())


def remove(home: Home, state: DeploymentState) -> None:
    """End every container of the deployment, after the requests that it has accepted, and remove it."""
    engine = _engine_of(state)
    for one in list_containers(engine, home, state.name):
        _end(engine, one)


def logs(home: Home, state: DeploymentState, *, lines: int = 100) -> str:
    """The newest lines that the deployment's newest container wrote; empty where there is none."""
    engine = _engine_of(state)
    found = list_containers(engine, home, state.name)
    return _written(engine, found[0].id, lines) if found else ""


def _engine_for(deployment: Deployment, spec: DeploymentSpec) -> Engine:
    """An engine that runs containers. Raises UsageError where there is none, or for more than one replica."""
    if spec.replicas != 1:
        raise UsageError(
            f"target docker runs one container, and {deployment.name!r} asks for {spec.replicas}",
            hint="set replicas: 1, or target: kubernetes",
        )
    return require_engine()


def _answering(found: list[Found], deployment: Deployment) -> Found | None:
    """The container of this very revision, where it runs and answers."""
    same = next((one for one in found if one.revision == deployment.revision), None)
    return same if same is not None and same.running and answers(same.url) else None


def _engine_of(state: DeploymentState) -> Engine:
    return Engine(state.handle.partition(":")[0]) if state.handle else require_engine()


def _replaced(engine: Engine, home: Home, deployment: Deployment, spec: DeploymentSpec, found: list[Found]) -> Found:
    """A container that answers for this revision; whatever was left of an earlier try is taken away first."""
    version = find_model(home, f"{deployment.model}@{deployment.number}")
    image = _image(engine, home, version)
    older = [one for one in found if one.revision != deployment.revision]
    for failed in found:
        if failed.revision == deployment.revision:
            _end(engine, failed)
    if spec.port and any(one.running for one in older):
        _end(engine, _started(engine, home, deployment, msgspec.structs.replace(spec, port=0), image))
        for one in older:
            _end(engine, one)
    return _started(engine, home, deployment, spec, image)


def _image(engine: Engine, home: Home, version: ModelVersion) -> str:
    """The tag of the version's image, built where the engine does not have it with this very digest."""
    graph = graph_of(home, version)
    tag = default_tag(version, graph)
    if _has_image(engine, version, graph):
        return tag
    cache = cache_folder(home).parent
    folder = cache / "images" / f"{version.digest}{graph}"
    make_image(home, version, folder=folder, tag=tag, build=True, wheelhouse=cache / "wheels")
    return tag


def _has_image(engine: Engine, version: ModelVersion, graph: str) -> bool:
    """Whether the engine has the image of the version and its graph, made by this very taut."""
    labels = {**digests_of(version, graph), "taut.version": __version__}
    form = " ".join(f'{{{{index .Config.Labels "{name}"}}}}' for name in labels)
    try:
        said = engine.run("image", "inspect", "--format", form, default_tag(version, graph)).strip()
    except Unavailable:
        return False  # It has no such image yet.
    return said == " ".join(labels.values())


def _started(engine: Engine, home: Home, deployment: Deployment, spec: DeploymentSpec, image: str) -> Found:
    """Run a container and wait until it answers. Raises Unavailable with its last words, and leaves none behind."""
    words, environment = run_arguments(home, deployment, spec, image)
    container = engine.run("run", *words, environment=environment).strip().splitlines()[-1]
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        one = next((one for one in list_containers(engine, home, deployment.name) if one.id == container), None)
        if one is None or not one.running or one.restarts:
            break  # An engine counts a container as running while it waits to start it once more.
        if answers(one.url):
            return one
        time.sleep(POLL_S)
    written = _written(engine, container, 20).strip()
    engine.run("rm", "--force", container)
    told = written.splitlines()[-1] if written else "it said nothing"
    raise Unavailable(
        f"{deployment.point} did not come up in a container: {told}",
        hint=f"{engine.name} run --rm {image}",
    )


def run_arguments(
    home: Home, deployment: Deployment, spec: DeploymentSpec, image: str
) -> tuple[list[str], dict[str, str]]:
    """The words after `docker run`, and the environment that its command needs: a token never stands among the words.

    With a server as home, predictions lie in a volume of the deployment until they are sent; nothing here removes it. A
    server on this machine's loopback is reached through the machine's own network, which the container then shares.
    """
    words = [
        "--detach", "--name", f"taut-{deployment.name}-{deployment.revision}-{home_digest(home)[:8]}",
        "--read-only", "--tmpfs", "/tmp:rw,noexec,nosuid,size=64m", "--cap-drop", "ALL",  # noqa: S108
        "--security-opt", "no-new-privileges", "--pids-limit", str(PROCESSES_MAX), "--restart", "unless-stopped",
        "--stop-timeout", str(ceil(ended_within_s(spec))),
        "--memory", str(bytes_of(spec.memory)), "--cpus", f"{cores_of(spec.cpu):g}",
    ]  # fmt: skip
    host, port, network = ANY_ADDRESS, PORT, ["--publish", f"{spec.host}:{spec.port or ''}:{PORT}"]
    url = f"http://{reached(spec.host)}:{ANY_PORT}"
    if home.remote is not None and urlsplit(home.place).hostname in LOOPBACK:
        host, port, network = spec.host, spec.port or _free_port(spec.host), ["--network", "host"]
        url = f"http://{reached(spec.host)}:{port}"
    for name, value in container_labels(home, deployment, url).items():
        words += ["--label", f"{name}={value}"]
    if spec.workers:
        words += ["--env", f"TAUT_WORKERS={spec.workers}"]
    if home.remote is None:
        return [*words, *network, image], {}
    volume = f"type=volume,source={volume_of(home, deployment.name)},target={PREDICTIONS}"
    words += [*network, "--mount", volume, "--env", "TAUT_HOME", "--env", "TAUT_TOKEN", image]
    words += ["--deployment", deployment.name, "--revision", str(deployment.revision)]
    words += ["--host", host, "--port", str(port)]
    return words, {"TAUT_HOME": home.place, "TAUT_TOKEN": remote_token(home.place)}


def volume_of(home: Home, name: str) -> str:
    """Where a deployment's containers keep what they have answered and not yet sent: the next one sends the rest."""
    return f"taut-{name}-{home_digest(home)[:8]}"


def _free_port(host: str) -> int:
    """A port that nobody listens on; whoever takes it before the container does makes that fail, and be tried again."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _end(engine: Engine, one: Found) -> None:
    """Stop a container after what it had accepted, and remove it."""
    engine.run("stop", one.id, within_s=None)  # The engine kills it after the time that it was started with.
    engine.run("rm", "--force", one.id)


def _written(engine: Engine, container: str, lines: int) -> str:
    """The newest lines of a container's standard output and error, which engines keep apart."""
    return engine.run("logs", "--tail", str(lines), container, errors=True)
