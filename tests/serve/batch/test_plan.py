"""A plan cuts files into parts, and another plan is told by what differs."""

from dataclasses import replace
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from taut.errors import Conflict, Invalid
from taut.serve.batch.plan import Input, Options, Part, Plan, cuts_of, must_be_same, parts_of, plan_bytes, read_plan
from taut.serve.batch.pool import Shares

INPUTS = (Input("a.parquet", "parquet", 9, "md5:1", "m1", (0, 5, 7)), Input("b.csv", "csv", 4, "md5:2", "m2", (0, 2)))
PLAN = Plan("j", 1, "late@3", "d", "", "", Options(), "rows", INPUTS)


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 20))
def test_every_row_is_in_one_part_and_no_part_is_too_large(groups: list[int], part_rows: int):
    cuts = cuts_of(groups, part_rows)
    assert cuts[0] == 0 and cuts[-1] == sum(groups)
    assert all(0 < after - before <= part_rows for before, after in pairwise(cuts))


def test_parts_are_numbered_over_all_inputs():
    assert list(parts_of(PLAN)) == [Part(0, 0, 0, 0, 5), Part(1, 0, 1, 5, 7), Part(2, 1, 0, 0, 2)]
    assert Part(7, 0, 0, 0, 1).name == "part-00007.parquet" and PLAN.rows == 9


def test_a_plan_is_read_as_it_was_written():
    assert read_plan(plan_bytes(PLAN), where="out") == PLAN
    with pytest.raises(Invalid, match="the plan of the batch at out"):
        read_plan(b"{", where="out")


def test_the_same_plan_goes_on_with_the_marks_of_today():
    touched = tuple(replace(one, mark="later") for one in INPUTS)
    assert must_be_same(PLAN, replace(PLAN, job="k", at_ms=2, inputs=touched), where="out") == replace(
        PLAN, inputs=touched
    )


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(PLAN, model="late@4"), "model is 'late@4', and was 'late@3'"),
        (replace(PLAN, options=Options("skip")), '"on_error":"skip"'),
        (replace(PLAN, inputs=INPUTS[:1]), "b.csv is gone"),
        (replace(PLAN, inputs=(*INPUTS, replace(INPUTS[0], name="c"))), "c is new"),
        (replace(PLAN, inputs=(replace(INPUTS[0], digest="md5:9"), INPUTS[1])), "a.parquet has other content"),
        (replace(PLAN, inputs=(replace(INPUTS[0], cuts=(0, 7)), INPUTS[1])), "a.parquet is cut into other parts"),
    ],
)
def test_another_plan_is_refused_with_the_difference(other: Plan, said: str):
    with pytest.raises(Conflict) as refused:
        must_be_same(PLAN, other, where="out")
    assert str(refused.value).startswith("out belongs to another job: ") and said in str(refused.value)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.lists(st.integers(0, 3), max_size=60), st.data())
def test_each_part_is_given_to_one_worker_whoever_asks_and_whoever_dies(
    files: list[int], asks: list[int], data: st.DataObject
):
    parts = [Part(place * 10 + n, place, n, n, n + 1) for place, count in enumerate(files) for n in range(count)]
    shares, given_parts, alive = Shares(parts), list[int](), 4
    names = list(range(alive))
    for ask in [*asks, *([0] * len(parts))]:
        part = shares.take(names[ask])
        if part is not None and ask and data.draw(st.booleans()):
            shares.give_back(names[ask], part)  # It died over it; another takes its place.
            alive += 1
            names[ask] = alive
        elif part is not None:
            given_parts.append(part.number)
    while (part := shares.take(names[0])) is not None:
        given_parts.append(part.number)
    assert sorted(given_parts) == [part.number for part in parts]


def test_a_file_is_shared_by_halves_and_read_forwards():
    shares = Shares([Part(n, 0, n, n, n + 1) for n in range(8)])
    first = [shares.take(1), shares.take(1)]
    second = [shares.take(2), shares.take(2)]
    assert [part.number for part in (*first, *second) if part] == [0, 1, 5, 6]
