"""The year: every flight asked about in time order over HTTP, labels a day later, the loop after each day."""

import csv
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from taut.errors import NotFound
from taut.ground.clock import iso
from taut.ground.progress import progress
from taut.home import Home
from taut.pipelines.loop import reconcile
from taut.pipelines.steps import StepDone, list_answers
from taut.project import read_project
from taut.serve import Columns, list_predictions, log_labels, predict, traffic

Say = Callable[[str], None]
DEPLOYMENT = MODEL = "late"
CATEGORIES = ("carrier", "origin", "dest")
HOURS_A_REQUEST = 6  # About 230 flights: what an airline would ask about at once before a wave of departures.
ONCE = "taut up --once   (after every day; what it did:)"


@dataclass(frozen=True, slots=True)
class Wave:
    """Flights of a few hours, as one request: its id says which, so that asking again is not asking twice."""

    id: str
    day: str
    event_time: str
    columns: Columns
    labels: tuple[int | None, ...]


def fly(home: Home, project: Path, say: Say) -> None:
    """Send every flight from June to December and let the loop do what it must; goes on where it was left."""
    spec = read_project(project)
    seen_ms = traffic(home, DEPLOYMENT).last_event_ms
    begin = iso(seen_ms)[:10] if seen_ms is not None else ""
    say("$ taut predict late --input flights.csv --id … --event-time …   (6 hours of flights each, over HTTP)")
    say(f"$ {ONCE}")
    started, rows, late = time.monotonic(), 0, dict[str, float]()
    days = [path for path in sorted((project / "live").glob("*.csv")) if path.stem >= begin[:7]]
    with progress("flying through 2013", 214, unit="day") as bar:
        _tell_steps(reconcile(home, spec), say)
        for day, waves in groupby(_waves(days), key=lambda wave: wave.day):
            bar.advance()
            if day < begin:
                continue
            labels = dict[str, float]()
            for wave in waves:
                answer = predict(home, DEPLOYMENT, wave.columns, request_id=wave.id, event_time=wave.event_time)
                known = ((row, label) for row, label in enumerate(wave.labels) if label is not None)
                labels |= {f"{answer.id}.{row}": float(label) for row, label in known}
                rows += len(wave.labels)
            if late:
                log_labels(home, DEPLOYMENT, late)  # Yesterday's flights have landed.
            late = labels
            _tell_steps(reconcile(home, spec), say)
        if late:
            log_labels(home, DEPLOYMENT, late)
        _tell_steps(reconcile(home, spec), say)
    took_s = time.monotonic() - started
    say(f"  {rows:,} flights asked about in {took_s:.0f} s")


def last_prediction(home: Home) -> str:
    """The id of a prediction of the year's last request. Raises NotFound before the first."""
    seen_ms = traffic(home, DEPLOYMENT).last_event_ms
    if seen_ms is None:
        raise NotFound("the demo has asked nothing yet", hint="taut demo")
    newest = list_predictions(home, DEPLOYMENT, from_event_ms=seen_ms)
    return f"{newest[-1].id}.0"


def told_alert(home: Home) -> str:
    """The alert whose answer says most: the first whose retraining the gate refused for harm, else the last answered.

    Raises NotFound where none was answered.
    """
    answered = {point: steps["gate"] for point, steps in list_answers(home, DEPLOYMENT).items() if "gate" in steps}
    if not answered:
        raise NotFound("no page was answered yet", hint="taut demo")
    harmful = (point for point, gate in answered.items() if "shown worse" in str(gate["refusals"]))
    return next(harmful, list(answered)[-1])


def _waves(paths: list[Path]) -> Iterator[Wave]:
    """The requests of the months, in time order."""
    for path in paths:
        with path.open(newline="") as stream:
            for (day, part), rows in groupby(csv.DictReader(stream), key=_wave_of):
                yield _wave(day, part, list(rows))


def _wave_of(row: dict[str, str]) -> tuple[str, int]:
    return row["event_time"][:10], int(row["event_time"][11:13]) // HOURS_A_REQUEST


def _wave(day: str, part: int, rows: list[dict[str, str]]) -> Wave:
    names = [name for name in rows[0] if name not in ("event_time", "late")]
    columns: Columns = {name: [_value(name, row[name]) for row in rows] for name in names}
    labels = tuple(int(float(row["late"])) if row["late"] else None for row in rows)
    return Wave(f"flights-{day}-{part * HOURS_A_REQUEST:02d}h", day, rows[0]["event_time"], columns, labels)


def _value(name: str, written: str) -> str | float | None:
    return written if name in CATEGORIES else float(written) if written else None


def _tell_steps(steps: Iterator[StepDone], say: Say) -> None:
    """Say what the loop did; the windows, one a day, are left to the picture."""
    for step in steps:
        if sentence := _sentence(step):
            say(f"  {sentence}")
            sys.stdout.flush()


def _sentence(step: StepDone) -> str:
    """A step of the loop in words; empty for those that go without saying."""
    facts = step.facts
    match step.step:
        case "export":
            day = iso(int(str(facts["until_ms"])))[:10]
            return f"{day}  page {step.plan}: the errors have changed; {facts['reason']}"
        case "run":
            return f"            retrained: run {str(facts['run'])[:8]}, cause {step.plan}"
        case "gate":
            return f"            gate: {facts['reason']}"
        case "close" if str(facts["verdict"]).startswith("refused"):
            return f"            {facts['verdict']}"
        case wait if wait.startswith("wait "):
            return f"            {step.plan} waits: {facts['reason']}"
        case "rollout" if facts["revision"] is not None:
            return f"            rolled out as revision {facts['revision']} at {facts['url']}"
        case "started" | "failed":
            return f"{step.plan} {step.step} at {facts['url']}"
        case _:
            return ""
