"""Where runs differ: parameters, metrics, code, data, environment, outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from taut.errors import UsageError
from taut.ground.objects import read_object
from taut.home import Home
from taut.records import Run
from taut.runs.tracking import get_run

Kind = Literal["param", "metric", "code", "data", "package", "outcome"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same in all the runs: its value in each, None where a run has none."""

    kind: Kind
    name: str
    values: tuple[str | float | None, ...]


@dataclass(frozen=True, slots=True)
class RunComparison:
    """What differs between runs, in the order that they were named in; `same` counts what does not."""

    runs: tuple[str, ...]
    names: tuple[str, ...]
    differences: tuple[Difference, ...]
    same: int


def compare_runs(home: Home, ids: Sequence[str]) -> RunComparison:
    """Hold two or more runs against each other. Raises UsageError for fewer, NotFound, Corrupt."""
    if len(ids) < 2:
        raise UsageError("comparing takes two runs or more", hint="taut runs list")
    runs = [get_run(home, run_id) for run_id in ids]
    facts: dict[tuple[Kind, str], list[str | float | None]] = {}
    for position, run in enumerate(runs):
        for key, value in _facts(home, run).items():
            facts.setdefault(key, [None] * len(runs))[position] = value
    differing = [Difference(*key, tuple(values)) for key, values in facts.items() if len(set(values)) > 1]
    return RunComparison(
        tuple(run.id for run in runs), tuple(run.name for run in runs), tuple(differing), len(facts) - len(differing)
    )


def _facts(home: Home, run: Run) -> dict[tuple[Kind, str], str | float | None]:
    """Everything of a run that may differ, by kind and name."""
    facts: dict[tuple[Kind, str], str | float | None] = {}
    for tell in (_outcome, _code, _data):
        facts |= tell(run)
    facts |= {("param", key): value for key, value in sorted(run.params.items())}
    facts |= {("metric", key): value for key, value in sorted(run.metrics.items())}
    return facts | _packages(home, run)


def _outcome(run: Run) -> dict[tuple[Kind, str], str | float | None]:
    return {("outcome", "status"): run.status, ("outcome", "cause"): run.cause}


def _code(run: Run) -> dict[tuple[Kind, str], str | float | None]:
    git = run.capture.git
    return {
        ("code", "command"): " ".join(run.capture.command),
        ("code", "commit"): git.commit[:12] if git else None,
        ("code", "patch"): git.patch[:12] if git else None,
    }


def _data(run: Run) -> dict[tuple[Kind, str], str | float | None]:
    return {("data", read.path): read.dataset or read.oid[:12] for read in run.capture.data}


def _packages(home: Home, run: Run) -> dict[tuple[Kind, str], str | float | None]:
    facts: dict[tuple[Kind, str], str | float | None] = {("package", "python"): run.capture.python or None}
    if run.capture.environment:
        for line in read_object(home.objects, run.capture.environment).decode().splitlines():
            name, _, version = line.partition("==")
            facts["package", name] = version
    return facts


def render_comparison(comparison: RunComparison) -> str:
    """A comparison as people read it: a line for each thing that differs, one column a run."""
    heading = ("", *(run_id[:8] for run_id in comparison.runs))
    rows = [heading, ("name", *comparison.names)]
    rows += [(f"{one.kind} {one.name}", *map(_cell, one.values)) for one in comparison.differences]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heading))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, f"{comparison.same} other facts are the same"])


def _cell(value: str | float | None) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else value
