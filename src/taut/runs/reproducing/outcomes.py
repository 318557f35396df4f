"""What came out of an execution: the files it wrote and what it logged; and two such outcomes held together."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import isclose, isnan
from pathlib import Path

from taut.data import digest_file
from taut.ground import wire
from taut.ground.objects import read_object
from taut.home import Home
from taut.records import Run, Sameness
from taut.runs.artifacts import all_artifacts, model_root, run_root
from taut.runs.comparing import FileComparison, Side, compare_files
from taut.runs.comparing.differing import is_duration
from taut.runs.logged import search_logged_models

PRINTED = "what it printed"
PARAMS = "logged params.json"  # As a file, which is how they are compared.
NOTHING = "the run left nothing to compare: no file, no metric, no param, no output"
MODELS_MAX = 100
SAID_MAX, CODE_BYTES_MAX = 200, 1 << 20
TOLD_BY_CODE = (
    ("time", re.compile(r"\b(?:datetime|date|Timestamp|DateTime|pendulum|arrow)\.(?:now|utcnow|today)\(")),
    ("sql chance", re.compile(r"\busing\s+sample\b|\btablesample\b|\bselect\b.*\b(?:random|gen_random_uuid)\(", re.I)),
)
NAME_MIN = 4  # A shorter name, as the folder `/`, stands in too many words that mean something else.


@dataclass(frozen=True, slots=True)
class Outcome:
    """The files of one execution by name, each with its digest and the way to its bytes; its metrics; its `Side`.

    `seen` are the notes of what no seed reaches, as `uuid train.py:3`; `said` is the last line that it printed.
    """

    side: Side
    digests: Mapping[str, str]
    read: Callable[[str], bytes | None]
    metrics: Mapping[str, float | None]
    exit_status: int | None = None
    seen: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    said: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two outcomes held together: each file, each metric with its difference, and how far all of it agrees."""

    files: tuple[FileComparison, ...]
    metrics: Mapping[str, float]
    verdict: Sameness
    notes: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether the content is the same."""
        return self.verdict in ("bytes", "content")

    @property
    def first(self) -> FileComparison | None:
        """The first file whose content differs, else the first whose bytes do."""
        worst = (one for one in self.files if not one.is_same)
        return next(worst, next((one for one in self.files if one.verdict != "bytes"), None))


def outcome_of(
    home: Home, run: Run, original: Path, *, seen: tuple[str, ...] = (), places: Mapping[str, str] | None = None
) -> Outcome:
    """What a run left: files that it wrote, artifacts, params and models that it logged; else its output.

    `original` is its project, where a file that was too large to keep may still lie; `places` are folders by what
    stands for them in what it wrote, as its `HOME`.
    """
    digests: dict[str, str] = {}
    kept: dict[str, str] = {}
    names = [(run.id, "RUN")]
    for written in run.capture.outputs:
        if not written.link:
            digests[written.path] = written.oid
            if written.kept:
                kept[written.path] = written.oid
    for artifact in all_artifacts(home, run_root(run.experiment_id, run.id)):
        digests[f"artifacts/{artifact.path}"] = kept[f"artifacts/{artifact.path}"] = artifact.oid
    page = search_logged_models(home, [run.experiment_id], filter=f"source_run_id = '{run.id}'", max_results=MODELS_MAX)
    for model in page.models:
        names.append((model.id, f"MODEL {model.name}"))
        for artifact in all_artifacts(home, model_root(run.experiment_id, model.id)):
            name = f"models/{model.name}/{artifact.path}"
            digests[name] = kept[name] = artifact.oid
    if not digests and not run.metrics and not run.params and run.capture.output:
        digests[PRINTED] = kept[PRINTED] = run.capture.output
    names += [(run.capture.folder, "FOLDER"), (str(original), "PROJECT")]
    names += [(place, shared) for shared, place in (places or {}).items()]
    names.sort(key=lambda pair: -len(pair[0]))  # A folder before the one that it lies in.
    connected = tuple(f"connect {remote.address}" for remote in run.capture.remote)

    params = wire.encode(run.params)
    if run.params:
        digests[PARAMS] = hashlib.sha256(params).hexdigest()

    def read(name: str) -> bytes | None:
        if name == PARAMS and run.params:
            return params
        if name in kept:
            return read_object(home.objects, kept[name])
        place = original / name
        if place.is_file() and digests[name] in digest_file(place):
            return place.read_bytes()
        return None

    side = Side(
        run.started_ms, run.ended_ms or 0, tuple((own, shared) for own, shared in names if len(own) >= NAME_MIN)
    )
    models = tuple(f"models/{model.name}" for model in page.models)
    notes = (*seen, *connected, *_told_by_code(run, original))
    return Outcome(side, digests, read, run.metrics, run.capture.exit_status, notes, models, _last_line(home, run))


def _last_line(home: Home, run: Run) -> str:
    if not run.capture.output:
        return ""
    lines = read_object(home.objects, run.capture.output).decode(errors="replace").strip().splitlines()
    return lines[-1][:SAID_MAX] if lines else ""


def _told_by_code(run: Run, project: Path) -> Iterator[str]:
    """What the program's own text says that it asks for and nobody can watch: a clock in C, the chance of a query."""
    for read in run.capture.inputs:
        place = project / read.path
        if read.role == "code" and place.suffix == ".py" and place.is_file() and place.stat().st_size < CODE_BYTES_MAX:
            for number, line in enumerate(place.read_text(errors="replace").splitlines(), 1):
                for kind, pattern in TOLD_BY_CODE:
                    if pattern.search(line):
                        yield f"{kind} {read.path}:{number}"


def without_rewritten(outcome: Outcome, other: Outcome, found: Path) -> Outcome:
    """The outcome without files that it alone wrote, and only as they lay there before, in the folder `found`."""
    alone = [name for name in outcome.digests if name not in other.digests]
    same = [name for name in alone if (found / name).is_file() and outcome.digests[name] in digest_file(found / name)]
    kept = {name: digest for name, digest in outcome.digests.items() if name not in same}
    return replace(outcome, digests=kept)


def compare_outcomes(first: Outcome, second: Outcome, *, tolerance: float) -> Compared:
    """Hold two outcomes together: every file by its content, every metric by its value."""
    notes: list[str] = []
    files = [_compared(name, first, second, notes) for name in sorted({*first.digests, *second.digests})]
    gaps = {name: _gap(first.metrics.get(name), second.metrics.get(name)) for name in {*first.metrics, *second.metrics}}
    counted = {name: gap for name, gap in gaps.items() if not (_lasted(name, first) and _lasted(name, second))}
    same_metrics = not any(counted.values())
    verdict: Sameness = "different"
    if first.exit_status != second.exit_status:
        notes.append(f"the command ended with {second.exit_status} and had ended with {first.exit_status}")
    elif not files and not gaps:
        notes.append(NOTHING)
    elif same_metrics and all(file.verdict == "bytes" for file in files):
        verdict = "bytes"
    elif same_metrics and all(file.is_same for file in files):
        verdict = "content"
    elif counted and all(_within(first.metrics.get(name), second.metrics.get(name), tolerance) for name in counted):
        verdict = "metrics"
    return Compared(tuple(files), counted, verdict, tuple(notes))


def _compared(name: str, first: Outcome, second: Outcome, notes: list[str]) -> FileComparison:
    if name not in first.digests or name not in second.digests:
        notes.append(f"{name} was written by {'the repetition' if name not in first.digests else 'the run'} alone")
        return FileComparison(name, "missing")
    if first.digests[name] == second.digests[name]:
        return FileComparison(name, "bytes")
    before, after = first.read(name), second.read(name)
    if before is None or after is None:
        notes.append(f"{name} differs; its bytes were too many to keep, so how is not known")
        return FileComparison(name, "different")
    return compare_files(name, before, after, first.side, second.side)


def _gap(before: float | None, after: float | None) -> float:
    if before == after or (before is not None and after is not None and isnan(before) and isnan(after)):
        return 0.0
    return abs(before - after) if before is not None and after is not None else float("inf")


def _lasted(name: str, outcome: Outcome) -> bool:
    value = outcome.metrics.get(name)
    return value is not None and is_duration(name, value, outcome.side)


def _within(before: float | None, after: float | None, tolerance: float) -> bool:
    if before is None or after is None:
        return before is after
    return (isnan(before) and isnan(after)) or isclose(before, after, rel_tol=tolerance, abs_tol=tolerance)
