"""Why a run does not repeat, found by experiment: run it again with one cause taken away, and see whether it repeats.

Nothing is faked: the clock runs, the network is there. What no experiment can take away (a uuid, the system's chance,
an answer from the network) is told by what the program was seen to ask for.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from taut.records import Determinism
from taut.runs.capture.determinism import (
    KERNELS,
    OLDER_KERNELS,
    WIDER_KERNELS,
    cpu,
    kernels,
    thread_count,
    with_hash_seed,
    with_seed,
    with_threads,
    with_variables,
)
from taut.runs.comparing import Difference, FileComparison
from taut.runs.reproducing.outcomes import Compared, Outcome, compare_outcomes

TOLERANCE = 0.0
PID_DIGITS = 3  # A smaller number means too many other things.
Again = Callable[[Determinism], Outcome]
"""Runs the command once more in a fresh copy, with these settings."""
Tell = Callable[[str], None]

HASH, SEED, ADDRESS = "hash order", "seed missing", "memory address"
THREADS, CPU, RACY, ROWS = "thread count", "CPU kernel", "racy algorithm", "row order of a group-by"
CHANCE, TIME, NETWORK, LISTED = "uuid/urandom", "time in content", "network input", "directory order"
PID, NAME, VARIABLE, HOST, FOLDER = (
    "process id", "temporary name", "environment variable", "host name", "folder of the run",
)  # fmt: skip
PACKAGE, OTHERWISE, NOTHING = "package", "it ends otherwise", "nothing to compare"
OF_THE_CLIENT = ("mlflow", "opentelemetry")  # What logs a run names its requests so.
LISTING = {"TAUT_LISTED": "reversed"}
# In `os.environ` of every command, and other in each repetition.
OF_THE_SANDBOX = frozenset({"HOME", "TMPDIR", "PATH", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONUSERBASE"})


@dataclass(frozen=True, slots=True)
class Reason:
    """Why two executions differ: the cause in a few words, and the sentence that shows it. `runs` is what it took."""

    cause: str
    evidence: str
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of both executions before any experiment.

    `cores` are those that the first had, `packages` how the packages of here differ from its, `cpu` its processor where
    it is another than this one, `python` the interpreter of the command.
    """

    cores: int = 0
    packages: tuple[str, ...] = ()
    cpu: str = ""
    python: str = ""


@dataclass(slots=True)
class _Trials:
    """Executions of one command, counted."""

    again: Again
    tell: Tell
    exit_status: int | None
    runs: int = 0

    def once(self, how: Determinism, what: str) -> Outcome:
        """One more execution; `what` says how it differs from the others."""
        self.runs += 1
        self.tell(f"  {self.runs}: {what}")
        return self.again(how)

    def repeats(self, how: Determinism, what: str) -> bool:
        """Whether two executions with these settings agree in content, and neither fails for the settings."""
        one, other = self.once(how, what), self.once(how, "and again")
        return one.exit_status == self.exit_status and _same(one, other)


def explain(
    compared: Compared,
    first: Outcome,
    second: Outcome,
    how: Determinism,
    known: Known,
    again: Again,
    tell: Tell = lambda _: None,
) -> Reason:
    """Find why the second outcome, run with `how`, differs from the first.

    At most some dozen executions; the commonest causes come first.
    """
    if not (first.digests or second.digests or first.metrics or second.metrics):
        return _by_end(first, second)
    trials = _Trials(again, tell, second.exit_status)
    third = trials.once(how, "as before")
    seen = tuple(dict.fromkeys((*second.seen, *third.seen)))
    if _same(second, third):
        reason = _stands(compared, first, second, how, known, seen, trials)
    else:
        reason = _varies(compared, second, how, seen, trials)
    return Reason(reason.cause, reason.evidence, trials.runs)


def _by_end(first: Outcome, second: Outcome) -> Reason:
    if first.exit_status == second.exit_status:
        return Reason(NOTHING, "it left no file, no metric, no param and no output that could show that it repeats")
    said = f": {second.said}" if second.said else ""
    return Reason(OTHERWISE, f"it ended with {second.exit_status} and had ended with {first.exit_status}{said}")


def judge(compared: Compared, first: Outcome, second: Outcome) -> Reason:
    """The likeliest cause by what differs and what was seen alone, where experiments would take too long."""
    if first.exit_status != second.exit_status or not (compared.files or compared.metrics):
        return _by_end(first, second)
    seen = (*second.seen, *first.seen)
    difference = _difference(compared)
    kind = difference.kind if difference else ""
    if kind == "memory address":
        return Reason(ADDRESS, f"{_place(compared)} holds an address: {_values(difference)}")
    if kind.startswith("row order"):
        return _by_order(compared, seen)
    if (reason := _by_value(difference, seen) or _by_notes(difference, seen, (CHANCE, NETWORK))) is not None:
        return reason
    return Reason("unknown", f"{_place(compared)} differs: {_values(difference)}; no experiment was made")


def _varies(compared: Compared, second: Outcome, how: Determinism, seen: tuple[str, ...], trials: _Trials) -> Reason:
    """It gives something else each time: take one source of chance away after the other."""
    repeating = how
    for cause, settings, sentence in _sources(compared, how):
        repeating = _joined(repeating, settings)
        if trials.repeats(settings, sentence):
            return Reason(cause, f"{sentence} it repeats, without it does not; first seen in {_place(compared)}")
    if trials.repeats(repeating, "with all of them set"):
        return Reason(
            f"{SEED} and {HASH}",
            f"only with all of them set (seeds, hash seed, addresses) it repeats; first seen in {_place(compared)}",
        )
    difference = _difference(compared)
    if (reason := _by_value(difference, seen)) is not None:
        return reason
    if trials.repeats(with_threads(repeating, 1), "with one thread on one core"):
        return Reason(RACY, f"with one thread on one core it repeats, with more it does not; see {_place(compared)}")
    return _left(compared, seen)


def _sources(compared: Compared, how: Determinism) -> Iterator[tuple[str, Determinism, str]]:
    """The sources of chance that can be taken away, likeliest first by what differs."""
    difference = _difference(compared)
    kind = difference.kind if difference else ""
    known = {
        SEED: (with_seed(how), "with every library seeded"),
        HASH: (with_hash_seed(how), "with PYTHONHASHSEED=0"),
        ADDRESS: (replace(how, fixed_addresses=True), "with memory where it always lies"),
    }
    order = (SEED, HASH, ADDRESS)
    if kind == "memory address":
        order = (ADDRESS, SEED, HASH)
    elif kind.startswith(("row order", "value")):
        order = (HASH, SEED, ADDRESS)
    for cause in order:
        settings, sentence = known[cause]
        if settings != how:
            yield cause, settings, sentence


def _joined(one: Determinism, other: Determinism) -> Determinism:
    return replace(
        one,
        seed=other.seed if other.seed is not None else one.seed,
        variables={**one.variables, **other.variables},
        fixed_addresses=one.fixed_addresses or other.fixed_addresses,
        cores=one.cores or other.cores,
    )


def _left(compared: Compared, seen: tuple[str, ...]) -> Reason:
    """No setting makes it repeat: what differs, and what the program asked for, say why."""
    difference = _difference(compared)
    if difference is not None and difference.kind.startswith("row order"):
        return _by_order(compared, seen)
    if drawn := _of(seen, "sql chance"):
        return Reason(SEED, f"{drawn[0]} lets duckdb draw, which nothing of Python seeds: say REPEATABLE or setseed()")
    if (reason := _by_notes(difference, seen, (CHANCE, NETWORK))) is not None:
        return reason
    clocks, workers = _of(seen, "time"), _of(seen, "concurrent")
    if workers:
        besides = f"; {clocks[0]} asks for the time too" if clocks else ""
        return Reason(
            RACY, f"{workers[0]} starts what runs beside it, and nothing makes {_place(compared)} repeat{besides}"
        )
    if clocks:
        return Reason(TIME, f"{clocks[0]} asks for the time, and no setting makes {_place(compared)} repeat")
    if (reason := _by_notes(difference, seen, (NAME, PID))) is not None:
        return reason
    if makers := [name for name in _of(seen, "made") if name not in OF_THE_CLIENT]:
        held = _values(difference)
        return Reason(CHANCE, f"{makers[0]} asks for a uuid, and no setting makes {_place(compared)} repeat: {held}")
    if difference is not None and difference.kind == "numbers":
        return Reason(RACY, f"no seed, hash seed or single core makes {_place(compared)} repeat: {_values(difference)}")
    return Reason("unknown", f"no setting makes {_place(compared)} repeat: {_values(difference)}")


def _stands(
    compared: Compared,
    first: Outcome,
    second: Outcome,
    how: Determinism,
    known: Known,
    seen: tuple[str, ...],
    trials: _Trials,
) -> Reason:
    """It gives the same each time here, and gave something else then: perturb what may have been another."""
    difference = _difference(compared)
    if difference is not None and difference.kind == "memory address":
        # Where memory begins can be fixed; what lies before an object also hangs on its folder and environment.
        return Reason(ADDRESS, f"{_place(compared)} holds an address: {_values(difference)}")
    if first.exit_status != second.exit_status:
        return _by_end(first, second)
    if (reason := _by_value(difference, seen)) is not None:
        return reason
    if "PYTHONHASHSEED" not in how.variables:
        for number in (1, 2):
            if not _same(second, trials.once(with_hash_seed(how, number), f"with PYTHONHASHSEED={number}")):
                return Reason(HASH, "with another PYTHONHASHSEED it gives something else")
    counts = sorted({1, 2, known.cores, thread_count(how, known.cores)} - {0})
    for count in counts:
        if _same(first, trials.once(with_threads(how, count), f"with {count} threads")):
            return Reason(THREADS, f"with {count} threads it gives what the run gave, as it is run here it does not")
    return _by_kernel(first, second, how, known, trials) or _of_the_place(compared, second, how, known, seen, trials)


def _by_kernel(first: Outcome, second: Outcome, how: Determinism, known: Known, trials: _Trials) -> Reason | None:
    """Whether the kernels of another processor give what the run gave, or something else than those of this one."""
    if set(KERNELS) <= how.variables.keys():
        return None
    others = (kernels(known.python), OLDER_KERNELS, WIDER_KERNELS) if known.cpu else (kernels(known.python),)
    for settings in others:
        outcome = trials.once(
            with_variables(how, settings), f"with the kernels of {settings.get(CORETYPE, 'another CPU')}"
        )
        if _same(first, outcome) or (not _same(second, outcome) and known.cpu):
            return Reason(
                CPU, f"kernels of another processor change it; the run had {known.cpu or 'this one'}, here is {cpu()}"
            )
    return None


CORETYPE = "OPENBLAS_CORETYPE"


def _of_the_place(
    compared: Compared, second: Outcome, how: Determinism, known: Known, seen: tuple[str, ...], trials: _Trials
) -> Reason:
    """What no setting changes: packages, the order of a folder, the network, and what the program asked for."""
    if known.packages:
        return Reason(PACKAGE, f"it repeats here, with other packages than the run had: {known.packages[0]}")
    if lists := _of(seen, "list"):
        outcome = trials.once(with_variables(how, LISTING), "with folders listed the other way round")
        if not _same(second, outcome):
            return Reason(LISTED, f"{lists[0]} lists a folder, and in another order gives something else: sort it")
    difference = _difference(compared)
    read = [note for note in _of(seen, "env") if note.partition(" ")[0] not in {*OF_THE_SANDBOX, *how.variables}]
    if (reason := _by_notes(difference, seen, (NETWORK,))) is not None:
        return reason
    if read:
        name, _, where = read[0].partition(" ")
        return Reason(VARIABLE, f"{where} reads {name}, whose value then is not recorded; here it repeats")
    if clocks := _of(seen, "time"):
        return Reason(TIME, f"{clocks[0]} asks for the time; here it repeats")
    if (reason := _by_notes(difference, seen, (HOST, FOLDER))) is not None:
        return reason
    return Reason(
        "changed code, data or package", "it repeats here, so what it was given is not what the run was given"
    )


def _by_value(difference: Difference | None, seen: tuple[str, ...]) -> Reason | None:
    """A cause that the values themselves show: a uuid that the program asked for, or the number of its process."""
    if difference is None:
        return None
    if difference.kind == "uuid" and (_of(seen, "uuid") or _of(seen, "urandom")):
        return _by_chance(seen, difference)
    for number, _, where in (note.partition(" ") for note in _of(seen, "pid")):
        if len(number) >= PID_DIGITS and re.search(rf"(?<!\d){number}(?!\d)", difference.after):
            return Reason(PID, f"{where} asks for the number of its process; it was {_values(difference)}")
    return None


def _by_notes(difference: Difference | None, seen: tuple[str, ...], causes: tuple[str, ...]) -> Reason | None:
    """The first of these causes for which something was seen."""
    for cause in causes:
        if cause == CHANCE and (_of(seen, "uuid") or _of(seen, "urandom")):
            return _by_chance(seen, difference)
        if cause == NETWORK and (places := _of(seen, "connect")):
            return Reason(NETWORK, f"it reads from {', '.join(places[:3])}, which no digest covers")
        kind, sentence = ASKED.get(cause, ("", ""))
        if kind and (where := _of(seen, kind)):
            return Reason(cause, f"{where[0].rpartition(' ')[2]} {sentence}: {_values(difference)}")
    return None


ASKED = {
    PID: ("pid", "asks for the number of its process"),
    NAME: ("name", "makes a temporary file, whose name is chance"),
    HOST: ("host", "asks for the name of the machine"),
    FOLDER: ("cwd", "asks for the folder that it runs in"),
}


def _by_order(compared: Compared, seen: tuple[str, ...]) -> Reason:
    by = [name for name in _of(seen, "import") if name in ("polars", "duckdb")]
    if not by and (workers := _of(seen, "concurrent")):
        return Reason(RACY, f"{workers[0]} starts what runs beside it, and {_place(compared)} holds rows as they came")
    advice = "say maintain_order=True or ORDER BY"
    engine = f" by {' and '.join(by)}" if by else ""
    return Reason(ROWS, f"{_place(compared)} holds the same rows in another order each time{engine}: {advice}")


def _by_chance(seen: tuple[str, ...], difference: Difference | None = None) -> Reason:
    asked = (*_of(seen, "uuid"), *_of(seen, "urandom"))
    where = f": {asked[0]} asks for it" if asked else ""
    held = f"; it was {_values(difference)}" if difference else ""
    return Reason(CHANCE, f"the system's own chance, which no seed reaches{where}{held}")


def _of(seen: tuple[str, ...], kind: str) -> list[str]:
    """The notes of one kind, without its name."""
    return [note.removeprefix(f"{kind} ") for note in seen if note.startswith(f"{kind} ")]


def _same(one: Outcome, other: Outcome) -> bool:
    return compare_outcomes(one, other, tolerance=TOLERANCE).is_same


def _difference(compared: Compared) -> Difference | None:
    return compared.first.first if compared.first is not None else None


def _place(compared: Compared) -> str:
    file: FileComparison | None = compared.first
    if file is None:
        return "the metric " + next((name for name, gap in compared.metrics.items() if gap), "values")
    return file.path + (f" at {file.first.path}" if file.first and file.first.path else "")


def _values(difference: Difference | None) -> str:
    return f"{difference.before} and {difference.after}" if difference else "not told"
