"""`taut backup`, `restore` and `gc`: what the owner of a home does that what is kept is kept, and the rest is not."""

from pathlib import Path

import click

from taut.faces.cli.shown import json_option, shown
from taut.home import open_home

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(epilog="Example: taut backup ../monday")
@click.argument("destination", type=FOLDER)
@json_option
def backup(destination: Path, as_json: bool) -> None:
    """Copy rows and objects of this home, as they are at one moment, into a new folder; others may write meanwhile."""
    from taut.govern import Manifest, back_up

    def told(made: Manifest) -> str:
        counted = f"{made.rows} rows, {made.objects} objects, {made.size_bytes} bytes, {made.events} ledger entries"
        return f"{destination} holds all of {home.place}: {counted}"

    with open_home() as home:
        shown(back_up(home, destination), as_json, told)


@click.command(epilog="Example: taut restore ../monday --to ../again")
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--to", "folder", type=FOLDER, required=True, help="Project folder to make, or an empty one.")
@click.option("--metadata", default="", help="Database for it, sqlite:///… or postgresql://…  [default: in the folder]")
@click.option("--objects", default="", help="Object store for it, file:///… or s3://…  [default: in the folder]")
@json_option
def restore(source: Path, folder: Path, metadata: str, objects: str, as_json: bool) -> None:
    """Fill an empty place from a backup and check all of it against the manifest; what is there already stays."""
    from taut.govern import Manifest, read_manifest
    from taut.govern import restore as restored
    from taut.ground.settings import FOLDER as TAUT
    from taut.ground.settings import SETTINGS_FILE, Settings, make_folder

    read_manifest(source)
    chosen = Settings(metadata=metadata, objects=objects)
    if not (folder / TAUT / SETTINGS_FILE).exists():
        make_folder(folder, chosen if metadata or objects else None)

    def told(made: Manifest) -> str:
        return f"{folder} holds what {source} did: {made.rows} rows, {made.objects} objects, {made.size_bytes} bytes"

    with open_home(folder) as home:
        shown(restored(home, source), as_json, told)


@click.command(epilog="Example: taut gc --older-than 30d --dry-run")
@click.option(
    "--older-than", default="30d", show_default=True, help="Only what was deleted longer ago: 90 min, 12h, 30d."
)
@click.option("--dry-run", is_flag=True, help="Say what would leave; nothing does.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--grace", default="24h", show_default=True, help="Leave objects alone that were uploaded within; less only alone."
)
@json_option
def gc(older_than: str, dry_run: bool, yes: bool, grace: str, as_json: bool) -> None:
    """Remove for good the projects, runs, logged models and experiments that were deleted, objects that nothing refers
    to, tokens that ended long ago, and answers that their deployment's log keeps no longer. Journals of predictions
    that nobody writes any more are sealed.

    Others may write meanwhile. What leaves cannot be brought back.
    """
    from taut.govern import Collected, collect
    from taut.ground.clock import duration_ms

    def told(found: Collected) -> str:
        verb = "would leave" if found.dry_run else "left"
        counted = f"{found.runs} runs, {found.logged_models} logged models, {found.experiments} experiments"
        ended = f"{found.projects} projects, {found.tokens} tokens that ended"
        past = f"{found.predictions} requests past the time their log keeps them"
        sealed = f"; {found.sealed} predictions of journals were sealed" if found.sealed else ""
        return f"{verb}: {counted}, {found.objects} objects, {found.size_bytes} bytes, {ended}, {past}{sealed}"

    older_than_ms, grace_ms = duration_ms(older_than), duration_ms(grace)
    with open_home() as home:
        if not dry_run and not yes:
            plan = collect(home, older_than_ms=older_than_ms, grace_ms=grace_ms, dry_run=True)
            click.echo(told(plan), err=True)
            click.confirm("remove it for good?", abort=True, err=True)
        shown(collect(home, older_than_ms=older_than_ms, grace_ms=grace_ms, dry_run=dry_run), as_json, told)
