"""The verbs of tracking through a server: the same call, the same answer, whichever side one stands on."""

import io
import math
from collections.abc import Iterator

import pytest

from taut.errors import Invalid, NotFound
from taut.home import Home, open_home
from taut.records import Capture, InputRead, OutputWritten, OutsideReads, RemoteRead, Seeding, Surroundings, Usage
from taut.runs import (
    DatasetInput,
    MetricPoint,
    ModelInput,
    ModelOutput,
    all_artifacts,
    create_logged_model,
    create_run,
    delete_tag,
    ensure_experiment,
    finish_logged_model,
    get_run,
    log_batch,
    log_inputs,
    log_outputs,
    metric_history,
    page_of_runs,
    put_artifact,
    record_capture,
    resolve_run,
    run_detail,
    run_root,
    search_logged_models,
    search_runs,
    tag_experiment,
    tag_logged_model,
    update_run,
)
from tests.faces.serving import served


@pytest.fixture
def far(home: Home) -> Iterator[Home]:
    with served(home) as url, open_home(url) as opened:
        yield opened


def test_a_run_is_tracked_from_afar_as_it_is_here(home, far):
    run = create_run(far, experiment="late", name="first", run_id="r1", tags={"t": "x"})
    points = [MetricPoint("auc", 0.5, 1, 10), MetricPoint("auc", math.nan, 2, 10), MetricPoint("up", math.inf)]
    log_batch(far, "r1", metrics=points, params={"p": "1"}, tags={"u": "y"})
    delete_tag(far, "r1", "u")
    log_inputs(far, "r1", [DatasetInput("flights", "d1", "local", "{}", tags={"mlflow.data.context": "train"})])
    log_inputs(far, "r1", [], models=[ModelInput("m-0")])
    log_outputs(far, "r1", [ModelOutput("m-1")])
    capture = Capture(
        ("python", "t.py"), inputs=(InputRead("a", "b", 1, "d@1", "code"),), usage=Usage(1.5, 1.0, 2, 3),
        outputs=(OutputWritten("m", "c", 2),), outside=(OutsideReads("packages", 3, ("numpy",)),),
        remote=(RemoteRead("url", "https://x.org/d"),), coverage="full",
        surroundings=Surroundings(variables={"TZ": "UTC"}, seeds=(Seeding("random.seed", "7"),)),
    )  # fmt: skip
    record_capture(far, "r1", capture)
    update_run(far, "r1", status="FINISHED")
    assert run_detail(far, "r1") == run_detail(home, "r1")
    seen = get_run(home, "r1")
    assert (seen.experiment, seen.status, seen.capture) == ("late", "FINISHED", capture)
    assert seen.metrics == {"auc": None, "up": 1.7976931348623157e308}
    assert metric_history(far, "r1", "auc") == metric_history(home, "r1", "auc")
    assert page_of_runs(far, [run.experiment_id]) == page_of_runs(home, [run.experiment_id])
    assert search_runs(far, filter="params.p = '1'") == [seen]


def test_files_and_logged_models_travel_too(home, far):
    run = create_run(far)
    root = run_root(run.experiment_id, run.id)
    oid = far.objects.put(io.BytesIO(b"bytes"))
    put_artifact(far, root, "a/b.txt", oid, 5)
    assert all_artifacts(far, root) == all_artifacts(home, root)
    model = create_logged_model(far, run.experiment_id, name="model", run_id=run.id, params={"a": "1"})
    tag_logged_model(far, model.id, {"k": "v"})
    done = finish_logged_model(far, model.id, "READY")
    assert search_logged_models(home, [run.experiment_id]).models == (done,)


def test_mistakes_are_told_from_afar_as_they_are_here(far):
    experiment = ensure_experiment(far, "a")
    with pytest.raises(NotFound, match="no tag"):
        tag_experiment(far, experiment.id, "k", None)
    with pytest.raises(NotFound, match="nobody"):
        resolve_run(far, "nobody")
    with pytest.raises(Invalid, match="cannot be read"):
        search_runs(far, filter="metrics.auc >")
