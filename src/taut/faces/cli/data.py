"""`taut data`: snapshot, compare and restore datasets; DVC's files and cache, where there is a DVC repository."""

import gc as collector  # A command of `taut data` has its name.
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taut.errors import NotFound, Refused, UsageError
from taut.faces.cli.data_remotes import commands
from taut.faces.cli.shown import Group, json_option, plain, shown, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taut.data import DatasetDiff, DatasetState
    from taut.data.tables.contracts import ContractResult
    from taut.data.tables.parts import Part
    from taut.data.tables.rows import RowDiff
    from taut.data.workspace.states import FileState
    from taut.home import Home
    from taut.records import Column, DatasetVersion, TableProfile

SAME = ("unchanged", "unknown")
# Objects between two searches for cycles: there are none among thousands of names, and a search looks at all of them.
GARBAGE = 200_000
EMPTY = "nothing is snapshot here; try: taut data add PATH"


@click.group(cls=Group, epilog="Example: taut data add data/flights.csv")
def data() -> None:
    """Snapshot data, compare versions, get one back."""
    collector.set_threshold(GARBAGE)


@data.command(epilog="Example: taut data add data/flights.csv")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", default="", help="Name of the dataset  [default: the file's name without its endings]")
@click.option("--check", "contract_file", type=click.Path(path_type=Path), help="Refuse data that break this contract.")
@json_option
def add(path: Path, name: str, contract_file: Path | None, as_json: bool) -> None:
    """Snapshot a file or folder as a new version of a dataset; the same content is the same version."""
    from taut.data import add_dataset
    from taut.home import open_home

    if contract_file is not None and not (found := _checked(path, contract_file)).passed:
        from taut.data.tables.contract_drawn import rules_of

        raise Refused(
            f"{path} breaks {rules_of(found)} of {contract_file}",
            hint=f"taut data check {path} --contract {contract_file}",
        )
    with open_home() as home:
        shown(add_dataset(home, path, name=name), as_json, _told)


@data.command(epilog="Example: taut data status")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--granular", is_flag=True, help="Tell each changed file, and the versions of each dataset.")
@click.option("--no-updates", is_flag=True, help="Do not ask other repositories for newer commits of imported data.")
@json_option
def status(paths: tuple[Path, ...], granular: bool, no_updates: bool, as_json: bool) -> None:
    """Say what has changed since it was snapshot, in DVC's words; of some pointers or what they point at, or of all.

    As JSON it is what `dvc status --json` prints: {} where nothing has changed. With --granular it is a list of
    datasets, each with its version and the files that came, went or changed.
    """
    if granular:
        from taut.data import dataset_status
        from taut.home import open_home

        with open_home() as home:
            wanted = {os.path.relpath(path, home.project).removesuffix(".dvc") for path in paths}
            states = [one for one in dataset_status(home, home.project) if not wanted or one.path in wanted]
            shown(states, as_json, _granular)
        return
    from taut.data.workspace.overview import workspace_states

    found = workspace_states(Path.cwd(), paths, updates=not no_updates)
    if any(_asks_a_url(one) for one in found):
        from taut.data.exchange.urls import with_sources

        found = with_sources(found)
    if as_json:
        shown(_as_dvc(found), True, str)
    else:
        shown(found, False, _states)


@data.command(epilog="Example: taut data diff flights 1 2")
@click.argument("name")
@click.argument("old", type=int, required=False)
@click.argument("new", type=int, required=False)
@click.option(
    "--key", default="", help="Columns that name a row, as id or id,day, or auto; without, rows are counted by content."
)
@click.option("--rows/--no-rows", default=None, help="Compare rows  [default: of up to 2 GB, and with --key]")
@click.option("--tolerance", type=float, default=0.0, help="Numbers that lie no further apart are equal; with --key.")
@click.option(
    "--workspace", is_flag=True, help="Compare the version, else the newest, with what lies in the folder now."
)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Draw it as a page of its own.")
@json_option
def diff(
    name: str, old: int | None, new: int | None, key: str, rows: bool | None, tolerance: float,
    workspace: bool, html: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare two versions of a dataset, the newest two where none are named: files, rows, columns of tables."""
    from taut.data import RowsAsked, dataset_diff, diff_page, workspace_diff
    from taut.home import open_home

    if workspace and new is not None:
        raise UsageError("the workspace is held against one version", hint=f"taut data diff {name} {old} --workspace")
    if rows is False and (key or tolerance):
        raise UsageError("--key and --tolerance are of rows, which --no-rows leaves out")
    asked = RowsAsked(tuple(column for column in key.split(",") if column), rows, tolerance)
    with open_home() as home:
        found = (
            workspace_diff(home, name, old, asked=asked)
            if workspace
            else dataset_diff(home, name, old, new, asked=asked)
        )
    if html is not None:
        html.write_text(diff_page(found), encoding="utf-8", errors="replace")
    shown(found, as_json, _compared)


@data.command(epilog="Example: taut data checkout flights@1 --to old/")
@click.argument("what", nargs=-1)
@click.option("--to", type=click.Path(path_type=Path), help="Where to put it  [default: where it was taken]")
@click.option("--force", is_flag=True, help="Replace files that have changed and were never snapshot.")
@json_option
def checkout(what: tuple[str, ...], to: Path | None, force: bool, as_json: bool) -> None:
    """Put data back on disk, every byte checked: a version NAME@NUMBER, or what the named pointers say, or all do.

    A pointer may be named by its data, by a file inside, or by the stage of a dvc.yaml that made them.
    """
    from taut.data import checkout_dataset, checkout_pointers
    from taut.data.workspace.overview import project_of
    from taut.home import open_home

    if to is not None and len(what) != 1:
        raise UsageError("say which one version shall be put there", hint="taut data checkout NAME@NUMBER --to FOLDER")
    is_home = bool(os.environ.get("TAUT_HOME") or project_of(str(Path.cwd()))[1])
    with open_home() if is_home else nullcontext() as home:
        version = _version_meant(home, what[0]) if home is not None and len(what) == 1 else None
        if version is not None and home is not None:
            place = checkout_dataset(home, version.name, version.number, to, force=force)
            told = {"dataset": f"{version.name}@{version.number}", "path": str(place)}
            shown(told, as_json, lambda _: f"{what[0]} is in {place}")
            return
        if to is not None:
            raise UsageError(f"{what[0]} is no version that can be put elsewhere", hint="taut data log")
        folder = Path.cwd() if what or home is None else home.project
        placed = [
            {"dataset": f"{one.name}@{one.number}" if one.name else "", "path": str(one.target)}
            for one in checkout_pointers(home, folder, force=force, only=what)
        ]
        shown(placed, as_json, _placed)


def _version_meant(home: "Home", word: str) -> "DatasetVersion | None":
    """The version that a word names; None where it names something in the workspace."""
    from taut.data import find_dataset

    if _is_path(word):
        return None
    try:
        return find_dataset(home, word)
    except NotFound:
        if word.partition("@")[2].isdigit() or not _is_tracked(word):
            raise
        return None


def _is_tracked(word: str) -> bool:
    """Whether a word names data of the workspace, or a stage."""
    from taut.data.exchange.chosen import chosen_outs

    try:
        return bool(chosen_outs(Path.cwd(), [word]))
    except NotFound:
        return False


@data.command("list", epilog="Example: taut data list")
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("-R", "--recursive", is_flag=True, help="List the files of folders, too.")
@json_option
def list_(path: Path, recursive: bool, as_json: bool) -> None:
    """List the data that pointers and locks below a folder name: size, files, digest, version."""
    from taut.data.workspace.overview import listed_outs

    shown(
        listed_outs(Path.cwd(), path, recursive=recursive),
        as_json,
        lambda found: table(
            ["path", "bytes", "files", "digest", "dataset"],
            [(one.path, one.size, one.files, one.md5[:12], one.dataset) for one in found],
            empty=EMPTY,
        ),
    )


@data.command(epilog="Example: taut data move data/flights.csv data/raw.csv")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@json_option
def move(source: Path, target: Path, as_json: bool) -> None:
    """Give data another place, with its pointer and what git ignores; its versions stay what they are."""
    from taut.data import move_data
    from taut.home import open_home

    with open_home() as home:
        pointer = move_data(home, source, target)
        told = {"from": str(source), "path": str(pointer.target), "pointer": str(pointer.file)}
        shown(told, as_json, lambda _: f"{source} is {target}")


@data.command(epilog="Example: taut data remove data/flights.csv")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--outs", is_flag=True, help="Delete the data itself from the workspace, too.")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@json_option
def remove(path: Path, outs: bool, yes: bool, as_json: bool) -> None:
    """Point at data no longer: remove its pointer and what git ignores. Versions and stored content stay."""
    from taut.data import remove_pointer
    from taut.home import open_home

    with open_home() as home:
        if outs and not yes:
            click.confirm(f"Delete {path} from the workspace?", abort=True, err=True)
        pointer = remove_pointer(home, path, outs=outs)
        told = {"pointer": str(pointer.file), "path": str(pointer.target), "deleted": outs}
        shown(told, as_json, lambda _: f"{path} is not tracked any more{'; it is deleted' if outs else ''}")


@data.command(epilog="Example: taut data log flights")
@click.argument("name", default="")
@json_option
def log(name: str, as_json: bool) -> None:
    """List the versions of one dataset, or of all, newest first."""
    from taut.data import list_datasets
    from taut.home import open_home

    with open_home() as home:
        shown(list_datasets(home, name), as_json, _listed)


def _is_path(word: str) -> bool:
    """Whether a word means a pointer or what one points at, and no version."""
    return word.endswith(".dvc") or os.path.exists(f"{word.rstrip('/')}.dvc")


def _placed(placed: list[dict[str, str]]) -> str:
    return "\n".join(f"{one['dataset'] or os.path.basename(one['path'])} is in {one['path']}" for one in placed)


def _states(found: "list[FileState]") -> str:
    rows = [
        row
        for file in found
        for row in (
            *((one.shown, _version_of(file), one.state) for one in file.outs),
            *((one.shown, file.address, one.state) for one in file.deps if one.state != "unchanged"),
            *((name, file.address, said) for name, said in _params_told(file)),
            *(("", file.address, note) for note in file.notes),
        )
    ]
    return table(["path", "dataset", "state"], rows, empty=EMPTY)


def _params_told(file: "FileState") -> "Iterator[tuple[str, str]]":
    for name, found in file.params:
        for key, state in ({"": found} if isinstance(found, str) else found).items():
            yield f"{name}:{key}" if key else name, state


def _asks_a_url(file: "FileState") -> bool:
    """Whether its state depends on what a URL has now: an import that is not frozen."""
    pointer = file.pointer
    return (
        pointer is not None and not pointer.is_frozen and any("://" in str(dep.get("path", "")) for dep in pointer.deps)
    )


def _version_of(file: "FileState") -> str:
    pointer = file.pointer
    return f"{pointer.name}@{pointer.number}" if pointer is not None and pointer.name else file.address


def _as_dvc(found: "list[FileState]") -> dict[str, list[object]]:
    """The shape of `dvc status --json`."""
    told: dict[str, list[object]] = {}
    for file in found:
        deps, outs = (
            {one.shown: one.state for one in side if one.state not in SAME} for side in (file.deps, file.outs)
        )
        parts: dict[str, dict[str, object]] = {"changed deps": {**deps, **dict(file.params)}, "changed outs": {**outs}}
        changed: list[object] = [{words: those} for words, those in parts.items() if those]
        if changed or file.notes:
            told[file.address] = [*changed, *file.notes]
    return told


def _granular(states: "list[DatasetState]") -> str:
    rows = [(one.path, one.dataset, one.state, f"{one.name}@{one.newest}" if one.newest else "") for one in states]
    lines = [table(["path", "dataset", "state", "newest"], rows, empty=EMPTY)]
    for one in states:
        for sign, paths in (("+", one.added), ("-", one.removed), ("~", one.modified)):
            lines += [f"{sign} {one.path}" if path == "." else f"{sign} {one.path}/{path}" for path in paths]
    return "\n".join(lines)


def _told(version: "DatasetVersion") -> str:
    rows = f", {version.rows} rows" if version.rows is not None else ""
    what = f"{version.files} files, {version.size_bytes} bytes{rows}"
    return f"{version.name}@{version.number}: {what}, sha256:{version.tree[:12]}"


def _compared(diff: "DatasetDiff") -> str:
    lines = [f"{diff.name}@{diff.old} -> {f'{diff.name}@{diff.new}' if diff.new else 'workspace'}"]
    for sign, paths in (("+", diff.added), ("-", diff.removed), ("~", diff.modified)):
        lines += [f"{sign} {path}" for path in paths]
    if None not in diff.rows:
        lines.append(f"rows {diff.rows[0]} -> {diff.rows[1]}, bytes {diff.size_bytes[0]} -> {diff.size_bytes[1]}")
    lines += [f"column {plain(before)} is now called {plain(after)}" for before, after in diff.renamed]
    if diff.table is not None:
        lines += _rows_told(diff.table)
    elif diff.not_compared and diff.rows != (None, None):
        lines.append(f"rows are not compared: {diff.not_compared}")
    rows = [(plain(change.name), _glance(change.old), _glance(change.new)) for change in diff.columns]
    told = [*lines, table(["column", "before", "after"], rows, empty="no column tells anything new")]
    moved = [
        (plain(one.name), one.distance.psi, one.distance.ks, one.distance.wasserstein)
        for one in diff.shifts
        if one.distance.psi
    ]
    return "\n".join(
        [*told, *([table(["distribution", "PSI", "KS", "Wasserstein"], moved, empty="")] if moved else [])]
    )


def _rows_told(found: "RowDiff") -> list[str]:
    by = f" by {', '.join(found.key)}" if found.key else " by content"
    lines = [
        f"rows{by}: {found.added} added, {found.removed} removed, {found.changed} changed, {found.unchanged} unchanged"
    ]
    lines += [f"column {plain(name)} is stored as another type" for name in found.retyped]
    for sign, rows in (("+", found.examples_added), ("-", found.examples_removed)):
        lines += [f"  {sign} {_cells({**row.key, **row.old, **row.new})}" for row in rows]
    for row in found.examples_changed:
        cells = ", ".join(f"{plain(name)} {plain(old)} -> {plain(row.new[name])}" for name, old in row.old.items())
        lines.append(f"  ~ {_cells(row.key)}: {cells}")
    return lines


def _cells(row: dict[str, str | None]) -> str:
    return ", ".join(f"{plain(name)}={'' if value is None else plain(value)}" for name, value in row.items())


def _glance(column: "Column | None") -> str:
    if column is None:
        return "-"
    span = f", {column.low:g} to {column.high:g}, mean {column.mean:.4g}" if column.mean is not None else ""
    return f"{column.kind}, {column.missing} missing, {column.distinct} distinct{span}"


def _listed(versions: "list[DatasetVersion]") -> str:
    from taut.ground.clock import iso

    rows = [
        (f"{v.name}@{v.number}", iso(v.at_ms)[:19], v.files, v.size_bytes, v.rows, v.tree[:12], v.actor)
        for v in versions
    ]
    return table(
        ["version", "when", "files", "bytes", "rows", "digest", "by"],
        rows,
        empty="no dataset yet; try: taut data add PATH",
    )


@data.command(epilog="Example: taut data contract flights@3 > contract.yaml")
@click.argument("version")
@json_option
def contract(version: str, as_json: bool) -> None:
    """Infer a contract from a version: types, nullability, ranges, accepted values, uniqueness, row count."""
    from taut.data.tables.contracts import dataset_contract
    from taut.home import open_home

    with open_home() as home:
        shown(dataset_contract(home, version), as_json, str.rstrip)


@data.command(epilog="Example: taut data profile flights@3")
@click.argument("what")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Draw it as a page of its own.")
@json_option
def profile(what: str, html: Path | None, as_json: bool) -> None:
    """Show what each column of a table holds: of a version NAME@NUMBER, the newest of NAME, or a file or folder."""
    from taut.data import find_profile
    from taut.data.tables.profile_drawn import profile_page
    from taut.data.tables.profiles import profile_table
    from taut.home import open_home

    if "@" not in what and os.path.exists(what):
        found = profile_table(_parts(Path(what)))
    else:
        with open_home() as home:
            found = find_profile(home, what)
    if html is not None:
        html.write_text(profile_page(what, found), encoding="utf-8", errors="replace")
    shown(found, as_json, _profiled)


def _profiled(found: "TableProfile") -> str:
    from taut.data.tables.profile_drawn import LINE, profile_lines

    lines = [[plain(cell) if isinstance(cell, str) else cell for cell in line] for line in profile_lines(found)]
    return f"{found.rows} rows\n{table(LINE, lines, empty='no column')}"


@data.command(epilog="Example: taut data check data/flights.csv --contract contract.yaml")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--contract", "contract_file", type=click.Path(path_type=Path), default="contract.yaml", show_default=True
)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as a page of its own.")
@json_option
def check(path: Path, contract_file: Path, html: Path | None, as_json: bool) -> None:
    """Hold a table against a contract; status 3 where it is broken, with the first rows that break each rule."""
    from taut.data.tables.contract_drawn import check_page

    found = _checked(path, contract_file)
    if html is not None:
        html.write_text(check_page(f"{path} and {contract_file}", found), encoding="utf-8", errors="replace")
    shown(found, as_json, _judged)
    if not found.passed:
        raise click.exceptions.Exit(3)


def _checked(path: Path, contract_file: Path) -> "ContractResult":
    from taut.data import check_table, read_contract

    return check_table(_parts(path), read_contract(contract_file))


def _parts(path: Path) -> "list[Part]":
    """The files that make a table."""
    from taut.data import part_of
    from taut.data.workspace.walk import ONE_FILE, walk

    return [part_of(path if name == ONE_FILE else path / name) for name in sorted(walk(str(path)).paths)]


def _judged(found: "ContractResult") -> str:
    if found.passed:
        return f"{found.rows} rows keep the contract"
    from taut.data.tables.contract_drawn import rules_of

    lines = [f"{found.rows} rows break {rules_of(found)}"]
    lines += [f"{times} x {plain(rule)}" for rule, times in found.broken.items()]
    rows = [(one.row or "-", plain(one.column), plain(one.value), plain(one.rule)) for one in found.breaches]
    return "\n".join([*lines, table(["row", "column", "value", "rule"], rows, empty="")])


for _one in commands():
    data.add_command(_one)
