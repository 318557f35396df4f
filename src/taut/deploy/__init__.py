"""model version -> deployment: what shall serve under a name, what does, and how one becomes the other."""

from taut.deploy.apply import (
    Reconciled,
    deploy_model,
    deployment_logs,
    plan_deployment,
    reconcile_deployments,
    stop_deployment,
)
from taut.deploy.deployments import (
    check_deployment,
    config_of,
    find_deployment,
    list_deployments,
    record_deployment,
    spec_of,
)
from taut.deploy.states import find_state, list_states, report_state

__all__ = [
    "Reconciled",
    "check_deployment",
    "config_of",
    "deploy_model",
    "deployment_logs",
    "find_deployment",
    "find_state",
    "list_deployments",
    "list_states",
    "plan_deployment",
    "reconcile_deployments",
    "record_deployment",
    "report_state",
    "spec_of",
    "stop_deployment",
]
