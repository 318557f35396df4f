"""`taut data push|pull|fetch|remote`: content sent to where others take it from, and brought back."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from taut.errors import UsageError
from taut.faces.cli.shown import Group, json_option, shown, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from taut.data.exchange.bringing import Moved
    from taut.data.exchange.scope import Scope
    from taut.data.remotes.config import Places, RemoteSpec

F = TypeVar("F", bound="Callable[..., Any]")
PLAIN = "A DVC remote holds the bytes of the data as they are: whoever reads the place reads the data."


def _transfer(command: F) -> F:
    """The options of all commands that move content."""
    for option in (
        click.option("--glob", "is_glob", is_flag=True, help="Targets are patterns of names, as 'data/*.csv'."),
        click.option("--run-cache", is_flag=True, help="DVC's run cache, too: what stages made from what."),
        click.option("-A", "--all-commits", is_flag=True, help="What any commit names, too."),
        click.option("-T", "--all-tags", is_flag=True, help="What tags name, too."),
        click.option("-a", "--all-branches", is_flag=True, help="What the tips of branches name, too."),
        click.option("-d", "--with-deps", is_flag=True, help="What the targets were made from, too."),
        click.option("-R", "--recursive", is_flag=True, help="All below folders: always so."),
        click.option("-j", "--jobs", default=0, help="Requests at once  [default: the remote's, else 16]"),
        click.option("-r", "--remote", default="", help="Name, path or URL  [default: the default one]"),
    ):
        command = option(command)
    return click.argument("targets", nargs=-1)(command)


def _scope(
    *, with_deps: bool, all_branches: bool, all_tags: bool, all_commits: bool, is_glob: bool, recursive: bool
) -> "Scope":
    """How far a command reaches. Folders mean all below them, whether `recursive` is typed, as DVC asks for, or not."""
    from taut.data.exchange.scope import Scope

    return Scope(with_deps, all_branches, all_tags, all_commits, is_glob)


@click.command(epilog="Example: taut data push data/flights.csv.dvc")
@_transfer
@click.option("--recheck", is_flag=True, help="Ask a bucket for every file, also for those it was seen to have.")
@json_option
def push(
    targets: tuple[str, ...], remote: str, jobs: int, run_cache: bool, recheck: bool, as_json: bool, **scope: bool
) -> None:
    """Send data to its remote: all that pointers and locks name, or some data, folders or parts of folders."""
    from taut.data.exchange.transfer import push

    moved = push(
        Path.cwd(), targets, remote=remote, jobs=jobs, run_cache=run_cache, recheck=recheck, scope=_scope(**scope)
    )
    shown(moved, as_json, lambda moved: _moved(moved, "sent"))


@click.command(epilog="Example: taut data fetch")
@_transfer
@json_option
def fetch(targets: tuple[str, ...], remote: str, jobs: int, run_cache: bool, as_json: bool, **scope: bool) -> None:
    """Bring data from its remote into the cache, every byte checked; the workspace stays as it is."""
    from taut.data.exchange.transfer import fetch

    moved = fetch(Path.cwd(), targets, remote=remote, jobs=jobs, run_cache=run_cache, scope=_scope(**scope))
    shown(moved, as_json, lambda moved: _moved(moved, "fetched"))


@click.command(epilog="Example: taut data pull data/photos/2024")
@_transfer
@click.option("-f", "--force", is_flag=True, help="Replace files that have changed and were never snapshot.")
@click.option("--allow-missing", is_flag=True, help="What is nowhere is no error.")
@json_option
def pull(
    targets: tuple[str, ...], remote: str, jobs: int, run_cache: bool, force: bool, allow_missing: bool, as_json: bool,
    **scope: bool,
) -> None:  # fmt: skip
    """Bring data from its remote and put it where it belongs: what a fresh clone lacks, or a part of it."""
    from taut.data.exchange.transfer import pull

    moved = pull(
        Path.cwd(), targets, remote=remote, jobs=jobs, force=force, run_cache=run_cache, allow_missing=allow_missing,
        scope=_scope(**scope),
    )  # fmt: skip
    shown(moved, as_json, lambda moved: _moved(moved, "fetched"))


@click.command("import", epilog="Example: taut data import ../registry data/flights.csv --rev v1.0")
@click.argument("url")
@click.argument("path")
@click.option("-o", "--out", default="", help="Where to put it  [default: its name, here]")
@click.option("--rev", default="", help="Branch, tag or commit there  [default: the newest]")
@click.option("--no-download", is_flag=True, help="Remember the commit only; taut data pull brings the content.")
@click.option("--no-exec", is_flag=True, help="Write the pointer and look at nothing.")
@click.option("--config", default="", help="A file of more config for the other repository.")
@click.option("--remote", default="", help="Which of its remotes is asked first.")
@click.option("-f", "--force", is_flag=True, help="Replace what lies in its place.")
@click.option("-j", "--jobs", default=0, help="Requests at once.")
@json_option
def import_(
    url: str, path: str, out: str, rev: str, no_download: bool, no_exec: bool, config: str, remote: str, force: bool,
    jobs: int, as_json: bool,
) -> None:  # fmt: skip
    """Take data of another repository, tracked there by DVC or git, and remember from which commit."""
    from taut.data.exchange.importing import import_data

    _one_of(no_download, no_exec)
    pointer = import_data(
        Path.cwd(), url, path, to=out, rev=rev, force=force, no_download=no_download, no_exec=no_exec, config=config,
        remote=remote, jobs=jobs,
    )  # fmt: skip
    shown({"pointer": str(pointer)}, as_json, lambda _: f"{os.path.relpath(pointer)} points at {path} of {url}")


@click.command("import-url", epilog="Example: taut data import-url s3://bucket/flights.csv data/flights.csv")
@click.argument("url")
@click.argument("out", default="")
@click.option("--no-download", is_flag=True, help="Remember what the source has only; taut data pull brings it.")
@click.option("--no-exec", is_flag=True, help="Write the pointer and look at nothing.")
@click.option("--to-remote", is_flag=True, help="Bring it to the remote, and not here.")
@click.option("-r", "--remote", default="", help="With --to-remote: which  [default: the default one]")
@click.option("--version-aware", is_flag=True, help="Refused: DVC's versions of buckets are not read.")
@click.option("-f", "--force", is_flag=True, help="Replace what lies in its place.")
@click.option("-j", "--jobs", default=0, help="Requests at once.")
@json_option
def import_url(
    url: str, out: str, no_download: bool, no_exec: bool, to_remote: bool, remote: str, version_aware: bool,
    force: bool, jobs: int, as_json: bool,
) -> None:  # fmt: skip
    """Take a file or folder from a path, http(s)://, s3://, gs://, azure:// or remote://NAME/, and remember from where.

    OUT is where it is put: its own name, here, where nothing is said.
    """
    from taut.data.exchange.urls import import_url

    _one_of(no_download, no_exec)
    if version_aware:
        raise UsageError(
            "versions of a bucket are not read: taut knows data by its content", hint=f"dvc import-url {url}"
        )
    pointer = import_url(
        Path.cwd(), url, to=out, remote=remote, to_remote=to_remote, no_download=no_download, no_exec=no_exec,
        force=force, jobs=jobs,
    )  # fmt: skip
    shown({"pointer": str(pointer)}, as_json, lambda _: f"{os.path.relpath(pointer)} points at {url}")


@click.command(epilog="Example: taut data update flights.csv.dvc --rev v2.0")
@click.argument("targets", nargs=-1, required=True)
@click.option("--rev", default="", help="Branch, tag or commit  [default: what the import named]")
@click.option("-R", "--recursive", is_flag=True, help="All imports below folders.")
@click.option("--no-download", is_flag=True, help="Remember what the source has now only.")
@click.option("--to-remote", is_flag=True, help="Bring what a URL has now to the remote, and not here.")
@click.option("-r", "--remote", default="", help="With --to-remote: which  [default: the default one]")
@click.option("-j", "--jobs", default=0, help="Requests at once.")
@json_option
def update(
    targets: tuple[str, ...], rev: str, recursive: bool, no_download: bool, to_remote: bool, remote: str, jobs: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Take imports anew: what their repository, or their URL, has now."""
    from taut.data.exchange.imported import imports_below
    from taut.data.exchange.importing import update_import

    here = Path.cwd()
    wanted = [one for target in targets for one in (imports_below(here / target) if recursive else [target])]
    pointers = [
        str(update_import(here, one, rev=rev, no_download=no_download, to_remote=to_remote, remote=remote, jobs=jobs))
        for one in wanted
    ]
    told = {"pointer": pointers[0] if pointers else "", "pointers": pointers}
    shown(told, as_json, lambda _: "\n".join(f"{os.path.relpath(one)} is up to date" for one in pointers))


def _one_of(no_download: bool, no_exec: bool) -> None:
    if no_download and no_exec:
        raise UsageError("an import is made with --no-download or with --no-exec, which looks at less")


@click.command(epilog="Example: taut data gc --all-branches --all-tags --dry-run")
@click.option("-w", "--workspace", is_flag=True, help="Keep what the workspace names: always so.")
@click.option("-a", "--all-branches", is_flag=True, help="Keep what the tips of branches name, too.")
@click.option("-T", "--all-tags", is_flag=True, help="Keep what tags name, too.")
@click.option("-A", "--all-commits", is_flag=True, help="Keep what any commit names, too.")
@click.option("-p", "--projects", multiple=True, type=click.Path(path_type=Path), help="Another that uses the cache.")
@click.option("-c", "--cloud", is_flag=True, help="Remove from the remote, too.")
@click.option("-r", "--remote", default="", help="With --cloud: which remote  [default: the default one]")
@click.option("--skip-lost", is_flag=True, help="Go on where the list of a folder is nowhere.")
@click.option("-f", "--force", is_flag=True, help="Even where the cache may be others' too.")
@click.option("--dry-run", is_flag=True, help="Say what would leave; nothing does.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def gc(
    workspace: bool, all_branches: bool, all_tags: bool, all_commits: bool, projects: tuple[Path, ...], cloud: bool,
    remote: str, skip_lost: bool, force: bool, dry_run: bool, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Remove content that nothing names from the cache: no version of the home, no pointer, no kept commit."""
    from functools import partial

    from taut.data.exchange.prune import Kept, Pruned, prune
    from taut.data.workspace.overview import project_of
    from taut.home import open_home

    if not (workspace or all_branches or all_tags or all_commits):
        raise UsageError("say what is kept: --workspace, --all-branches, --all-tags or --all-commits")

    def told(found: Pruned) -> str:
        verb = "would leave" if found.dry_run else "left"
        far = f", {found.remote_files} files of {found.remote}" if found.remote else ""
        return f"{verb}: {found.files} files, {found.size_bytes} bytes of the cache{far}; {found.kept} stay"

    _, taut = project_of(str(Path.cwd()))
    with open_home() if taut else nullcontext() as home:
        keep = Kept(all_branches, all_tags, all_commits, projects)
        work = partial(
            prune, home, Path.cwd(), keep, cloud=cloud, remote=remote, force=force, skip_lost=skip_lost
        )  # fmt: skip
        if not (dry_run or yes):
            click.echo(told(work(dry_run=True)), err=True)
            click.confirm("Remove it?", abort=True, err=True)
        shown(work(dry_run=dry_run), as_json, told)


@click.group(cls=Group, epilog="Example: taut data remote list")
def remote() -> None:
    """Where data is pushed to and pulled from."""


@remote.command(epilog="Example: taut data remote add team /mnt/team/data --default")
@click.argument("name")
@click.argument("url")
@click.option("-d", "--default", is_flag=True, help="Push and pull there where nothing else is said.")
@click.option("-f", "--force", is_flag=True, help="Replace a remote of that name.")
@click.option("--local", is_flag=True, help="Write to config.local, which git does not keep.")
@click.option("--dvc", "is_dvc", is_flag=True, help="In DVC's format: the default in a DVC repository.")
@click.option("--encrypt", is_flag=True, help="In taut's own format, encrypted: the default elsewhere.")
@click.option("--plain", is_flag=True, help="In taut's own format, not encrypted.")
@click.option("--key", default="", help="file:PATH, env:VARIABLE or transit:URL  [default: a new file beside .taut]")
@json_option
def add(
    name: str, url: str, default: bool, force: bool, local: bool, is_dvc: bool, encrypt: bool, plain: bool, key: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Name a place for data: a directory, s3://, gs://, azure://, or http(s):// to read only."""
    from taut.data.remotes.config import add_remote, read_remotes
    from taut.data.remotes.connect import add_store

    if is_dvc + (encrypt or bool(key)) + plain > 1:
        raise UsageError("a remote is one of --dvc, --encrypt and --plain", hint="taut data remote add --help")
    places = _places()
    default = default or not read_remotes(places)
    if is_dvc or (places.is_dvc and not (encrypt or plain or key)):
        spec = add_remote(places, name, url, local=local, force=force, default=default)
        if not as_json:
            click.echo(PLAIN, err=True)
    else:
        chosen = "" if plain else key or f"file:{os.path.dirname(places.own)}/{name}.key"
        spec = add_store(places, name, url, key=chosen, default=default, force=force)
    shown(_told(spec), as_json, lambda _: f"{name} is {spec.url}")


@remote.command("list", epilog="Example: taut data remote list")
@json_option
def list_(as_json: bool) -> None:
    """List the remotes of this project, from all levels of its config."""
    from taut.data.remotes.config import read_remotes

    def rows(found: "list[dict[str, Any]]") -> str:
        cells = [(one["name"], one["url"], one["format"], "default" if one["default"] else "") for one in found]
        return table(["name", "url", "format", ""], cells, empty="no remote yet; try: taut data remote add NAME URL")

    shown([_told(spec) for spec in read_remotes(_places()).values()], as_json, rows)


@remote.command(epilog="Example: taut data remote default team")
@click.argument("name")
@json_option
def default(name: str, as_json: bool) -> None:
    """Make a remote the one that is meant where none is named."""
    from taut.data.remotes.config import set_default

    shown(_told(set_default(_places(), name)), as_json, lambda _: f"{name} is the default remote")


@remote.command(epilog="Example: taut data remote modify team endpointurl https://s3.example.org")
@click.argument("name")
@click.argument("option")
@click.argument("value", default="")
@click.option("--local", is_flag=True, help="Write to config.local, which git does not keep.")
@json_option
def modify(name: str, option: str, value: str, local: bool, as_json: bool) -> None:
    """Set an option of a remote, in DVC's words; without a value it is taken away."""
    from taut.data.remotes.config import find_remote, set_option

    set_option(_places(), name, option, value, local=local)
    shown(_told(find_remote(_places(), name)), as_json, lambda _: f"{name}: {option} is {'set' if value else 'gone'}")


@remote.command(epilog="Example: taut data remote remove team")
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Forget a remote; the data that lies there stays."""
    from taut.data.remotes.config import remove_remote

    shown(_told(remove_remote(_places(), name)), as_json, lambda told: f"{name} is forgotten; {told['url']} stays")


@remote.command(epilog="Example: taut data remote fsck team")
@click.argument("name", default="")
@click.option("--repair", is_flag=True, help="Bring back what is damaged, from this project's cache first.")
@click.option("--from", "source", default="", help="With --repair: another remote that may have it, too.")
@json_option
def fsck(name: str, repair: bool, source: str, as_json: bool) -> None:
    """Read all of a remote in taut's own format and name what is damaged; exit status 14 where something is."""
    from taut.data.exchange.vaults import check_remote, repair_remote

    if source and not repair:
        raise UsageError("--from says where --repair takes from", hint="taut data remote fsck --help")
    told: dict[str, Any] = {}
    if repair:
        done = repair_remote(Path.cwd(), name, source=source)
        told = {"mended": list(done.mended), "restored": list(done.restored), "lost": list(done.lost)}
    checked = check_remote(Path.cwd(), name)
    damages = [{"object": one.object, "reason": one.reason, "contents": list(one.contents)} for one in checked.damages]
    told |= {"objects": checked.objects, "contents": checked.contents, "damages": damages}
    told |= {"unnamed": checked.unnamed, "single": checked.single}
    shown(told, as_json, _checked)
    if damages or told.get("lost"):
        sys.exit(14)


@remote.command(epilog="Example: taut data remote rotate team --key file:new.key")
@click.argument("name")
@click.option("--key", required=True, help="file:PATH, env:VARIABLE or transit:URL; a file that is not there is made.")
@json_option
def rotate(name: str, key: str, as_json: bool) -> None:
    """Have another key open a remote in taut's own format; the old one opens it no more. No data is written again."""
    from taut.data.exchange.vaults import rotate_remote

    spec = rotate_remote(Path.cwd(), name, key)
    shown(_told(spec), as_json, lambda _: f"{name} opens with {key}")


def commands() -> tuple[click.Command, ...]:
    """What stands under `taut data` beside the commands that need no remote."""
    return push, fetch, pull, import_, import_url, update, gc, remote


def _places() -> "Places":
    from taut.data.remotes.config import places_of
    from taut.data.workspace.overview import project_of

    return places_of(*project_of(str(Path.cwd())))


def _told(spec: "RemoteSpec") -> dict[str, Any]:
    """What anybody may know of a remote: no secret."""
    from taut.data.remotes.config import SECRETS

    options = {name: value for name, value in spec.options.items() if name not in SECRETS}
    kind = "taut" if spec.is_store else "dvc"
    return {"name": spec.name, "url": spec.url, "format": kind, "default": spec.is_default, "options": options}


def _checked(told: dict[str, Any]) -> str:
    lines = [f"mended {one}" for one in told.get("mended", ())]
    lines += [f"lost {one}: push it again from where it is" for one in told.get("lost", ())]
    for one in told["damages"]:
        needed = f"; {len(one['contents'])} contents need it" if one["contents"] else ""
        lines.append(f"{one['object']}: {one['reason']}{needed}")
    counted = f"{told['objects']} objects, {told['contents']} contents: {len(told['damages']) or 'no'} damaged"
    return "\n".join([*lines, counted])


def _moved(moved: "Moved", verb: str) -> str:
    where = f" ({', '.join(moved.remotes)})" if moved.remotes else ""
    runs = [f"{moved.runs} entries of the run cache"] if moved.runs else []
    placed = [f"{os.path.relpath(path)} is in its place" for path in moved.paths]
    return "\n".join(
        [f"{verb} {moved.files} files, {moved.size_bytes} bytes; {moved.present} were there{where}", *runs, *placed]
    )
