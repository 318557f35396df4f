"""`run.finish`: how a run ended and what it read, and the arrows from that data to it, in one transaction."""

from taut.errors import Invalid
from taut.ground import wire
from taut.ground.ledger import draw_arrow
from taut.ground.whole import read_whole
from taut.home import Home, verb
from taut.records import Capture, Run
from taut.runs.rights import of_run
from taut.runs.settling import settle
from taut.runs.tracking import active_run, read_run

ENDED = ("FINISHED", "FAILED", "KILLED")
FINISH = "UPDATE run SET status = :status, ended_ms = :ended_ms, capture = :capture WHERE id = :id"
SELECT_DATASET = "SELECT 1 FROM dataset_version WHERE name = :name AND number = :number"


@verb("run.finish", needs="run:write", on=of_run)
def finish_run(home: Home, run_id: str, capture: Capture, status: str, ended_ms: int) -> Run:
    """End a run with all that is known of it; every dataset version among its inputs leads to it in the lineage.

    Finishing it again replaces what was said. Raises NotFound, and Invalid for a status that is no end, a deleted run
    or an input that names a version this home does not have.
    """
    if status not in ENDED:
        raise Invalid(f"a run does not end as {status!r}; it is one of {', '.join(ENDED)}")
    with home.meta.transaction() as tx:
        run = active_run(tx, run_id)
        tx.execute(FINISH, {"id": run_id, "status": status, "ended_ms": ended_ms, "capture": wire.text(capture)})
        settle(tx, [run_id])
        for dataset in sorted({read.dataset for read in capture.inputs if read.dataset}):
            name, _, number = dataset.rpartition("@")
            wanted = read_whole(number, what=f"the version of {name!r}") if number.isdecimal() else None
            if wanted is None or tx.row(SELECT_DATASET, {"name": name, "number": wanted}) is None:
                raise Invalid(f"run {run_id} cannot have read {dataset!r}: there is no such version")
            draw_arrow(tx, f"data:{dataset}", "read-by", run.point, at_ms=home.clock.now_ms())
        home.append(tx, "run.finished", subject=run.point, body={"status": status, "exit_status": capture.exit_status})
        return read_run(tx, run_id).run
