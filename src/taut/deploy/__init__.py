"""model version -> deployment: what shall serve under a name, what does, and how one becomes the other."""

from typing import TYPE_CHECKING

from taut.ground.late import names_of

if TYPE_CHECKING:
    from taut.deploy.apply import (
        Reconciled,
        deploy_model,
        deployment_logs,
        drop_model,
        go_back,
        go_live,
        has_steps,
        is_gated,
        is_under_way,
        must_not_be_back,
        newest_revision,
        plan_deployment,
        reconcile_deployments,
        roll_out,
        start_deployment,
        stop_deployment,
        try_model,
    )
    from taut.deploy.backends import told, with_canary
    from taut.deploy.deployments import (
        check_deployment,
        config_of,
        find_deployment,
        list_deployments,
        list_revisions,
        record_deployment,
        spec_of,
    )
    from taut.deploy.figures import figures_in, list_figures, note_figures, noted_ms
    from taut.deploy.revisions import canary_since_in
    from taut.deploy.rollouts import Changed, is_rollback, promote_canary, roll_back, taken_back
    from taut.deploy.states import find_state, list_states, report_state

PLACES = {
    "apply": (
        "Reconciled",
        "deploy_model",
        "deployment_logs",
        "drop_model",
        "go_back",
        "go_live",
        "has_steps",
        "is_gated",
        "is_under_way",
        "must_not_be_back",
        "newest_revision",
        "plan_deployment",
        "reconcile_deployments",
        "roll_out",
        "start_deployment",
        "stop_deployment",
        "try_model",
    ),
    "backends": ("told", "with_canary"),
    "deployments": (
        "check_deployment",
        "config_of",
        "find_deployment",
        "list_deployments",
        "list_revisions",
        "record_deployment",
        "spec_of",
    ),
    "figures": ("figures_in", "list_figures", "note_figures", "noted_ms"),
    "revisions": ("canary_since_in",),
    "rollouts": ("Changed", "is_rollback", "promote_canary", "roll_back", "taken_back"),
    "states": ("find_state", "list_states", "report_state"),
}

__all__ = [
    "Changed",
    "Reconciled",
    "canary_since_in",
    "check_deployment",
    "config_of",
    "deploy_model",
    "deployment_logs",
    "drop_model",
    "figures_in",
    "find_deployment",
    "find_state",
    "go_back",
    "go_live",
    "has_steps",
    "is_gated",
    "is_rollback",
    "is_under_way",
    "list_deployments",
    "list_figures",
    "list_revisions",
    "list_states",
    "must_not_be_back",
    "newest_revision",
    "note_figures",
    "noted_ms",
    "plan_deployment",
    "promote_canary",
    "reconcile_deployments",
    "record_deployment",
    "report_state",
    "roll_back",
    "roll_out",
    "spec_of",
    "start_deployment",
    "stop_deployment",
    "taken_back",
    "told",
    "try_model",
    "with_canary",
]

__getattr__ = names_of("taut.deploy", PLACES)
