"""The log as a front has it: what is appended is there at once, callers' ids are answered once, policy holds."""

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Conflict, Invalid, Unavailable
from taut.home import Home
from taut.project import LogSpec
from taut.serve import find_answer, find_prediction, list_predictions, traffic
from taut.serve.log import Policy, PredictionLog, policy_of
from taut.serve.log.ids import FILE
from taut.serve.log.journal import journals_in
from taut.serve.log.said import Said, digests_of, pack, picked, unpack
from taut.serve.log.sealing import seal
from tests.faults.disks import fill, small_disk
from tests.serve.log.scenes import ids_in, opened, place, said, say


def bytes_in(folder: Path) -> bytes:
    """All that lies in files."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


# What is said


def test_a_record_is_the_batch_again_and_columns_may_be_arrays():
    batch = said("a", "b", delay=0.5, x=[1.5, 2.5], n=[1, None], t=[[1.0, 2.0], [3.0, 4.0]])
    assert unpack(pack(batch)) == batch
    arrays = msgspec.structs.replace(batch, inputs={"x": np.array([1.5, 2.5]), "t": np.array([[1.0, 2.0], [3.0, 4.0]])})
    assert unpack(pack(arrays)).inputs == {"x": [1.5, 2.5], "t": [[1.0, 2.0], [3.0, 4.0]]}


@pytest.mark.parametrize("data", [b"", b"\xc1", pack(said("a"))[:-1], msgspec.msgpack.encode([1, 2])])
def test_bytes_that_are_no_record_are_invalid(data: bytes):
    with pytest.raises(Invalid):
        unpack(data)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800"])
def test_what_no_record_can_hold_is_invalid(value: object):
    with pytest.raises(Invalid, match="does not fit"):
        pack(said("a", x=[value]))


def test_some_requests_of_a_batch_take_their_rows_along():
    batch = said("a", "b", "c", counts=[2, 1, 3], x=[0, 1, 2, 3, 4, 5], y=list("uvwxyz"))
    left = picked(batch, [0, 2], but=frozenset({"y"}))
    assert (left.ids, left.counts, left.inputs) == (["a", "c"], [2, 3], {"x": [0, 1, 3, 4, 5]})
    assert len(left.outputs["probability"]) == 5


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.randoms())
def test_a_request_has_the_same_digest_alone_and_in_a_batch(counts: list[int], chance):
    rows = sum(counts)
    columns = {
        "x": [chance.choice([0.5, float("nan"), 3.0]) for _ in range(rows)],
        "y": [chance.choice(["a", None, 3, True]) for _ in range(rows)],
    }
    together = digests_of(columns, counts, key=b"k")
    start = 0
    for count, found in zip(counts, together, strict=True):
        alone = {name: values[start : start + count] for name, values in reversed(columns.items())}
        assert digests_of(alone, [count], key=b"k") == [found]
        start += count
    assert digests_of(columns, counts) != together


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": [1]}, {"a": [2]}), ({"a": [1]}, {"b": [1]}), ({"a": [True]}, {"a": [1]}), ({"a": ["1"]}, {"a": [1]})],
)
def test_other_inputs_have_another_digest(one: dict, other: dict):
    assert digests_of(one, [1]) != digests_of(other, [1])


# Appending


@pytest.mark.parametrize("encrypt", [False, True])
def test_an_answer_is_found_while_the_process_that_gave_it_still_runs(home: Home, encrypt: bool):
    log = opened(home, Policy(encrypt=encrypt))
    log.append(said("a", "b", counts=[1, 2]))
    assert ids_in(home) == ["a", "b"]
    found = find_prediction(home, "b.1")
    assert (found.rows, found.model, found.number, found.latency_us, found.at_ms) == (2, "late", 1, 120, 5_000)
    assert found.inputs == {"delay": [1.5, 2.5], "carrier": ["UA", "UA"]}
    assert find_answer(home, "late", "a") == find_prediction(home, "a.0", deployment="late")
    assert traffic(home, "late").rows == 3
    log.append(said("c"))
    assert ids_in(home) == ["a", "c", "b"]
    log.close()
    assert b"carrier" in bytes_in(home.project / ".taut" / "predictions") or encrypt


def test_pages_go_on_behind_the_last_request(home: Home):
    say(home, *(said(f"r{place}", event_ms=[1_000 + place // 3]) for place in range(10)))
    seen, after = [], ""
    while page := list_predictions(home, "late", after=after, limit=3):
        seen += [one.id for one in page]
        after = seen[-1]
    assert seen == [f"r{place}" for place in range(10)]


@pytest.mark.parametrize(
    "wrong",
    [
        said("a", x=[1, 2]), said("a", counts=[0], x=[]), msgspec.structs.replace(said("a"), inputs={}),
        msgspec.structs.replace(said("a"), given=[]), msgspec.structs.replace(said("a"), latency_us=[1, 2]),
        msgspec.structs.replace(said("a"), ids=[], given=[], counts=[], event_ms=[], latency_us=[]),
    ],
)  # fmt: skip
def test_lists_that_do_not_fit_are_not_written(tmp_path: Path, wrong: Said):
    log = PredictionLog.open(place(tmp_path), "late")
    with pytest.raises(Invalid):
        log.append(wrong)
    log.close()
    assert journals_in(tmp_path / "predictions" / "late") == []


# Callers' own ids


@pytest.mark.parametrize("encrypt", [False, True])
def test_an_own_id_is_answered_once_over_processes_and_restarts(tmp_path: Path, encrypt: bool):
    policy = Policy(encrypt=encrypt)
    first, second = (PredictionLog.open(place(tmp_path), "late", policy) for _ in range(2))
    assert first.answered(["a", "b"]) == {}
    batch = said("a", "b", given=True, counts=[1, 2])
    assert first.append(batch) == {}
    for log in (first, second, PredictionLog.open(place(tmp_path), "late", policy)):
        found = log.answered(["a", "b", "c"])
        assert list(found) == ["a", "b"]
        assert (found["b"].outputs, found["b"].rows, found["b"].number) == ({"probability": [0.25, 0.25]}, 2, 1)
        assert log.same("b", found["b"], {"carrier": ["UA", "UA"], "delay": [1.5, 2.5]}) is found["b"]
        for other in ({"carrier": ["UA", "UA"], "delay": [1.5, 9.0]}, {"delay": [1.5, 2.5]}, {"delay": [1.5]}):
            with pytest.raises(Conflict, match="'b' was used for other inputs"):
                log.same("b", found["b"], other)
        log.close()


def test_who_comes_second_with_an_id_is_told_the_first_answer_and_writes_only_the_others(home: Home):
    first, second = opened(home), opened(home)
    first.append(said("a", given=True))
    taken = second.append(said("b", "a", given=True, delay=7.0))
    assert {name: one.number for name, one in taken.items()} == {"a": 1}
    assert sorted(ids_in(home)) == ["a", "b"]
    assert find_prediction(home, "b").inputs["delay"] == [7.0]
    assert second.append(said("a", given=True)).keys() == {"a"}  # Nothing is left to write.
    first.close()
    second.close()


def test_an_id_that_stands_twice_in_a_batch_is_answered_once(home: Home):
    log = opened(home)
    batch = said("a", "b", "a", given=True)
    taken = log.append(batch)
    assert list(taken) == ["a"]
    assert taken["a"].outputs == {"probability": [0.25]}
    with pytest.raises(Conflict):
        log.same("a", taken["a"], {"delay": [2.5], "carrier": ["UA"]})
    assert sorted(ids_in(home)) == ["a", "b"]
    log.close()


def test_a_shadow_may_have_the_id_of_the_request_it_shadows(home: Home):
    log = opened(home)
    log.append(said("a", given=True))
    assert log.append(said("a", given=True, role="shadow", number=2)) == {}
    assert log.answered(["a"])["a"].number == 1
    log.close()
    seal(home, "late")
    assert ids_in(home) == ["a"]
    assert ids_in(home, roles=("shadow",)) == ["a"]


def test_arrays_are_sampled_and_redacted_as_lists_are(home: Home):
    policy = Policy(sample=0.5, redact=frozenset({"ssn"}))
    names = [f"r{number}" for number in range(20)]
    columns = {"n": np.arange(20), "ssn": np.arange(20), "t": np.ones((20, 2))}
    batch = msgspec.structs.replace(said(*names), inputs=columns, outputs={"probability": np.linspace(0, 1, 20)})
    say(home, batch, policy=policy)
    kept = [number for number, name in enumerate(names) if policy.keeps(name)]
    assert 0 < len(kept) < 20
    assert sorted(ids_in(home)) == sorted(names[number] for number in kept)
    assert find_prediction(home, names[kept[-1]]).inputs == {"n": [kept[-1]], "t": [[1.0, 1.0]]}


def test_thousands_of_ids_are_looked_up(tmp_path: Path):
    log = PredictionLog.open(place(tmp_path), "late")
    names = [f"id-{number}" for number in range(1_200)]
    for start in range(0, 1_200, 100):
        log.append(said(*names[start : start + 100], given=True))
    assert list(log.answered([*names, "other"]).keys() - set(names)) == []
    assert len(log.answered(names)) == 1_200
    log.close()


def test_ids_are_learnt_again_from_journals_where_their_file_is_gone_or_behind(tmp_path: Path):
    at = place(tmp_path)
    log = PredictionLog.open(at, "late")
    log.append(said("a", given=True))
    log.append(said("ours"))
    log.append(said("b", given=True))
    log.close()
    for path in (tmp_path / "predictions" / "late").glob(f"{FILE}*"):
        path.unlink()
    again = PredictionLog.open(at, "late")
    found = again.answered(["a", "b", "ours"])
    assert sorted(found) == ["a", "b"]
    assert again.same("a", found["a"], {"delay": [0.5], "carrier": ["UA"]}).number == 1
    again.close()


def test_what_was_encrypted_is_read_after_the_policy_changed(home: Home):
    for number, encrypt in enumerate((False, True, False)):
        say(home, said(f"r{number}", given=True), policy=Policy(encrypt=encrypt))
    log = opened(home)
    assert len(log.answered(["r0", "r1", "r2"])) == 3
    assert ids_in(home) == ["r0", "r1", "r2"]
    log.close()


# Policy


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_redacted_column_reaches_no_file(tmp_path: Path, encrypt: bool):
    log = PredictionLog.open(place(tmp_path), "late", Policy(redact=frozenset({"ssn"}), encrypt=encrypt))
    log.append(said("a", given=True, ssn=["078-05-1120"], x=[1]))
    log.append(said("b", ssn=["078-05-1120"], x=[1]))
    found = log.answered(["a"])["a"]
    assert log.same("a", found, {"ssn": ["078-05-1120"], "x": [1]}) is found
    if encrypt:  # Without a key its digest would be there to be tried against, so what is not kept is not compared.
        with pytest.raises(Conflict):
            log.same("a", found, {"ssn": ["078-05-1121"], "x": [1]})
    else:
        assert log.same("a", found, {"ssn": ["078-05-1121"], "x": [1]}) is found
    log.close()
    assert b"078-05" not in bytes_in(tmp_path / "predictions")
    assert b"ssn" not in bytes_in(tmp_path / "predictions")


def test_a_sample_is_drawn_by_the_id_alone_and_ids_outside_of_it_are_remembered(home: Home):
    policy = Policy(sample=0.25)
    names = [f"r{number}" for number in range(400)]
    say(home, *(said(*names[start : start + 40], given=True) for start in range(0, 400, 40)), policy=policy)
    kept = [name for name in names if policy.keeps(name)]
    assert 60 < len(kept) < 140
    assert sorted(ids_in(home)) == sorted(kept)
    log = opened(home, policy)
    assert len(log.answered(names)) == 400
    log.close()
    assert [Policy(sample=0.0).keeps("a"), Policy().keeps("a")] == [False, True]


def test_asynchronous_records_are_there_within_their_bound_and_all_at_the_end(tmp_path: Path):
    folder = tmp_path / "predictions" / "late"
    log = PredictionLog.open(place(tmp_path), "late", Policy(delay_ms=3_600_000, delay_records=3))
    for number in range(3):
        log.append(said(f"r{number}"))
    assert journals_in(folder) != []  # Two waited; the third made room for itself.
    log.append(said("own", given=True))  # A caller's id is written before it is answered, whatever is asked for.
    assert sorted(log.answered(["own"])) == ["own"]
    log.close()
    quick = PredictionLog.open(place(tmp_path), "other", Policy(delay_ms=5))
    quick.append(said("a"))
    deadline = time.monotonic() + 10
    while not journals_in(tmp_path / "predictions" / "other"):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    quick.close()


@pytest.mark.parametrize("delay_ms", [0, 3_600_000])
def test_a_full_disk_is_told_and_what_is_acknowledged_afterwards_is_there(tmp_path: Path, delay_ms: int):
    with small_disk(tmp_path / "disk") as disk:
        log = PredictionLog.open(place(disk), "late", Policy(delay_ms=delay_ms, delay_records=1 if delay_ms else 1000))
        log.append(said("before"))
        ballast = fill(disk)
        large = [float(number) for number in range(20_000)]
        with pytest.raises(Unavailable):
            for number in range(2):  # The first may wait for the second.
                log.append(said(f"lost{number}", counts=[20_000], x=large))
        with pytest.raises(Unavailable):
            log.append(said("own", given=True, counts=[20_000], x=large))
        ballast.unlink()
        log.append(said("after"))
        log.close()
        again = PredictionLog.open(place(disk), "late")
        assert again.answered(["own"]) == {}
        again.close()


@pytest.mark.parametrize("wrong", [{"sample": 1.5}, {"sample": -0.1}, {"retain": "90"}, {"asynchronous_records": 0}])
def test_a_policy_that_is_none_is_told(wrong: dict):
    with pytest.raises(Invalid):
        policy_of(LogSpec(**wrong))


def test_a_section_of_the_project_becomes_a_policy():
    spec = LogSpec(0.5, ("ssn",), True, "90d", "batch", "50ms", 10)
    assert policy_of(spec) == Policy(0.5, frozenset({"ssn"}), True, True, 50, 10, 90 * 86_400_000)
    assert policy_of(LogSpec()) == Policy()
