"""All that an MLflow client finds in a store, as plain JSON: two stores are the same where this is the same.

`python tests/faces/mlflow_described.py URI` prints it. The client alone reads, so that our readers have no part in it.
"""

import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LARGEST = sys.float_info.max


def described(uri: str) -> dict[str, Any]:
    """What the client of this environment finds at a URI, asked in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, uri],
        env={**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def describe(uri: str) -> dict[str, Any]:
    """Ask for everything."""
    import mlflow
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri, uri)
    experiments = client.search_experiments(view_type=ViewType.ALL)
    ids = [one.experiment_id for one in experiments]
    runs = [run for one in ids for run in client.search_runs([one], run_view_type=ViewType.ALL)]
    models = [model for one in ids for model in client.search_logged_models([one])]
    return {
        "experiments": {one.name: [one.lifecycle_stage, one.tags] for one in experiments},
        "runs": {run.info.run_id: _run(client, run) for run in runs},
        "logged": {model.model_id: _logged(client, model) for model in models},
        "registry": {
            model.name: {
                "model": [model.description or "", model.tags, model.creation_timestamp, _aliases(client, model.name)],
                "versions": {
                    one.version: [
                        one.source, one.run_id or "", one.current_stage, one.status, one.description or "", one.tags,
                        one.creation_timestamp,
                    ]
                    for one in client.search_model_versions(f"name='{model.name}'")
                },
            }
            for model in client.search_registered_models()
        },
    }  # fmt: skip


def _run(client: Any, run: Any) -> dict[str, Any]:
    info = run.info
    history = {
        key: sorted([repr(_finite(p.value)), p.step, p.timestamp] for p in client.get_metric_history(info.run_id, key))
        for key in sorted(run.data.metrics)
    }
    return {
        "info": [
            info.run_name, info.status, info.user_id, info.start_time, info.end_time, info.lifecycle_stage,
            info.experiment_id,
        ],
        "params": run.data.params, "tags": run.data.tags, "history": history,
        "inputs": [[vars(each.dataset), [vars(tag) for tag in each.tags]] for each in run.inputs.dataset_inputs],
        "model_inputs": [vars(each) for each in run.inputs.model_inputs],
        "outputs": [vars(each) for each in run.outputs.model_outputs] if run.outputs else [],
        "files": _digests(lambda to: client.download_artifacts(info.run_id, "", to))
        if client.list_artifacts(info.run_id) else {},
    }  # fmt: skip


def _logged(client: Any, model: Any) -> dict[str, Any]:
    import mlflow

    metrics = sorted([m.key, m.value, m.step, m.timestamp] for m in model.metrics or [])
    has_files = bool(client.list_logged_model_artifacts(model.model_id))
    return {
        "model": [
            model.name, str(model.status), model.model_type or "", model.source_run_id, model.params, model.tags,
            model.creation_timestamp, model.last_updated_timestamp, metrics,
        ],
        "files": _digests(
            lambda to: mlflow.artifacts.download_artifacts(f"models:/{model.model_id}", dst_path=to)
        ) if has_files else {},
    }  # fmt: skip


def _aliases(client: Any, name: str) -> dict[str, str]:
    return {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}


def _digests(download: Any) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as place:
        got = Path(download(place))
        return {
            file.relative_to(got).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(got.rglob("*")) if file.is_file()
        }  # fmt: skip


def _finite(value: float) -> float:
    """The file store keeps infinities; every other store of MLflow's keeps the largest number in their place."""
    return min(max(value, -LARGEST), LARGEST) + 0.0 if not math.isnan(value) else value


if __name__ == "__main__":
    print(json.dumps(describe(sys.argv[1]), default=str))
