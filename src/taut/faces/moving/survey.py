"""What there is to move: one look at a whole store before anything is written, and the answer of `--dry-run`."""

from collections import defaultdict
from dataclasses import dataclass, field

from taut.faces.moving.source import Source, TheirModel, TheirVersion
from taut.ground.progress import progress
from taut.models import RegisteredModel
from taut.runs import Experiment, MetricPoint


@dataclass(frozen=True, slots=True)
class Found:
    """How much of a kind there is, and how much of it was moved before and has not changed since."""

    kind: str
    there: int
    moved: int = 0


@dataclass(slots=True)
class Survey:
    """Experiments and the registry as they are; of runs only how many; of logged models all, with what judges them."""

    experiments: list[Experiment] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    logged: list[TheirModel] = field(default_factory=list)
    models: list[tuple[RegisteredModel, list[TheirVersion]]] = field(default_factory=list)

    def judged(self) -> dict[str, dict[MetricPoint, list[str]]]:
        """By run: each point that judges logged models, without them, and their ids."""
        judged: dict[str, dict[MetricPoint, list[str]]] = defaultdict(dict)
        for one in self.logged:
            for run_id, point in one.measured:
                plain = MetricPoint(point.key, point.value, point.step, point.at_ms)
                models = judged[run_id].setdefault(plain, [])
                if point.model_id not in models:
                    models.append(point.model_id)
        return judged


def survey(source: Source) -> Survey:
    """Look through a store."""
    seen = Survey()
    with progress("looking", unit="run") as bar:
        for experiment in source.experiments():
            seen.experiments.append(experiment)
            for one in source.runs(experiment.id):
                run = one.detail.run
                seen.runs[run.id] = one.mark
                for kind, number in {
                    "deleted runs": int(run.lifecycle == "deleted"), "params": len(run.params), "tags": len(run.tags),
                    "metrics": len(one.detail.metrics), "inputs": len(one.detail.inputs) + len(one.detail.model_inputs),
                    "outputs": len(one.detail.outputs),
                }.items():  # fmt: skip
                    seen.counts[kind] += number
                bar.advance()
            seen.logged += source.logged(experiment.id)
    for model in source.models():
        seen.models.append((model, list(source.versions(model))))
    return seen


def found_in(seen: Survey, known: dict[tuple[str, str], str]) -> list[Found]:
    """The answer of `--dry-run`; `known` has the marks of what was moved before, by kind and name there."""
    moved_runs = sum(known.get(("run", run_id)) == mark for run_id, mark in seen.runs.items())
    moved_logged = sum(known.get(("logged model", one.model.id)) == one.mark for one in seen.logged)
    moved_models = sum(bool(known.get(("registered model", model.name))) for model, _ in seen.models)
    return [
        Found("experiments", len(seen.experiments), sum(("experiment", one.id) in known for one in seen.experiments)),
        Found("runs", len(seen.runs), moved_runs),
        *(Found(kind, number) for kind, number in seen.counts.items()),
        Found("logged models", len(seen.logged), moved_logged),
        Found("registered models", len(seen.models), moved_models),
        Found("model versions", sum(len(versions) for _, versions in seen.models)),
        Found("aliases", sum(len(model.aliases) for model, _ in seen.models)),
    ]  # fmt: skip
