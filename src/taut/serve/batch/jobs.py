"""The verbs of batch jobs: one begins, or goes on; one ends; they are found by the ids of their predictions."""

import re
from itertools import islice
from typing import Any

from taut.data import find_versions
from taut.errors import Conflict, Invalid, NotFound
from taut.ground import wire
from taut.ground.access import ANY, is_allowed
from taut.ground.ledger import draw_arrow
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, sight, verb
from taut.records import BatchJob

JOB = re.compile(r"[0-9a-f]{32}")
ENDS = ("FINISHED", "FAILED")
PAGE = 100

COLUMNS = """id, model, number, deployment, source, output, plan, files, row_count, data, status, parts, scored, nulled,
    skipped, manifest, started_ms, ended_ms, actor"""
NAMES = tuple(name.strip() for name in COLUMNS.split(","))
SELECT = f"SELECT {COLUMNS} FROM batch_job WHERE id = :id"  # noqa: S608
SELECT_ALL = f"""SELECT {COLUMNS} FROM batch_job WHERE :model = '' OR model = :model
ORDER BY started_ms DESC, id"""  # noqa: S608
SELECT_DEPLOYMENT = "SELECT deployment FROM batch_job WHERE id = :id"
SELECT_VERSION = "SELECT digest FROM model_version WHERE name = :model AND number = :number"
INSERT = """
INSERT INTO batch_job (id, model, number, deployment, source, output, plan, files, row_count, data, status, parts,
    scored, nulled, skipped, manifest, started_ms, ended_ms, actor)
VALUES (:id, :model, :number, :deployment, :source, :output, :plan, :files, :row_count, :data, :status, :parts,
    :scored, :nulled, :skipped, :manifest, :started_ms, :ended_ms, :actor)
ON CONFLICT (id) DO NOTHING
"""
UPDATE = """
UPDATE batch_job SET status = :status, parts = :parts, scored = :scored, nulled = :nulled, skipped = :skipped,
    manifest = :manifest, ended_ms = :ended_ms WHERE id = :id
"""


def sees_job(home: Home, deployment: str) -> bool:
    """Whether the actor may see a job that was begun as this deployment, or by nobody's for an empty one."""
    if not deployment:
        return is_allowed(home.actor, "prediction:explain")
    return sight(home, "deployment", "prediction:explain").sees(deployment.partition("@")[0])


def _of_new(_: Home, *__: Any, deployment: str = "", **___: Any) -> str:
    """The deployment whose revision a new job is to be; the role alone decides where there is none."""
    return f"deployment:{deployment.partition('@')[0]}" if deployment else ""


def _of_job(home: Home, job: str, *_: Any, **__: Any) -> str:
    """The same of a job that is there."""
    with home.meta.read() as tx:
        row = tx.row(SELECT_DEPLOYMENT, {"id": job})
    return _of_new(home, deployment=str(row[0])) if row is not None else ""


@verb("batch.start", needs="deployment:predict", on=_of_new)
def start_batch(
    home: Home,
    job: str,
    *,
    model: str,
    deployment: str,
    source: str,
    output: str,
    plan: str,
    files: int,
    rows: int,
    digests: list[str],
) -> BatchJob:
    """Say that a job begins, or that it goes on: then `job` is known, and must be the same in all else.

    `model` is `late@3`, `deployment` the revision that it was chosen by or empty, `plan` the digest of the plan.
    Arrows lead to it from the version, and from every dataset version that holds a file of one of `digests` (MD5).
    Raises NotFound for no version, Conflict for a job of another plan, Invalid for an id that is none.
    """
    if JOB.fullmatch(job) is None:
        raise Invalid(f"{job[:40]!r} is no id of a batch job: 32 hexadecimal digits")
    name, _, number = model.rpartition("@")
    if not number.isdecimal():
        raise Invalid(f"{model[:80]!r} is no model version; write it as late@3")
    held = find_versions.function(home, digests)  # What the job reads is recorded, whoever may look at datasets.
    data = tuple(sorted({f"data:{version}" for versions in held.values() for version in versions}))
    with home.meta.transaction() as tx:
        if tx.row(SELECT_VERSION, {"model": name, "number": int(number)}) is None:
            raise NotFound(f"there is no model version {model}", hint="taut model list")
        at_ms = home.clock.now_ms()
        made = BatchJob(
            job, name, int(number), deployment, source, output, plan, files, rows, data, "RUNNING", 0, 0, 0, 0, "",
            at_ms, 0, home.actor.name,
        )  # fmt: skip
        body = {"model": model, "rows": rows, "plan": plan}
        if tx.execute(INSERT, _values(made)):
            home.append(tx, "batch.started", subject=made.point, body=body)
            draw_arrow(tx, f"model:{model}", "scored", made.point, at_ms=at_ms)
            for point in data:
                draw_arrow(tx, point, "read by", made.point, at_ms=at_ms)
            return made
        before = _found(tx, job)
        if (before.model, before.number, before.plan) != (name, int(number), plan):
            raise Conflict(f"batch job {job} has another plan", hint="name another output")
        if before.status != "FINISHED":
            _end(tx, job, "RUNNING")
            home.append(tx, "batch.resumed", subject=made.point, body=body)
        return _found(tx, job)


@verb("batch.finish", needs="deployment:predict", on=_of_job)
def finish_batch(
    home: Home, job: str, *, status: str, scored: int, nulled: int, skipped: int, parts: int, manifest: str
) -> BatchJob:
    """Say how a job ended: `FINISHED` with its counts and the digest of its list of parts, or `FAILED`, to go on later.

    One that is finished stays so. Raises NotFound, Invalid for another status.
    """
    if status not in ENDS:
        raise Invalid(f"a batch job ends {' or '.join(ENDS)}, not {status[:40]!r}")
    with home.meta.transaction() as tx:
        before = _found(tx, job)
        if before.status == "FINISHED":
            return before
        counts = {"scored": scored, "nulled": nulled, "skipped": skipped, "parts": parts}
        _end(tx, job, status, **counts, manifest=manifest, ended_ms=home.clock.now_ms())
        home.append(tx, f"batch.{status.lower()}", subject=before.point, body={**counts, "manifest": manifest})
        return _found(tx, job)


@verb("batch.show", needs="prediction:explain", on=ANY)
def find_batch(home: Home, job: str) -> BatchJob:
    """A job by its id, or by the id of a prediction that it made, `JOB.PART.ROW`. Raises NotFound."""
    with home.meta.read() as tx:
        found = _found(tx, job.partition(".")[0])
    if not sees_job(home, found.deployment):
        raise _unknown(job)
    return found


@verb("batch.list", needs="prediction:explain", on=ANY)
def list_batches(home: Home, model: str = "", limit: int = PAGE) -> list[BatchJob]:
    """The newest jobs, of one model where it is named; those of deployments that the actor may not see are left out."""
    with home.meta.read() as tx:
        jobs = (_job(row) for row in tx.each(SELECT_ALL, {"model": model}))
        return list(islice((one for one in jobs if sees_job(home, one.deployment)), max(limit, 0)))


def _end(tx: Tx, job: str, status: str, *, scored: int = 0, nulled: int = 0, skipped: int = 0, parts: int = 0,
         manifest: str = "", ended_ms: int = 0) -> None:  # fmt: skip
    values: dict[str, Value] = {
        "id": job, "status": status, "scored": scored, "nulled": nulled, "skipped": skipped, "parts": parts,
        "manifest": manifest, "ended_ms": ended_ms,
    }  # fmt: skip
    tx.execute(UPDATE, values)


def _found(tx: Tx, job: str) -> BatchJob:
    row = tx.row(SELECT, {"id": job})
    if row is None:
        raise _unknown(job)
    return _job(row)


def _unknown(job: str) -> NotFound:
    return NotFound(f"there is no batch job {job[:64]!r}", hint="taut batch --help")


def _values(job: BatchJob) -> dict[str, Value]:
    values: dict[str, Value] = {**wire.plain(job), "row_count": job.rows, "data": wire.text(job.data)}
    del values["rows"]
    return values


def _job(row: Row) -> BatchJob:
    values: dict[str, object] = dict(zip(NAMES, row, strict=True))
    values["rows"] = values.pop("row_count")
    values["data"] = wire.decode(str(row[9]), tuple[str, ...], what=f"the data of batch job {row[0]}")
    return wire.convert(values, BatchJob, what=f"batch job {row[0]}")
