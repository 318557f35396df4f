"""Taking out for good what was deleted: runs, logged models and experiments, with all of their rows.

A deleted thing can be brought back until then. Whoever purges holds its row and looks once more whether it is deleted.
"""

from dataclasses import dataclass
from typing import Literal

from taut.ground.access import forget_resource
from taut.ground.meta import Tx, Value
from taut.home import Home
from taut.runs.artifacts import model_root, run_root
from taut.runs.traces.keeping import forget_traces

TRACES = 500  # Of an experiment, in one step.

# When a run was deleted is in the ledger alone: nothing happens to it afterwards. With its experiment it has no entry.
SELECT_RUNS = """
SELECT run.id, run.experiment_id FROM run JOIN experiment ON experiment.id = run.experiment_id
WHERE run.lifecycle = 'deleted'
AND COALESCE((SELECT MAX(at_ms) FROM ledger WHERE subject = 'run:' || run.id), run.started_ms) <= :until_ms
AND (experiment.lifecycle = 'active' OR experiment.updated_ms <= :until_ms)
ORDER BY run.id
"""
SELECT_MODELS = """
SELECT id, experiment_id FROM logged_model WHERE status = 'DELETED' AND updated_ms <= :until_ms ORDER BY id
"""
SELECT_EXPERIMENTS = """
SELECT id, id FROM experiment WHERE lifecycle = 'deleted' AND updated_ms <= :until_ms ORDER BY id
"""
SELECT_TRACES = "SELECT id FROM trace WHERE experiment_id = :id ORDER BY id LIMIT :limit"
SELECT_MODELS_OF = "SELECT id FROM logged_model WHERE experiment_id = :id"
HAS_RUNS = "SELECT 1 FROM run WHERE experiment_id = :id"
HOLD_RUN = "UPDATE run SET lifecycle = lifecycle WHERE id = :id AND lifecycle = 'deleted'"
HOLD_MODEL = "UPDATE logged_model SET status = status WHERE id = :id AND status = 'DELETED'"
HOLD_EXPERIMENT = "UPDATE experiment SET lifecycle = lifecycle WHERE id = :id AND lifecycle = 'deleted'"
OF_RUN = (
    "DELETE FROM point WHERE series IN (SELECT id FROM series WHERE run_id = :id)",
    "DELETE FROM chunk WHERE series IN (SELECT id FROM series WHERE run_id = :id)",
    "DELETE FROM series WHERE run_id = :id",
    "DELETE FROM moving_run WHERE run_id = :id",
    "DELETE FROM param WHERE run_id = :id",
    "DELETE FROM run_tag WHERE run_id = :id",
    "DELETE FROM run_input WHERE run_id = :id",
    "DELETE FROM run_output WHERE run_id = :id",
    "DELETE FROM run_model_input WHERE run_id = :id",
    "DELETE FROM trace_link WHERE kind = 'run' AND target = :id",
    "DELETE FROM lineage WHERE source = 'run:' || :id OR target = 'run:' || :id",
    "DELETE FROM moved WHERE kind = 'run' AND ours = :id",
    "DELETE FROM reproduction WHERE run_id = :id",
    "DELETE FROM run WHERE id = :id",
)
OF_MODEL = (
    "DELETE FROM run_output WHERE model_id = :id",
    "DELETE FROM run_model_input WHERE model_id = :id",
    "DELETE FROM moved WHERE kind = 'logged model' AND ours = :id",
    "DELETE FROM logged_model WHERE id = :id",
)
OF_EXPERIMENT = (
    "DELETE FROM evaluation_experiment WHERE experiment_id = :id",
    "DELETE FROM moved WHERE kind = 'experiment' AND ours = :id",
    "DELETE FROM experiment WHERE id = :id",
)
FILES = ("DELETE FROM artifact WHERE root = :root", "DELETE FROM artifact_folder WHERE root = :root")

Sort = Literal["run", "logged-model", "experiment"]


@dataclass(frozen=True, slots=True)
class Deleted:
    """Something that was deleted and could be brought back still."""

    sort: Sort
    id: str
    experiment_id: str

    @property
    def point(self) -> str:
        """As the ledger names it."""
        return f"{self.sort}:{self.id}"


def deleted_things(tx: Tx, *, until_ms: int) -> list[Deleted]:
    """What was deleted no later than that: runs, logged models, and experiments last, for they hold the others."""
    asked = {"until_ms": until_ms}
    queries: tuple[tuple[Sort, str], ...] = (
        ("run", SELECT_RUNS),
        ("logged-model", SELECT_MODELS),
        ("experiment", SELECT_EXPERIMENTS),
    )
    return [Deleted(sort, str(one), str(of)) for sort, query in queries for one, of in tx.rows(query, asked)]


def purge(home: Home, tx: Tx, things: list[Deleted]) -> list[Deleted]:
    """Take out all rows of deleted things and say so in the ledger; returns those that were not brought back meanwhile.

    An experiment stays as long as it has runs. The ledger comes last: whoever else changes one of these things holds
    its row and waits for the ledger's end, so who has that must wait for no row any more.
    """
    gone = [thing for thing in things if _purge(tx, thing)]
    for thing in gone:
        home.append(tx, f"{thing.sort}.purged", subject=thing.point)
    return gone


def forget_files(tx: Tx, things: list[Deleted]) -> None:
    """Take out once more the files of things that are gone: an upload may have named one while its run was leaving."""
    for thing in things:
        if thing.sort != "experiment":
            root = model_root if thing.sort == "logged-model" else run_root
            for sql in FILES:
                tx.execute(sql, {"root": root(thing.experiment_id, thing.id)})


def _purge(tx: Tx, thing: Deleted) -> bool:
    known: dict[str, Value] = {"id": thing.id}
    if thing.sort == "run":
        if not tx.execute(HOLD_RUN, known):
            return False
        _take_out(tx, OF_RUN, known, run_root(thing.experiment_id, thing.id))
    elif thing.sort == "logged-model":
        if not tx.execute(HOLD_MODEL, known):
            return False
        _take_out(tx, OF_MODEL, known, model_root(thing.experiment_id, thing.id))
    else:
        if not tx.execute(HOLD_EXPERIMENT, known) or tx.row(HAS_RUNS, known) is not None:
            return False
        for traces in iter(lambda: _traces(tx, thing.id), []):
            forget_traces(tx, thing.id, traces)
        for (model,) in tx.rows(SELECT_MODELS_OF, known):
            _take_out(tx, OF_MODEL, {"id": str(model)}, model_root(thing.id, str(model)))
        for sql in OF_EXPERIMENT:
            tx.execute(sql, known)
        forget_resource(tx, "experiment", thing.id)
    return True


def _take_out(tx: Tx, sqls: tuple[str, ...], known: dict[str, Value], root: str) -> None:
    for sql in sqls:
        tx.execute(sql, known)
    for sql in FILES:
        tx.execute(sql, {"root": root})


def _traces(tx: Tx, experiment_id: str) -> list[str]:
    return [str(one) for (one,) in tx.rows(SELECT_TRACES, {"id": experiment_id, "limit": TRACES})]
