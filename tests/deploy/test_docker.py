"""What a container is allowed and told, read off the words that start it; tests/engines runs them for real."""

from pathlib import Path

import pytest

from taut import __version__
from taut.deploy.targets import docker
from taut.errors import UsageError
from taut.ground import wire
from taut.home import open_home
from taut.project import DeploymentSpec, LimitsSpec
from taut.records import ModelVersion
from tests.deploy.images import deployment_of, home_of, version_in
from tests.deploy.test_engines import put_program

SPEC = DeploymentSpec(model="late@1", target="docker", cpu="500m", memory="256Mi", port=8090)


@pytest.fixture
def version(project: Path, tmp_path: Path) -> ModelVersion:
    with home_of(project) as home:
        return version_in(home, tmp_path)


def after(words: list[str], option: str) -> list[str]:
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def test_a_container_is_read_only_bounded_and_without_rights(project: Path, version: ModelVersion):
    with home_of(project) as home:
        words, environment = docker.run_arguments(home, deployment_of(version), SPEC, "late:1")
    assert "--read-only" in words
    assert after(words, "--cap-drop") == ["ALL"]
    assert after(words, "--security-opt") == ["no-new-privileges"]
    assert (after(words, "--memory"), after(words, "--cpus")) == (["268435456"], ["0.5"])
    assert after(words, "--publish") == ["127.0.0.1:8090:8080"]
    assert (words[-1], environment) == ("late:1", {})


@pytest.mark.parametrize(("answer", "told"), [("10s", "30"), ("1500ms", "22"), ("5min", "320")])
def test_a_container_may_take_as_long_to_end_as_its_longest_answer(
    project: Path, version: ModelVersion, answer: str, told: str
):
    spec = DeploymentSpec(model="late@1", target="docker", limits=LimitsSpec(answer=answer))
    with home_of(project) as home:
        words, _ = docker.run_arguments(home, deployment_of(version), spec, "late:1")
    assert after(words, "--stop-timeout") == [told]


@pytest.mark.parametrize(("workers", "told"), [(0, []), (3, ["TAUT_WORKERS=3"])])
def test_a_number_of_workers_reaches_the_container(project: Path, version: ModelVersion, workers: int, told: list[str]):
    spec = DeploymentSpec(model="late@1", target="docker", workers=workers)
    with home_of(project) as home:
        words, _ = docker.run_arguments(home, deployment_of(version), spec, "late:1")
    assert after(words, "--env") == told


def test_a_free_port_is_left_to_the_engine(project: Path, version: ModelVersion):
    with home_of(project) as home:
        words, _ = docker.run_arguments(home, deployment_of(version), DeploymentSpec(model="late@1"), "late:1")
    assert after(words, "--publish") == ["127.0.0.1::8080"]


def test_with_a_server_as_home_it_logs_there_and_no_word_holds_the_token(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAUT_TOKEN", "taut_secret")
    with open_home("https://taut.example.org") as home:
        words, environment = docker.run_arguments(home, deployment_of(version, revision=3), SPEC, "late:1")
    assert environment == {"TAUT_HOME": "https://taut.example.org", "TAUT_TOKEN": "taut_secret"}
    assert [word for word in words if "taut_secret" in word] == []
    assert words[words.index("late:1") + 1 :] == [
        "--deployment", "late", "--revision", "3", "--host", "0.0.0.0", "--port", "8080",
    ]  # fmt: skip
    assert "host" not in after(words, "--network")
    volume = docker.volume_of(home, "late")
    assert after(words, "--mount") == [f"type=volume,source={volume},target=/predictions"]


def test_a_server_on_this_machine_is_reached_through_its_network(version: ModelVersion):
    with open_home("http://127.0.0.1:5000") as home:
        words, _ = docker.run_arguments(home, deployment_of(version), SPEC, "late:1")
    assert after(words, "--network") == ["host"]
    assert after(words, "--publish") == []
    assert words[-4:] == ["--host", "127.0.0.1", "--port", "8090"]


def test_two_homes_do_not_take_each_other_s_containers(project: Path, version: ModelVersion):
    deployment = deployment_of(version)
    with home_of(project) as one, open_home("https://taut.example.org") as other:
        labels = [after(docker.run_arguments(home, deployment, SPEC, "i")[0], "--label") for home in (one, other)]
    homes = [[word for word in words if word.startswith("taut.home=")] for words in labels]
    assert homes[0] != homes[1]


def test_several_containers_are_kubernetes_work(project: Path, version: ModelVersion):
    spec = DeploymentSpec(model="late@1", target="docker", replicas=2)
    with home_of(project) as home, pytest.raises(UsageError, match="asks for 2"):
        docker.apply(home, deployment_of(version), spec)


# The plan. A shell script stands in for the engine: it answers what it is told to, and builds and runs nothing.


def engine_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, image: str = "", container: str = "") -> Path:
    """The file in which a stand-in for podman keeps its arguments; it knows of one image and one container at most."""
    told = tmp_path / "told"
    (tmp_path / "container.json").write_text(container)
    script = f"""echo "$@" >> {told}
case "$*" in
  info*) echo here;;
  "image inspect"*) [ -n "{image}" ] || exit 1; echo "{image}";;
  ps*) [ ! -s {tmp_path / "container.json"} ] || echo 0123456789abcdef;;
  inspect*) cat {tmp_path / "container.json"};;
  *) echo "this is not asked in a plan: $*" >&2; exit 9;;
esac"""
    put_program(tmp_path / "bin", "podman", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("TAUT_ENGINE", "podman")
    return told


def a_container(revision: int) -> str:
    labels = {"taut.url": "http://127.0.0.1:{port}", "taut.revision": str(revision)}
    found = {
        "Id": "0123456789abcdef", "RestartCount": 0, "State": {"Running": True}, "Config": {"Labels": labels},
        "NetworkSettings": {"Ports": {"8080/tcp": [{"HostPort": "1"}]}},
    }  # fmt: skip
    return wire.text([found])


def test_a_plan_names_what_would_be_built_and_started(
    project: Path, version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    told = engine_that(tmp_path, monkeypatch)
    with home_of(project) as home:
        build, start = docker.plan(home, deployment_of(version), SPEC)
    assert (build.action, build.what) == ("build", f"image taut/late:1-{version.digest[:12]}")
    assert (start.action, start.what, start.text) == ("start", "container", "revision 1 at 127.0.0.1:8090")
    assert "--filter label=taut.deployment=late" in told.read_text()


def test_a_plan_ends_what_is_older_and_builds_nothing_that_is_there(
    project: Path, version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    engine_that(tmp_path, monkeypatch, image=f"sha256:{version.digest} {__version__}", container=a_container(1))
    with home_of(project) as home:
        start, end = docker.plan(home, deployment_of(version, revision=2), DeploymentSpec(model="late@1"))
    assert (start.action, start.text) == ("start", "revision 2 at 127.0.0.1, on a free port")
    assert (end.action, end.what) == ("end", "container 0123456789ab")
    assert end.text == "revision 1, after what it had accepted"


def test_a_container_of_the_same_revision_that_says_nothing_is_replaced(
    project: Path, version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    engine_that(tmp_path, monkeypatch, image=f"sha256:{version.digest} {__version__}", container=a_container(1))
    with home_of(project) as home:
        assert [step.action for step in docker.plan(home, deployment_of(version), SPEC)] == ["start", "end"]
