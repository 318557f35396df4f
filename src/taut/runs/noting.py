"""Models as clients before MLflow 3 note them: a list of JSON entries in one tag of the run."""

import json
from typing import Any

from taut.errors import Invalid
from taut.home import Home, verb
from taut.runs.batches import lock_run, write_tags
from taut.runs.detail import read_runs
from taut.runs.names import TAG_VALUE_MAX
from taut.runs.rights import of_run

HISTORY_TAG = "mlflow.log-model.history"
NEEDED = ("artifact_path", "flavors", "run_id", "utc_time_created")


@verb("run.note_model", needs="run:write", on=of_run)
def note_model(home: Home, run_id: str, model_json: str) -> None:
    """Add the description of a model that a client before MLflow 3 logged to what the run's tag lists already.

    Raises Invalid where it is no JSON object with the fields that MLflow asks for, or where the tag would be full.
    """
    model = _described(model_json)
    with home.meta.transaction() as tx:
        lock_run(tx, run_id)
        run = read_runs(tx, [run_id])[0].run
        listed = json.dumps([*_listed(run.tags.get(HISTORY_TAG, "[]")), model])
        if len(listed) > TAG_VALUE_MAX:
            raise Invalid(
                f"run {run_id} has noted too much: its tag would have {len(listed)} characters, {TAG_VALUE_MAX} fit",
                hint="log models with MLflow 3, which does not keep them in a tag",
            )
        write_tags(tx, run_id, run.experiment_id, {HISTORY_TAG: listed})
        home.append(tx, "run.noted_model", subject=f"run:{run_id}", body={"path": str(model["artifact_path"])[:200]})


def _described(model_json: str) -> dict[str, Any]:
    try:
        model = json.loads(model_json)
    except (ValueError, RecursionError) as problem:
        raise Invalid(f"model_json is no JSON: {problem}") from None
    if not isinstance(model, dict):
        raise Invalid("model_json must be a JSON object")
    if missing := [name for name in NEEDED if name not in model]:
        raise Invalid(f"model_json has no {', '.join(missing)}")
    return model


def _listed(written: str) -> list[Any]:
    """What the tag lists; a client may have written something else into it, which is left behind."""
    try:
        listed = json.loads(written)
    except (ValueError, RecursionError):
        return []
    return listed if isinstance(listed, list) else []
