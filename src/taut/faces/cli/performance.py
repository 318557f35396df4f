"""`taut watch performance` and `compare`: how good versions are by the labels that came."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from taut.errors import NotFound, UsageError
from taut.faces.cli.shown import json_option, shown, table
from taut.ground.clock import iso
from taut.home import Home, open_home

if TYPE_CHECKING:
    from taut.project import MonitorSpec
    from taut.watch.performance import Comparison, Figure, Performance, Slice, Sliced
    from taut.watch.performance.tables import TablePerformance

SHOWN = ("accuracy", "roc_auc", "brier", "mae", "bias", "r2")  # Of a window; to date all are.
alpha_option = click.option(
    "--alpha", default=0.05, show_default=True, type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Chance that bounds ever miss, or that a name is wrong.",
)  # fmt: skip
kind_option = click.option(
    "--kind", type=click.Choice(["auto", "binary", "classes", "regression"]), default="auto", show_default=True,
    help="What the target is.",
)  # fmt: skip
score_option = click.option("--score", default="", help="Output to measure  [default: the monitor's, else probability]")


@click.command(epilog="Example: taut watch performance late --by carrier")
@click.argument("name", default="")
@click.option("--by", default="", help="Cut by this input column, and name the slices that are worse than the rest.")
@click.option("--window", default="", help="Length of a window  [default: the monitor's, else 7d]")
@click.option(
    "--version", "number", default=None, type=click.IntRange(1), help="With --by: this version, not the last."
)
@click.option(
    "--data", type=click.Path(path_type=Path, dir_okay=False), help="Measure this file instead of a deployment."
)
@click.option("--target", default="target", show_default=True, help="With --data: column of the true label.")
@score_option
@kind_option
@alpha_option
@json_option
def performance(
    name: str, by: str, window: str, number: int | None, data: Path | None, target: str, score: str,
    kind: Literal["auto", "binary", "classes", "regression"], alpha: float, as_json: bool,
) -> None:  # fmt: skip
    """Measure versions by the labels known now, per window and to date, with bounds that hold at any time."""
    if (data is None) == (not name):
        raise UsageError("say which: a deployment's name, or a file with --data", hint="taut watch performance late")
    if data is not None:
        from taut.watch.performance.tables import measure_table
        from taut.watch.tables import Names

        names = Names(score or "score", target)
        return shown(measure_table(data, names, by=by, kind=kind, alpha=alpha), as_json, _file)
    from taut.deploy import find_deployment
    from taut.watch.performance import measure_performance, measure_slices

    with open_home() as home:
        deployment = find_deployment(home, name).name
        monitor = _monitor(home, deployment)
        length, output = window or monitor.window, score or monitor.score
        if by:
            sliced = measure_slices(home, deployment, by, number or 0, length, output, kind, alpha)
            return shown(sliced, as_json, _sliced)
        return shown(measure_performance(home, deployment, length, output, kind, alpha), as_json, _measured)


@click.command(epilog="Example: taut watch compare late --versions 3 4")
@click.argument("name")
@click.option("--versions", nargs=2, type=click.IntRange(1), default=None, help="These two  [default: the newest]")
@click.option("--window", default="1d", show_default=True, help="How often the evidence is weighed.")
@score_option
@kind_option
@alpha_option
@json_option
def compare(
    name: str, versions: tuple[int, int] | None, window: str, score: str,
    kind: Literal["auto", "binary", "classes", "regression"], alpha: float, as_json: bool,
) -> None:  # fmt: skip
    """Hold two versions against each other by the labels known now, as pairs where both answered the same requests."""
    from taut.deploy import find_deployment
    from taut.watch.performance import compare_versions

    with open_home() as home:
        deployment = find_deployment(home, name).name
        output = score or _monitor(home, deployment).score
        shown(
            compare_versions(home, deployment, *(versions or (0, 0)), window, output, kind, alpha), as_json, _compared
        )


def _monitor(home: Home, deployment: str) -> "MonitorSpec":
    """What taut.yaml says of a deployment's monitor, its defaults where it says nothing or there is none."""
    from taut.project import MonitorSpec, read_project

    try:
        return read_project(home.project).monitors.get(deployment) or MonitorSpec()
    except NotFound:
        return MonitorSpec()


def _measured(found: "Performance") -> str:
    if not found.versions:
        return "nobody has asked yet"
    lines = []
    for one in found.versions:
        lines += [
            f"{one.version} to date: {one.rows} rows, {one.labelled} with a label and a score",
            _figures(one.figures), "",
        ]  # fmt: skip
    names = [name for name in SHOWN if name in found.windows[0].figures]
    estimated = [one.estimates for one in found.windows if one.estimates is not None]
    rows = [
        (
            iso(one.start_ms)[:16], one.version, one.rows, one.labelled, *(_cell(one.figures[name]) for name in names),
            *((one.estimates.accuracy if one.estimates else None,) if estimated else ()),
        )
        for one in found.windows
    ]  # fmt: skip
    expected = ["expected accuracy"] if estimated else []
    lines.append(table(["from", "version", "rows", "labelled", *names, *expected], rows, empty=""))
    if estimated:
        lines.append(f"expected accuracy is advice, from scores alone: it {estimated[-1].assumption}")
    return "\n".join(lines)


def _figures(figures: "dict[str, Figure]") -> str:
    rows = [(name, one.value, one.low, one.high, one.rows, one.bounds) for name, one in figures.items()]
    return table(["measure", "value", "at least", "at most", "rows", "bounds"], rows, empty="nothing is measured")


def _sliced(found: "Sliced") -> str:
    return f"{found.version} by {found.by}\n{_slices(found.slices, found.alpha)}"


def _slices(slices: "Iterable[Slice]", alpha: float) -> str:
    rows = [
        (one.name, one.rows, one.labelled, one.error_rate, one.e_value, "yes" if one.is_worse else "") for one in slices
    ]
    worse = [one.name for one in slices if one.is_worse]
    told = f"worse than the rest: {', '.join(worse)}" if worse else "no slice is shown to be worse than the rest"
    heading = ["slice", "rows", "labelled", "errors", "e-value", "worse"]
    return table(heading, rows, empty="no slice") + f"\n{told} (at most {alpha:g} of the names wrong on average)"


def _file(found: "TablePerformance") -> str:
    told = f"{found.path}: {found.rows} rows, {found.labelled} with a label and a score\n{_figures(found.figures)}"
    return f"{told}\n{_slices(found.slices, found.alpha)}" if found.by else told


def _compared(found: "Comparison") -> str:
    rows = [(one.version, one.rows, one.loss) for one in (found.one, found.other)]
    between = "no difference is known" if found.difference is None else f"the difference is {found.difference:.4g}"
    sure = f"e-value {found.e_worse:.4g} for more, {found.e_better:.4g} for less; {2 / found.alpha:g} is enough"
    lines = [
        table(["version", "rows", "mean loss"], rows, empty=""),
        f"loss: {found.loss}; compared as {found.how}",
        f"{between}, at all times between {found.low:.4g} and {found.high:.4g} ({sure})",
        found.text,
    ]
    return "\n".join(lines)


def _cell(one: "Figure") -> str:
    if one.value is None:
        return "-"
    if one.low is None or one.high is None:
        return f"{one.value:.3g}"
    return f"{one.value:.3g} ({one.low:.3g} to {one.high:.3g})"
