"""The end of moving in: what is here is read back, counted and digested, and held against what the source gave."""

from collections.abc import Mapping

from taut.errors import NotFound
from taut.faces.moving.move import Move
from taut.faces.moving.registry import model_tally, version_tally
from taut.faces.moving.report import Line, Problem, Report, differences
from taut.faces.moving.survey import Survey
from taut.ground import wire
from taut.ground.progress import progress
from taut.models import find_model, model_files, show_model
from taut.runs import (
    Artifact,
    Count,
    Experiment,
    add_up,
    get_experiment,
    tally_logged_model,
    tally_run,
)

ORDER = (
    "experiments", "runs", "params", "tags", "metric points", "inputs", "outputs", "logged models", "registered models",
    "model versions", "version files", "aliases", "files", "bytes",
)  # fmt: skip


def verified(move: Move, seen: Survey) -> Report:
    """Read back all that was to be moved, now or before, and compare."""
    here: dict[tuple[str, str], Mapping[str, Count]] = {}
    there = dict(move.there)
    for experiment in seen.experiments:
        there["experiment", experiment.id], here["experiment", experiment.id] = _experiments(move, experiment)

    def read_back(key: tuple[str, str]) -> None:
        here[key] = _read_back(move, *key)

    with progress("checking", len(move.there), unit="thing") as bar:
        move.crew.each(list(move.there), read_back, bar)
    found = [*move.problems]
    for key, tally in there.items():
        found += differences(*key, tally, here[key])
    for kind, wanted in (("run", seen.runs), ("logged model", {one.model.id for one in seen.logged})):
        said = {problem.name for problem in found if problem.kind == kind}
        left = [one for one in wanted if (kind, one) not in there and one not in said]
        found += [Problem(kind, one, "it was there when the move began, and did not come") for one in left]
    sums = add_up(there.values()), add_up(here.values())
    kinds = [kind for kind in ORDER if kind in sums[0] or kind in sums[1]]
    lines = tuple(Line(kind, sums[0].get(kind, Count()), sums[1].get(kind, Count())) for kind in kinds)
    notes = (*move.notes, *move.source.notes)
    return Report(move.source.name, move.home.place, lines, tuple(found), notes, move.moved, move.skipped)


def _experiments(move: Move, theirs: Experiment) -> tuple[dict[str, Count], dict[str, Count]]:
    """An experiment on both sides: its state and those tags that it had there."""
    wanted = {"experiments": _experiment(theirs, theirs)}
    ours = move.places.get(theirs.id)
    if ours is None:
        return wanted, {}
    here = get_experiment(move.home, ours)
    return wanted, {"experiments": _experiment(here, theirs)}


def _experiment(one: Experiment, theirs: Experiment) -> Count:
    # The experiment that clients log to where none was chosen cannot be deleted here.
    lifecycle = "" if theirs.id == "0" else one.lifecycle
    return Count(1, wire.digest([lifecycle, {key: one.tags.get(key) for key in theirs.tags}]))


def _read_back(move: Move, kind: str, name: str) -> Mapping[str, Count]:
    try:
        if kind == "run":
            return tally_run(move.home, name)
        if kind == "logged model":
            return tally_logged_model(move.home, name)
        if kind == "registered model":
            return model_tally(show_model(move.home, name))
        version = find_model(move.home, name.removeprefix("model:"))
        files = [Artifact(f.path, f.oid, f.size_bytes) for f in model_files(move.home, version.name, version.number)]
        return version_tally(version, files)
    except NotFound:
        return {}
