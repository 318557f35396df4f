"""`taut audit`: which principles a workflow misses."""

import sys
from pathlib import Path

import click

from taut.faces.cli.shown import json_option, shown


@click.command(epilog="Example: taut audit . --strict 60")
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.option("--text", is_flag=True, help="PATH is a description of the workflow in prose; - reads it from stdin.")
@click.option(
    "--strict", type=click.IntRange(0, 100), help="Exit with status 3 where the lowest principle scores below this."
)
@json_option
def audit(path: Path, text: bool, strict: int | None, as_json: bool) -> None:
    """Say which of the five MLOps principles a workflow misses, what that risks, and how to mend it."""
    from taut.audit import audit_path, audit_text, render_report

    report = audit_text(_prose(path)) if text else audit_path(path)
    shown(report, as_json, lambda found: render_report(found, colour=sys.stdout.isatty()))
    scores = [principle.score for principle in report.principles if principle.score is not None]
    if strict is not None and scores and min(scores) * 100 < strict:
        sys.exit(3)


def _prose(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.read()
    from taut.errors import NotFound

    try:
        return path.read_text()
    except FileNotFoundError:
        raise NotFound(f"no file {path}", hint="taut audit --text - reads from stdin") from None
