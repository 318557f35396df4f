"""Kubernetes manifests: valid to the letter of the API, without rights, and applied only where a cluster is."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from taut.deploy.manifests import manifests_of, render_manifests
from taut.deploy.targets import kubernetes
from taut.errors import Invalid, Unavailable, UsageError
from taut.home import Home, open_home
from taut.project import DeploymentSpec, LimitsSpec
from taut.records import DeploymentState, ModelVersion
from tests.deploy.images import deployment_of, home_of, version_in
from tests.deploy.test_engines import put_program
from tests.parts import program

SERVER = "https://taut.example.org"
WANTED: dict[str, DeploymentSpec] = {
    "one": DeploymentSpec(model="late@1", target="kubernetes"),
    "several": DeploymentSpec(model="late@1", target="kubernetes", replicas=3, cpu="500m", memory="512Mi"),
    "scaled": DeploymentSpec(model="late@1", target="kubernetes", replicas=2, replicas_max=8, image="images/ml"),
}


@pytest.fixture
def version(project: Path, tmp_path: Path) -> ModelVersion:
    with home_of(project) as home:
        return version_in(home, tmp_path)


def made(home: Home, version: ModelVersion, spec: DeploymentSpec, *, revision: int = 1) -> dict[str, dict[str, Any]]:
    """The objects by their kind, as a cluster would read them from the YAML."""
    found = manifests_of(home, deployment_of(version, revision=revision, target="kubernetes"), spec, version)
    return {one["kind"]: one for one in yaml.safe_load_all(render_manifests(found))}


def container(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize("place", ["folder", "server"])
def test_every_manifest_is_valid_to_the_letter(
    project: Path, tmp_path: Path, version: ModelVersion, name: str, place: str
):
    with home_of(project) if place == "folder" else open_home(SERVER) as home:
        found = manifests_of(home, deployment_of(version, target="kubernetes"), WANTED[name], version)
    (tmp_path / "all.yaml").write_text(render_manifests(found))
    judge = [str(program("kubernetes-validate")), "--strict", str(tmp_path / "all.yaml")]
    done = subprocess.run(judge, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # It is the judge that judges: a misspelt field does not pass.
    (tmp_path / "all.yaml").write_text(render_manifests(found).replace("containerPort", "containersPort"))
    assert subprocess.run(judge, capture_output=True).returncode != 0


def test_a_pod_has_no_rights(project: Path, version: ModelVersion):
    with home_of(project) as home:
        objects = made(home, version, WANTED["one"])
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container(objects)["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container(objects).keys()


@pytest.mark.parametrize(("answer", "told"), [("10s", 35), ("5min", 325)])
def test_a_pod_may_take_as_long_to_end_as_its_longest_answer(
    project: Path, version: ModelVersion, answer: str, told: int
):
    spec = DeploymentSpec(model="late@1", target="kubernetes", limits=LimitsSpec(answer=answer))
    with home_of(project) as home:
        objects = made(home, version, spec)
    assert objects["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == told


def test_objects_come_as_they_are_needed(project: Path, version: ModelVersion):
    with home_of(project) as home:
        kinds = {name: set(made(home, version, spec)) for name, spec in WANTED.items()}
    always = {"Deployment", "Service", "NetworkPolicy"}
    assert kinds["one"] == always
    assert kinds["several"] == always | {"PodDisruptionBudget"}
    assert kinds["scaled"] == always | {"PodDisruptionBudget", "HorizontalPodAutoscaler"}


def test_the_autoscaler_owns_the_number_of_pods(project: Path, version: ModelVersion):
    with home_of(project) as home:
        objects = made(home, version, WANTED["scaled"])
    assert "replicas" not in objects["Deployment"]["spec"]
    scaled = objects["HorizontalPodAutoscaler"]["spec"]
    assert (scaled["minReplicas"], scaled["maxReplicas"]) == (2, 8)


def test_a_new_revision_selects_the_same_pods_and_says_which_it_is(project: Path, version: ModelVersion):
    with home_of(project) as home:
        first, second = (made(home, version, WANTED["one"], revision=number) for number in (1, 2))
    assert first["Service"]["spec"] == second["Service"]["spec"]
    assert first["Deployment"]["spec"]["selector"] == second["Deployment"]["spec"]["selector"]
    assert second["Deployment"]["metadata"]["annotations"]["taut/revision"] == "2"


def test_the_image_names_the_digest_in_the_repository_that_was_said(project: Path, version: ModelVersion):
    with home_of(project) as home:
        assert container(made(home, version, WANTED["one"]))["image"] == f"taut/late:1-{version.digest[:12]}"
        assert container(made(home, version, WANTED["scaled"]))["image"] == f"images/ml/late:1-{version.digest[:12]}"


def test_with_a_server_the_pod_logs_there_with_a_token_from_a_secret(version: ModelVersion):
    with open_home(SERVER) as home:
        found = container(made(home, version, WANTED["one"]))
    assert found["env"][0] == {"name": "TAUT_HOME", "value": SERVER}
    assert found["env"][1]["valueFrom"] == {"secretKeyRef": {"name": "late-taut", "key": "token"}}
    assert found["args"][:4] == ["--deployment", "late", "--revision", "1"]
    assert [one["mountPath"] for one in found["volumeMounts"]] == ["/tmp", "/predictions"]


@pytest.mark.parametrize(("replicas", "most"), [(0, 0), (3, 2)])
def test_numbers_of_replicas_that_contradict_are_refused(
    project: Path, version: ModelVersion, replicas: int, most: int
):
    spec = DeploymentSpec(model="late@1", target="kubernetes", replicas=replicas, replicas_max=most)
    with home_of(project) as home, pytest.raises(Invalid, match="replicas"):
        made(home, version, spec)


# The target. No API server can be had here, so a shell script stands in for kubectl: it writes down what it is told.


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a stand-in for kubectl keeps its arguments."""
    told = tmp_path / "told"
    script = f"""echo "$@" >> {told}
case "$*" in
  *current-context*) [ -z "$NO_CLUSTER" ] || {{ echo no context >&2; exit 1; }}; echo here;;
  *view*) printf models;;
  *diff*) [ -z "$DIFFERS" ] || {{ cat "$DIFFERS"; exit 1; }};;
  *rollout*) [ -z "$NO_ROLLOUT" ] || {{ echo exceeded its progress deadline >&2; exit 1; }};;
  *get*) [ -n "$GONE" ] || echo '{{"status": {{"readyReplicas": 1}}}}';;
  *logs*) echo served;;
esac"""
    put_program(tmp_path / "bin", "kubectl", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return told


def test_a_rollout_is_applied_awaited_and_told(project: Path, version: ModelVersion, kubectl: Path):
    with home_of(project) as home:
        state = kubernetes.apply(home, deployment_of(version, target="kubernetes"), WANTED["one"])
        assert (state.status, state.url) == ("running", "http://late.models.svc:8080")
        assert kubernetes.status(home, state).status == "running"
        assert kubernetes.logs(home, state) == "served\n"
        kubernetes.remove(home, state)
    said = kubectl.read_text().splitlines()
    assert [line for line in said if "--namespace models apply --filename" in line] != []
    assert [line for line in said if "rollout status deployment/late" in line] != []
    assert "app.kubernetes.io/managed-by=taut,app.kubernetes.io/instance=late" in said[-1]


DIFFERENCE = """\
diff -u -N /tmp/LIVE-1/apps.v1.Deployment.models.late /tmp/MERGED-1/apps.v1.Deployment.models.late
--- /tmp/LIVE-1/apps.v1.Deployment.models.late
+++ /tmp/MERGED-1/apps.v1.Deployment.models.late
@@ -6,7 +6,7 @@
-    taut/revision: "1"
+    taut/revision: "2"
     unchanged: yes
diff -u -N /tmp/LIVE-1/v1.Service.models.late /tmp/MERGED-1/v1.Service.models.late
--- /tmp/LIVE-1/v1.Service.models.late
+++ /tmp/MERGED-1/v1.Service.models.late
@@ -0,0 +1,2 @@
+apiVersion: v1
+kind: Service
"""


def test_a_plan_is_what_the_cluster_itself_finds_different(
    project: Path, version: ModelVersion, kubectl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with home_of(project) as home:
        assert kubernetes.plan(home, deployment_of(version, target="kubernetes"), WANTED["one"]) == ()
        (tmp_path / "difference").write_text(DIFFERENCE)
        monkeypatch.setenv("DIFFERS", str(tmp_path / "difference"))
        change, start = kubernetes.plan(home, deployment_of(version, target="kubernetes"), WANTED["one"])
        assert not (home.project / ".taut" / "cache" / "manifests").exists(), "a plan leaves nothing behind"
    assert (change.action, change.what, change.text) == ("change", "deployment late", "2 lines differ")
    assert (start.action, start.what) == ("start", "service late")
    assert [line for line in kubectl.read_text().splitlines() if " apply " in line] == []


def test_a_plan_without_a_cluster_says_so(
    project: Path, version: ModelVersion, kubectl: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NO_CLUSTER", "1")
    with home_of(project) as home, pytest.raises(UsageError, match="kubectl knows no cluster"):
        kubernetes.plan(home, deployment_of(version, target="kubernetes"), WANTED["one"])


def test_a_number_of_workers_reaches_the_pods(project: Path, version: ModelVersion):
    spec = DeploymentSpec(model="late@1", target="kubernetes", workers=3)
    with home_of(project) as home:
        found = container(made(home, version, spec))
    assert found["env"] == [{"name": "TAUT_WORKERS", "value": "3"}]


def test_a_rollout_that_fails_is_told_in_kubectl_s_words(
    project: Path, version: ModelVersion, kubectl: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NO_ROLLOUT", "1")
    with home_of(project) as home, pytest.raises(Unavailable, match="exceeded its progress deadline"):
        kubernetes.apply(home, deployment_of(version, target="kubernetes"), WANTED["one"])


def test_a_deployment_that_is_gone_has_failed(
    project: Path, version: ModelVersion, kubectl: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GONE", "1")
    with home_of(project) as home:
        state = DeploymentState("late", 1, "running", "", "models", 0)
        assert kubernetes.status(home, state).status == "failed"


@pytest.mark.parametrize("missing", ["program", "cluster"])
def test_without_a_cluster_the_manifests_are_written_and_the_command_is_told(
    project: Path, version: ModelVersion, kubectl: Path, monkeypatch: pytest.MonkeyPatch, missing: str
):
    monkeypatch.setenv("NO_CLUSTER", "1")
    if missing == "program":
        (kubectl.parent / "bin" / "kubectl").unlink()
    with home_of(project) as home, pytest.raises(UsageError, match="kubectl knows no cluster") as told:
        kubernetes.apply(home, deployment_of(version, target="kubernetes"), WANTED["one"])
    place = Path(told.value.hint.rpartition(" ")[2])
    assert next(one["kind"] for one in yaml.safe_load_all(place.read_text())) == "Deployment"
