"""Kubernetes manifests of a deployment, as plain data and as YAML: nothing that the strictest policy refuses."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import yaml

from taut.deploy.deployments import ended_within_s
from taut.deploy.dockerfile import PORT, PREDICTIONS, USER
from taut.deploy.image import default_tag
from taut.errors import Invalid
from taut.home import Home
from taut.project import DeploymentSpec
from taut.records import Deployment, ModelVersion

Manifest = dict[str, Any]  # What YAML is made of; its shape is the Kubernetes API's, and held against it in the tests.

START_WITHIN_S = 120  # As long as the first start of a model may take before the pod is started again.
# A pod that is told to end is sent requests until every proxy has heard of it; so long it goes on as if nothing were.
LEAVE_S = 5
PREDICTIONS_SIZE = "1Gi"  # Answers that wait for the home's server: some millions.
SCALE_AT_PERCENT = 70


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the manifests say beside the deployment: `home` is a server's URL, empty where nothing is logged."""

    version: ModelVersion
    image: str
    home: str


def manifests_of(
    home: Home, deployment: Deployment, spec: DeploymentSpec, version: ModelVersion, graph: str = ""
) -> list[Manifest]:
    """The objects that serve a revision: Deployment, Service, NetworkPolicy; with several replicas a
    PodDisruptionBudget, and a HorizontalPodAutoscaler where `replicas_max` is more than `replicas`. `graph` is what
    answers in the version's place, empty where it answers itself.
    """
    if spec.replicas < 1 or (spec.replicas_max and spec.replicas_max < spec.replicas):
        raise Invalid(f"{deployment.name!r} asks for {spec.replicas} to {spec.replicas_max} replicas")
    tag = default_tag(version, graph)
    image = f"{spec.image.rstrip('/')}/{tag.removeprefix('taut/')}" if spec.image else tag
    wanted = Wanted(version, image, home.place if home.remote is not None else "")
    scales = spec.replicas_max > spec.replicas
    found = [_deployment(deployment, spec, wanted, scales), _service(deployment), _network_policy(deployment)]
    if spec.replicas > 1:
        found.append(_disruption_budget(deployment))
    if scales:
        found.append(_autoscaler(deployment, spec))
    return [_labelled(one, deployment, version) for one in found]


def render_manifests(manifests: list[Manifest]) -> str:
    """The manifests as one YAML file, in the order in which they are to be applied."""
    text = yaml.safe_dump_all(manifests, sort_keys=False, width=120, explicit_start=True)
    assert isinstance(text, str)
    return text


def _labelled(manifest: Manifest, deployment: Deployment, version: ModelVersion) -> Manifest:
    """The object with the labels that Kubernetes recommends, and the points of the line that it serves."""
    labels = {
        **_selector(deployment),
        "app.kubernetes.io/version": str(version.number),
        "app.kubernetes.io/managed-by": "taut",
    }
    notes = {
        "taut/model": f"{version.name}@{version.number}",
        "taut/digest": f"sha256:{version.digest}",
        "taut/revision": str(deployment.revision),
    }
    manifest["metadata"] = {"name": deployment.name, "labels": labels, "annotations": notes}
    if manifest["kind"] == "Deployment":
        manifest["spec"]["template"]["metadata"] = {"labels": labels, "annotations": notes}
    return manifest


def _selector(deployment: Deployment) -> dict[str, str]:
    """What never changes over the revisions of a deployment."""
    return {"app.kubernetes.io/name": "taut-model", "app.kubernetes.io/instance": deployment.name}


def _deployment(deployment: Deployment, spec: DeploymentSpec, wanted: Wanted, scales: bool) -> Manifest:
    template = {
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": ceil(ended_within_s(spec)) + LEAVE_S,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(deployment, spec, wanted)],
            "volumes": [
                {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
                *([{"name": "predictions", "emptyDir": {"sizeLimit": PREDICTIONS_SIZE}}] if wanted.home else []),
            ],
        },
    }
    what: dict[str, Any] = {} if scales else {"replicas": spec.replicas}  # Else the autoscaler owns the number.
    what |= {
        "revisionHistoryLimit": 5,
        "progressDeadlineSeconds": 2 * START_WITHIN_S,
        "selector": {"matchLabels": _selector(deployment)},
        # A new pod is ready before an old one goes, so no request meets nobody.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": template,
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": what}


def _container(deployment: Deployment, spec: DeploymentSpec, wanted: Wanted) -> Manifest:
    container: Manifest = {
        "name": "model",
        "image": wanted.image,
        "imagePullPolicy": "IfNotPresent",  # The tag names the digest of the model.
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {
            "requests": {"cpu": spec.cpu, "memory": spec.memory},
            "limits": {"cpu": spec.cpu, "memory": spec.memory},
        },
        "startupProbe": _probe("ready", period_s=2, failures=START_WITHIN_S // 2),
        "readinessProbe": _probe("ready", period_s=5, failures=2),
        "livenessProbe": _probe("live", period_s=10, failures=3),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LEAVE_S)]}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  # Its own, in memory.
    }
    if spec.workers:
        container["env"] = [{"name": "TAUT_WORKERS", "value": str(spec.workers)}]
    if wanted.home:
        container["volumeMounts"].append({"name": "predictions", "mountPath": PREDICTIONS})  # Outlives the container.
        container["args"] = ["--deployment", deployment.name, "--revision", str(deployment.revision)]
        container["args"] += ["--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104  # The pod's own addresses.
        token = {"secretKeyRef": {"name": f"{deployment.name}-taut", "key": "token"}}
        container["env"] = [
            *container.get("env", []),
            {"name": "TAUT_HOME", "value": wanted.home},
            {"name": "TAUT_TOKEN", "valueFrom": token},
        ]
    return container


def _probe(what: str, *, period_s: int, failures: int) -> Manifest:
    """A probe of the health that the Open Inference Protocol defines."""
    asked = {"path": f"/v2/health/{what}", "port": "http"}
    return {"httpGet": asked, "periodSeconds": period_s, "timeoutSeconds": 3, "failureThreshold": failures}


def _service(deployment: Deployment) -> Manifest:
    ports = [{"name": "http", "port": PORT, "targetPort": "http"}]
    what = {"type": "ClusterIP", "selector": _selector(deployment), "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": what}


def _network_policy(deployment: Deployment) -> Manifest:
    """Pods of the same namespace may ask, nobody else; widen it with a policy of your own, for policies add up."""
    ingress = [{"from": [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": PORT}]}]
    chosen = {"matchLabels": _selector(deployment)}
    what: Mapping[str, Any] = {"podSelector": chosen, "policyTypes": ["Ingress"], "ingress": ingress}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {}, "spec": what}


def _disruption_budget(deployment: Deployment) -> Manifest:
    what = {"maxUnavailable": 1, "selector": {"matchLabels": _selector(deployment)}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {}, "spec": what}


def _autoscaler(deployment: Deployment, spec: DeploymentSpec) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": SCALE_AT_PERCENT}
    what = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment.name},
        "minReplicas": spec.replicas,
        "maxReplicas": spec.replicas_max,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {}, "spec": what}
