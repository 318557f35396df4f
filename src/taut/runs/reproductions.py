"""Verdicts of reproductions as rows: recorded once with a tag of the run, found again as what a gate can ask for."""

from taut.errors import Invalid
from taut.ground import wire
from taut.ground.clock import new_id
from taut.ground.ledger import draw_arrow
from taut.ground.meta import Row
from taut.home import Home, verb
from taut.records import Reproduction, Sameness
from taut.runs.batches import write_tags
from taut.runs.rights import of_run
from taut.runs.tracking import active_run, read_run

TAG = "taut.reproduced"
SAMENESS: tuple[Sameness, ...] = ("bytes", "content", "predictions", "metrics", "different")
"""The verdicts, the best first."""
NOTES_MAX, SENTENCE_MAX = 50, 2000

INSERT = """
INSERT INTO reproduction (id, run_id, verdict, detail, at_ms, actor)
VALUES (:id, :run_id, :verdict, :detail, :at_ms, :actor)
"""
# Of two of one millisecond the stricter counts, for there is no telling which came later.
SELECT = "SELECT detail FROM reproduction WHERE run_id = :run_id ORDER BY at_ms DESC, id"


@verb("run.reproduced", needs="run:write", on=of_run)
def record_reproduction(home: Home, run_id: str, found: Reproduction) -> Reproduction:
    """Store what came of running a run again; its id, time and actor are set here, and so is the run's tag.

    Raises NotFound, and Invalid for a deleted run or a verdict that is about another one.
    """
    if found.run_id != run_id:
        raise Invalid(f"a reproduction of run {found.run_id} says nothing about run {run_id}")
    with home.meta.transaction() as tx:
        run = active_run(tx, run_id)
        stored = Reproduction(
            new_id(), run_id, found.verdict, home.clock.now_ms(), home.actor.name, found.outputs,
            found.first[:SENTENCE_MAX], found.cause[:SENTENCE_MAX], found.evidence[:SENTENCE_MAX], found.gap,
            tuple(note[:SENTENCE_MAX] for note in found.notes[:NOTES_MAX]),
        )  # fmt: skip
        tx.execute(INSERT, {
            "id": stored.id, "run_id": run_id, "verdict": stored.verdict, "detail": wire.text(stored),
            "at_ms": stored.at_ms, "actor": stored.actor,
        })  # fmt: skip
        write_tags(tx, run_id, run.experiment_id, {TAG: stored.verdict})
        draw_arrow(tx, run.point, "reproduced-by", stored.point, at_ms=stored.at_ms)
        body = {"verdict": stored.verdict, "cause": stored.cause, "first": stored.first, "reproduction": stored.id}
        home.append(tx, "run.reproduced", subject=run.point, body=body)
        return stored


@verb("run.reproductions", needs="run:read", on=of_run)
def list_reproductions(home: Home, run_id: str) -> list[Reproduction]:
    """What came of each time that a run was run again, newest first. Raises NotFound."""
    with home.meta.read() as tx:
        read_run(tx, run_id)
        return [_reproduction(row) for row in tx.rows(SELECT, {"run_id": run_id})]


def is_as_good(verdict: Sameness, wanted: Sameness) -> bool:
    """Whether a verdict is at least what is asked for.

    >>> is_as_good("bytes", "content"), is_as_good("different", "metrics")
    (True, False)
    """
    return SAMENESS.index(verdict) <= SAMENESS.index(wanted)


def _reproduction(row: Row) -> Reproduction:
    return wire.decode(str(row[0]), Reproduction, what="a reproduction")
