"""Images and containers for real: Docker's engine and podman build them, run them without rights, and they predict."""

import json
from pathlib import Path

import pytest
import urllib3
import yaml

from taut.deploy import deploy_model, deployment_logs, find_state, reconcile_deployments, stop_deployment
from taut.deploy.containers import home_digest
from taut.deploy.engines import Engine
from taut.deploy.image import default_tag, make_image
from taut.deploy.targets import docker as target
from taut.deploy.targets.kubernetes import write_manifests
from taut.errors import Unavailable
from taut.home import Home, open_home
from taut.models import register_folder
from taut.project import DeploymentSpec
from taut.records import DeploymentState, ModelVersion
from taut.serve import list_predictions
from tests.deploy.images import deployment_of, model_folder
from tests.engines.conftest import engine_or_skip, trained
from tests.faces.serving import served
from tests.parts import eventually, free_port

# A first build installs scikit-learn and compiles it; the next ones find that layer in the engine's cache.
pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

SPEC = DeploymentSpec(model="late@1", target="docker", memory="512Mi")


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest):
    """Whatever a failing test leaves running is ended."""
    needed = [request.getfixturevalue(name) for name in ("home", "engine") if name in request.fixturenames]
    yield
    if len(needed) == 2:
        home, engine = needed
        target.remove(home, DeploymentState("late", 1, "failed", "", f"{engine.name}:", 0))


def says(url: str, a: float, b: float) -> object:
    """What the model at a URL predicts for one row, by the Open Inference Protocol."""
    inputs = [{"name": name, "datatype": "FP64", "shape": [1], "data": [value]} for name, value in (("a", a), ("b", b))]
    answer = urllib3.request("POST", f"{url}/v2/models/late/infer", json={"inputs": inputs}, timeout=20.0)
    assert answer.status == 200, answer.data
    return next(one["data"][0] for one in answer.json()["outputs"] if one["name"] == "prediction")


def containers(engine: Engine, home: Home) -> list[str]:
    """Every container of the home, running or not."""
    return engine.run("ps", "--all", "--quiet", "--filter", f"label=taut.home={home_digest(home)}").split()


def inside(engine: Engine, container: str, program: str) -> str:
    return engine.run("exec", container, "python", "-c", program, errors=True)


def test_a_deployed_container_predicts_without_any_right(engine: Engine, home: Home, version: ModelVersion):
    state = deploy_model(home, "late", model="late@1", target="docker", spec=SPEC)
    assert (says(state.url, 1.0, 1.0), says(state.url, -1.0, -1.0)) == (1, 0)
    container = state.handle.partition(":")[2]
    assert inside(engine, container, "import os; print(os.getuid(), os.getgid())").split() == ["10001", "10001"]
    rights = inside(engine, container, "print(open('/proc/1/status').read())").split()
    assert set(rights[rights.index("CapEff:") + 1]) == {"0"}
    assert rights[rights.index("NoNewPrivs:") + 1] == "1"
    for path in ("/model/MLmodel", "/x"):
        with pytest.raises(Unavailable, match=r"Read-only file system|Permission denied"):
            inside(engine, container, f"open('{path}', 'a')")
    limit = engine.run("inspect", "--format", "{{.HostConfig.Memory}}", container)
    assert int(limit) == 512 * 2**20
    assert deployment_logs(home, "late").splitlines() == ["late answers at http://127.0.0.1:8080"]


def test_deploying_again_keeps_the_container_and_a_dead_one_comes_back(
    engine: Engine, home: Home, version: ModelVersion
):
    first = deploy_model(home, "late", model="late@1", target="docker", spec=SPEC)
    assert deploy_model(home, "late", model="late@1", target="docker", spec=SPEC).handle == first.handle
    engine.run("rm", "--force", first.handle.partition(":")[2])
    assert target.status(home, first).status == "failed"
    assert [one.done for one in reconcile_deployments(home)] == ["started"]
    again = find_state(home, "late")
    assert again is not None
    assert says(again.url, 1.0, 1.0) == 1
    stop_deployment(home, "late")
    assert containers(engine, home) == []


def test_a_new_version_takes_over_the_port_and_a_broken_one_does_not(
    engine: Engine, home: Home, version: ModelVersion, tmp_path: Path
):
    port = free_port()
    spec = DeploymentSpec(model="late", target="docker", port=port)
    first = deploy_model(home, "late", model="late@1", target="docker", spec=spec)
    register_folder(home, "late", trained(tmp_path / "opposite", sign=-1))
    second = deploy_model(home, "late", model="late@2", target="docker", spec=spec)
    assert first.url == second.url == f"http://127.0.0.1:{port}"
    assert says(second.url, 1.0, 1.0) == 0
    register_folder(home, "late", model_folder(tmp_path, requirements=""))
    with pytest.raises(Unavailable, match=r"deployment:late@3 did not come up in a container"):
        deploy_model(home, "late", model="late@3", target="docker", spec=spec)
    assert says(second.url, 1.0, 1.0) == 0
    assert len(containers(engine, home)) == 1


def test_a_container_of_a_server_s_home_logs_there(engine: Engine, home: Home, version: ModelVersion):
    with served(home) as url, open_home(url) as remote:
        try:
            state = deploy_model(remote, "late", model="late@1", target="docker", spec=SPEC)
            assert says(state.url, 1.0, 1.0) == 1
        finally:
            target.remove(remote, DeploymentState("late", 1, "failed", "", f"{engine.name}:", 0))
            engine.run("volume", "rm", target.volume_of(remote, "late"))
    logged = list_predictions(home, "late")
    assert [(one.revision, one.number, one.inputs["a"]) for one in logged] == [(1, 1, [1.0])]


def test_what_a_killed_container_had_answered_is_sent_by_the_next(engine: Engine, home: Home, version: ModelVersion):
    with served(home) as url, open_home(url) as remote:
        try:
            state = deploy_model(remote, "late", model="late@1", target="docker", spec=SPEC)
            assert [says(state.url, 1.0, 1.0) for _ in range(3)] == [1, 1, 1]
            engine.run("kill", state.handle.partition(":")[2])
            before = len(list_predictions(home, "late"))
            assert [one.done for one in reconcile_deployments(remote)] == ["started"]
            eventually(lambda: len(list_predictions(home, "late")) == 3, what=f"what was answered, after {before}")
        finally:
            target.remove(remote, DeploymentState("late", 1, "failed", "", f"{engine.name}:", 0))
            engine.run("volume", "rm", target.volume_of(remote, "late"))


def test_the_engine_asks_the_image_for_its_health(home: Home, version: ModelVersion):
    docker = engine_or_skip("docker")  # podman asks through systemd timers, which not every machine has.
    state = deploy_model(home, "late", model="late@1", target="docker", spec=SPEC)
    container = state.handle.partition(":")[2]
    form = "{{.State.Health.Status}}"
    try:
        eventually(
            lambda: docker.run("inspect", "--format", form, container).strip() == "healthy", within=90, what="health"
        )
    finally:
        target.remove(home, state)


def test_a_hermetic_build_needs_no_network_and_the_labels_name_the_line(
    engine: Engine, home: Home, version: ModelVersion, wheelhouse: Path, tmp_path: Path
):
    folder = tmp_path / "image"
    made = make_image(home, version, folder=folder, tag="taut-test/late:hermetic", build=False, wheelhouse=wheelhouse)
    extra = ["--format", "docker"] if engine.name == "podman" else []
    engine.run("build", "--quiet", "--network", "none", *extra, "--tag", made.tag, str(folder), within_s=None)
    said = json.loads(engine.run("image", "inspect", made.tag))[0]["Config"]
    assert said["User"] == "10001:10001"
    assert said["Labels"]["taut.model.digest"] == f"sha256:{version.digest}"
    assert said["Labels"]["org.opencontainers.image.title"] == "late"
    engine.run("rmi", "--force", made.tag)


@pytest.mark.slow
def test_an_image_installs_from_the_index_with_the_settings_of_pip_as_a_secret(
    podman: Engine, home: Home, version: ModelVersion, tmp_path: Path
):
    made = make_image(home, version, folder=tmp_path / "image", tag="taut-test/late:index", build=True)
    history = podman.run("history", "--no-trunc", made.tag)
    assert made.id
    assert "pip.conf" not in podman.run("run", "--rm", "--entrypoint", "ls", made.tag, "/etc")
    assert "index-url" not in history
    podman.run("rmi", "--force", made.tag)


def test_podman_plays_the_manifests_of_kubernetes(podman: Engine, home: Home, version: ModelVersion, tmp_path: Path):
    make_image(
        home, version, folder=tmp_path / "image", tag=default_tag(version), build=True,
        wheelhouse=home.project / ".taut" / "cache" / "wheels",
    )  # fmt: skip
    spec = DeploymentSpec(model="late@1", target="kubernetes", memory="512Mi")
    written = write_manifests(home, deployment_of(version, target="kubernetes"), spec, tmp_path)
    port = free_port()
    played = tmp_path / "played.yaml"
    played.write_text(_at_port(written.read_text(), port))
    podman.run("kube", "play", str(played))
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _ready(url), within=90, what="the pod")
        assert says(url, 1.0, 1.0) == 1
        pod = "late-pod-0-model"
        assert inside(podman, pod, "import os; print(os.getuid()); open('/tmp/x', 'w')").strip() == "10001"
        with pytest.raises(Unavailable, match="Read-only file system"):
            inside(podman, pod, "open('/x', 'w')")
        limit = podman.run("inspect", "--format", "{{.HostConfig.Memory}}", pod)
        assert int(limit) == 512 * 2**20
    finally:
        podman.run("kube", "down", str(played))


def _at_port(manifests: str, port: int) -> str:
    """The manifests with the pod's port at one of this machine's, for there is no Service without a cluster."""
    objects = list(yaml.safe_load_all(manifests))
    objects[0]["spec"]["template"]["spec"]["containers"][0]["ports"][0] |= {"hostPort": port, "hostIP": "127.0.0.1"}
    return yaml.safe_dump_all(objects)


def _ready(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/v2/health/ready", timeout=5.0, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
