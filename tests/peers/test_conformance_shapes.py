"""The shape of each answer, field by field, held against what a stock server of the client's version answers.

`shapes.json` was recorded from `mlflow server` 3.17.2 on SQLite. To record it anew, start one and say

    TAUT_CONFORMANCE_URL=http://127.0.0.1:5000 TAUT_CONFORMANCE_RECORD=1 pytest tests/peers/test_conformance_shapes.py

taut may say more than the stock server, which leaves empty texts and lists out; it may not say less, nor another type.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.filterwarnings("ignore")
GOLDEN = Path(__file__).with_name("shapes.json")
RECORDS = bool(os.environ.get("TAUT_CONFORMANCE_RECORD"))
MLMODEL = "flavors:\n  python_function:\n    loader_module: nothing\n"
# In the order in which they are asked; `{name}` is what an earlier answer gave.
ASKED: list[tuple[str, str, str, dict[str, Any]]] = [
    ("experiment", "POST", "experiments/create", {"name": "{mark}", "tags": [{"key": "a", "value": "1"}]}),
    ("bare experiment", "POST", "experiments/create", {"name": "{mark} bare"}),
    ("get experiment", "GET", "experiments/get", {"experiment_id": "{experiment}"}),
    ("get bare experiment", "GET", "experiments/get", {"experiment_id": "{bare}"}),
    ("experiment by name", "GET", "experiments/get-by-name", {"experiment_name": "{mark}"}),
    ("experiments", "POST", "experiments/search", {"max_results": 1, "filter": "name LIKE '{mark}%'"}),
    ("rename experiment", "POST", "experiments/update", {"experiment_id": "{bare}", "new_name": "{mark} named"}),
    ("tag experiment", "POST", "experiments/set-experiment-tag", {"experiment_id": "{bare}", "key": "k", "value": "v"}),
    ("no experiments", "POST", "experiments/search", {"max_results": 1, "filter": "name = 'nobody'"}),
    ("run", "POST", "runs/create", {"experiment_id": "{experiment}", "start_time": 5, "run_name": "r"}),
    ("bare run", "POST", "runs/create", {"experiment_id": "{experiment}", "start_time": 4}),
    ("metric", "POST", "runs/log-metric", {"run_id": "{run}", "key": "m", "value": 1.5, "timestamp": 7, "step": 3}),
    ("nan", "POST", "runs/log-metric", {"run_id": "{run}", "key": "nan", "value": "NaN", "timestamp": 7}),
    ("param", "POST", "runs/log-parameter", {"run_id": "{run}", "key": "p", "value": "1"}),
    ("empty param", "POST", "runs/log-parameter", {"run_id": "{run}", "key": "q", "value": ""}),
    ("tag", "POST", "runs/set-tag", {"run_id": "{run}", "key": "t", "value": "1"}),
    ("batch", "POST", "runs/log-batch", {"run_id": "{run}", "tags": [{"key": "u", "value": "1"}]}),
    (
        "inputs",
        "POST",
        "runs/log-inputs",
        {
            "run_id": "{run}",
            "datasets": [
                {
                    "tags": [{"key": "mlflow.data.context", "value": "train"}],
                    "dataset": {"name": "d", "digest": "1", "source_type": "local", "source": "{}"},
                }
            ],
        },
    ),
    ("get run", "GET", "runs/get", {"run_id": "{run}"}),
    ("get bare run", "GET", "runs/get", {"run_id": "{barerun}"}),
    ("end run", "POST", "runs/update", {"run_id": "{run}", "status": "FINISHED", "end_time": 9}),
    ("get ended run", "GET", "runs/get", {"run_id": "{run}"}),
    ("runs", "POST", "runs/search", {"experiment_ids": ["{experiment}"], "max_results": 1}),
    ("no runs", "POST", "runs/search", {"experiment_ids": ["{bare}"]}),
    ("history", "GET", "metrics/get-history", {"run_id": "{run}", "metric_key": "m"}),
    ("no history", "GET", "metrics/get-history", {"run_id": "{run}", "metric_key": "nothing"}),
    ("artifacts", "GET", "artifacts/list", {"run_id": "{run}"}),
    ("no artifacts", "GET", "artifacts/list", {"run_id": "{barerun}"}),
    ("untag", "POST", "runs/delete-tag", {"run_id": "{run}", "key": "t"}),
    ("untag again", "POST", "runs/delete-tag", {"run_id": "{run}", "key": "t"}),
    ("other param", "POST", "runs/log-parameter", {"run_id": "{run}", "key": "p", "value": "2"}),
    ("experiment again", "POST", "experiments/create", {"name": "{mark}"}),
    ("logged model", "POST", "logged-models", {"experiment_id": "{experiment}", "name": "l", "source_run_id": "{run}"}),
    ("get logged model", "GET", "logged-models/{logged}", {}),
    ("tag logged model", "PATCH", "logged-models/{logged}/tags", {"tags": [{"key": "a", "value": "b"}]}),
    ("finish", "PATCH", "logged-models/{logged}", {"model_id": "{logged}", "status": "LOGGED_MODEL_READY"}),
    ("logged models", "POST", "logged-models/search", {"experiment_ids": ["{experiment}"]}),
    ("no logged models", "POST", "logged-models/search", {"experiment_ids": ["{bare}"]}),
    ("outputs", "POST", "runs/outputs", {"run_id": "{run}", "models": [{"model_id": "{logged}", "step": 1}]}),
    ("get run with outputs", "GET", "runs/get", {"run_id": "{run}"}),
    ("model", "POST", "registered-models/create", {"name": "{mark}"}),
    ("model again", "POST", "registered-models/create", {"name": "{mark}"}),
    ("version", "POST", "model-versions/create", {"name": "{mark}", "source": "runs:/{run}/model", "run_id": "{run}"}),
    ("get version", "GET", "model-versions/get", {"name": "{mark}", "version": "1"}),
    ("no version", "GET", "model-versions/get", {"name": "{mark}", "version": "9"}),
    ("describe", "PATCH", "model-versions/update", {"name": "{mark}", "version": "1", "description": "d"}),
    ("tag version", "POST", "model-versions/set-tag", {"name": "{mark}", "version": "1", "key": "k", "value": "v"}),
    ("alias", "POST", "registered-models/alias", {"name": "{mark}", "alias": "a", "version": "1"}),
    ("by alias", "GET", "registered-models/alias", {"name": "{mark}", "alias": "a"}),
    ("no alias", "GET", "registered-models/alias", {"name": "{mark}", "alias": "b"}),
    ("stage", "POST", "model-versions/transition-stage", {"name": "{mark}", "version": "1", "stage": "Staging"}),
    ("get model", "GET", "registered-models/get", {"name": "{mark}"}),
    ("models", "GET", "registered-models/search", {"filter": "name = '{mark}'"}),
    ("no models", "GET", "registered-models/search", {"filter": "name = 'nobody'"}),
    ("versions", "GET", "model-versions/search", {"filter": "name = '{mark}'"}),
    ("no versions", "GET", "model-versions/search", {"filter": "name = 'nobody'"}),
    ("latest", "POST", "registered-models/get-latest-versions", {"name": "{mark}"}),
    ("download", "GET", "model-versions/get-download-uri", {"name": "{mark}", "version": "1"}),
    ("rename", "POST", "registered-models/rename", {"name": "{mark}", "new_name": "{mark} new"}),
    ("delete version", "DELETE", "model-versions/delete", {"name": "{mark} new", "version": "1"}),
    ("delete model", "DELETE", "registered-models/delete", {"name": "{mark} new"}),
    ("delete run", "POST", "runs/delete", {"run_id": "{run}"}),
    ("log to deleted", "POST", "runs/log-metric", {"run_id": "{run}", "key": "m", "value": 1, "timestamp": 1}),
    ("restore run", "POST", "runs/restore", {"run_id": "{run}"}),
    ("delete logged model", "DELETE", "logged-models/{logged}", {}),
    ("delete experiment", "POST", "experiments/delete", {"experiment_id": "{experiment}"}),
    ("delete experiment again", "POST", "experiments/delete", {"experiment_id": "{experiment}"}),
    ("restore experiment", "POST", "experiments/restore", {"experiment_id": "{experiment}"}),
]  # fmt: skip


def shape(value: Any) -> Any:
    """Types for values: a list is the union of what is in it, so that the number of things does not matter."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in sorted(value.items())}
    if isinstance(value, list):
        merged: dict[str, Any] = {}
        for part in value:
            merged |= shape(part) if isinstance(part, dict) else {"": shape(part)}
        return [merged]
    return "number" if isinstance(value, float) else type(value).__name__


def lacks(found: Any, wanted: Any, place: str) -> list[str]:
    """Where an answer says less than it should, or another type."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            one
            for name, part in wanted.items()
            for one in (
                lacks(found[name], part, f"{place}.{name}") if name in found else [f"{place}.{name} is missing"]
            )
        ]
    if isinstance(wanted, list) and isinstance(found, list):
        return lacks(found[0], wanted[0], f"{place}[]")
    alike = found == wanted or {found, wanted} <= {"number", "int"} if isinstance(found, str) else False
    return [] if alike else [f"{place} is {found}, not {wanted}"]


def fill(part: Any, names: dict[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: fill(value, names) for key, value in part.items()}
    if isinstance(part, list):
        return [fill(value, names) for value in part]
    if isinstance(part, str):
        for name, value in names.items():
            part = part.replace("{" + name + "}", value)
    return part


@pytest.fixture(scope="module")
def answered(shared_url: str) -> dict[str, Any]:
    """The status and shape of every answer, by its name."""
    names, found = {"mark": f"shapes {time.time_ns()}"}, dict[str, Any]()
    for name, method, path, fields in ASKED:
        sent = fill(fields, names)
        answer = requests.request(
            method,
            f"{shared_url}/api/2.0/mlflow/{fill(path, names)}",
            timeout=30,
            **({"params": sent} if method == "GET" else {"json": sent}),
        )
        body = answer.json()
        found[name] = [answer.status_code, body["error_code"] if answer.status_code >= 400 else shape(body)]
        match name:
            case "experiment":
                names["experiment"] = body["experiment_id"]
            case "bare experiment":
                names["bare"] = body["experiment_id"]
            case "run":
                names["run"] = body["run"]["info"]["run_id"]
                place = f"{shared_url}/api/2.0/mlflow-artifacts/artifacts/{names['experiment']}/{names['run']}"
                requests.put(f"{place}/artifacts/model/MLmodel", data=MLMODEL, timeout=30).raise_for_status()
            case "bare run":
                names["barerun"] = body["run"]["info"]["run_id"]
            case "logged model":
                names["logged"] = body["model"]["info"]["model_id"]
    if RECORDS:
        GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return found


@pytest.mark.parametrize("name", [name for name, *_ in ASKED])
def test_an_answer_says_what_the_stock_server_says(answered, name):
    status, wanted = json.loads(GOLDEN.read_text())[name]
    found_status, found = answered[name]
    assert found_status == status
    if status >= 400:
        assert found == wanted
    else:
        assert lacks(found, wanted, name) == []
