"""`explain`: which cause is found for outcomes that depend on the settings in one known way each."""

import itertools
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from taut.records import Determinism
from taut.runs.capture.determinism import KERNELS
from taut.runs.comparing import Side
from taut.runs.reproducing.explaining import Again, Known, Reason, explain, judge
from taut.runs.reproducing.outcomes import Compared, Outcome, compare_outcomes

Content = Callable[[Determinism, int], bytes]
"""What a program writes with these settings, the how manieth time that it runs."""


def outcome(
    content: bytes, *, name: str = "out.json", seen: tuple[str, ...] = (), metrics: Mapping[str, float] | None = None
) -> Outcome:
    return Outcome(Side(), {name: content.hex()}, lambda _: content, metrics or {}, 0, seen)


def reason(
    content: Content,
    *,
    how: Determinism | None = None,
    name: str = "out.json",
    seen: tuple[str, ...] = (),
    cores: int = 2,
) -> Reason:
    """The cause that is found where a program wrote `content` in a run and in all repetitions."""
    settings = how or Determinism()
    times = itertools.count()

    def again(one: Determinism) -> Outcome:
        return outcome(content(one, next(times)), name=name, seen=seen)

    first, second = again(settings), again(settings)
    compared = compare_outcomes(first, second, tolerance=0.0)
    assert not compared.is_same
    return explain(compared, first, second, settings, Known(cores), again)


def number(value: int) -> bytes:
    return b'{"w": %d}' % value


def is_seeded(how: Determinism) -> bool:
    return "TAUT_SEED" in how.variables


def is_ordered(how: Determinism) -> bool:
    return "PYTHONHASHSEED" in how.variables


def test_what_repeats_with_seeds_lacks_a_seed():
    found = reason(lambda how, time: number(0 if is_seeded(how) else time))
    assert found.cause == "seed missing"
    assert "out.json at .w" in found.evidence


def test_what_repeats_with_the_hash_seed_hangs_on_the_order_of_texts():
    assert reason(lambda how, time: number(0 if is_ordered(how) else time)).cause == "hash order"


def test_what_repeats_without_chance_in_memory_holds_an_address():
    found = reason(lambda how, time: number(0x7F0000001230 + (0 if how.fixed_addresses else 16 * time)))
    assert found.cause == "memory address"
    assert found.runs == 3  # The likeliest cause is tried first.


def test_what_takes_both_seeds_is_said_to_take_both():
    found = reason(lambda how, time: number(0 if is_seeded(how) and is_ordered(how) else time))
    assert found.cause == "seed missing and hash order"


def test_what_repeats_on_one_core_races():
    found = reason(lambda how, time: number(0 if how.cores else time))
    assert found.cause == "racy algorithm"


def test_no_program_is_run_more_than_a_dozen_times():
    found = reason(lambda how, time: number(time))
    assert found.runs <= 12
    assert found.cause == "racy algorithm"  # Numbers that nothing makes repeat: what is left is a race.


def test_what_is_set_already_is_not_tried_again():
    how = Determinism(variables={"PYTHONHASHSEED": "0", "TAUT_SEED": "0"}, seed=0, fixed_addresses=True)
    assert reason(lambda how, time: number(time), how=how).runs == 5


@pytest.mark.parametrize("note", ["uuid train.py:3", "urandom train.py:3"])
def test_what_no_setting_reaches_is_told_by_what_was_asked_for(note: str):
    found = reason(lambda how, time: number(time), seen=(note,))
    assert found.cause == "uuid/urandom"
    assert "train.py:3" in found.evidence


def test_a_program_that_reads_the_network_is_told_where():
    found = reason(lambda how, time: number(time), seen=("connect 10.0.0.1:5432",))
    assert (found.cause, "10.0.0.1:5432" in found.evidence) == ("network input", True)


def test_a_program_that_asks_for_the_time_is_told_last():
    assert reason(lambda how, time: number(time), seen=("time train.py:9",)).cause == "time in content"
    both = ("time train.py:9", "connect 10.0.0.1:80")
    assert reason(lambda how, time: number(time), seen=both).cause == "network input"


def rows(order: int) -> bytes:
    lines = [b"a,1", b"b,2", b"c,3"]
    return b"\n".join([b"key,value", *lines[order % 3 :], *lines[: order % 3]]) + b"\n"


def test_rows_in_another_order_each_time_are_a_group_by_that_nobody_ordered():
    found = reason(lambda how, time: rows(time), name="g.csv", seen=("import polars",))
    assert found.cause == "row order of a group-by"
    assert "polars" in found.evidence and "maintain_order" in found.evidence


def test_rows_in_the_order_of_a_set_are_the_hash_order():
    found = reason(lambda how, time: rows(0 if is_ordered(how) else time), name="g.csv")
    assert (found.cause, found.runs) == ("hash order", 3)


# What repeats here and was another then


def stands(
    then: bytes,
    now: Callable[[Determinism], bytes],
    *,
    how: Determinism | None = None,
    cores: int = 2,
    known: Known | None = None,
    seen: tuple[str, ...] = (),
) -> Reason:
    settings = how or Determinism()

    def again(one: Determinism) -> Outcome:
        return outcome(now(one), seen=seen)

    first, second = outcome(then), again(settings)
    return explain(
        compare_outcomes(first, second, tolerance=0.0), first, second, settings, known or Known(cores), again
    )


def test_a_count_of_threads_that_gives_what_was_then_is_found():
    found = stands(number(4), lambda how: number(4 if how.variables.get("OMP_NUM_THREADS") == "4" else 2), cores=4)
    assert found.cause == "thread count"
    assert "4 threads" in found.evidence


def test_kernels_that_give_what_was_then_are_found():
    if not KERNELS:
        pytest.skip("no kernels are known for this processor")
    found = stands(number(1), lambda how: number(1 if KERNELS.keys() <= how.variables.keys() else 2))
    assert found.cause == "CPU kernel"


def test_a_set_of_two_that_came_out_alike_by_luck_is_found():
    def now(how: Determinism) -> bytes:
        return number(int(how.variables.get("PYTHONHASHSEED", "2")) % 2)

    assert stands(number(1), now).cause == "hash order"


def test_an_address_that_repeats_here_is_still_told_as_one():
    found = stands(number(0x7F0000001230), lambda how: number(0x7F0000001240))
    assert (found.cause, found.runs) == ("memory address", 1)
    assert "out.json at .w" in found.evidence


def test_what_nothing_here_changes_was_given_something_else():
    assert stands(number(1), lambda how: number(2)).cause == "changed code, data or package"


def test_a_package_of_another_version_is_named_where_nothing_else_changes_it():
    found = stands(number(1), lambda how: number(2), known=Known(2, ("numpy was 1.0 and is 2.0",)))
    assert (found.cause, "numpy was 1.0" in found.evidence) == ("package", True)


@pytest.mark.parametrize(
    ("note", "cause"),
    [
        ("env ALPHA train.py:3", "environment variable"),
        ("connect db:5432", "network input"),
        ("time train.py:3", "time in content"),
        ("host train.py:3", "host name"),
        ("cwd train.py:3", "folder of the run"),
        ("env HOME train.py:3", "changed code, data or package"),  # That is the sandbox's own.
    ],
)
def test_what_a_program_asked_for_is_named_where_it_repeats_here(note: str, cause: str):
    assert stands(number(1), lambda how: number(2), seen=(note,)).cause == cause


def test_a_variable_that_was_recorded_is_no_cause():
    how = Determinism(variables={"TZ": "UTC"})
    found = stands(number(1), lambda how: number(2), how=how, seen=("env TZ train.py:3",))
    assert found.cause == "changed code, data or package"


def test_the_order_of_a_folder_is_found_by_listing_it_the_other_way_round():
    def now(how: Determinism) -> bytes:
        return number(3 if "TAUT_LISTED" in how.variables else 2)

    assert stands(number(1), now, seen=("list train.py:3",)).cause == "directory order"
    assert stands(number(1), lambda how: number(2), seen=("list train.py:3",)).cause == "changed code, data or package"


def test_kernels_of_much_older_and_of_newer_processors_are_tried_for_a_run_of_another_one():
    for core in ("Prescott", "SkylakeX"):

        def now(how: Determinism, core: str = core) -> bytes:
            return number(1 if how.variables.get("OPENBLAS_CORETYPE") == core else 2)

        assert stands(number(1), now, known=Known(2, cpu="another")).cause == "CPU kernel"


def test_a_setting_under_which_a_program_fails_explains_nothing():
    times = itertools.count()

    def again(how: Determinism) -> Outcome:
        return replace(outcome(b"", name="x"), exit_status=1) if is_seeded(how) else outcome(number(next(times)))

    first, second = again(Determinism()), again(Determinism())
    found = explain(compare_outcomes(first, second, tolerance=0.0), first, second, Determinism(), Known(2), again)
    assert "seed missing" not in found.cause


def test_a_program_that_ends_otherwise_here_is_told_by_its_last_line():
    first = outcome(number(1))
    failed = replace(outcome(number(2)), exit_status=1, said="FileNotFoundError: no x")
    found = explain(
        compare_outcomes(first, failed, tolerance=0.0), first, failed, Determinism(), Known(2), lambda _: failed
    )
    assert (found.cause, found.runs) == ("it ends otherwise", 1)
    assert "ended with 1 and had ended with 0: FileNotFoundError" in found.evidence


def test_the_number_of_its_process_is_recognised():
    found = reason(lambda how, time: number(4321 + time), seen=("pid 4322 train.py:3",))
    assert found.cause == "process id"
    assert "it was 4321 and 4322" in found.evidence


def test_what_runs_beside_a_program_races_whatever_the_clock_is_asked():
    seen = ("time train.py:3", "concurrent train.py:9")
    found = reason(lambda how, time: b'{"w": "%s"}' % str(time).encode(), seen=seen)
    assert found.cause == "racy algorithm"
    assert "train.py:9" in found.evidence and "train.py:3" in found.evidence


# Without experiments


def judged(name: str, before: bytes, after: bytes, seen: tuple[str, ...] = ()) -> Reason:
    first, second = outcome(before, name=name), outcome(after, name=name, seen=seen)
    return judge(compare_outcomes(first, second, tolerance=0.0), first, second)


def test_the_likeliest_cause_is_told_where_nothing_is_run_again():
    assert judged("g.csv", rows(0), rows(1)).cause == "row order of a group-by"
    assert judged("x.pkl", pickle.dumps([0x7F0000001230]), pickle.dumps([0x7F0000001240])).cause == "memory address"
    first, second = b"8f14e45f-ceea-467f-a8f1-0123456789ab", b"8f14e45f-ceea-467f-a8f1-0123456789ac"
    assert judged("id.txt", first, second, ("uuid train.py:1",)).cause == "uuid/urandom"
    assert judged("id.txt", first, second).cause == "unknown"  # The network may have sent it.
    assert judged("x.json", number(1), number(2), ("connect h:1",)).cause == "network input"
    one = outcome(number(1))
    failed = replace(one, exit_status=1, said="KeyError: 'x'")
    assert judge(compare_outcomes(one, failed, tolerance=0.0), one, failed).evidence.endswith("0: KeyError: 'x'")
    unknown = judged("x.json", number(1), number(2))
    assert (unknown.cause, "no experiment" in unknown.evidence) == ("unknown", True)


# Outcomes


def compared(before: Outcome, after: Outcome, tolerance: float = 1e-6) -> Compared:
    return compare_outcomes(before, after, tolerance=tolerance)


def test_metrics_within_tolerance_are_the_least_agreement():
    first, second = outcome(number(1), metrics={"auc": 0.5}), outcome(number(2), metrics={"auc": 0.5 + 1e-9})
    assert compared(first, second).verdict == "metrics"
    assert compared(first, outcome(number(2), metrics={"auc": 0.6})).verdict == "different"
    assert compared(first, outcome(number(1), metrics={"auc": 0.6})).verdict == "different"
    assert compared(first, outcome(number(2), metrics={})).verdict == "different"
    nan = float("nan")
    assert compared(outcome(b"", metrics={"a": nan}), outcome(b"", metrics={"a": nan})).verdict == "bytes"


def test_how_long_a_fit_took_is_no_metric_that_has_to_agree():
    def timed(took: float) -> Outcome:
        return replace(outcome(number(1), metrics={"fit_time": took, "auc": 0.5}), side=Side(0, 60_000))

    assert compared(timed(1.0), timed(2.0)).verdict == "bytes"
    assert compared(timed(1.0), timed(200.0)).verdict == "different"  # Longer than the run: it is something else.


def test_a_file_that_one_alone_wrote_is_different():
    first = outcome(number(1))
    found = compared(first, outcome(number(1), name="other.json"))
    assert (found.verdict, [file.verdict for file in found.files]) == ("different", ["missing", "missing"])
    assert found.notes == (
        "other.json was written by the repetition alone", "out.json was written by the run alone",
    )  # fmt: skip


def test_another_exit_status_is_different_whatever_was_written():
    first = outcome(number(1))
    failed = Outcome(first.side, first.digests, first.read, {}, 1)
    assert compared(first, failed).verdict == "different"


def test_bytes_that_were_not_kept_are_said_to_be_missing():
    first = outcome(number(1))
    lost = Outcome(first.side, {"out.json": "another"}, lambda _: None, {}, 0)
    found = compared(first, lost)
    assert found.verdict == "different"
    assert "too many to keep" in found.notes[0]


def test_what_left_nothing_shows_nothing():
    nothing = Outcome(Side(), {}, lambda _: None, {}, 0)
    found = compared(nothing, nothing)
    assert (found.verdict, found.first) == ("different", None)
    assert "nothing to compare" in found.notes[0]
    why = explain(found, nothing, nothing, Determinism(), Known(), lambda _: nothing)
    assert (why.cause, why.runs) == ("nothing to compare", 0)


def test_an_again_is_only_ever_asked_for_with_settings():
    asked: list[Determinism] = []

    def again(how: Determinism) -> Outcome:
        asked.append(how)
        return outcome(number(len(asked)))

    callback: Again = again
    first, second = again(Determinism()), again(Determinism())
    explain(compared(first, second), first, second, Determinism(level="strict"), Known(2), callback)
    assert all(how.level == "strict" for how in asked[2:])
