"""A home with something in every table that holds data of users, put there by the verbs that do so."""

import io
from pathlib import Path

from taut.data import add_dataset
from taut.deploy import record_deployment, report_state
from taut.govern import (
    WantedAccess,
    add_grant,
    add_trust,
    anchor_ledger,
    apply_access,
    assign_set,
    create_set,
    create_token,
    create_user,
    create_webhook,
    keep_checkpoint,
    plan_access,
    set_client_secret,
    sign_checkpoint,
)
from taut.ground.access import Actor, insert_link, read_user
from taut.ground.meta import Value
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.models import (
    decide_promotion,
    find_model,
    promote_model,
    record_compilation,
    record_gate,
    record_model,
    request_promotion,
    require_approvals,
)
from taut.pipelines.steps import record_step
from taut.records import Alert, Backend, DeploymentState, GateCheck, Reproduction, TreeFile
from taut.runs import (
    DatasetInput,
    MetricPoint,
    ModelInput,
    ModelOutput,
    create_evaluation,
    create_logged_model,
    create_run,
    log_batch,
    log_inputs,
    log_outputs,
    merge_records,
    put_artifact,
    record_reproduction,
    tag_experiment,
    update_run,
)
from taut.runs.moved import note_moved
from taut.runs.tally import Count
from taut.runs.traces import Assessment, Span, Trace, assess_trace, link_traces, log_spans, start_trace
from taut.serve import log_labels, log_prediction
from taut.serve.batch.jobs import start_batch
from taut.serve.log import PredictionLog, Said, log_place
from taut.serve.log.sealing import seal
from taut.watch import set_reference
from taut.watch.alerts import raise_alert
from taut.watch.kept import Counted, keep_counts, pack
from taut.watch.kept import Settings as KeptSettings
from taut.watch.telling.outbox import News, queue_notices

TRACE = "tr-" + "1" * 32
RUN = "a" * 32
MLMODEL = b"flavors:\n  sklearn: {pickled_model: model.pkl}\n"
HOUR_MS = 3_600_000


def fill(home: Home) -> None:
    """Put a row into every table, by verbs; the clock of the home must be one that is set."""
    _fill_runs(home)
    _fill_traces(home)
    _fill_models(home)
    _fill_serving(home)
    _fill_access(home)
    _fill_ledger(home)


def put(home: Home, data: bytes, path: str) -> TreeFile:
    return TreeFile(path, home.objects.put(io.BytesIO(data)), "", len(data))


def _fill_elsewhere(home: Home) -> None:
    """Whom other servers' words stand for; who logs in from there takes a provider, and stands here as its rows."""
    add_trust(home, "https://ci.example.org", "taut", "repo:acme/churn", ["log"], claims={"ref": "main"})
    set_client_secret(home, "https://login.example.org", "taut", "hush")
    wanted = WantedAccess(groups={"data": {"default": ["viewer"]}})
    apply_access(home, wanted, plan_access(home, wanted))
    with home.meta.transaction() as tx:
        insert_link(tx, "https://login.example.org", "bob-1", read_user(tx, "bob").id, now_ms=home.clock.now_ms())
        home.append(tx, "user.logged_in", subject="user:bob")


def _fill_runs(home: Home) -> None:
    run = create_run(home, name="first", run_id=RUN)
    record_reproduction(home, RUN, Reproduction("", RUN, "content", 0, ""))
    tag_experiment(home, run.experiment_id, "team", "late")
    log_batch(
        home,
        RUN,
        metrics=[MetricPoint("loss", 1 / (step + 1), 5, step) for step in range(900)],
        params={"depth": "3"},
        tags={"who": "ada"},
    )
    log_batch(home, RUN, metrics=[MetricPoint("loss", 0.25, 6, 2000)])
    log_inputs(home, RUN, [DatasetInput("flights", "d1", "local", "{}")], models=[ModelInput("m-" + "0" * 32)])
    model = create_logged_model(home, run.experiment_id, name="late", run_id=RUN, tags={"a": "b"})
    log_outputs(home, RUN, [ModelOutput(model.id, 3)])
    put_artifact(home, f"{run.experiment_id}/{RUN}/artifacts", "plots/a.png", put(home, b"plot", "a.png").oid, 4)
    evaluation = create_evaluation(home, "questions", experiment_ids=[run.experiment_id])
    merge_records(home, evaluation.id, [{"inputs": {"question": "why?"}, "expectations": {"answer": "so"}}])
    with home.meta.transaction() as tx:
        note_moved(home, tx, "http://theirs", "run", "theirs", RUN, mark="m", tally={"metrics": Count(3, "d")})
    update_run(home, RUN, status="FINISHED", ended_ms=home.clock.now_ms())


def _fill_traces(home: Home) -> None:
    start_trace(home, Trace(TRACE, "0", 5, 6, "OK", name="ask", tags={"a": "1"}, metadata={"c": "3"}))
    log_spans(home, "0", [Span(TRACE, "1" * 16, "root", 1_000_000, 2_000_000)])
    assess_trace(home, Assessment("", TRACE, "good", "feedback", {"value": 1}))
    link_traces(home, [TRACE], RUN)


def _fill_models(home: Home) -> None:
    (home.project / "flights.csv").write_text("carrier,late\nUA,1\nAA,0\n")
    add_dataset(home, home.project / "flights.csv")
    files = [put(home, MLMODEL, "MLmodel"), put(home, b"weights", "model.pkl")]
    record_model(home, "late", files, source="test")
    record_gate(home, "late", 1, checks=[GateCheck("brier", True, 0.1, 0.2, "fine")])
    promote_model(home, "late", 1)
    digest = find_model(home, "late@1").digest
    verdict = {"gap": 0.0, "tolerance": 1e-9}
    record_compilation(
        home,
        "late",
        1,
        digest=digest,
        graph="",
        reason="no graph",
        rows={"sample": 1},
        versions={"onnx": "1"},
        **verdict,
    )


def _fill_serving(home: Home) -> None:
    from taut.watch.windows import INSERT_WINDOW, UPSERT_STATE

    record_model(home, "rain", [put(home, MLMODEL, "MLmodel")], source="test")
    shadow = Backend("rain", 1, 0.0, "shadow")
    record_deployment(home, "late", "late", 1, "process", {}, "manual", others=(shadow,), reason="to see")
    now = home.clock.now_ms()
    report_state(home, DeploymentState("late", 1, "running", "http://127.0.0.1:9", "17", now))
    log_prediction(home, "late", "r0", 1, 1000, {"x": [0.5]}, {"probability": [0.7]})
    home.clock.pass_ms(5 * HOUR_MS)  # type: ignore[attr-defined]  # It is one that is set.
    log_prediction(home, "late", "r1", 1, 2000, {"x": [0.5]}, {"probability": [0.7]})
    log_labels(home, "late", {"r0.0": 1.0})
    log = PredictionLog.open(log_place(home), "late")
    log.append(Said(["s1"], [True], [1], [3000], now, [90], 1, "late", 1, "live", {"x": [0.5]}, {"probability": [0.7]}))
    log.close()
    seal(home, "late")
    job = {"deployment": "late@1", "source": "rows.csv", "output": "scored", "plan": "d1", "files": 1, "rows": 2}
    start_batch(home, "b" * 32, model="late@1", digests=[], **job)  # type: ignore[arg-type]  # As it takes them.
    oid = put(home, b"{}", "profile").oid
    set_reference(home, "late", model="late", version=1, from_ms=0, oid=oid, cause="deployed")
    with home.meta.transaction() as tx:
        alert = Alert("alert1", "late", 1, 0, "ewin", "page", "x", {"p": 0.001}, "open", now)
        raise_alert(home, tx, alert)
        window: dict[str, Value] = {
            "deployment": "late", "start_ms": 0, "end_ms": 1, "reference": 1, "version": 1, "rows": 1,
            "labelled": 1, "measures": "{}", "evidence": "{}", "at_ms": now,
        }  # fmt: skip
        tx.execute(INSERT_WINDOW, window)
        tx.execute(UPSERT_STATE, {"deployment": "late", "reference": 1, "state": "{}", "at_ms": now})
        keep_counts(tx, "late", 0, 1, Counted(pack({"rows": 1}), KeptSettings(0.01, 0.0), {"features": 1}, "s"))
        queue_notices(tx, News("opened", alert, None, None), ["ops"], at_ms=now)
        home.append(tx, "window.closed", subject="window:late@0")
    record_step(home, "alert:1", "export", {})


def _fill_access(home: Home) -> None:
    create_user(home, "ada", "correct horse battery", role="owner")
    create_user(home, "bob", "correct horse battery", begins=True)
    made = create_set(home, "team", description="all of us")
    add_grant(home, made.id, "experiment", "0", "EDIT")
    assign_set(home, "bob", made.id)
    create_token(home, "ci", "viewer")
    _fill_elsewhere(home)
    require_approvals(home, "late", 1)
    request_promotion(home, "late", 1, reason="better")
    decide_promotion(home.as_actor(Actor("vera", "approver")), "late", 1)
    create_webhook(home, "hook", "http://127.0.0.1:9/", ["registered_model.created"], secret="s")


def _fill_ledger(home: Home) -> None:
    """Enough entries for tiles, an anchor, and the checkpoint of another home."""
    with home.meta.transaction() as tx:
        for number in range(300):
            home.append(tx, "thing.done", subject=f"thing:{number}", body={"number": number})
    anchor_ledger(home)
    other = Path(home.place).parent / "other"
    other.mkdir()
    make_folder(other)
    with open_home(other) as far:
        signed = sign_checkpoint(far)
    keep_checkpoint(home, signed.note, signed.key)
