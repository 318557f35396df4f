"""Scenes for the tests of batches: a model that does as its rows say, tables of them, and what came out."""

import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import cloudpickle
import pyarrow as pa
import pyarrow.parquet as pq

from taut.home import Home
from taut.models import register_folder
from taut.models.compilations import served_form
from taut.models.registry import find_model
from taut.serve.batch.parts import Session, Setup
from taut.serve.batch.places import find_files
from taut.serve.batch.plan import Options, Plan, parts_of
from taut.serve.batch.reading import survey
from tests.serve.scenes import save_model

JOB = "a" * 32


class Willing:
    """A regressor: `delay + seats`; a carrier called `raise` makes it raise, `kill` kills the process around it.

    `once:PATH` kills it where that file is not there yet, and makes it.
    """

    def predict(self, table: Any) -> Any:
        for carrier in table["carrier"].unique():
            if carrier == "raise":
                raise RuntimeError("told to")
            if carrier == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if str(carrier).startswith("once:") and not os.path.exists(carrier[5:]):
                open(carrier[5:], "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
        return (table["delay"].fillna(0.0) + table["seats"]).to_numpy()


cloudpickle.register_pickle_by_value(sys.modules[__name__])


def willing(home: Home) -> str:
    """The model as a registered version."""
    return register_folder(home, "late", save_model(home.project / "model", Willing())).point.removeprefix("model:")


def table(rows: int, *, first: int = 0, **cells: dict[int, Any]) -> pa.Table:
    """Rows of which the model says `2 * key`, but for the cells that are given by column and row."""
    columns: dict[str, list[Any]] = {
        "key": [f"k{row}" for row in range(first, first + rows)],
        "delay": [float(row) for row in range(first, first + rows)],
        "seats": list(range(first, first + rows)),
        "carrier": ["UA" if row % 3 else "AA" for row in range(rows)],
    }
    for name, odd in cells.items():
        for row, value in odd.items():
            columns[name][row] = value
    return pa.table(columns, schema=pa.schema([("key", pa.string()), ("delay", pa.float64()), ("seats", pa.int64()),
                                               ("carrier", pa.string())]))  # fmt: skip


def setup_of(home: Home, source: Path | str, output: Path | str, **options: Any) -> Setup:
    """What a worker is told, without a job around it."""
    chosen = Options(**options)
    version = find_model(home, "late@1")
    inputs = tuple(survey(str(source), one, chosen.part_rows) for one in find_files(str(source)))
    plan = Plan(JOB, 0, "late@1", version.digest, "", "", chosen, str(source), inputs)
    return Setup(plan, served_form(home, version), str(source), str(output))


def session(home: Home, source: Path | str, output: Path | str, **options: Any) -> tuple[Session, Plan]:
    """What a worker does, in this process: a session, and the plan that it has."""
    setup = setup_of(home, source, output, **options)
    return Session(setup), setup.plan


def scored(home: Home, source: Path | str, output: Path, **options: Any) -> pa.Table:
    """All parts of a source, written by one session in this process and read back."""
    made, plan = session(home, source, output, **options)
    with closing(made):
        for part in parts_of(plan):
            made.write(part)
    return read_parts(output)


def read_parts(output: Path) -> pa.Table:
    """The parts in a folder as one table."""
    return pa.concat_tables(pq.read_table(path) for path in sorted(output.glob("part-*.parquet")))
