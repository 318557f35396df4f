"""Deployments as containers of this machine's Docker or podman: without rights, read-only, bounded, found by labels."""

import socket
import time
from dataclasses import dataclass, replace
from hashlib import sha256
from urllib.parse import urlsplit

import msgspec

from taut import __version__
from taut.deploy.dockerfile import PORT
from taut.deploy.engines import Engine, require_engine
from taut.deploy.image import DIGEST_LABEL, default_tag, make_image
from taut.deploy.quantities import bytes_of, cores_of
from taut.deploy.running import locked, run_folder
from taut.deploy.targets.process import answers
from taut.errors import Unavailable, UsageError
from taut.ground import wire
from taut.ground.remote import remote_token
from taut.home import Home
from taut.models import find_model
from taut.models.package import cache_folder
from taut.project import DeploymentSpec
from taut.records import Deployment, DeploymentState, ModelVersion

READY_WITHIN_S = 120.0  # A container starts in a second; loading scikit-learn on a loaded machine was seen to take 40.
STOP_WITHIN_S = 30  # Past the server's own bound for the requests that it has accepted.
POLL_S = 0.1
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # What a container listens on; the engine says who reaches it.
ANY_PORT = "{port}"  # Stands in a label for the port that the engine chose.
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
PROCESSES_MAX = 256


class _Port(msgspec.Struct):
    HostPort: str


class _Settings(msgspec.Struct):
    Labels: dict[str, str]


class _Network(msgspec.Struct):
    Ports: dict[str, list[_Port] | None] = {}


class _Running(msgspec.Struct):
    Running: bool


class _Container(msgspec.Struct):
    """What is read of an engine's answer to `inspect`."""

    Id: str
    RestartCount: int
    State: _Running
    Config: _Settings
    NetworkSettings: _Network


@dataclass(frozen=True, slots=True)
class _Found:
    """A container of a deployment: whether it runs, and where it answers."""

    id: str
    revision: int
    running: bool
    restarts: int
    url: str


def start(home: Home, deployment: Deployment, spec: DeploymentSpec) -> DeploymentState:
    """Make this revision answer in a container, then end the older ones; one that answers already is kept.

    A port of its own is taken over from the older revision only after the new one has answered on another: a version
    that does not come up takes nothing away. Between the two stands the start of a container, in which nobody answers;
    with port 0 there is no such moment, and another port. Predictions are logged where home is a server's URL; a
    container reaches no folder of this machine.
    """
    if spec.replicas != 1:
        raise UsageError(
            f"target docker runs one container, and {deployment.name!r} asks for {spec.replicas}",
            hint="set replicas: 1, or target: kubernetes",
        )
    engine = require_engine()
    with locked(run_folder(home), f"{deployment.name}.start"):
        found = _containers(engine, home, deployment.name)
        current = next((one for one in found if one.revision == deployment.revision), None)
        if current is None or not (current.running and answers(current.url)):
            current = _replaced(engine, home, deployment, spec, found)
        for other in _containers(engine, home, deployment.name):
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
        one.running and answers(one.url) for one in _containers(Engine(engine), home, state.name) if one.id == container
    )
    return replace(state, status="running" if lives else "failed", at_ms=home.clock.now_ms())


def stop(home: Home, state: DeploymentState) -> None:
    """End every container of the deployment, after the requests that it has accepted, and remove it."""
    engine = _engine_of(state)
    for one in _containers(engine, home, state.name):
        _end(engine, one)


def logs(home: Home, state: DeploymentState, *, lines: int = 100) -> str:
    """The newest lines that the deployment's newest container wrote; empty where there is none."""
    engine = _engine_of(state)
    found = _containers(engine, home, state.name)
    return _written(engine, found[0].id, lines) if found else ""


def _engine_of(state: DeploymentState) -> Engine:
    return Engine(state.handle.partition(":")[0]) if state.handle else require_engine()


def _replaced(engine: Engine, home: Home, deployment: Deployment, spec: DeploymentSpec, found: list[_Found]) -> _Found:
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
    tag = default_tag(version)
    wanted = f"sha256:{version.digest}"
    form = f'{{{{index .Config.Labels "{DIGEST_LABEL}"}}}} {{{{index .Config.Labels "taut.version"}}}}'
    try:
        if engine.run("image", "inspect", "--format", form, tag).strip() == f"{wanted} {__version__}":
            return tag
    except Unavailable:
        pass  # It has no such image yet.
    cache = cache_folder(home).parent
    make_image(
        home, version, folder=cache / "images" / version.digest, tag=tag, build=True, wheelhouse=cache / "wheels"
    )
    return tag


def _started(engine: Engine, home: Home, deployment: Deployment, spec: DeploymentSpec, image: str) -> _Found:
    """Run a container and wait until it answers. Raises Unavailable with its last words, and leaves none behind."""
    words, environment = run_arguments(home, deployment, spec, image)
    container = engine.run("run", *words, environment=environment).strip().splitlines()[-1]
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        one = next((one for one in _containers(engine, home, deployment.name) if one.id == container), None)
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

    A server on this machine's loopback is reached through the machine's own network, which the container then shares.
    """
    words = [
        "--detach", "--name", f"taut-{deployment.name}-{deployment.revision}-{home_digest(home)[:8]}",
        "--read-only", "--tmpfs", "/tmp:rw,noexec,nosuid,size=64m", "--cap-drop", "ALL",  # noqa: S108
        "--security-opt", "no-new-privileges", "--pids-limit", str(PROCESSES_MAX), "--restart", "unless-stopped",
        "--memory", str(bytes_of(spec.memory)), "--cpus", f"{cores_of(spec.cpu):g}",
    ]  # fmt: skip
    host, port, network = ANY_ADDRESS, PORT, ["--publish", f"{spec.host}:{spec.port or ''}:{PORT}"]
    url = f"http://{_reached(spec.host)}:{ANY_PORT}"
    if home.remote is not None and urlsplit(home.place).hostname in LOOPBACK:
        host, port, network = spec.host, spec.port or _free_port(spec.host), ["--network", "host"]
        url = f"http://{_reached(spec.host)}:{port}"
    for name, value in _labels(home, deployment, url).items():
        words += ["--label", f"{name}={value}"]
    if home.remote is None:
        return [*words, *network, image], {}
    words += [*network, "--env", "TAUT_HOME", "--env", "TAUT_TOKEN", image]
    words += ["--deployment", deployment.name, "--revision", str(deployment.revision)]
    words += ["--host", host, "--port", str(port)]
    return words, {"TAUT_HOME": home.place, "TAUT_TOKEN": remote_token(home.place)}


def _labels(home: Home, deployment: Deployment, url: str) -> dict[str, str]:
    return {
        "taut.url": url,
        "taut.home": home_digest(home),
        "taut.deployment": deployment.name,
        "taut.revision": str(deployment.revision),
        "taut.serves": f"{deployment.model}@{deployment.number}",
    }


def home_digest(home: Home) -> str:
    """Two homes may deploy under one name to one engine; this tells their containers apart."""
    named = home.place if home.in_project is None else f"{home.place}#{home.project_id}"
    return sha256(named.encode()).hexdigest()[:16]


def _containers(engine: Engine, home: Home, name: str) -> list[_Found]:
    """Every container of a deployment of this home, stopped ones too, newest revision first."""
    chosen = ["--filter", f"label=taut.home={home_digest(home)}", "--filter", f"label=taut.deployment={name}"]
    ids = engine.run("ps", "--all", "--quiet", "--no-trunc", *chosen).split()
    found: list[_Found] = []
    for container in ids:
        try:
            said = engine.run("inspect", "--type", "container", container)
        except Unavailable:
            continue  # It was removed between the listing and the look.
        known = wire.decode(said, list[_Container], what=f"what {engine.name} says of a container")[0]
        found.append(_found(known))
    return sorted(found, key=lambda one: -one.revision)


def _found(known: _Container) -> _Found:
    labels = known.Config.Labels
    ports = [port.HostPort for bound in known.NetworkSettings.Ports.values() for port in bound or []]
    url = labels["taut.url"].replace(ANY_PORT, ports[0] if ports else "0")
    return _Found(known.Id, int(labels["taut.revision"]), known.State.Running, known.RestartCount, url)


def _reached(host: str) -> str:
    """Where this machine reaches what listens on an address."""
    return "127.0.0.1" if host == ANY_ADDRESS else host


def _free_port(host: str) -> int:
    """A port that nobody listens on; whoever takes it before the container does makes that fail, and be tried again."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _end(engine: Engine, one: _Found) -> None:
    """Stop a container after what it had accepted, and remove it."""
    engine.run("stop", "--time", str(STOP_WITHIN_S), one.id, within_s=2 * STOP_WITHIN_S)
    engine.run("rm", "--force", one.id)


def _written(engine: Engine, container: str, lines: int) -> str:
    """The newest lines of a container's standard output and error, which engines keep apart."""
    return engine.run("logs", "--tail", str(lines), container, errors=True)
