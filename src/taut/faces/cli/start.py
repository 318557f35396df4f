"""`taut init` and `taut status`: begin, and see where the line stands."""

from pathlib import Path

import click

from taut.errors import Conflict, UsageError
from taut.faces.cli.shown import json_option, light, shown
from taut.ground import wire
from taut.ground.settings import FOLDER, Settings, make_folder

PROJECT_FILE = """\
# What taut keeps true here. `taut plan` shows what would change, `taut apply` makes it so.
models: {}
#  churn:
#    gate:
#      data: data/holdout.csv
#      target: churned
#      checks:
#        - {measure: roc_auc, at_least: 0.7}
#        - {measure: brier, against: champion, worse_by_at_most: 0.002}
deployments: {}
#  churn: {model: churn@champion}
monitors: {}
#  churn: {window: 7d}
triggers: {}
#  churn: {run: python train.py, target: churned}
"""


@click.command(epilog="Example: taut init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option(
    "--server", default="", metavar="URL", help="Keep everything on this taut server instead of in the folder."
)
@click.option("--metadata", default="", metavar="URL", help="Keep rows here: postgresql://…  [default: a SQLite file]")
@click.option("--objects", default="", metavar="URL", help="Keep bytes here: s3://bucket/prefix  [default: the folder]")
@json_option
def init(folder: Path, server: str, metadata: str, objects: str, as_json: bool) -> None:
    """Make a taut project in a folder, and look at what its workflow misses."""
    from taut.audit import audit_path
    from taut.home import open_home
    from taut.project import FILE

    folder = folder.absolute()
    if (folder / FOLDER).is_dir():
        raise Conflict(f"{folder} is a taut project already", hint="taut status")
    if server and not server.startswith(("http://", "https://")):
        raise UsageError(f"{server!r} is no URL of a taut server", hint="taut init --server http://HOST:5000")
    made = make_folder(folder, Settings(server=server, metadata=metadata, objects=objects))
    try:
        open_home(folder).close()
    except BaseException:
        _undo(made)
        raise
    if not (folder / FILE).exists():
        (folder / FILE).write_text(PROJECT_FILE)
    report = audit_path(folder)
    answer = {"folder": str(folder), "missed": wire.plain(report.next_steps)}
    shown(answer, as_json, lambda _: _told(folder, [step.remedy for step in report.next_steps]))


def _undo(made: Path) -> None:
    """A project that cannot be opened is not left behind."""
    for path in sorted(made.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    made.rmdir()


def _told(folder: Path, steps: list[str]) -> str:
    lines = [f"A taut project in {folder}: its state is in {FOLDER}/, what it keeps true in taut.yaml."]
    lines += ["The workflow here misses most:", *(f"  - {step}" for step in steps)] if steps else []
    return "\n".join([*lines, "Next: taut data add PATH"])


@click.command(epilog="Example: taut status")
@json_option
def status(as_json: bool) -> None:
    """Show each station of the line with its light, and what to do next."""
    from taut.govern.status import Line, show_line
    from taut.home import open_home

    def told(line: Line) -> str:
        rows = [f"{light(s.light)} {s.name:<8} {s.fact}" + (f"  ({s.age} ago)" if s.age else "") for s in line.stations]
        return "\n".join([line.place, *rows, f"Next: {line.next}"])

    with open_home() as home:
        shown(show_line(home), as_json, told)
