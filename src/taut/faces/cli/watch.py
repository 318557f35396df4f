"""`taut watch`: windows, alerts and the picture of a deployment."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from taut.errors import NotFound, UsageError
from taut.faces.cli.alerts import accept, alert, alerts, dismiss, notify
from taut.faces.cli.named import table_named
from taut.faces.cli.performance import compare, performance
from taut.faces.cli.shown import Group, json_option, shown, table
from taut.ground.clock import iso, moment_ms
from taut.home import open_home
from taut.records import Prediction, Window

if TYPE_CHECKING:
    from taut.project import MonitorSpec, ProjectFile
    from taut.watch import OpenWindow, WindowQuality
    from taut.watch.measures import Measured
    from taut.watch.offline import Check
    from taut.watch.quality import Finding

LISTED = 20  # Features of the open window.
F = TypeVar("F", bound=Callable[..., Any])


def column_options(command: F) -> F:
    """`--score` and `--target`: the columns that are no inputs."""
    command = click.option("--target", default="target", show_default=True, help="Column of the true label, 0 or 1.")(
        command
    )
    return click.option("--score", default="score", show_default=True, help="Column of the model's score.")(command)


def sureness_options(command: F) -> F:
    """`--alpha` and `--tolerance`."""
    command = click.option(
        "--tolerance", default=0.0, show_default=True, type=click.FloatRange(0, 1, max_open=True),
        help="Shifts of a share by less are no drift.",
    )(command)  # fmt: skip
    return click.option(
        "--alpha", default=0.01, show_default=True, type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="Chance of any false alarm, over all windows.",
    )(command)  # fmt: skip


def picture_options(command: F) -> F:
    """`--report` and `--png`: where the pictures are written."""
    command = click.option(
        "--png", type=click.Path(path_type=Path, dir_okay=False), help="File for a picture that fits a chat message."
    )(command)
    return click.option(
        "--report", type=click.Path(path_type=Path, dir_okay=False), help="File for a page with all pictures, HTML."
    )(command)


@click.group(cls=Group, epilog="Example: taut watch status late")
def watch() -> None:
    """See windows, alerts and the picture of a deployment."""


for one in (accept, alert, alerts, compare, dismiss, notify, performance):
    watch.add_command(one)


@watch.command(epilog="Example: taut watch status late")
@click.argument("deployment")
@click.option("--live", is_flag=True, help="The window that is still open, as it stands.")
@json_option
def status(deployment: str, live: bool, as_json: bool) -> None:
    """List the windows of a deployment with their measures and the evidence gathered."""
    from taut.deploy import find_deployment
    from taut.project import read_project
    from taut.watch import list_windows, open_window

    with open_home() as home:
        name = find_deployment(home, deployment).name
        if live:
            shown(open_window(home, name, _monitor_of(read_project(home.project), name)), as_json, _open_window)
        else:
            shown(list_windows(home, name), as_json, _windows)


@watch.command(epilog="Example: taut watch rules late > rules.yml")
@click.argument("deployments", nargs=-1)
@click.option("--silent", default="1h", show_default=True, help="Answering nothing for so long is an alert.")
@json_option
def rules(deployments: tuple[str, ...], silent: str, as_json: bool) -> None:
    """Print alerting rules for Prometheus: of these deployments, or of all that taut.yaml watches."""
    from taut.ground.yaml import dump_yaml
    from taut.project import read_project
    from taut.watch.rules import alerting_rules

    with open_home() as home:
        project = read_project(home.project)
    for name in deployments:
        _monitor_of(project, name)
    found = alerting_rules(deployments or sorted(project.monitors), silent=silent)
    shown(found, as_json, lambda _: dump_yaml(found).decode().rstrip())


@watch.command(epilog="Example: taut watch predictions late --limit 5")
@click.argument("deployment")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most so many requests."
)
@json_option
def predictions(deployment: str, limit: int, as_json: bool) -> None:
    """List answered requests in the order of their events; each row ROW of request ID is the prediction ID.ROW."""
    from taut.deploy import find_deployment
    from taut.serve import list_predictions

    with open_home() as home:
        shown(list_predictions(home, find_deployment(home, deployment).name, limit=limit), as_json, _predictions)


@watch.command(epilog="Example: taut watch report late --out late.html")
@click.argument("deployment")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write  [default: DEPLOYMENT.html]"
)
@click.option("--from", "begin", default="", metavar="WHEN", help="Windows from then on, ISO 8601  [default: all]")
@click.option("--until", default="", metavar="WHEN", help="Windows before then, ISO 8601  [default: all]")
@json_option
def report(deployment: str, out: Path | None, begin: str, until: str, as_json: bool) -> None:
    """Draw the life of a deployment: measures, evidence, alerts, retrainings, verdicts, as one HTML page."""
    from taut.deploy import find_deployment
    from taut.serve.log.spans import END_OF_TIME_MS
    from taut.watch import watch_report

    place = out or Path(f"{deployment}.html")
    with open_home() as home:
        period = moment_ms(begin) if begin else 0, moment_ms(until) if until else END_OF_TIME_MS
        page = watch_report(home, find_deployment(home, deployment).name, *period)
    place.write_text(page, encoding="utf-8")
    shown({"path": str(place), "size_bytes": len(page.encode())}, as_json, lambda _: f"the picture is in {place}")


@watch.command(epilog="Example: taut watch quality late")
@click.argument("deployment")
@json_option
def quality(deployment: str, as_json: bool) -> None:
    """Say what is broken or odd in the rows of a deployment's newest closed window: schema, holes, units, repeats."""
    from taut.deploy import find_deployment
    from taut.watch import window_quality

    with open_home() as home:
        shown(window_quality(home, find_deployment(home, deployment).name), as_json, _quality)


@watch.command(epilog="Example: taut watch profile january.parquet --out january.json")
@click.argument("data", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write  [default: DATA's name, .json]"
)
@column_options
@click.option("--block", default="", help="Column of a row's block, as its day: how far blocks swing is no drift.")
@json_option
def profile(data: Path, out: Path | None, score: str, target: str, block: str, as_json: bool) -> None:
    """Keep what a table, or the version NAME@N of a dataset, looks like, for `taut watch check --against`."""
    from taut.ground import wire
    from taut.watch.offline import profile_of
    from taut.watch.tables import Names

    place = out or data.with_suffix(".json")
    with table_named(data) as file:
        made = wire.encode(profile_of(file, Names(score, target, block)))
    place.write_bytes(made)
    shown({"path": str(place), "size_bytes": len(made)}, as_json, lambda _: f"the profile is in {place}")


@watch.command(epilog="Example: taut watch check february.parquet --against january.json")
@click.argument("current", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--against", required=True, type=click.Path(path_type=Path, dir_okay=False),
    help="Table, NAME@N or profile that the reference is.",
)  # fmt: skip
@column_options
@sureness_options
@click.option("--measures", is_flag=True, help="Print PSI, KS, Wasserstein, Jensen-Shannon and Cramer's V, too.")
@picture_options
@json_option
def check(
    current: Path, against: Path, score: str, target: str, alpha: float, tolerance: float, measures: bool,
    report: Path | None, png: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Hold a table (Parquet, CSV, Arrow, or a dataset's version NAME@N) against a reference: which columns drifted."""
    from taut.watch.offline import Watching, check_tally, profile_of, tally
    from taut.watch.tables import Names

    names = Names(score, target)
    with table_named(against) as file:
        reference = profile_of(file, names)
    with table_named(current) as file:
        found = tally(file, reference, names)
    checked = check_tally(found, reference, Watching(alpha, tolerance))
    if report or png:
        from taut.watch.picture.checked import check_page, columns_of
        from taut.watch.picture.headline import check_picture
        from taut.watch.picture.raster import png_of

        if report:
            report.write_text(check_page(checked, found, reference, current.name, against.name), encoding="utf-8")
        if png:
            columns = columns_of(checked, found, reference)
            png.write_bytes(png_of(check_picture(checked, columns, current.name, against.name)))
    shown(checked, as_json, lambda one: "\n".join([_checked(one), *([_measured(one)] if measures else [])]))
    _written(report, png, as_json)


@watch.command(epilog="Example: taut watch replay streams/calm streams/shifted --json")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False))
@column_options
@sureness_options
@click.option(
    "--per", default=0, metavar="WINDOWS", type=click.IntRange(0),
    help="Alpha is for so many windows  [default: for all, ever]",
)  # fmt: skip
@picture_options
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each window.")
def replay(
    folders: tuple[Path, ...], score: str, target: str, alpha: float, tolerance: float, per: int, report: Path | None,
    png: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Watch windows in time order: in each DIR w00000.parquet, w00001.parquet ... against its reference.parquet."""
    from taut.ground import wire
    from taut.watch.offline import Watching, follow
    from taut.watch.picture.course import Course
    from taut.watch.tables import Names

    if (report or png) and len(folders) > 1:
        raise UsageError(
            f"a picture is of one stream, and here are {len(folders)}", hint=f"taut watch replay {folders[0]}"
        )
    watching = Watching(alpha, tolerance, per)
    course = Course()
    for folder in folders:
        for seen in follow(folder, watching, Names(score, target)):
            if report or png:
                course.add(seen)
            one = seen.window
            told = ", ".join(f"{budget} {'ALARM' if one.alarms[budget] else e}" for budget, e in one.evidence.items())
            named = f"; {', '.join(one.features)}" if one.features else ""
            click.echo(wire.text(one) if as_json else f"{one.dir} {one.window}: {one.rows} rows, {told}{named}")
        if not as_json:
            click.echo(f"{folder}: {one.coverage}")
    if report or png:
        from taut.watch.picture.headline import course_picture
        from taut.watch.picture.raster import png_of
        from taut.watch.picture.replayed import replay_page

        if report:
            report.write_text(replay_page(course, watching, folders[0].name), encoding="utf-8")
        if png:
            png.write_bytes(png_of(course_picture(course, watching, folders[0].name)))
        _written(report, png, as_json)


def _written(report: Path | None, png: Path | None, as_json: bool) -> None:
    """Say where the pictures are, on stderr where stdout is for a program."""
    for place in filter(None, (report, png)):
        click.echo(f"the picture is in {place}", err=as_json)


def _checked(found: "Check") -> str:
    drifted = [budget for budget, alarms in found.alarms.items() if alarms]
    rows = [(one.name, one.kind, one.e_value, one.psi, "yes" if one.is_named else "") for one in found.features]
    lines = [
        table(["column", "kind", "e-value", "psi", "drifted"], rows, empty="nothing is watched"),
        f"{found.rows} rows against {found.reference_rows}: "
        + (f"drift in {' and '.join(drifted)}" if drifted else "no drift is shown")
        + f" (alarm at an e-value of {len(found.evidence) / found.alpha:g}: "
        + ", ".join(f"{budget} {e:g}" for budget, e in found.evidence.items()) + ")",
    ]  # fmt: skip
    named = [one for one in found.features if one.because]
    lines += [f"  {one.because}" for one in named[:LISTED]]
    if found.unknown:
        lines.append(f"not in the reference: {', '.join(found.unknown)}")
    if found.clocks:
        lines.append(f"not watched, they only count the time: {', '.join(found.clocks)}")
    if found.coverage:
        lines.append(found.coverage)
    if found.left_out:
        lines.append(f"not watched, for they hold neither numbers nor words: {', '.join(found.left_out)}")
    return "\n".join([*lines, *_findings(found.quality)])


def _measured(found: "Check") -> str:
    """A line a feature: each measure, the conventional name of its size, and the chance of as much without a change."""
    names = list(dict.fromkeys(one.measure for one in found.measures))
    by_feature: dict[str, dict[str, Measured]] = {}
    for one in found.measures:
        by_feature.setdefault(one.feature, {})[one.measure] = one
    rows = [(feature, *(_told(of.get(name)) for name in names)) for feature, of in by_feature.items()]
    return table(["column", *names], rows, empty="nothing can be measured")


def _told(one: "Measured | None") -> str:
    if one is None:
        return ""
    band = "" if one.band in {None, "none"} else f" {one.band}"
    return f"{one.value:.3g}{band}" + ("" if one.p is None else f" (p {one.p:.2g})")


def _quality(found: "WindowQuality") -> str:
    span = f"{iso(found.start_ms)[:16]} to {iso(found.end_ms)[:16]}"
    return "\n".join([f"{found.deployment}, {span}: {found.rows} rows", *_findings(found.findings)])


def _findings(found: Sequence["Finding"]) -> list[str]:
    """A line a finding, under one that says whether a model should learn from these data."""
    rows = [(one.severity, one.feature or "the rows", one.check, one.text) for one in found]
    if not rows:
        return ["data quality: nothing is wrong"]
    is_fit = all(one.severity != "error" for one in found)
    return ["data quality: " + ("worth a look" if is_fit else "BROKEN, no data to learn from"),
            table(["severity", "column", "check", "found"], rows, empty="")]  # fmt: skip


def _windows(windows: list[Window]) -> str:
    rows = [
        (
            iso(w.start_ms)[:10], iso(w.end_ms)[:10], w.version, w.rows, w.labelled, w.measures.get("roc_auc"),
            w.measures.get("brier"), w.evidence.get("labels"), w.evidence.get("features"),
        )
        for w in windows
    ]  # fmt: skip
    headings = ["from", "until", "version", "rows", "labelled", "roc_auc", "brier", "e labels", "e features"]
    return table(headings, rows, empty="no window closed yet; try: taut up --once")


def _monitor_of(project: "ProjectFile", name: str) -> "MonitorSpec":
    """How taut.yaml watches a deployment. Raises NotFound."""
    found = project.monitors.get(name)
    if found is None:
        raise NotFound(f"taut.yaml has no monitor for {name!r}", hint=f"add monitors: {name}: to taut.yaml")
    return found


def _open_window(found: "OpenWindow") -> str:
    newest = "" if found.newest_event_ms is None else f", seen so far until {iso(found.newest_event_ms)[:19]}"
    evidence = ", ".join(f"{budget} {value:g}" for budget, value in found.evidence.items())
    alarms = "; ".join(f"{budget} would alarm: {feature}" for budget, feature in found.alarms.items())
    rows = [(one.name, one.budget, one.e_value) for one in found.features[:LISTED]]
    begin, end, closes = (iso(at_ms)[:19] for at_ms in (found.start_ms, found.end_ms, found.closes_ms))
    lines = [
        f"open window of {found.model}@{found.version}: {begin} to {end}, closes after {closes}{newest}",
        f"{found.rows} rows so far, {found.labelled} with a label",
        f"if it closed now: {evidence}; the bound is {found.bound:g}{'; ' + alarms if alarms else ''}",
        table(["feature", "budget", "e-value"], rows, empty="nothing is watched"),
    ]
    return "\n".join(lines)


def _predictions(page: list[Prediction]) -> str:
    rows = [(p.id, p.rows, f"{p.model}@{p.number}", iso(p.event_ms)[:19], iso(p.at_ms)[:19]) for p in page]
    return table(["request", "rows", "version", "about", "answered"], rows, empty="nobody has asked yet")
