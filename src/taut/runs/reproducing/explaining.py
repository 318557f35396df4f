"""Why a run does not repeat, found by experiment: run it again with one cause taken away, and see whether it repeats.

Nothing is faked: the clock runs, the network is there. What no experiment can take away (a uuid, the system's chance,
an answer from the network) is told by what the program was seen to ask for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from taut.records import Determinism
from taut.runs.capture.determinism import (
    KERNELS,
    cpu,
    thread_count,
    with_hash_seed,
    with_kernels,
    with_seed,
    with_threads,
)
from taut.runs.comparing import Difference, FileComparison
from taut.runs.reproducing.outcomes import Compared, Outcome, compare_outcomes

TOLERANCE = 0.0
Again = Callable[[Determinism], Outcome]
"""Runs the command once more in a fresh copy, with these settings."""

HASH, SEED, ADDRESS = "hash order", "seed missing", "memory address"
THREADS, CPU, RACY, ROWS = "thread count", "CPU kernel", "racy algorithm", "row order of a group-by"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why two executions differ: the cause in a few words, and the sentence that shows it. `runs` is what it took."""

    cause: str
    evidence: str
    runs: int = 0


@dataclass(slots=True)
class _Trials:
    """Executions of one command, counted."""

    again: Again
    runs: int = 0

    def once(self, how: Determinism) -> Outcome:
        """One more execution."""
        self.runs += 1
        return self.again(how)

    def repeats(self, how: Determinism) -> bool:
        """Whether two executions with these settings agree in content."""
        return _same(self.once(how), self.once(how))


def explain(compared: Compared, first: Outcome, second: Outcome, how: Determinism, cores: int, again: Again) -> Reason:
    """Find why the second outcome, run with `how`, differs from the first, which had `cores` cores.

    At most some dozen executions; the commonest causes come first.
    """
    trials = _Trials(again)
    third = trials.once(how)
    seen = tuple(dict.fromkeys((*second.seen, *third.seen)))
    if _same(second, third):
        reason = _stands(compared, first, second, how, cores, seen, trials)
    else:
        reason = _varies(compared, how, seen, trials)
    return Reason(reason.cause, reason.evidence, trials.runs)


def judge(compared: Compared, seen: tuple[str, ...]) -> Reason:
    """The likeliest cause by what differs and what was seen alone, where experiments would take too long."""
    difference = _difference(compared)
    kind = difference.kind if difference else ""
    if kind == "uuid" or any(note.startswith(("uuid ", "urandom ")) for note in seen):
        return _by_chance(seen)
    if kind == "memory address":
        return Reason(ADDRESS, f"{_place(compared)} holds an address: {_values(difference)}")
    if kind.startswith("row order"):
        return Reason(ROWS, f"{_place(compared)} holds the same rows in another order")
    if any(note.startswith("connect ") for note in seen):
        return _by_network(seen)
    return Reason("unknown", f"{_place(compared)} differs: {_values(difference)}; no experiment was made")


def _varies(compared: Compared, how: Determinism, seen: tuple[str, ...], trials: _Trials) -> Reason:
    """It gives something else each time: take one source of chance away after the other."""
    repeating = how
    for cause, settings, sentence in _sources(compared, how):
        repeating = _joined(repeating, settings)
        if trials.repeats(settings):
            return Reason(cause, f"{sentence} it repeats, without it does not; first seen in {_place(compared)}")
    if trials.repeats(repeating):
        return Reason(
            f"{SEED} and {HASH}",
            f"only with all of them set (seeds, hash seed, addresses) it repeats; first seen in {_place(compared)}",
        )
    if (difference := _difference(compared)) is not None and difference.kind == "uuid":
        return _by_chance(seen, difference)
    if trials.repeats(with_threads(repeating, 1)):
        return Reason(RACY, f"with one thread on one core it repeats, with more it does not; see {_place(compared)}")
    return _left(compared, seen)


def _sources(compared: Compared, how: Determinism) -> Iterator[tuple[str, Determinism, str]]:
    """The sources of chance that can be taken away, likeliest first by what differs."""
    difference = _difference(compared)
    kind = difference.kind if difference else ""
    fixed = Determinism(how.level, how.seed, how.variables, True, how.cores, how.cpu)
    known = {
        SEED: (with_seed(how), "with every library seeded"),
        HASH: (with_hash_seed(how), "with PYTHONHASHSEED=0"),
        ADDRESS: (fixed, "with memory where it always lies"),
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
    return Determinism(
        one.level, other.seed if other.seed is not None else one.seed, {**one.variables, **other.variables},
        one.fixed_addresses or other.fixed_addresses, one.cores or other.cores, one.cpu,
    )  # fmt: skip


def _left(compared: Compared, seen: tuple[str, ...]) -> Reason:
    """No setting makes it repeat: what differs, and what the program asked for, say why."""
    difference = _difference(compared)
    if difference is not None and difference.kind.startswith("row order"):
        by = [note.removeprefix("import ") for note in seen if note in ("import polars", "import duckdb")]
        advice = "say maintain_order=True or ORDER BY"
        engine = f" by {' and '.join(by)}" if by else ""
        return Reason(ROWS, f"{_place(compared)} holds the same rows in another order each time{engine}: {advice}")
    if any(note.startswith(("uuid ", "urandom ")) for note in seen):
        return _by_chance(seen, difference)
    if any(note.startswith("connect ") for note in seen):
        return _by_network(seen)
    if clocks := [note.removeprefix("time ") for note in seen if note.startswith("time ")]:
        return Reason(
            "time in content", f"{clocks[0]} asks for the time, and no setting makes {_place(compared)} repeat"
        )
    if difference is not None and difference.kind == "numbers":
        return Reason(RACY, f"no seed, hash seed or single core makes {_place(compared)} repeat: {_values(difference)}")
    return Reason("unknown", f"no setting makes {_place(compared)} repeat: {_values(difference)}")


def _stands(
    compared: Compared,
    first: Outcome,
    second: Outcome,
    how: Determinism,
    cores: int,
    seen: tuple[str, ...],
    trials: _Trials,
) -> Reason:
    """It gives the same each time here, and gave something else then: perturb what may have been another."""
    if (difference := _difference(compared)) is not None and difference.kind == "memory address":
        # Where memory begins can be fixed; what lies before an object also hangs on its folder and environment.
        return Reason(ADDRESS, f"{_place(compared)} holds an address: {_values(difference)}")
    if "PYTHONHASHSEED" not in how.variables:
        for number in (1, 2):
            if not _same(second, trials.once(with_hash_seed(how, number))):
                return Reason(HASH, "with another PYTHONHASHSEED it gives something else")
    counts = sorted({1, 2, cores, thread_count(how, cores)} - {0})
    for count in counts:
        outcome = trials.once(with_threads(how, count))
        if _same(first, outcome):
            return Reason(THREADS, f"with {count} threads it gives what the run gave, as it is run here it does not")
    if not set(KERNELS) <= how.variables.keys():
        outcome = trials.once(with_kernels(how))
        if _same(first, outcome) or (not _same(second, outcome) and how.cpu != cpu()):
            return Reason(
                CPU,
                f"kernels of another processor change it; the run had {how.cpu or 'an unknown one'}, here is {cpu()}",
            )
    if any(note.startswith("connect ") for note in seen):
        return _by_network(seen)
    if clocks := [note.removeprefix("time ") for note in seen if note.startswith("time ")]:
        return Reason("time in content", f"{clocks[0]} asks for the time; here it repeats")
    return Reason(
        "changed code, data or package", "it repeats here, so what it was given is not what the run was given"
    )


def _by_chance(seen: tuple[str, ...], difference: Difference | None = None) -> Reason:
    asked = [note for note in seen if note.startswith(("uuid ", "urandom "))]
    where = f": {asked[0].partition(' ')[2]} asks for it" if asked else ""
    held = f"; it was {_values(difference)}" if difference else ""
    return Reason("uuid/urandom", f"the system's own chance, which no seed reaches{where}{held}")


def _by_network(seen: tuple[str, ...]) -> Reason:
    places = [note.removeprefix("connect ") for note in seen if note.startswith("connect ")]
    return Reason("network input", f"it reads from {', '.join(places[:3])}, which no digest covers")


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
