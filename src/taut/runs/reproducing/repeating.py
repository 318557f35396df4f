"""`taut reproduce RUN` and `taut run --twice`: a run again in a fresh copy, compared, the verdict stored."""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path

from taut.errors import Conflict, Invalid, NotFound
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.records import Determinism, Reproduction, Run, Sameness, Surroundings
from taut.runs.capture.determinism import THREADS, cpu, had, thread_count, threads, to_clear, with_threads
from taut.runs.capture.execute import execute_run
from taut.runs.capture.sandbox import make_sandbox
from taut.runs.reproducing.copies import Pristine, present_state, readable_elsewhere, recorded_state
from taut.runs.reproducing.environments import (
    Paths,
    Rebuilt,
    environment_here,
    interpreter_here,
    package_differences,
    paths_of,
    readable_of,
    rebuild,
    with_environment,
    with_project,
)
from taut.runs.reproducing.explaining import Known, Reason, explain, judge
from taut.runs.reproducing.outcomes import Compared, Outcome, compare_outcomes, outcome_of, without_rewritten
from taut.runs.reproducing.predicting import compare_predictions
from taut.runs.reproducing.scratch import scratch_folder
from taut.runs.reproductions import record_reproduction
from taut.runs.tracking import get_run

EXPLAINED_WALL_S = 60.0  # A run that took longer is not run a dozen times more without being asked for.
TOLERANCE = 1e-6
PACKAGES_SHOWN = 5
BEFORE_RUNNING = ("code", "data", "package")

Serve = Callable[[Home], AbstractContextManager[str]]
"""Serves a home while its block runs, and gives the tracking URI."""
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """How a run is to be run again.

    `here` takes the packages of this interpreter, `anyway` goes on without an input that cannot be had, `explain` is
    None for: if the run is short.
    """

    here: bool = False
    offline: bool = False
    anyway: bool = False
    explain: bool | None = None
    single_thread: bool = False
    tolerance: float = TOLERANCE


def reproduce_run(
    home: Home, run_id: str, *, serve: Serve, asked: Asked | None = None, tell: Tell = lambda _: None
) -> Reproduction:
    """Run a run again from what was recorded, compare what both left, and store the verdict on the run.

    An input that cannot be had makes the verdict `different` with that as its cause, and nothing is run. Raises
    NotFound, Conflict for a run that goes on, Invalid for one that no command of ours made, UsageError without uv.
    """
    run = get_run(home, run_id)
    if not run.capture.command:
        raise Invalid(
            f"run {run_id[:8]} was logged by a client: there is no command to run again", hint="taut run -- CMD"
        )
    if run.status in ("RUNNING", "SCHEDULED"):
        raise Conflict(f"run {run_id[:8]} is still {run.status.lower()}", hint=f"taut runs show {run_id[:8]}")
    wanted = asked or Asked()
    with scratch_folder() as scratch:
        tell("making a fresh copy of its code and data")
        try:
            pristine = recorded_state(home, run, scratch / "pristine")
            packages = package_differences(home, run.capture, interpreter_here(run.capture))
            if packages and not wanted.here:
                environment: Rebuilt | None = rebuild(home, run.capture, pristine, scratch, tell=tell)
            else:
                environment = environment_here(run.capture)
        except NotFound as problem:
            return _stopped(home, run, problem.message, notes=[f"try: {problem.hint}"] if problem.hint else [])
        code = [lack for lack in pristine.lacks if lack.startswith("code")]
        lacking = [lack for lack in pristine.lacks if not lack.startswith("code")]
        if lacking and not wanted.anyway:
            return _stopped(home, run, *lacking, notes=code)
        if environment is not None and packages and not wanted.here:
            packages = environment.differences
        notes = [*pristine.lacks, *(environment.notes if environment else ())]
        notes += [f"package: {one}" for one in packages[:PACKAGES_SHOWN]]
        repeated = _Repeated(home, run, pristine, scratch, serve, wanted, tell, environment, packages)
        return repeated.judged(notes)


def run_twice(
    home: Home,
    command: Sequence[str],
    *,
    serve: Serve,
    asked: Asked | None = None,
    tell: Tell = lambda _: None,
    name: str = "",
    experiment: str = "Default",
    cause: str = "manual",
    run_id: str = "",
    folder: Path | None = None,
    determinism: Determinism | None = None,
) -> tuple[Run, Reproduction]:
    """Run a command as `execute_run` does, then once more in a copy of what it found, and store how far both agree.

    The copy is made before the first of them starts. Raises as `execute_run` does.
    """
    place = (folder or Path.cwd()).absolute()
    wanted = asked or Asked(here=True)
    with scratch_folder() as scratch:
        pristine = present_state(home, place, scratch / "pristine")
        with serve(home) as uri:
            run = execute_run(
                home, command, tracking_uri=uri, name=name, experiment=experiment, cause=cause, run_id=run_id,
                folder=place, determinism=determinism,
            )  # fmt: skip
        return run, _Repeated(home, run, pristine, scratch, serve, wanted, tell, None).judged([])


def _stopped(home: Home, run: Run, *lacking: str, notes: Sequence[str] = ()) -> Reproduction:
    """The verdict on a run that cannot be run again, for something that differs or is not there."""
    cause = lacking[0].partition(":")[0]
    found = Reproduction(
        "", run.id, "different", 0, "", cause=cause if cause in BEFORE_RUNNING else "code", evidence=lacking[0],
        notes=("it was not run again", *lacking[1:], *notes),
    )  # fmt: skip
    return record_reproduction(home, run.id, found)


@dataclass(slots=True)
class _Repeated:
    """A run, the copy to run it in, and every repetition that was made of it."""

    home: Home
    run: Run
    pristine: Pristine
    scratch: Path
    serve: Serve
    asked: Asked
    tell: Tell
    environment: Rebuilt | None
    packages: tuple[str, ...] = ()
    opened: ExitStack = field(default_factory=ExitStack)
    count: int = 0
    missing: tuple[str, ...] = ()
    paths: Paths | None = None

    def judged(self, notes: list[str]) -> Reproduction:
        """Repeat, compare, explain where it differs, and store what was found."""
        how, hardware = _as_it_was(self.run)
        if self.asked.single_thread:
            how = with_threads(how, 1)
        with self.opened:
            places = {"HOME": str(Path.home()), "TMPDIR": tempfile.gettempdir()}
            first = outcome_of(self.home, self.run, self.pristine.original / self.pristine.project, places=places)
            self.tell("running it again in a fresh copy")
            second = self.again(how)
            compared = self._compared(first, second)
            predictions = self._predictions(first, second, compared)
            compared = replace(compared, verdict=predictions[0])
            reason = None if compared.is_same else self._reason(compared, first, second, how)
        notes = [*notes, *hardware, *self.missing, *compared.notes, *predictions[2]]
        return record_reproduction(self.home, self.run.id, _told(self.run, compared, reason, predictions[1], notes))

    def again(self, how: Determinism) -> Outcome:
        """Run the command in a fresh copy, with a home of its own, kept from all that is the user's."""
        self.count += 1
        base = self.scratch / f"{self.count:03}"
        base.mkdir()
        copy = self.pristine.fresh(base / "tree")
        project = copy.root / copy.project
        make_folder(project)
        inner = self.opened.enter_context(open_home(project))
        seen = base / "seen"
        with self.serve(inner) as uri, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            sandbox, self.missing = make_sandbox(
                base, tracking_uri=uri, offline=self.asked.offline, readable=self._readable(copy),
                cleared=to_clear(os.environ),
            )  # fmt: skip
            command, own = self._command(copy)
            variables = {**sandbox.variables, **own, "TAUT_SEEN": str(seen), "TAUT_HOME": str(project)}
            run = execute_run(
                inner,
                command,
                tracking_uri=uri,
                folder=copy.cwd,
                determinism=how,
                sandbox=replace(sandbox, variables=variables),
            )
        if run.status == "KILLED" and self.run.status != "KILLED":
            raise Conflict("the repetition was stopped, so it says nothing about the run")
        noted = tuple(seen.read_text(errors="replace").splitlines()) if seen.exists() else ()
        elsewhere = tuple(note for note in noted if note != f"connect {uri.partition('://')[2]}")
        places = {name: sandbox.variables[name] for name in ("HOME", "TMPDIR")}
        return outcome_of(inner, run, project, seen=elsewhere, places=places)

    def _compared(self, first: Outcome, second: Outcome) -> Compared:
        found = self.pristine.root / self.pristine.project
        one, other = without_rewritten(first, second, found), without_rewritten(second, first, found)
        return compare_outcomes(one, other, tolerance=self.asked.tolerance)

    def _command(self, copy: Pristine) -> tuple[tuple[str, ...], dict[str, str]]:
        """The command, its paths into the project leading into the copy; and the variables of a rebuilt environment."""
        original = str(self.pristine.original)
        command = tuple(
            str(copy.root) + word.removeprefix(original)
            if word == original or word.startswith(original + os.sep)
            else word
            for word in self.run.capture.command
        )
        environment = with_project(self._paths(), copy)
        if self.environment is None:
            return command, environment
        command, own = with_environment(command, self.environment.folder)
        return command, {**environment, **own}

    def _python(self) -> str:
        """The interpreter that the command runs in."""
        return self.environment.python if self.environment else interpreter_here(self.run.capture)

    def _paths(self) -> Paths:
        """Where that interpreter finds itself and what it imports."""
        if self.paths is None:
            found = paths_of(self._python())
            own = self.environment.own if self.environment else ()
            self.paths = replace(found, folders=(*found.folders, *own))
        return self.paths

    def _readable(self, copy: Pristine) -> list[str]:
        """What the command may read beside the copy: its interpreter and packages, and what its run read elsewhere."""
        program = shutil.which(self.run.capture.command[0])
        own = (self._python(), *([program] if program else ()))
        return [*readable_of(self._paths(), own, copy.original), *readable_elsewhere(self.run, copy)]

    def _reason(self, compared: Compared, first: Outcome, second: Outcome, how: Determinism) -> Reason:
        usage = self.run.capture.usage
        wanted = self.asked.explain
        if wanted is None:
            wanted = usage is not None and usage.wall_s <= EXPLAINED_WALL_S
        if not wanted:
            return judge(compared, first, second)
        self.tell("it differs: running it again with one cause less at a time")
        around = self.run.capture.surroundings or Surroundings()
        other = cpu(around) if cpu(around) != cpu() else ""
        known = Known(usage.cores if usage else 0, self.packages, other, self._python())
        return explain(compared, first, second, how, known, self.again, self.tell)

    def _predictions(
        self, first: Outcome, second: Outcome, compared: Compared
    ) -> tuple[Sameness, float | None, list[str]]:
        """Whether models that differ say the same of their own sample; the verdict, the gap, and what is to be told."""
        differing = [file.path for file in compared.files if not file.is_same]
        models = [model for model in first.models if any(path.startswith(f"{model}/") for path in differing)]
        within = all(any(path.startswith(f"{model}/") for model in models) for path in differing)
        if compared.is_same or not models or not within:
            return compared.verdict, _largest(compared), []
        gaps: list[float] = []
        notes: list[str] = []
        for number, model in enumerate(models):
            folder = self.scratch / f"predict-{number}"
            folder.mkdir()
            found = compare_predictions(
                model, first, second, python=self._python(), scratch=folder,
                environment={name: value for name, value in os.environ.items() if name not in to_clear(os.environ)},
            )  # fmt: skip
            if found.gap is None:
                return compared.verdict, _largest(compared), [f"predictions of {model}: {found.problem}"]
            gaps.append(found.gap)
            notes.append(f"predictions of {model} on {found.rows} rows differ by at most {found.gap:g}")
        if max(gaps) <= self.asked.tolerance:
            return "predictions", max(gaps), notes
        return compared.verdict, max(gaps), notes


def _as_it_was(run: Run) -> tuple[Determinism, list[str]]:
    """The settings of the run, its count of threads kept where this machine would choose another; and what differs."""
    around = run.capture.surroundings or Surroundings()
    how = had(around, run.capture.determinism or Determinism())
    notes = []
    here = len(os.sched_getaffinity(0))
    cores = run.capture.usage.cores if run.capture.usage else 0
    if cores and cores != here:
        notes.append(
            f"thread count: the run had {cores} cores, here are {here}; it was given {thread_count(how, cores)} threads"
        )
        if not set(THREADS) & how.variables.keys():
            how = replace(how, variables={**how.variables, **threads(cores)})
    if how.cores:
        how = replace(how, cores=(min(os.sched_getaffinity(0)),))  # The core of that number may not be ours.
    if around.cpu and cpu(around) != cpu():
        notes.append(f"hardware: the run had {cpu(around)}, here is {cpu()}")
    return how, notes


def _largest(compared: Compared) -> float | None:
    gaps = [gap for gap in compared.metrics.values() if gap]
    return max(gaps) if gaps else None


def _told(run: Run, compared: Compared, reason: Reason | None, gap: float | None, notes: Sequence[str]) -> Reproduction:
    file = compared.first
    difference = file.first if file is not None else None
    first = file.path if file is not None else next((name for name, apart in compared.metrics.items() if apart), "")
    if difference is not None and difference.path:
        first = f"{first} at {difference.path}"
    evidence = reason.evidence if reason else ""
    cause = reason.cause if reason else ""
    if compared.verdict == "content" and difference is not None:
        cause = difference.kind
        evidence = f"{difference.before} and {difference.after} are no content"
    return Reproduction(
        "",
        run.id,
        compared.verdict,
        0,
        "",
        len(compared.files),
        first,
        cause,
        evidence,
        gap,
        tuple(dict.fromkeys(notes)),
    )
