"""`taut predictions` and `taut labels`: what was answered, as rows and files; and what turned out to be true."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from taut.errors import Invalid, UsageError
from taut.faces.cli.shown import Group, json_option, plain, shown, table
from taut.ground.clock import iso, moment_ms
from taut.home import open_home
from taut.serve.log.said import EVERY_ROLE

if TYPE_CHECKING:
    from taut.serve.log.exporting import Exported
    from taut.serve.log.labelling import LabelsAdded
    from taut.serve.log.paging import Asked
    from taut.serve.log.querying import PredictedRow
    from taut.serve.log.said import Role

F = TypeVar("F", bound=Callable[..., Any])
TOGETHER = 1_000  # Rows whose widths are measured at once.
WIDEST = 40  # Characters of a cell.
VERSION = re.compile(r"((?:(?P<model>[^@]+)@)?(?P<number>[1-9][0-9]{0,8}))?")


@click.group(cls=Group, epilog="Example: taut predictions query late --limit 5")
def predictions() -> None:
    """Query and export what a deployment answered."""


@click.group(cls=Group, epilog="Example: taut labels add late truth.csv")
def labels() -> None:
    """Tell what turned out to be true of predictions."""


def chosen(command: F) -> F:
    """The options that say which predictions are meant."""
    options = [
        click.option("--from", "begin", default="", help="Event times from here on, ISO 8601."),
        click.option("--until", default="", help="Event times before this, ISO 8601."),
        click.option("--version", default="", help="Answered by this version: 3, or late@3."),
        click.option(
            "--role",
            "roles",
            multiple=True,
            type=click.Choice(EVERY_ROLE),
            help="Answered from there, or from a file; may be repeated  [default: all but shadow]",
        ),
        click.option("--id", "ids", multiple=True, help="This prediction ID.ROW, or request ID; may be repeated."),
        click.option("--where", multiple=True, help="Rows that are so, as 'delay > 30'; all of them where repeated."),
        click.option("--labelled", is_flag=True, help="Rows whose label is known."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@predictions.command(epilog="Example: taut predictions query late --where 'delay > 30' --newest")
@click.argument("deployment", metavar="ENDPOINT")
@chosen
@click.option("--newest", is_flag=True, help="The newest first  [default: in the order of event time]")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0), help="At most so many rows; 0: all.")
@json_option
def query(
    deployment: str, where: tuple[str, ...], labelled: bool, newest: bool, limit: int, as_json: bool, **meant: Any
) -> None:  # fmt: skip
    """List predictions, a row each, with what was asked, what was answered, and the label where it is known.

    --where takes a column of the input or the output by its name (input.NAME, output.NAME where both have it), or
    label, latency_us, role, revision, model, number, and one of = != < <= > >=.
    """
    from taut.serve.log.querying import query_rows, read_condition

    conditions = [read_condition(one) for one in where]
    asked = _asked(deployment, **meant)
    with open_home() as home:
        rows = query_rows(home, asked, conditions, labelled=labelled, newest=newest, limit=limit)
        _print_json(rows) if as_json else _print_table(rows)


@predictions.command(epilog="Example: taut predictions export late march.parquet --from 2013-03-01 --until 2013-04-01")
@click.argument("deployment", metavar="ENDPOINT")
@click.argument("out", type=click.Path(path_type=Path))
@chosen
@json_option
def export(
    deployment: str, out: Path, where: tuple[str, ...], labelled: bool, as_json: bool, **meant: Any
) -> None:  # fmt: skip
    """Write predictions with their labels to OUT: a file ending in .parquet or .csv, or a folder of Parquet files.

    It appears whole or not at all, and memory stays bounded at any size. Columns are id, row, event_time, answered_at,
    model, version, revision, role, latency_us, input.NAME, output.NAME, label.
    """
    from taut.serve.log.querying import query_rows, read_condition

    try:
        from taut.serve.log.exporting import export_rows
    except ImportError:
        raise UsageError("files are written with pyarrow", hint="pip install 'taut[data]'") from None
    conditions = [read_condition(one) for one in where]
    asked = _asked(deployment, **meant)
    with open_home() as home:
        shown(export_rows(query_rows(home, asked, conditions, labelled=labelled), out), as_json, _exported)


@labels.command(epilog="Example: taut labels add late truth.csv")
@click.argument("deployment", metavar="ENDPOINT")
@click.argument("source", metavar="FILE")
@click.option("--early", is_flag=True, help="Keep labels whose prediction is not here yet.")
@json_option
def add(deployment: str, source: str, early: bool, as_json: bool) -> None:
    """Store labels from FILE (- is stdin): CSV, JSON lines or Parquet with the columns id, label and, if wanted, row.

    All of them or none. An id without a row is that of a prediction, ID.ROW, or of a request with one row. A label
    may come at any time after its prediction, and again with another value.
    """
    from taut.deploy import find_deployment
    from taut.serve.log.label_files import read_labels
    from taut.serve.log.labelling import add_labels

    if source == "-":
        found = read_labels(sys.stdin.buffer, name="stdin")
    else:
        with open(source, "rb") as file:
            found = read_labels(file, name=source)
    with open_home() as home:
        name = find_deployment(home, deployment).name
        added = add_labels(
            home, name, list(found.ids), list(found.values), list(found.rows), early, list(found.lines)
        )  # fmt: skip
        shown(added, as_json, _added)


def _asked(
    deployment: str, begin: str, until: str, version: str, roles: tuple["Role", ...], ids: tuple[str, ...]
) -> "Asked":
    from taut.serve.log.paging import Asked
    from taut.serve.log.spans import ANSWERED, END_OF_TIME_MS

    if ids and (begin or until or version or roles):
        raise UsageError("--id names predictions; a range, version or role besides would leave some of them out")
    found = VERSION.fullmatch(version)
    if found is None:
        raise Invalid(f"{version!r} is no version; write its number, as 3, or late@3")
    return Asked(
        deployment, moment_ms(begin) if begin else -END_OF_TIME_MS, moment_ms(until) if until else END_OF_TIME_MS,
        int(found["number"] or 0), found["model"] or "", ids, roles or ANSWERED,
    )  # fmt: skip


def _print_json(rows: Iterable["PredictedRow"]) -> None:
    """A list, row by row: it may be longer than memory."""
    from taut.ground import wire

    begun = False
    for row in rows:
        click.echo(("," if begun else "[") + wire.text(row))
        begun = True
    click.echo("]" if begun else "[]")


def _print_table(rows: Iterator["PredictedRow"]) -> None:
    """Tables of some thousand rows, one below the other."""
    some = list(islice(rows, TOGETHER))
    if not some:
        click.echo("no prediction is so; try: taut predictions query ENDPOINT --newest")
    while some:
        click.echo(_table(some))
        some = list(islice(rows, TOGETHER))


def _table(rows: list["PredictedRow"]) -> str:
    inputs = list(dict.fromkeys(name for row in rows for name in row.inputs))
    outputs = list(dict.fromkeys(name for row in rows for name in row.outputs))
    cells = [
        [
            row.id, f"{row.model}@{row.number}", iso(row.event_ms)[:19],
            *(_cell(row.inputs.get(name)) for name in inputs), *(_cell(row.outputs.get(name)) for name in outputs),
            row.label,
        ]
        for row in rows
    ]  # fmt: skip
    names = [plain(name) or "-" for name in (*inputs, *outputs)]
    return table(["prediction", "version", "about", *names, "label"], cells, empty="")


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    text = plain(str(value)) or ""
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _exported(done: "Exported") -> str:
    files = f"{done.files} files" if done.files != 1 else "1 file"
    return f"{done.rows} predictions, {done.labelled} of them labelled, are in {done.path} ({files})"


def _added(added: "LabelsAdded") -> str:
    early = f", {added.early} early" if added.early else ""
    return f"{added.new} new, {added.changed} changed, {added.known} known{early}"
