"""The answer to an alert, step by step on real rows with a real training: done twice is done once."""

import pytest

from taut.data import list_datasets
from taut.deploy import config_of, find_deployment, record_deployment, stop_deployment
from taut.errors import Invalid, NotFound, TautError, Unavailable
from taut.govern import check_home, show_ledger
from taut.ground.clock import duration_ms, iso
from taut.home import Home
from taut.models import find_model, gate_model, list_versions, register_folder
from taut.pipelines.loop import reconcile
from taut.pipelines.retrain import ATTEMPTS, RETRAIN
from taut.pipelines.steps import Facts, Steps, list_steps, record_step
from taut.project import ProjectFile, read_project
from taut.records import Alert
from taut.runs import search_runs
from taut.serve import labelled_rows
from taut.watch import find_reference, list_alerts, list_references, newest_window, set_reference
from tests.pipelines.alarmed import copied
from tests.pipelines.scenes import BEGIN_MS, PROJECT, ROWS_A_DAY


@pytest.fixture
def home(alarmed: Home) -> Home:
    return alarmed


def project_of(home: Home) -> ProjectFile:
    return read_project(home.project)


def rewrite(home: Home, old: str, new: str) -> ProjectFile:
    """Change taut.yaml as a person would; returns what it says now."""
    assert old in PROJECT
    (home.project / "taut.yaml").write_text(PROJECT.replace(old, new))
    return project_of(home)


def the_alert(home: Home) -> Alert:
    (alert,) = list_alerts(home)
    return alert


def walk(home: Home, until: str) -> Steps:
    """Take the steps before `until`, one by one, as the loop does."""
    alert, done = the_alert(home), list_steps(home, the_alert(home).point)
    for step in RETRAIN:
        if step.name == until:
            break
        if step.name not in done:
            done[step.name] = act(home, step.name, done)
            record_step(home, alert.point, step.name, done[step.name])
    return done


def act(home: Home, name: str, done: Steps) -> Facts:
    project = project_of(home)
    step = next(step for step in RETRAIN if step.name == name)
    facts = step.act(home, project, project.triggers["late"], the_alert(home), done)
    assert facts is not None, f"{name} has not come to its end"
    return facts


@pytest.mark.slow
def test_every_step_done_twice_is_done_once(home):
    done: Steps = {}
    for step in RETRAIN:
        done[step.name] = act(home, step.name, done)
        assert act(home, step.name, done) == done[step.name], step.name
    assert len(search_runs(home)) == 1
    assert [version.number for version in list_versions(home, "late")] in ([1, 2], [2, 1])
    assert len(list_references(home, "late")) == 2
    assert find_deployment(home, "late").revision == 2
    assert {(one.name, one.number) for one in list_datasets(home)} == {("labelled", 1), ("holdout", 1)}
    assert the_alert(home).status == "handled"
    assert check_home(home).problems == ()


def test_the_export_keeps_the_newest_rows_back_to_judge_by(home):
    facts = act(home, "export", {})
    end_ms = newest_window(home, "late").end_ms
    split_ms = end_ms - duration_ms("1d")
    learned, judged = (len(labelled_rows(home, "late", *span).ids) for span in ((0, split_ms), (split_ms, end_ms)))
    days = [iso(at_ms)[:10] for at_ms in (split_ms, end_ms)]
    assert facts == {
        "learn": learned,
        "judge": judged,
        "learn_from": "all",
        "from_ms": BEGIN_MS + 1,
        "split_ms": split_ms,
        "until_ms": end_ms,
        "reason": f"{learned:,} labelled rows from 2023-11-15 00:00 to {days[0]} to learn from (all), "
        f"{judged:,} from then to {days[1]} to judge by",
    }
    learn, judge = (
        (home.project / "data" / name).read_text().splitlines()[1:] for name in ("labelled.csv", "holdout.csv")
    )
    assert (len(learn), len(judge)) == (facts["learn"], facts["judge"])
    assert set(learn) & set(judge) == set()
    assert max(learn)[:24] < min(judge)[:24]  # Lines begin with their moment.


def test_rows_without_a_label_are_not_learned_from(home):
    with home.meta.transaction() as tx:
        tx.execute("DELETE FROM label WHERE id = 'day1'")
    before = newest_window(home, "late").end_ms
    facts = act(home, "export", {})
    assert facts["learn"] == len(labelled_rows(home, "late", 0, before).ids) - int(str(facts["judge"]))
    assert "learn" in facts
    assert int(str(facts["learn"])) % ROWS_A_DAY == 0


def test_nothing_to_judge_by_is_said_and_nothing_is_trained(home):
    with home.meta.transaction() as tx:
        tx.execute("DELETE FROM label")
    with pytest.raises(Invalid, match="nothing to judge") as told:
        list(reconcile(home, rewrite(home, "cooldown: 20d", "cooldown: 20d, labels: 0")))
    assert "taut watch status late" in told.value.hint
    assert search_runs(home) == []
    assert the_alert(home).status == "open"


@pytest.mark.slow
def test_a_training_that_fails_three_times_waits_for_a_person(home):
    project = rewrite(home, "python train.py", "python -u -c 'raise SystemExit(\"1\\nno memory left\")'")
    for attempt in range(1, ATTEMPTS + 1):
        with pytest.raises(Unavailable, match="no memory left") as told:
            list(reconcile(home, project))
        assert f"attempt {attempt}" in list_steps(home, the_alert(home).point)
    with pytest.raises(Unavailable, match="waits for a person") as told:
        list(reconcile(home, project))
    assert told.value.hint.startswith("taut runs show ")
    assert f"attempt {ATTEMPTS + 1}" not in list_steps(home, the_alert(home).point)
    assert [run.status for run in search_runs(home)] == ["FAILED"]
    assert len(show_ledger(home, kind="loop.step")) == 3 + ATTEMPTS


@pytest.mark.slow
def test_a_training_that_was_repaired_goes_on_where_the_loop_stood(home):
    with pytest.raises(Unavailable):
        list(reconcile(home, rewrite(home, "python train.py", "python nowhere.py")))
    again = list(reconcile(home, rewrite(home, "python train.py", "python train.py")))
    steps = [done.step for done in again if done.plan.startswith("alert:")]
    assert steps == [step.name for step in RETRAIN[3:]]
    assert [run.status for run in search_runs(home)] == ["FINISHED"]


def test_a_run_that_logged_no_model_is_told(home):
    with pytest.raises(TautError, match="model"):
        list(reconcile(home, rewrite(home, "python train.py", "python -c pass")))
    assert list(list_steps(home, the_alert(home).point)) == ["export", "inspect", "snapshot", "run"]
    assert find_model(home, "late@champion").number == 1


@pytest.mark.slow
def test_a_gate_that_says_no_keeps_the_champion_and_closes_the_alert(home):
    said = list(reconcile(home, rewrite(home, "at_least: 0.55", "at_least: 0.999")))
    facts = {done.step: done.facts for done in said}
    assert facts["gate"]["passed"] is False
    assert "roc_auc" in str(facts["gate"]["refusals"])
    assert facts["promote"] == {"promoted": False, "reason": "the gate refused it"}
    assert facts["rollout"] == {"revision": None, "reason": "the gate refused it"}
    assert facts["canary"]["outcome"] == "none"
    refusal = facts["gate"]["refusals"]
    assert facts["close"] == {"verdict": f"retrained; the gate refused the new version: {refusal}"}
    assert facts["gate"]["reason"] == f"refused against late@1: {refusal}"
    assert find_model(home, "late@champion").number == 1
    assert find_deployment(home, "late").number == 1
    assert find_reference(home, "late").version == 1
    assert the_alert(home).status == "handled"


@pytest.mark.slow
def test_after_a_no_whoever_serves_is_held_against_the_new_reference_champion_or_not(home):
    project = project_of(home)
    other = register_folder(home, "late", home.project / "first", description="the same files are the same version")
    again = register_folder(home, "late", copied(home.project / "first", home.project / "second"))
    assert other.number == again.number == 1
    (home.project / "second" / "note.txt").write_text("other bytes, so another version")
    number = register_folder(home, "late", home.project / "second").number
    assert gate_model(home, "late", number, spec=project.gate_of("late"), folder=home.project).passed
    record_deployment(home, "late", "late", number, "process", config_of(project.deployments["late"]), "manual")
    stop_deployment(home, "late")
    list(reconcile(home, rewrite(home, "at_least: 0.55", "at_least: 0.999")))
    assert the_alert(home).status == "handled"
    assert find_model(home, "late@champion").number == 1
    reference = find_reference(home, "late")
    assert (reference.version, reference.cause) == (number, the_alert(home).point)


def test_during_the_cool_down_an_alert_waits_open(home):
    reference = find_reference(home, "late")
    set_reference(
        home,
        "late",
        model="late",
        version=1,
        from_ms=newest_window(home, "late").end_ms - duration_ms("19d"),
        oid=reference.oid,
        cause="alert:before",
    )
    (told,) = [done for done in reconcile(home, project_of(home)) if done.plan.startswith("alert:")]
    assert told.step == "wait cooldown"
    assert "its cool-down of 20d runs until" in str(told.facts["reason"])
    assert list(reconcile(home, project_of(home))) == [], "it was told"
    assert the_alert(home).status == "open"


@pytest.mark.slow
def test_an_answer_killed_after_the_reference_and_before_its_record_does_not_wait_for_its_own_cool_down(home):
    done = walk(home, "refer")
    act(home, "refer", done)
    said = list(reconcile(home, project_of(home)))
    assert [one.step for one in said if one.plan.startswith("alert:")] == ["refer", "close"]
    assert the_alert(home).status == "handled"
    assert len(list_references(home, "late")) == 2


@pytest.mark.parametrize(
    ("old", "new"), [("triggers:\n  late: {run", "triggers:\n  other: {run"), ("{run", "{on: ticket, run")]
)
def test_an_alert_that_no_trigger_asked_for_is_left_to_a_person(home, old, new):
    said = list(reconcile(home, rewrite(home, old, new)))
    assert [done for done in said if done.plan.startswith("alert:")] == []
    assert the_alert(home).status == "open"


@pytest.mark.slow
def test_a_deployment_that_taut_yaml_does_not_know_is_told(home):
    walk(home, "register")
    project = rewrite(home, "deployments:\n  late: {model: late@champion}", "deployments: {}")
    with pytest.raises(NotFound, match="no deployment 'late'") as told:
        list(reconcile(home, project))
    assert "deployments: late:" in told.value.hint


@pytest.mark.slow
def test_a_model_without_a_gate_is_not_rolled_out(home):
    walk(home, "gate")
    start, end = PROJECT.index("models:"), PROJECT.index("deployments:")
    (home.project / "taut.yaml").write_text("models: {}\n" + PROJECT[end:])
    assert start == 0
    with pytest.raises(NotFound, match="no gate for model 'late'") as told:
        list(reconcile(home, project_of(home)))
    assert "gate: to taut.yaml" in told.value.hint
    assert find_model(home, "late@champion").number == 1


def test_one_monitor_that_cannot_be_helped_does_not_keep_the_others_from_it(home):
    text = PROJECT.replace("monitors:\n", "monitors:\n  absent: {window: 1d}\n")
    text = text.replace("python train.py", "python nowhere.py")
    (home.project / "taut.yaml").write_text(text)
    with pytest.raises(Unavailable, match="retraining"):
        list(reconcile(home, project_of(home)))


def test_a_step_recorded_before_stands_whatever_is_found_later(home):
    point = the_alert(home).point
    assert record_step(home, point, "export", {"learn": 1})
    assert not record_step(home, point, "export", {"learn": 2})
    assert list_steps(home, point) == {"export": {"learn": 1}}
    assert len(show_ledger(home, kind="loop.step")) == 1
