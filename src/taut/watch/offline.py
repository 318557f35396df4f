"""Monitoring without a deployment: files against a reference, once, or as windows that follow each other in time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path

from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.watch.counts import NO_COUNTS, WindowCounts, count_labels, count_window
from taut.watch.detectors.evidence import named_columns, strongest_events
from taut.watch.detectors.ewin import Budget, Ewin, EwinState, detectors_of, e_value, is_alarm, start, suspects, update
from taut.watch.dispersion import run_reach, runs_of
from taut.watch.events import Feature, Reference
from taut.watch.measures import Measured, measured
from taut.watch.measures.psi import psi_of_feature
from taut.watch.order import Coverage, clocks_of, sorted_by
from taut.watch.profile import make_reference
from taut.watch.quality import Facts, Finding, facts_of, is_broken, quality_of, total_of
from taut.watch.tables import Frame, Names, frames_of, read_frame

REFERENCE = "reference.parquet"
PROFILE_SUFFIX = ".json"
PROFILE_BYTES_MAX = 4 << 20
SURE = 1e-4
"""Runs of rows swing more than independent ones where these would with so small a chance."""


@dataclass(frozen=True, slots=True)
class Watching:
    """How sure an alarm is: `alpha` bounds the chance of a false one, ever; a share may shift by `tolerance`.

    Features and labels have half of alpha each where both are watched. With `per`, alpha is the budget of so many
    windows and not of the whole life.
    """

    alpha: float = 0.01
    tolerance: float = 0.0
    per: int = 0


@dataclass(frozen=True, slots=True)
class FeatureCheck:
    """One feature against its reference: the evidence that it changed, and how far its shares are from there.

    `psi` is None where it has no meaning, as for labels. `is_named` says that the feature is among those that drifted,
    at a false discovery rate of alpha, and `because` what of it changed most, in words and figures.
    """

    name: str
    kind: str
    e_value: float
    psi: float | None
    is_named: bool
    because: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A table against a reference. `alarms` has a budget for the features and, with labels in both, one for labels."""

    rows: int
    labelled: int
    reference_rows: int
    alpha: float
    tolerance: float
    evidence: dict[str, float]
    alarms: dict[str, bool]
    features: tuple[FeatureCheck, ...]
    unknown: tuple[str, ...]
    """Columns of the table that the reference does not have; nothing is said of them."""
    clocks: tuple[str, ...] = ()
    """Columns that only rise or only fall in the reference: they count the time and are not watched."""
    coverage: str = ""
    """Which swings the reference knows of, in words."""
    left_out: tuple[str, ...] = ()
    """Columns of kinds that are not watched: nested, binary."""
    quality: tuple[Finding, ...] = ()
    is_broken: bool = False
    """Whether a finding of `quality` is an error."""
    measures: tuple[Measured, ...] = ()
    """The classic measures, for the eye: no alarm comes of them."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of a whole table, and what of it was not looked at: names the reference lacks, kinds not watched.

    `facts` are what the counts do not say, for the quality of the data.
    """

    counts: WindowCounts
    labelled: int
    unknown: tuple[str, ...]
    left_out: tuple[str, ...]
    facts: Facts


@dataclass(frozen=True, slots=True)
class Replayed:
    """One window of a stream: which budgets have alarmed by now, and which features drifted."""

    dir: str
    window: str
    alarms: dict[str, bool]
    features: tuple[str, ...]
    evidence: dict[str, float]
    rows: int
    seconds: float
    coverage: str
    """Which swings the reference knows of, in words."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A window of a stream with what was counted in it and what the detectors remember after it."""

    window: Replayed
    reference: Reference
    counts: WindowCounts
    states: dict[Budget, EwinState]


def profile_of(path: Path, names: Names | None = None) -> Reference:
    """The profile of a table, or one that `taut watch profile` wrote. Raises NotFound, Invalid for what is neither.

    Its rows are taken to stand in time order: how far runs of them swing more than independent rows would is no drift.
    """
    if path.suffix == PROFILE_SUFFIX:
        return _read_profile(path)
    frame = read_frame(path, names)
    if not frame.rows:
        raise Invalid(f"{path} has no rows")
    by = sorted_by(frame.columns, clocks_of(frame.columns), frame.targets)
    blocks: Sequence[object] | None = frame.blocks
    sure = 1.0 if blocks is not None else SURE
    if blocks is None and not by:
        blocks = runs_of(frame.rows)
    coverage = Coverage(None if blocks is None else run_reach(frame.rows), frame.days, by)
    return make_reference(
        frame.columns, scores=frame.scores, targets=frame.targets, blocks=blocks, sure=sure, coverage=coverage
    )


def check_table(
    current: Path, reference: Reference, watching: Watching | None = None, names: Names | None = None
) -> Check:
    """Hold a table against a reference in one look, a part at a time. Raises NotFound and Invalid as reading does."""
    return check_tally(tally(current, reference, names), reference, watching)


def tally(current: Path, reference: Reference, names: Names | None = None) -> Tally:
    """Count a table over the reference's events, a part at a time. Raises NotFound and Invalid as reading does."""
    counts, labelled = NO_COUNTS, 0
    unknown, left_out, facts = dict[str, None](), dict[str, None](), list[Facts]()
    known = {feature.name for feature in reference.features} | set(reference.clocks)
    for frame in frames_of(current, names):
        some, labels = counted(reference, frame)
        counts, labelled = counts + some, labelled + labels
        unknown |= dict.fromkeys(name for name in frame.columns if name not in known)
        facts.append(facts_of(reference, frame.columns, rows=frame.rows, others=frame.left_out))
        left_out |= dict.fromkeys(frame.left_out)
    return Tally(counts, labelled, tuple(unknown), tuple(left_out), total_of(facts))


def check_tally(found: Tally, reference: Reference, watching: Watching | None = None) -> Check:
    """What the detectors say of a table's counts, in one look."""
    wanted, counts, labelled = watching or Watching(), found.counts, found.labelled
    detectors = _detectors(reference, wanted)
    states = {budget: update(one, start(one), counts) for budget, one in detectors.items()}
    features = [
        _feature_check(one, feature, states[budget], counts, named)
        for budget, one in detectors.items()
        for named in [suspects(one, states[budget])]
        for feature in one.features
    ]
    quality = quality_of(reference, counts, found.facts)
    return Check(
        counts.rows - labelled, labelled, reference.rows, wanted.alpha, wanted.tolerance,
        {budget: round(e_value(state), 6) for budget, state in states.items()},
        {budget: is_alarm(detectors[budget], state) for budget, state in states.items()},
        tuple(sorted(features, key=lambda one: (-one.e_value, -(one.psi or 0.0), one.name))), found.unknown,
        reference.clocks, covered(reference), found.left_out, quality, is_broken(quality), measured(reference, counts),
    )  # fmt: skip


def replay(folder: Path, watching: Watching | None = None, names: Names | None = None) -> Iterator[Replayed]:
    """The windows of a folder in the order of their names, against its `reference.parquet`; each counts once.

    An alarm stays one. Raises NotFound without a reference or a window, Invalid for a file that cannot be read.
    """
    return (seen.window for seen in follow(folder, watching, names))


def follow(folder: Path, watching: Watching | None = None, names: Names | None = None) -> Iterator[Seen]:
    """The same with the counts of each window and the detectors' states after it, for whoever draws them."""
    windows = sorted(path for path in folder.glob("w*.parquet") if path.stem[1:].isdecimal())
    if not windows:
        raise NotFound(f"{folder} has no windows, w00000.parquet and so on", hint=f"ls {folder}")
    reference = profile_of(folder / REFERENCE, names)
    detectors = _detectors(reference, watching or Watching())
    states: dict[Budget, EwinState] = {budget: start(one) for budget, one in detectors.items()}
    for path in windows:
        begun_s = time.perf_counter()
        counts, rows = NO_COUNTS, 0
        for frame in frames_of(path, names):
            counts, rows = counts + counted(reference, frame)[0], rows + frame.rows
        states = {budget: update(one, states[budget], counts) for budget, one in detectors.items()}
        window = Replayed(
            str(folder), path.stem, {budget: is_alarm(one, states[budget]) for budget, one in detectors.items()},
            tuple(name for budget, one in detectors.items() for name in named_columns(one, states[budget])),
            {budget: round(e_value(state), 6) for budget, state in states.items()}, rows,
            round(time.perf_counter() - begun_s, 6), covered(reference),
        )  # fmt: skip
        yield Seen(window, reference, counts, states)


def counted(reference: Reference, frame: Frame) -> tuple[WindowCounts, int]:
    """The counts of a part of a table, and how many of its rows have a label."""
    counts = count_window(reference, frame.columns, scores=frame.scores)
    if frame.scores is None or frame.targets is None:
        return counts, 0
    labels = count_labels(reference, frame.scores, frame.targets)
    return counts + labels, labels.rows


def covered(reference: Reference) -> str:
    """Which swings a reference knows of, in words; empty where its profile does not say."""
    return reference.coverage.told() if reference.coverage is not None else ""


def _detectors(reference: Reference, watching: Watching) -> dict[Budget, Ewin]:
    has_labels = any(feature.kind == "label" for feature in reference.features)
    alpha = watching.alpha / 2 if has_labels else watching.alpha
    return detectors_of(reference, alpha=alpha, tolerance=watching.tolerance, per=watching.per)


def _feature_check(
    detector: Ewin, feature: Feature, state: EwinState, counts: WindowCounts, named: Sequence[str]
) -> FeatureCheck:
    psi = psi_of_feature(feature, counts)
    evidence = round(exp(min(state.log_e[feature.name], 700.0)), 6)
    is_named = feature.name in named
    changed = strongest_events(detector, state, feature.name, since=state.starts[0].at, most=1) if is_named else ()
    because = changed[0].text if changed else ""
    return FeatureCheck(
        feature.name, feature.kind, evidence, None if psi is None else round(psi, 6), is_named, because
    )  # fmt: skip


def _read_profile(path: Path) -> Reference:
    try:
        if path.stat().st_size > PROFILE_BYTES_MAX:
            raise Invalid(f"{path} is larger than any profile")
        return wire.decode(path.read_bytes(), Reference, what=f"the profile {path}")
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", hint=f"ls {path.parent}") from None
