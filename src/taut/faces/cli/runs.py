"""`taut run` and `taut runs`: execute, list, show and compare."""

import difflib
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taut.errors import NotFound
from taut.faces.cli.captured import captured_lines
from taut.faces.cli.shown import Group, json_option, shown, table
from taut.ground.clock import iso
from taut.home import Home, open_home
from taut.records import Level, Run

if TYPE_CHECKING:
    from taut.records import Determinism, Reproduction

LISTED_METRICS = 3  # As many as fit beside the rest in 100 columns.
NAMED_MAX = 10  # In the two lines at the end of a run; `taut runs show` names all.
NO_RUN = "no run yet; try: taut run -- python train.py"
REPRODUCED = "taut.reproduced"  # The tag that a run gets with the verdict; named here, for lists need nothing else.
NO_SUCH_RUN = "no run is so; try: taut runs list"


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: taut run --name first -- python train.py --depth 4",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--name", default="", help="Name of the run.")
@click.option("--experiment", default="Default", show_default=True, help="Experiment that it belongs to.")
@click.option("--cause", default="manual", show_default=True, help="What asked for it: manual, or a point as alert:ID.")
@click.option(
    "--run-id", default="", help="Id to give to the run; the same id again resumes it and starts nothing twice."
)
@click.option(
    "--determinism",
    "level",
    default="basic",
    show_default=True,
    type=click.Choice(["off", "basic", "seeded", "strict"]),
    help="basic: hash seed, commit time and memory addresses fixed; seeded: and every library's seed and threads; "
    "strict: and algorithms and CPU kernels that repeat elsewhere.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Seed of those levels.")
@click.option("--single-thread", is_flag=True, help="One thread on one core: what races then repeats.")
@click.option("--twice", is_flag=True, help="Run it once more in a fresh copy and say how far both agree.")
@json_option
def run(
    command: tuple[str, ...],
    name: str,
    experiment: str,
    cause: str,
    run_id: str,
    level: Level,
    seed: int,
    single_thread: bool,
    twice: bool,
    as_json: bool,
) -> None:
    """Run a command and record code, data, environment, parameters, metrics, output and cost.

    With --twice it ends with 3 where the second execution left something else.
    """
    from taut.faces.http.embedded import embedded_server
    from taut.runs import execute_run

    if command[0].startswith("-"):  # Words behind an option that we do not know are another program's options.
        option = command[0].partition("=")[0]
        raise click.NoSuchOption(option, possibilities=_options_like(option))
    how = _settings(level, seed, single_thread, command)
    with open_home() as home:
        # With --json stdout belongs to the answer, so that a program can read it; the command is heard on stderr.
        aside = redirect_stdout(sys.stderr) if as_json else nullcontext()
        if twice:
            from taut.faces.cli.reproduce import end_as, said_aside, told_reproduction
            from taut.runs.reproducing import run_twice

            with aside:
                done, found = run_twice(
                    home, list(command), serve=embedded_server, tell=said_aside, name=name, experiment=experiment,
                    cause=cause, run_id=run_id, folder=Path.cwd(), determinism=how,
                )  # fmt: skip
            answer = {"run": done, "reproduction": found}
            shown(answer, as_json, lambda _: f"{told_briefly(done)}\n{told_reproduction(found)}")
            end_as(found)
            return
        with embedded_server(home) as tracking_uri, aside:
            done = execute_run(
                home, list(command), tracking_uri=tracking_uri, name=name, experiment=experiment,
                cause=cause, run_id=run_id, folder=Path.cwd(), determinism=how,
            )  # fmt: skip
        shown(done, as_json, told_briefly)
    if done.capture.coverage == "partial":
        click.echo(f"taut: coverage: partial ({done.capture.coverage_reason})", err=True)
    if done.status != "FINISHED":
        sys.exit(_exit_status(done))


def _settings(level: Level, seed: int, single_thread: bool, command: tuple[str, ...]) -> "Determinism":
    import os

    from taut.runs import settings
    from taut.runs.capture.environment import interpreter_of

    return settings(
        level, os.environ, folder=Path.cwd(), seed=seed, single_thread=single_thread, python=interpreter_of(command, "")
    )


def _options_like(word: str) -> list[str]:
    names = [name for option in run.params if isinstance(option, click.Option) for name in option.opts]
    return difflib.get_close_matches(word, names)


@click.group(cls=Group, epilog="Example: taut runs list")
def runs() -> None:
    """List, show and compare runs."""


@runs.command("list", epilog="Example: taut runs list --experiment flights")
@click.option("--experiment", default="", help="Only of this experiment.")
@click.option(
    "--filter", "written", default="", help="Only those that match, as \"metrics.auc > 0.7 AND params.depth = '4'\"."
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@json_option
def list_runs(experiment: str, written: str, limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    from taut.runs import reconcile_runs, search_runs

    empty = NO_SUCH_RUN if experiment or written else NO_RUN
    with open_home() as home:
        if home.remote is None:
            reconcile_runs(home)
        if experiment:
            _check_experiment(home, experiment)
        found = search_runs(home, experiments=[experiment] if experiment else [], filter=written, limit=limit)
        shown(found, as_json, lambda page: _listed(page, empty))


@runs.command(epilog="Example: taut runs show 3fa1")
@click.argument("run_id")
@json_option
def show(run_id: str, as_json: bool) -> None:
    """Show all that is known of a run; the first digits of its id are enough."""
    from taut.runs import list_reproductions, resolve_run

    with open_home() as home:
        found = resolve_run(home, run_id)
        judged = list_reproductions(home, found.id) if REPRODUCED in found.tags and not as_json else []
        shown(found, as_json, lambda run: "\n".join([told(run), *_reproduced(judged)]))


@runs.command(epilog="Example: taut runs compare 3fa1 9bc0")
@click.argument("run_ids", nargs=-1, required=True)
@json_option
def compare(run_ids: tuple[str, ...], as_json: bool) -> None:
    """Show where runs differ: code, data, environment, parameters, metrics."""
    from taut.runs import compare_runs, render_comparison, resolve_run

    with open_home() as home:
        ids = [resolve_run(home, run_id).id for run_id in run_ids]
        shown(compare_runs(home, ids), as_json, render_comparison)


def told_briefly(run: Run) -> str:
    """A run in two lines."""
    metrics = ", ".join(f"{key} {value:.4g}" for key, value in sorted(run.metrics.items()) if value is not None)
    data = _few(sorted({read.dataset or read.path for read in run.capture.data})) or "none seen"
    changed = _few([read.path for read in run.capture.data if read.changed])
    lines = [f"run {run.id[:8]} {run.status.lower()} ({run.name}); data read: {data}"]
    lines += [f"  changed during the run: {changed}"] if changed else []
    return "\n".join([*lines, *([f"  {metrics}"] if metrics else [])])


def told(run: Run) -> str:
    """A run in full."""
    capture = run.capture
    git = capture.git
    facts = [
        ("run", f"{run.id} ({run.name}) in {run.experiment}"),
        ("status", f"{run.status}, exit {capture.exit_status}, cause {run.cause}, by {run.actor}"),
        ("time", f"{iso(run.started_ms)} to {iso(run.ended_ms) if run.ended_ms else '…'}"),
        ("command", " ".join(capture.command) or "logged by a client"),
        (
            "code",
            f"{git.commit} on {git.branch}" + (", with a patch" if git.patch else "") if git else "no git repository",
        ),
        ("environment", f"sha256:{capture.environment[:12]}, {capture.python}, {capture.platform}"),
        ("cost", _cost(run)),
    ]
    lines = [f"{name:<12} {fact}" for name, fact in facts if fact]
    lines += captured_lines(capture)
    for heading, values in (("param", run.params), ("metric", run.metrics), ("tag", run.tags)):
        lines += [f"{heading:<12} {key} = {value}" for key, value in sorted(values.items())]
    return "\n".join([*lines, *(f"{'not recorded':<12} {what}" for what in capture.missing)])


def _few(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more


def _reproduced(judged: "list[Reproduction]") -> list[str]:
    """The newest verdict on a run, in a line."""
    return [
        f"{'reproduced':<12} {one.verdict}, {iso(one.at_ms)[:19]}, by {one.actor}"
        + (f": {one.cause}" if one.cause else "")
        for one in judged[:1]
    ]


def _cost(run: Run) -> str:
    usage = run.capture.usage
    if usage is None:
        return ""
    memory = f"{usage.memory_bytes_max / 1e6:.0f} MB at most"
    return f"{usage.wall_s:.1f} s, {usage.cpu_s:.1f} CPU s on {usage.cores} cores, {memory}"


def _check_experiment(home: Home, name: str) -> None:
    """A misspelt experiment is an error with the nearest name; silence would look like an experiment without runs."""
    from taut.runs import list_experiments

    names = [one.name for one in list_experiments(home)]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        raise NotFound(
            f"there is no experiment {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""),
            hint="taut runs list",
        )


def _listed(page: list[Run], empty: str) -> str:
    keys = list(dict.fromkeys(key for one in page for key in sorted(one.metrics)))[:LISTED_METRICS]
    judged = any(REPRODUCED in one.tags for one in page)
    rows = [
        (
            one.id[:8],
            one.name,
            one.status.lower(),
            iso(one.started_ms)[:19],
            one.cause[:20],
            *([one.tags.get(REPRODUCED, "-")] if judged else []),
            *(one.metrics.get(k) for k in keys),
        )
        for one in page
    ]
    return table(
        ["run", "name", "status", "started", "cause", *(["reproduced"] if judged else []), *keys], rows, empty=empty
    )


def _exit_status(done: Run) -> int:
    status = done.capture.exit_status
    return status if status is not None and 0 < status < 256 else 1
