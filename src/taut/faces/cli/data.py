"""`taut data`: snapshot, compare and restore datasets."""

from pathlib import Path

import click

from taut.data import DatasetDiff
from taut.data.contracts import ContractResult
from taut.data.rows import RowDiff
from taut.errors import Refused, UsageError
from taut.faces.cli.shown import Group, json_option, shown, table
from taut.ground.clock import iso
from taut.home import open_home
from taut.records import Column, DatasetVersion


@click.group(cls=Group, epilog="Example: taut data add data/flights.csv")
def data() -> None:
    """Snapshot data, compare versions, get one back."""


@data.command(epilog="Example: taut data add data/flights.csv")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", default="", help="Name of the dataset  [default: the file's name without its endings]")
@click.option("--check", "contract_file", type=click.Path(path_type=Path), help="Refuse data that break this contract.")
@json_option
def add(path: Path, name: str, contract_file: Path | None, as_json: bool) -> None:
    """Snapshot a file or folder as a new version of a dataset; the same content is the same version."""
    from taut.data import add_dataset

    if contract_file is not None and not (found := _checked(path, contract_file)).passed:
        raise Refused(
            f"{path} breaks {len(found.broken)} rules of {contract_file}",
            hint=f"taut data check {path} --contract {contract_file}",
        )
    with open_home() as home:
        shown(add_dataset(home, path, name=name), as_json, _told)


@data.command(epilog="Example: taut data status")
@json_option
def status(as_json: bool) -> None:
    """Say which snapshot files and folders have changed since."""
    from taut.data import dataset_status

    with open_home() as home:
        shown(
            dataset_status(home, home.project),
            as_json,
            lambda found: table(
                ["path", "dataset", "state", "newest"],
                [(one.path, f"{one.name}@{one.number}", one.state, f"{one.name}@{one.newest}") for one in found],
                empty="nothing is snapshot here; try: taut data add PATH",
            ),
        )


@data.command(epilog="Example: taut data diff flights 1 2")
@click.argument("name")
@click.argument("old", type=int, required=False)
@click.argument("new", type=int, required=False)
@click.option(
    "--key", default="", help="Columns that name a row, as id or id,day; without, rows are counted by content."
)
@click.option(
    "--workspace", is_flag=True, help="Compare the version, else the newest, with what lies in the folder now."
)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Draw it as a page of its own.")
@json_option
def diff(
    name: str, old: int | None, new: int | None, key: str, workspace: bool, html: Path | None, as_json: bool
) -> None:
    """Compare two versions of a dataset, the newest two where none are named: files, rows, columns of tables."""
    from taut.data import dataset_diff, diff_page, workspace_diff

    if workspace and new is not None:
        raise UsageError("the workspace is held against one version", hint=f"taut data diff {name} {old} --workspace")
    columns = [column for column in key.split(",") if column]
    with open_home() as home:
        found = (
            workspace_diff(home, name, old, key=columns)
            if workspace
            else dataset_diff(home, name, old, new, key=columns)
        )
    if html is not None:
        html.write_text(diff_page(found), encoding="utf-8")
    shown(found, as_json, _compared)


@data.command(epilog="Example: taut data checkout flights@1 --to old/")
@click.argument("version", default="")
@click.option("--to", type=click.Path(path_type=Path), help="Where to put it  [default: where it was taken]")
@click.option("--force", is_flag=True, help="Replace files that have changed and were never snapshot.")
@json_option
def checkout(version: str, to: Path | None, force: bool, as_json: bool) -> None:
    """Put a version of a dataset back on disk, every byte checked; without one, all that this project points at."""
    from taut.data import checkout_dataset, checkout_pointers, find_dataset

    if not version and to is not None:
        raise UsageError("say which version shall be put there", hint="taut data checkout NAME@NUMBER --to FOLDER")
    with open_home() as home:
        if not version:
            placed = [
                {"dataset": f"{one.name}@{one.number}", "path": str(one.target)}
                for one in checkout_pointers(home, home.project, force=force)
            ]
            shown(placed, as_json, lambda all: "\n".join(f"{one['dataset']} is in {one['path']}" for one in all))
            return
        found = find_dataset(home, version)
        place = checkout_dataset(home, found.name, found.number, to, force=force)
        shown(
            {"dataset": f"{found.name}@{found.number}", "path": str(place)},
            as_json,
            lambda _: f"{version} is in {place}",
        )


@data.command(epilog="Example: taut data log flights")
@click.argument("name", default="")
@json_option
def log(name: str, as_json: bool) -> None:
    """List the versions of one dataset, or of all, newest first."""
    from taut.data import list_datasets

    with open_home() as home:
        shown(list_datasets(home, name), as_json, _listed)


def _told(version: DatasetVersion) -> str:
    rows = f", {version.rows} rows" if version.rows is not None else ""
    what = f"{version.files} files, {version.size_bytes} bytes{rows}"
    return f"{version.name}@{version.number}: {what}, sha256:{version.tree[:12]}"


def _compared(diff: DatasetDiff) -> str:
    lines = [f"{diff.name}@{diff.old} -> {f'{diff.name}@{diff.new}' if diff.new else 'workspace'}"]
    for sign, paths in (("+", diff.added), ("-", diff.removed), ("~", diff.modified)):
        lines += [f"{sign} {path}" for path in paths]
    if None not in diff.rows:
        lines.append(f"rows {diff.rows[0]} -> {diff.rows[1]}, bytes {diff.size_bytes[0]} -> {diff.size_bytes[1]}")
    if diff.table is not None:
        lines += _rows_told(diff.table)
    elif diff.not_compared and diff.rows != (None, None):
        lines.append(f"rows are not compared: {diff.not_compared}")
    rows = [(change.name, _glance(change.old), _glance(change.new)) for change in diff.columns]
    told = [*lines, table(["column", "before", "after"], rows, empty="no column tells anything new")]
    moved = [
        (one.name, one.distance.psi, one.distance.ks, one.distance.wasserstein)
        for one in diff.shifts
        if one.distance.psi
    ]
    return "\n".join(
        [*told, *([table(["distribution", "PSI", "KS", "Wasserstein"], moved, empty="")] if moved else [])]
    )


def _rows_told(found: RowDiff) -> list[str]:
    by = f" by {', '.join(found.key)}" if found.key else " by content"
    lines = [
        f"rows{by}: {found.added} added, {found.removed} removed, {found.changed} changed, {found.unchanged} unchanged"
    ]
    for sign, rows in (("+", found.examples_added), ("-", found.examples_removed)):
        lines += [f"  {sign} {_cells({**row.key, **row.old, **row.new})}" for row in rows]
    for row in found.examples_changed:
        cells = ", ".join(f"{name} {old} -> {row.new[name]}" for name, old in row.old.items())
        lines.append(f"  ~ {_cells(row.key)}: {cells}")
    return lines


def _cells(row: dict[str, str | None]) -> str:
    return ", ".join(f"{name}={'' if value is None else value}" for name, value in row.items())


def _glance(column: Column | None) -> str:
    if column is None:
        return "-"
    span = f", {column.low:g} to {column.high:g}, mean {column.mean:.4g}" if column.mean is not None else ""
    return f"{column.kind}, {column.missing} missing, {column.distinct} distinct{span}"


def _listed(versions: list[DatasetVersion]) -> str:
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
    from taut.data.contracts import dataset_contract

    with open_home() as home:
        shown(dataset_contract(home, version), as_json, str.rstrip)


@data.command(epilog="Example: taut data check data/flights.csv --contract contract.yaml")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--contract", "contract_file", type=click.Path(path_type=Path), default="contract.yaml", show_default=True
)
@json_option
def check(path: Path, contract_file: Path, as_json: bool) -> None:
    """Hold a table against a contract; status 3 where it is broken, with the first rows that break each rule."""
    found = _checked(path, contract_file)
    shown(found, as_json, _judged)
    if not found.passed:
        raise click.exceptions.Exit(3)


def _checked(path: Path, contract_file: Path) -> ContractResult:
    from taut.data.contracts import check_table, read_contract
    from taut.data.tables import part_of
    from taut.data.tree import walk_tree

    return check_table([part_of(one.place) for one in walk_tree(path)], read_contract(contract_file))


def _judged(found: ContractResult) -> str:
    if found.passed:
        return f"{found.rows} rows keep the contract"
    lines = [f"{found.rows} rows break {len(found.broken)} rules"]
    lines += [f"{times} x {rule}" for rule, times in found.broken.items()]
    rows = [(one.row or "-", one.column, one.value, one.rule) for one in found.breaches]
    return "\n".join([*lines, table(["row", "column", "value", "rule"], rows, empty="")])
