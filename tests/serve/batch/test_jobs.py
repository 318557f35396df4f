"""What the ledger says of batches: who scored what by which version, and how it ended."""

from typing import Any

import pytest

from taut.data import add_dataset, find_dataset, read_tree
from taut.errors import Conflict, Denied, Invalid, NotFound
from taut.govern.trace import trace_prediction
from taut.ground.access import Actor
from taut.ground.access.grants import Grants
from taut.ground.ledger import events, upstream
from taut.home import Home
from taut.models import rename_model
from taut.serve.batch.jobs import find_batch, finish_batch, list_batches, start_batch
from tests.conftest import home as both_homes
from tests.serve.batch.scenes import willing

home = both_homes  # On SQLite and on PostgreSQL, unlike the tests beside.
JOB = "b" * 32
COUNTS = {"scored": 8, "nulled": 1, "skipped": 1, "parts": 2}


def begun(home: Home, job: str = JOB, **more: Any) -> Any:
    given = {"deployment": "", "source": "rows", "output": "out", "plan": "p", "files": 1, "rows": 10, "digests": []}
    return start_batch(home, job, **{"model": "late@1", **given, **more})


def kinds(home: Home) -> list[str]:
    with home.meta.read() as tx:
        return [event.kind for event in events(tx) if event.kind.startswith("batch.")]


def test_a_job_begins_goes_on_and_ends_once(home: Home):
    willing(home)
    assert begun(home).status == "RUNNING"
    assert finish_batch(home, JOB, status="FAILED", scored=0, nulled=0, skipped=0, parts=1, manifest="").parts == 1
    assert begun(home).status == "RUNNING"
    done = finish_batch(home, JOB, status="FINISHED", **COUNTS, manifest="m")
    assert (done.status, done.scored, done.nulled, done.skipped, done.parts, done.manifest) == (
        "FINISHED",
        8,
        1,
        1,
        2,
        "m",
    )
    assert finish_batch(home, JOB, status="FAILED", **COUNTS, manifest="") == done == begun(home)
    assert kinds(home) == ["batch.started", "batch.failed", "batch.resumed", "batch.finished"]
    assert find_batch(home, f"{JOB}.3.7") == done and list_batches(home) == [done] == list_batches(home, "late")
    assert list_batches(home, "other") == []


def test_a_job_is_below_its_version_and_the_data_that_it_read(home: Home):
    willing(home)
    (home.project / "rows.csv").write_text("x\n1\n")
    version = add_dataset(home, home.project / "rows.csv")
    (file,) = read_tree(home, find_dataset(home, version.name).tree)
    assert begun(home, digests=[file.md5, "0" * 32]).data == ("data:rows@1",)
    with home.meta.read() as tx:
        arrows = {(arrow.source, arrow.relation) for arrow in upstream(tx, f"batch:{JOB}")}
    assert {("model:late@1", "scored"), ("data:rows@1", "read by")} <= arrows
    rename_model(home, "late", "later")
    assert find_batch(home, JOB).model == "later"


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"job": "no id"}, Invalid, "is no id of a batch job"),
        ({"model": "late"}, Invalid, "names? no|is no model version"),
        ({"model": "late@7"}, NotFound, "there is no model version late@7"),
    ],
)
def test_what_names_nothing_is_refused(home: Home, more: dict[str, Any], kind: type[Exception], said: str):
    willing(home)
    with pytest.raises(kind, match=said):
        begun(home, **more)
    with pytest.raises(NotFound, match="there is no batch job"):
        find_batch(home, "nothing")


def test_a_job_of_another_plan_is_another_job(home: Home):
    willing(home)
    begun(home)
    with pytest.raises(Conflict, match="has another plan"):
        begun(home, plan="q")
    with pytest.raises(Invalid, match="ends FINISHED or FAILED"):
        finish_batch(home, JOB, status="BORED", **COUNTS, manifest="")


def test_a_prediction_of_a_batch_is_traced_to_version_and_job(home: Home):
    willing(home)
    begun(home, deployment="late@4")
    trace = trace_prediction(home, f"{JOB}.3.7")
    assert trace.prediction == f"{JOB}.3.7" and trace.rows_reached == 0
    assert [link.point for link in trace.chain[:3]] == [f"prediction:{JOB}.3.7", f"batch:{JOB}", "model:late@1"]
    assert trace.chain[0].facts == ("row 7 of part 3 of the output", "written below out")
    assert trace.chain[1].facts[0] == "10 rows of rows, running" and "as deployment late@4" in trace.chain[1].facts[1]
    with pytest.raises(NotFound, match="no prediction"):
        trace_prediction(home, f"{'c' * 32}.3.7")


def granted(home: Home, role: str, *grants: tuple[str, str]) -> Home:
    """The home in the hands of somebody with grants on deployments: name and level."""
    return home.as_actor(Actor("vera", role, Grants(7, [("deployment", name, level) for name, level in grants])))


def test_who_may_use_a_deployment_may_score_as_it_and_sees_its_jobs_alone(home: Home):
    willing(home)
    user = granted(home, "viewer", ("late", "USE"))
    begun(user, deployment="late@1")
    done = finish_batch(user, JOB, status="FINISHED", **COUNTS, manifest="m")
    assert find_batch(user, JOB) == done
    for other in ("", "early@1"):
        with pytest.raises(Denied):
            begun(user, "c" * 32, deployment=other)
    begun(home, "c" * 32, deployment="early@1")
    with pytest.raises(Denied):
        finish_batch(user, "c" * 32, status="FAILED", scored=0, nulled=0, skipped=0, parts=0, manifest="")
    with pytest.raises(NotFound):
        finish_batch(home, "d" * 32, status="FAILED", scored=0, nulled=0, skipped=0, parts=0, manifest="")


def test_jobs_of_a_deployment_that_is_kept_from_somebody_are_not_there_for_them(home: Home):
    willing(home)
    begun(home, deployment="late@1")
    begun(home, "c" * 32)
    kept_out = granted(home, "ml-engineer", ("late", "NO_PERMISSIONS"))
    assert [one.id for one in list_batches(kept_out)] == ["c" * 32]
    assert [one.id for one in list_batches(kept_out, limit=1)] == ["c" * 32]
    assert len(list_batches(granted(home, "ml-engineer"))) == 2
    assert list_batches(home, limit=0) == []
    for ask in (find_batch, trace_prediction):
        with pytest.raises(NotFound):
            ask(kept_out, f"{JOB}.0.0")
    assert find_batch(home, f"{JOB}.0.0").id == JOB
    assert trace_prediction(home, f"{JOB}.0.0").chain[1].point == f"batch:{JOB}"
