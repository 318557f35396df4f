"""Laws of evaluation datasets: what is kept is what a dict of questions would keep, however it is sent and split."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.runs import create_evaluation, delete_records, get_evaluation, list_records, merge_records

TEXTS = st.text(max_size=4)
LEAVES = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=4
)
# Few questions, so that the same one comes often.
QUESTIONS = st.sampled_from([{}, {"q": 1}, {"q": 1.5}, {"q": "1"}, {"q": None}, {"q": [1, 2]}, {"p": 1, "q": 2}])
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)
RECORDS = st.fixed_dictionaries(
    {"inputs": QUESTIONS}, optional={"outputs": VALUES, "expectations": OBJECTS, "tags": OBJECTS}
)
CALLS = st.lists(st.lists(RECORDS, max_size=5), min_size=1, max_size=4)


def kept_by_a_dict(calls: list[list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What stands at the end if a plain dict kept the records, by their questions, in the order of these."""
    kept: dict[str, dict[str, Any]] = {}
    for record in (record for call in calls for record in call):
        key = json.dumps(record["inputs"], sort_keys=True)
        if key not in kept:
            expectations = record.get("expectations")
            kept[key] = {
                "inputs": record["inputs"], "outputs": record.get("outputs", {}), "tags": dict(record.get("tags", {})),
                "expectations": dict(expectations) if expectations is not None else None,
            }  # fmt: skip
            continue
        there = kept[key]
        if "outputs" in record:
            there["outputs"] = record["outputs"]
        if record.get("expectations"):
            there["expectations"] = {**(there["expectations"] or {}), **record["expectations"]}
        there["tags"].update(record.get("tags", {}))
    return kept


def shown(home: Home, dataset_id: str) -> list[dict[str, Any]]:
    return [
        {"inputs": one.inputs, "outputs": one.outputs, "tags": one.tags, "expectations": one.expectations}
        for one in list_records(home, dataset_id).records
    ]


@settings(max_examples=40)
@given(calls=CALLS)
def test_records_are_kept_as_a_dict_of_questions_would(tmp_path_factory, calls: list[list[dict[str, Any]]]):
    folder: Path = tmp_path_factory.mktemp("home")
    make_folder(folder)
    with open_home(folder) as home:
        one, split = create_evaluation(home, "one").id, create_evaluation(home, "split").id
        expected = kept_by_a_dict(calls)
        inserted = 0
        for call in calls:
            merged = merge_records(home, one, call)
            assert merged.inserted + merged.updated == len(call)
            inserted += merged.inserted
            for record in call:
                merge_records(home, split, [record])
        assert shown(home, one) == shown(home, split) == list(expected.values())
        assert inserted == get_evaluation(home, one).row_count == len(expected)
        again = merge_records(home, one, [record for call in calls for record in call])
        assert again.inserted == 0
        ids = [record.id for record in list_records(home, one).records]
        assert delete_records(home, one, ids[::2] + ids[::2]) == len(ids[::2])
        assert [record.id for record in list_records(home, one).records] == ids[1::2]


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6), page=st.integers(1, 5))
def test_pages_of_any_size_put_together_are_the_whole(tmp_path_factory, sizes: list[int], page: int):
    folder: Path = tmp_path_factory.mktemp("home")
    make_folder(folder)
    with open_home(folder) as home:
        dataset_id, number = create_evaluation(home, "paged").id, 0
        for size in sizes:
            merge_records(home, dataset_id, [{"inputs": {"n": number + place}} for place in range(size)])
            number += size
        found, token = [], ""
        while True:
            said = list_records(home, dataset_id, max_results=page, page_token=token)
            found += [record.inputs["n"] for record in said.records]
            token = said.next_page
            if not token:
                break
            assert len(said.records) == page
        assert found == list(range(number))
