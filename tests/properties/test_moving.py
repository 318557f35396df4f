"""Laws of moving: what a home holds moves out to a folder, and from there into another home, without a difference."""

import io
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from taut.faces.moving.arriving import move_in
from taut.faces.moving.leaving import move_out_to_folder
from taut.faces.moving.opening import open_source
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.runs import (
    DatasetInput,
    MetricPoint,
    create_run,
    delete_run,
    list_experiments,
    log_batch,
    log_inputs,
    put_artifact,
    run_detail,
    run_root,
    search_runs,
    tally_run,
    update_run,
)

# Letters that make trouble in file names, YAML and JSON; a key is never below another, as no file system could keep it.
words = st.text(st.sampled_from("aZ9 _-.:é✈#'\"{}[]&*!|>%@`,?\n\t\\"), max_size=12)
keys = st.text(st.sampled_from("abXY09_- :"), min_size=1, max_size=8).filter(lambda key: key.strip(" .") == key)
steps = st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-2, 5)
points = st.lists(
    st.builds(MetricPoint, keys, st.floats(allow_nan=True, allow_infinity=True), steps, st.integers(0, 2**53)),
    max_size=12,
)
files = st.dictionaries(
    st.sampled_from(["a.bin", "b c.txt", "d/e.bin", "d/ü/f", "g#h", "i%20j"]), st.binary(max_size=40)
)
runs = st.fixed_dictionaries(
    {
        "name": words.filter(lambda name: bool(name.strip())),
        "experiment": st.sampled_from(["Default", "one", "two: #2"]),
        "params": st.dictionaries(keys, words, max_size=4),
        "tags": st.dictionaries(keys, words, max_size=4),
        "points": points,
        "files": files,
        "status": st.sampled_from(["FINISHED", "FAILED", "KILLED", "RUNNING"]),
        "deleted": st.booleans(),
        "reads": st.lists(st.builds(DatasetInput, keys, keys, words, words, words, words), max_size=2),
    }
)


def fill(home: Home, said: dict) -> str:
    """Make a run as it is said, by the verbs that clients use."""
    run = create_run(home, experiment=said["experiment"], name=said["name"], started_ms=1_000)
    log_batch(home, run.id, params=said["params"], tags=said["tags"], metrics=said["points"])
    log_inputs(home, run.id, said["reads"])
    for path, data in said["files"].items():
        oid = home.objects.put(io.BytesIO(data))
        put_artifact(home, run_root(run.experiment_id, run.id), path, oid, len(data))
    update_run(home, run.id, status=said["status"], ended_ms=2_000 if said["status"] != "RUNNING" else None)
    if said["deleted"]:
        delete_run(home, run.id)
    return run.id


def new_home(place: Path) -> Home:
    place.mkdir()
    make_folder(place)
    return open_home(place)


@settings(max_examples=25)
@given(st.lists(runs, min_size=1, max_size=3))
def test_what_moves_out_and_in_again_is_the_same(said: list[dict]):
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "mlruns"
        with new_home(Path(folder) / "one") as home, new_home(Path(folder) / "two") as other:
            ids = [fill(home, one) for one in said]
            out = move_out_to_folder(home, there, jobs=1)
            assert [problem.text for problem in out.problems] == [] and out.is_whole
            back = move_in(other, open_source(str(there)), jobs=2)
            assert [problem.text for problem in back.problems] == [] and back.is_whole
            for run_id in ids:
                assert tally_run(other, run_id) == tally_run(home, run_id)
                theirs, ours = run_detail(other, run_id), run_detail(home, run_id)
                assert replace(theirs.run, cause="", capture=ours.run.capture) == replace(ours.run, cause="")
                assert sorted(theirs.metrics, key=lambda p: p.key) == sorted(ours.metrics, key=lambda p: p.key)
            names = {one.name for one in list_experiments(home)}
            assert {one.name for one in list_experiments(other)} == names | {"Default"}


@settings(max_examples=10)
@given(st.lists(runs, min_size=2, max_size=4), st.integers(1, 3))
def test_moving_in_parts_is_moving_at_once(said: list[dict], first: int):
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "mlruns"
        with new_home(Path(folder) / "one") as home, new_home(Path(folder) / "two") as other:
            for one in said[:first]:
                fill(home, one)
            move_out_to_folder(home, there)
            early = move_in(other, open_source(str(there)))
            for one in said[first:]:
                fill(home, one)
            move_out_to_folder(home, there)
            late = move_in(other, open_source(str(there)))
            assert early.is_whole and late.is_whole
            assert late.known >= early.moved
            assert late.moved == len(said[first:])
            here, moved = search_runs(home, limit=100), search_runs(other, limit=100)
            assert {run.id for run in here} == {run.id for run in moved}
