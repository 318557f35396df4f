"""`taut gc`: what was deleted long ago leaves with all of its rows and bytes, and nothing else does, beside writers."""

import io
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from taut.errors import Conflict, Denied, NotFound, UsageError
from taut.govern import check_home
from taut.govern.collecting import Collected, collect
from taut.ground.access import Actor
from taut.ground.clock import SystemClock
from taut.ground.ledger import events
from taut.ground.meta.dump import count_rows, tables_in
from taut.ground.objects import connect_objects, oid_of, s3_streams
from taut.home import Home, open_home
from taut.models import create_model, register_model
from taut.runs import (
    MetricPoint,
    all_artifacts,
    create_experiment,
    create_logged_model,
    create_run,
    delete_artifacts,
    delete_experiment,
    delete_logged_model,
    delete_run,
    find_artifact,
    get_run,
    log_batch,
    model_root,
    put_artifact,
    restore_experiment,
    restore_run,
    run_root,
)
from tests.faces.shell import taut
from tests.parts import eventually

DAY_MS = 86_400_000


class Later(SystemClock):
    """The machine's clock, some days ahead."""

    def __init__(self, days: float) -> None:
        self._ahead_ms = int(days * DAY_MS)

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms


@pytest.fixture
def real(home: Home) -> Home:
    """The home on the machine's clock, which the ages of files go by."""
    return replace(home, clock=SystemClock())


def at_once(home: Home) -> Collected:
    return collect(home, older_than_ms=0, grace_ms=0)


def put(home: Home, root: str, path: str, data: bytes) -> str:
    oid = home.objects.put(io.BytesIO(data))
    put_artifact(home, root, path, oid, len(data))
    return oid


def counts(home: Home) -> dict[str, int]:
    with home.meta.read() as tx:
        return {
            name: count_rows(tx, name) for name in tables_in(tx, home.meta.dialect) if not name.startswith("ledger")
        }


def a_run(home: Home, name: str, experiment: str = "0") -> str:
    run = create_run(home, run_id=name, experiment_id="" if experiment == "0" else experiment)
    for start in (0, 900):
        points = [MetricPoint("loss", step / 7, step, step) for step in range(start, start + 900)]
        log_batch(home, run.id, metrics=points, params={"p": "1"}, tags={"t": "2"})
    put(home, run_root(experiment, run.id), "a/b", name.encode())
    return run.id


def kinds(home: Home) -> list[tuple[str, str]]:
    with home.meta.read() as tx:
        return [(event.kind, event.subject) for event in events(tx) if event.kind.endswith(".purged")]


def test_a_run_that_was_deleted_leaves_no_row_and_no_byte_and_one_entry(real: Home):
    a_run(real, "kept")
    before = counts(real)
    a_run(real, "gone")
    shared = put(real, run_root("0", "gone"), "shared", b"kept")  # The very bytes of the other run's file.
    delete_run(real, "gone")
    eventually(lambda: at_once(real).runs, what="the run to be old enough")
    assert counts(real) == before
    assert real.objects.missing([oid_of(b"gone"), shared]) == {oid_of(b"gone")}
    assert kinds(real)[0] == ("run.purged", "run:gone")
    with pytest.raises(NotFound):
        restore_run(real, "gone")
    assert check_home(real).problems == ()


def test_an_experiment_leaves_with_its_runs_models_traces_and_files(real: Home):
    create_run(real, run_id="kept")
    before = counts(real)
    experiment = create_experiment(real, "late")
    a_run(real, "one", experiment.id)
    model = create_logged_model(real, experiment.id, name="m")
    put(real, model_root(experiment.id, model.id), "MLmodel", b"flavors: {}")
    delete_experiment(real, experiment.id)
    eventually(lambda: at_once(real).experiments, what="the experiment to be old enough")
    assert counts(real) == before
    assert {kind for kind, _ in kinds(real)} == {"run.purged", "experiment.purged", "objects.purged"}
    assert create_experiment(real, "late").id != experiment.id  # Its name is free.


def test_what_was_deleted_yesterday_or_brought_back_stays(real: Home):
    experiment = create_experiment(real, "late")
    for name in ("one", "two", "three"):
        a_run(real, name, experiment.id)
    delete_run(real, "one")
    delete_run(real, "two")
    restore_run(real, "two")
    assert collect(replace(real, clock=Later(29))).runs == 0
    assert get_run(real, "one").lifecycle == "deleted"
    found = collect(replace(real, clock=Later(31)))
    assert (found.runs, found.things, found.objects) == (1, ["run:one"], 1)
    assert [get_run(real, name).lifecycle for name in ("two", "three")] == ["active"] * 2
    delete_experiment(real, experiment.id)
    restore_experiment(real, experiment.id)
    assert collect(replace(real, clock=Later(31))).experiments == 0


def test_a_logged_model_that_was_deleted_leaves_and_one_that_a_version_was_made_of_keeps_its_bytes(real: Home):
    create_run(real, run_id="r")
    model = create_logged_model(real, "0", name="m")
    data = b"artifact_path: model\nflavors:\n  python_function:\n    loader_module: none\n"
    oid = put(real, run_root("0", "r"), "model/MLmodel", data)
    put(real, model_root("0", model.id), "x", b"of the logged model")
    create_model(real, "late")
    register_model(real, "late", run_id="r")
    delete_run(real, "r")
    delete_logged_model(real, model.id)
    eventually(lambda: at_once(real).things, what="both to be old enough")
    at_once(real)
    assert real.objects.missing([oid, oid_of(b"of the logged model")]) == {oid_of(b"of the logged model")}
    assert check_home(real).problems == ()


def test_files_that_were_deleted_or_replaced_and_uploads_that_nobody_named_leave_after_the_grace(real: Home):
    create_run(real, run_id="r")
    root = run_root("0", "r")
    first, second = put(real, root, "x", b"first"), put(real, root, "x", b"second")
    gone, lost = put(real, root, "y", b"gone"), real.objects.put(io.BytesIO(b"lost"))
    delete_artifacts(real, root, "y")
    assert collect(real).objects == 0
    assert real.objects.missing([first, second, gone, lost]) == set()
    late = replace(real, clock=Later(2))
    plan = collect(late, dry_run=True)
    assert (plan.objects, plan.size_bytes, real.objects.missing([first])) == (3, 13, set())
    done = collect(late)
    assert (done.objects, done.size_bytes, done.dry_run) == (3, 13, False)
    assert real.objects.missing([first, second, gone, lost]) == {first, gone, lost}


def test_a_dry_run_says_what_would_leave_and_changes_nothing(real: Home):
    a_run(real, "gone")
    delete_run(real, "gone")
    late, before = replace(real, clock=Later(31)), counts(real)
    plan = collect(late, dry_run=True)
    assert counts(real) == before and kinds(real) == []
    done = collect(late)
    assert replace_dry(done) == replace_dry(plan)
    assert (plan.dry_run, done.runs, done.objects) == (True, 1, 1)
    assert collect(late) == Collected()


def replace_dry(found: Collected) -> Collected:
    return replace(found, dry_run=False)


def test_putting_something_again_saves_it_from_being_collected(
    real: Home, s3_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(s3_streams, "YOUNG_MS", 0)
    for objects in (real.objects, connect_objects(s3_url), connect_objects("memory://")):
        oid = objects.put(io.BytesIO(b"again"))
        objects.put(io.BytesIO(b"other"))
        time.sleep(1.1)  # A bucket tells time in seconds.
        before_ms = int(time.time()) * 1000
        assert {one.oid for one in objects.older(before_ms)} == {oid, oid_of(b"other")}
        objects.put(io.BytesIO(b"again"))
        assert [(one.oid, one.size_bytes) for one in objects.older(before_ms)] == [(oid_of(b"other"), 5)]
        assert objects.delete([oid, oid_of(b"other"), oid_of(b"never")], before_ms=before_ms) == {oid_of(b"other")}
        assert objects.missing([oid, oid_of(b"other")]) == {oid_of(b"other")}


def test_nothing_is_removed_where_nobody_knows_what_is_needed(real: Home):
    create_run(real, run_id="r")
    put(real, run_root("0", "r"), "model/MLmodel", b"artifact_path: model\nflavors: {}\n")
    create_model(real, "late")
    version = register_model(real, "late", run_id="r")
    real.objects.put(io.BytesIO(b"nobody's"))
    real.objects.delete([version.digest])
    with pytest.raises(Conflict, match="late@1"):
        at_once(real)
    assert real.objects.missing([oid_of(b"nobody's")]) == set()


def test_only_the_owner_collects_and_only_on_the_spot(real: Home):
    for role in ("viewer", "ml-engineer", "project-admin", "auditor"):
        with pytest.raises(Denied, match="server:admin"):
            collect(real.as_actor(Actor("vera", role)))
    with open_home("http://127.0.0.1:1") as far, pytest.raises(UsageError):
        collect(far)


def test_collecting_beside_writers_takes_nothing_that_they_were_told_is_there(real: Home):
    """Writers put the same few contents again and again, name them, delete them and delete runs; the grace is short."""
    over, problems, kept = threading.Event(), list[BaseException](), dict[str, bytes]()
    collected = [0, 0]

    def write(name: str) -> None:
        number = 0
        try:
            while not over.is_set():
                run, data = f"{name}{number}", b"content %d" % (number % 7)
                create_run(real, run_id=run)
                put(real, run_root("0", run), "x", data)
                if number % 3 == 0:
                    delete_run(real, run)
                elif number % 3 == 1:
                    delete_artifacts(real, run_root("0", run), "x")
                else:
                    kept[run] = data
                number += 1
        except BaseException as problem:  # noqa: BLE001  # The edge of this thread.
            problems.append(problem)

    def sweep() -> None:
        try:
            while not over.is_set():
                found = collect(real, older_than_ms=0, grace_ms=1_000)
                collected[0] += found.runs
                collected[1] += found.objects
        except BaseException as problem:  # noqa: BLE001
            problems.append(problem)

    crowd = [threading.Thread(target=write, args=(name,)) for name in "abc"] + [threading.Thread(target=sweep)]
    for number in range(50):  # What nobody names is there to be collected meanwhile.
        real.objects.put(io.BytesIO(b"litter %d" % number))
    for one in crowd:
        one.start()
    eventually(lambda: problems or (collected[1] >= 50 and collected[0] > 20 and len(kept) > 20), what="the race")
    over.set()
    for one in crowd:
        one.join()
    assert problems == []
    for run, data in kept.items():
        assert find_artifact(real, run_root("0", run), "x").oid == oid_of(data)
    assert check_home(real).problems == ()
    at_once(real)
    with real.meta.read() as tx:
        strays = tx.rows("SELECT root FROM artifact WHERE root NOT IN (SELECT '0/' || id || '/artifacts' FROM run)")
    assert strays == []


def test_a_run_that_is_brought_back_while_it_is_collected_is_whole_or_gone(real: Home):
    runs = [f"r{number}" for number in range(60)]
    for run in runs:
        create_run(real, run_id=run)
        log_batch(real, run, params={"p": "1"}, tags={"t": "2"})
        delete_run(real, run)
    back, gone, problems = list[str](), list[str](), list[BaseException]()

    def restore_all() -> None:
        for run in reversed(runs):
            try:
                restore_run(real, run)
            except NotFound:
                gone.append(run)
            except BaseException as problem:  # noqa: BLE001  # The edge of this thread.
                problems.append(problem)
            else:
                back.append(run)

    restorer = threading.Thread(target=restore_all)
    restorer.start()
    eventually(lambda: back or gone or problems, what="the first to come back")
    while restorer.is_alive():
        at_once(real)
    restorer.join()
    assert problems == [] and sorted(back + gone) == sorted(runs)
    for run in back:
        detail = get_run(real, run)
        assert (detail.lifecycle, detail.params, detail.tags["t"]) == ("active", {"p": "1"}, "2")
    assert check_home(real).problems == ()


def test_an_upload_that_is_not_named_yet_is_let_be(real: Home):
    create_run(real, run_id="r")
    old = real.objects.put(io.BytesIO(b"an old one"))
    late = replace(real, clock=Later(0.5))
    assert collect(late).objects == 0
    put_artifact(real, run_root("0", "r"), "x", old, 10)
    assert collect(replace(real, clock=Later(40))).objects == 0
    assert [file.oid for file in all_artifacts(real, run_root("0", "r"))] == [old]


def test_the_command_asks_first_and_takes_yes(project: Path):
    with open_home(project) as home:
        a_run(home, "gone")
        delete_run(home, "gone")
    plan = taut(project, "gc", "--older-than", "0s", "--grace", "0s", "--dry-run", "--json")
    assert plan.status == 0, plan.err
    assert (plan.json["runs"], plan.json["objects"], plan.json["dry_run"]) == (1, 1, True)
    assert taut(project, "gc", "--older-than", "0s", "--grace", "0s").status != 0  # Nobody is there to say yes.
    with open_home(project) as home:
        assert get_run(home, "gone").lifecycle == "deleted"
    done = taut(project, "gc", "--older-than", "0s", "--grace", "0s", "--yes")
    assert done.status == 0 and done.out.startswith("left: 1 runs")
    assert taut(project, "fsck").status == 0
