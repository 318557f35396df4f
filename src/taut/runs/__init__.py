"""dataset version -> run: one execution of a command, with all that it takes to repeat and to judge it."""

from taut.runs.batches import History, delete_tag, log_batch, log_inputs, log_outputs, metric_history
from taut.runs.detail import DatasetInput, MetricPoint, ModelOutput, RunDetail
from taut.runs.experiments import (
    Experiment,
    create_experiment,
    delete_experiment,
    ensure_experiment,
    find_experiment,
    get_experiment,
    list_experiments,
    rename_experiment,
    restore_experiment,
    tag_experiment,
)
from taut.runs.tracking import (
    create_run,
    delete_run,
    get_run,
    record_capture,
    resolve_run,
    restore_run,
    run_detail,
    update_run,
)

__all__ = [
    "DatasetInput",
    "Experiment",
    "History",
    "MetricPoint",
    "ModelOutput",
    "RunDetail",
    "create_experiment",
    "create_run",
    "delete_experiment",
    "delete_run",
    "delete_tag",
    "ensure_experiment",
    "find_experiment",
    "get_experiment",
    "get_run",
    "list_experiments",
    "log_batch",
    "log_inputs",
    "log_outputs",
    "metric_history",
    "record_capture",
    "rename_experiment",
    "resolve_run",
    "restore_experiment",
    "restore_run",
    "run_detail",
    "tag_experiment",
    "update_run",
]
