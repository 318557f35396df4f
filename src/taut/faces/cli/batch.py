"""`taut batch`: a model version over files of any size."""

from typing import TYPE_CHECKING

import click

from taut.errors import UsageError
from taut.faces.cli.shown import json_option, shown
from taut.home import open_home

if TYPE_CHECKING:
    from taut.serve.batch.job import BatchResult
    from taut.serve.batch.plan import OnError


@click.command(epilog="Example: taut batch late@champion rows/ scored/ --log late --event-time at")
@click.argument("model")
@click.argument("source", metavar="INPUT")
@click.argument("output")
@click.option("--id", "id_column", default="", help="Column whose values are the ids  [default: made, JOB.PART.ROW]")
@click.option("--keep", multiple=True, metavar="COLUMN", help="Column of the input that goes along; may be repeated.")
@click.option(
    "--on-error", type=click.Choice(["stop", "null", "skip"]), default="stop", show_default=True,
    help="What a row leads to that the model does not take: the end, no prediction, or no row.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1), default=None, help="Processes at once  [default: one for each core]")
@click.option("--part-rows", type=click.IntRange(1), default=None, help="Rows of one file of output  [default: 250000]")
@click.option("--on", "cluster", type=click.Choice(["ray"]), default=None, help="Spread the parts over a Ray cluster.")
@click.option("--log", metavar="ENDPOINT", default="", help="Log the predictions, as those that ENDPOINT answers.")
@click.option("--event-time", metavar="COLUMN", default="", help="When a row's event was  [default: the job's start]")
@json_option
def batch(
    model: str, source: str, output: str, id_column: str, keep: tuple[str, ...], on_error: "OnError",
    workers: int | None, part_rows: int | None, cluster: str | None, log: str, event_time: str, as_json: bool,
) -> None:  # fmt: skip
    """Score files by MODEL (late@3, late@champion, or a deployment); each row once, also after kills.

    INPUT is a file, a folder, a pattern or s3://BUCKET/PREFIX of Parquet, CSV or Arrow. OUTPUT is a folder, a prefix,
    or one file ending in .parquet or .csv. The same command again goes on where the last one stopped.
    """
    try:
        import numpy as np  # noqa: F401
        import pyarrow as pa  # noqa: F401
    except ImportError as problem:
        raise UsageError(f"batches are read with {problem.name}", hint="pip install 'taut[data,compile]'") from None
    from taut.serve.batch.job import run_batch
    from taut.serve.batch.plan import PART_ROWS, Options

    options = Options(on_error, id_column, keep, part_rows or PART_ROWS, log, event_time)
    with open_home() as home:
        result = run_batch(home, model, source, output, options=options, workers=workers or 0, on=cluster or "")
        shown(result, as_json, _told)


def _told(result: "BatchResult") -> str:
    before = f", {result.parts_before} of them from before" if result.parts_before else ""
    lines = [f"{result.scored} rows scored by {result.model} into {result.output} ({result.parts} parts{before})"]
    if result.nulled or result.skipped:
        what = f"{result.nulled} without a prediction" if result.nulled else f"{result.skipped} left out"
        lines.append(f"{what}; the first: {result.said}")
    return "\n".join([*lines, f"job {result.job}"])
