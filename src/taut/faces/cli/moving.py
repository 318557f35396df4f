"""`taut import` and `taut export`: moving in from MLflow's stores, and out again."""

import sys
from pathlib import Path
from typing import Any

import click

from taut.errors import UsageError
from taut.faces.cli.shown import json_option, shown, table
from taut.home import Home, open_home

SHOWN_PROBLEMS = 50  # As many as one looks at; --json has them all.


@click.group("import", epilog="Example: taut import mlflow http://127.0.0.1:5000")
def import_() -> None:
    """Copy a whole store of another system into this home."""


@import_.command("mlflow", epilog="Example: taut import mlflow ./mlruns")
@click.argument("source")
@click.option("--artifacts", default="", help="Folder where artifacts lie now, as EXPERIMENT/RUN/artifacts.")
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 64), help="Runs copied at a time.")
@click.option("--again", is_flag=True, help="Copy anew what was copied before and has not changed.")
@click.option("--dry-run", is_flag=True, help="Only show what would be copied.")
@json_option
def import_mlflow(source: str, artifacts: str, jobs: int, again: bool, dry_run: bool, as_json: bool) -> None:
    """Copy an MLflow server (its URL), an mlruns folder or a SQLite file into this home.

    Ids, histories, artifacts, versions and aliases stay as they are. Interrupted or killed, the same command goes on.
    Exit status 3 where what is here does not agree with what is there in the end.
    """
    from taut.faces.moving.arriving import move_in
    from taut.faces.moving.opening import open_source

    with open_home() as home:
        opened = open_source(source, artifacts=artifacts)
        if dry_run:
            shown(_surveyed(home, opened), as_json, _told_survey)
            return
        report = move_in(home, opened, jobs=jobs, again=again)
        shown(_plain(report), as_json, lambda _: told(report))
    if not report.is_whole:
        sys.exit(3)


def told(report: Any) -> str:
    """The verification as a table, then what could not be moved and what is worth knowing."""
    rows = [
        (one.kind, one.source.number, one.target.number, one.source.digest[:12] or "-", "yes" if one.agrees else "NO")
        for one in report.lines
    ]
    lines = [table(["kind", "source", "target", "digest", "agrees"], rows, empty="there was nothing to move")]
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"problem: {one.kind} {one.name}: {one.text}" for one in report.problems[:SHOWN_PROBLEMS]]
    if more := len(report.problems) - SHOWN_PROBLEMS:
        lines += [f"problem: {more} more; --json has them all"] if more > 0 else []
    verdict = "all of it is there, and the same" if report.is_whole else "not all of it is there as it was"
    return "\n".join(
        [*lines, f"{report.source} -> {report.target}: {report.moved} copied, {report.known} known: {verdict}"]
    )


def _surveyed(home: Home, source: Any) -> Any:
    from taut.faces.moving.survey import found_in, survey
    from taut.runs import all_moved

    known = {key: one.mark for key, one in all_moved(home, source.name).items()}
    return found_in(survey(source), known)


def _told_survey(found: Any) -> str:
    return table(
        ["kind", "there", "moved before"], [(one.kind, one.there, one.moved) for one in found], empty="nothing"
    )


def _plain(report: Any) -> dict[str, Any]:
    from taut.ground import wire

    lines = [{**wire.plain(line), "agrees": line.agrees} for line in report.lines]
    return {**wire.plain(report), "lines": lines, "whole": report.is_whole}


@click.group(epilog="Example: taut export mlflow http://127.0.0.1:5000")
def export() -> None:
    """Copy this home to another system."""


def _folder_of(target: str) -> Path:
    if ("://" in target and not target.startswith("file://")) or target.endswith(".db"):
        raise UsageError(
            f"{target} cannot be written: an MLflow database belongs to its own MLflow",
            hint="taut export mlflow mlruns && mlflow migrate-filestore --source mlruns --target sqlite:///mlflow.db",
        )
    return Path(target.removeprefix("file://"))


@export.command("mlflow", epilog="Example: taut export mlflow ./mlruns")
@click.argument("target")
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 64), help="Runs copied at a time.")
@json_option
def export_mlflow(target: str, jobs: int, as_json: bool) -> None:
    """Copy this home to an MLflow server (its URL) or into an mlruns folder.

    A folder keeps all ids; a server gives ids of its own, and the tag taut.run_id says what they were. Interrupted or
    killed, the same command goes on. Exit status 3 where what is there does not agree with what is here in the end.
    """
    from taut.faces.moving.leaving import move_out_to_folder, move_out_to_server

    with open_home() as home:
        if target.startswith(("http://", "https://")):
            report = move_out_to_server(home, target, jobs=jobs)
        else:
            report = move_out_to_folder(home, _folder_of(target), jobs=jobs)
        shown(_plain(report), as_json, lambda _: told(report))
    if not report.is_whole:
        sys.exit(3)
