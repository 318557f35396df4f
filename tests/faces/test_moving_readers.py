"""Odd and old stores: servers from before MLflow 3, folders of many versions, broken lines; what is read of them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from taut.errors import Denied, Invalid, NotFound, Unavailable
from taut.faces.moving.arriving import move_in
from taut.faces.moving.folder import FolderSource
from taut.faces.moving.report import Line, Report, differences
from taut.faces.moving.rest import RestSource
from taut.faces.moving.shapes import latest_of, point_of, sorted_points
from taut.faces.moving.source import TheirModel
from taut.faces.moving.survey import Survey
from taut.home import Home, open_home
from taut.models import find_model, model_files, show_model
from taut.runs import Count, LoggedModel, MetricPoint, all_artifacts, get_run, metric_history, run_root
from tests.faces.old_mlflow import FILES, RUN, OldServer, old_server


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[OldServer, str]]:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "right")
    with old_server() as found:
        yield found


@pytest.fixture
def opened(project: Path) -> Iterator[Home]:
    with open_home(project) as home:
        yield home


# A server from before MLflow 3


def test_an_old_server_arrives_whole(opened: Home, old: tuple[OldServer, str]):
    report = move_in(opened, RestSource(old[1]))
    assert (report.problems, report.is_whole) == ((), True)
    run = get_run(opened, RUN)
    assert (run.name, run.actor, run.started_ms, run.ended_ms, run.params) == (
        "first",
        "eve",
        1000,
        2000,
        {"depth": "4"},
    )
    assert run.tags == {"mlflow.runName": "first", "none": ""}
    files = {file.path: file.size_bytes for file in all_artifacts(opened, run_root("1", RUN))}
    assert files == {path: len(data) for path, data in FILES.items()}
    assert report.notes == ("the server knows no logged models, so it is older than MLflow 3",)


def test_pages_are_followed_and_what_comes_twice_counts_once(opened: Home, old: tuple[OldServer, str]):
    source = RestSource(old[1])
    assert [one.id for one in source.experiments()] == ["0", "1", "2"]
    (run,) = source.runs("1")
    points = list(source.points(run))
    assert [(point.step, point.value) for point in points][-2:] == [(6, 1.1), (9, None)]
    assert len(points) == 8
    move_in(opened, source)
    assert len(metric_history(opened, RUN, "auc").points) == 8


def test_versions_come_oldest_first_with_the_aliases_that_only_one_answer_has(opened: Home, old: tuple[OldServer, str]):
    move_in(opened, RestSource(old[1]))
    assert show_model(opened, "it's").aliases == {"best": 2}
    assert [find_model(opened, f"it's@{n}").created_ms for n in (1, 2)] == [10, 20]
    assert [file.path for file in model_files(opened, "it's", 1)] == ["MLmodel", "data/x y.bin"]


def test_a_server_that_is_busy_is_asked_again(opened: Home, old: tuple[OldServer, str]):
    server, url = old
    source = RestSource(url)
    server.busy = 2
    assert [one.name for one in source.experiments()] == ["Default", "old", "gone"]


def test_a_server_that_is_started_again_is_asked_again_and_one_that_never_answered_is_not(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "right")
    with old_server() as (_, url):
        known = RestSource(url)
        names = [one.name for one in known.experiments()]
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(lambda: [one.name for one in known.experiments()])
        began = time.monotonic()
        with pytest.raises(Unavailable, match=f"{url} does not answer: .*Connection refused"):
            RestSource(url)
        assert time.monotonic() - began < 5
        with old_server(int(url.rpartition(":")[2])):
            assert again.result(20) == names


def test_a_server_that_stays_busy_ends_the_move_and_the_next_one_goes_on(opened: Home, old: tuple[OldServer, str]):
    server, url = old
    source = RestSource(url)
    server.busy = 1000
    with pytest.raises(Unavailable, match="answered 503: later"):
        source.client.tell("POST", "/api/2.0/mlflow/experiments/search", {})
    server.busy = 0
    assert move_in(opened, source).is_whole


def test_a_line_that_breaks_in_a_file_ends_the_move_and_the_next_one_goes_on(opened: Home, old: tuple[OldServer, str]):
    server, url = old
    server.cut = True
    with pytest.raises(Unavailable, match="broke off in a file"):
        move_in(opened, RestSource(url), jobs=1)
    server.cut = False
    assert move_in(opened, RestSource(url)).is_whole


def test_a_server_that_does_not_know_us_says_so(old: tuple[OldServer, str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "wrong")
    with pytest.raises(Denied, match="who are you") as refused:
        RestSource(old[1])
    assert "MLFLOW_TRACKING_TOKEN" in refused.value.hint


def test_a_server_that_speaks_something_else_is_said(old: tuple[OldServer, str]):
    with pytest.raises(NotFound, match="says"):
        RestSource(f"{old[1]}/elsewhere")


# Folders


def folder_of(tmp_path: Path, **metas: str) -> Path:
    root = tmp_path / "mlruns"
    for place, text in {"0": "{experiment_id: '0', name: Default}", **metas}.items():
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / "meta.yaml").write_text(text)
    return root


OLD_RUN = "{run_uuid: r1, status: 3, start_time: 1, end_time: 2, user_id: eve, lifecycle_stage: active, tags: []}"


def with_run(tmp_path: Path, meta: str = OLD_RUN, **files: str) -> FolderSource:
    root = folder_of(tmp_path)
    (root / "0" / "r1").mkdir()
    (root / "0" / "r1" / "meta.yaml").write_text(meta)
    for path, text in files.items():
        place = root / "0" / "r1" / path.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return FolderSource(root)


def test_a_run_of_an_old_folder_is_read(tmp_path: Path):
    (run,) = with_run(tmp_path, params__depth="4").runs("0")
    one = run.detail.run
    assert (one.id, one.status, one.actor, one.started_ms, one.ended_ms, one.name) == (
        "r1",
        "FINISHED",
        "eve",
        1,
        2,
        "",
    )
    assert one.params == {"depth": "4"}
    assert run.location.endswith("/mlruns/0/r1/artifacts")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1000 0.5", (0, 1000, 0.5)),
        ("1000 0.5 3", (3, 1000, 0.5)),
        ("1000 0.5 3 flights ab12", (3, 1000, 0.5)),
        ("1000 nan 3", (3, 1000, None)),
        ("1000 -inf 3", (3, 1000, -1.7976931348623157e308)),
        ("-5 1e-300 -3", (-3, -5, 1e-300)),
    ],
)
def test_a_line_of_a_metric_has_two_three_or_five_words(tmp_path: Path, line: str, expected: tuple[int, int, float]):
    source = with_run(tmp_path, metrics__a=f"{line}\n")
    (run,) = source.runs("0")
    assert [(point.step, point.at_ms, point.value) for point in source.points(run)] == [expected]
    assert (run.detail.metrics[0].step, source.notes) == (expected[0], [])


@pytest.mark.parametrize("line", ["", "1000", "x 0.5 3", "1000 y 3", "1000 0.5 z"])
def test_a_broken_line_is_passed_over_and_told(tmp_path: Path, line: str):
    source = with_run(tmp_path, metrics__a=f"1 0.25 0\n{line}\n2 0.5 1\n")
    (run,) = source.runs("0")
    assert [point.value for point in source.points(run)] == [0.25, 0.5]
    assert len(source.notes) == 1 and "has a line that is no point" in source.notes[0]


def test_lines_that_were_written_twice_count_once_and_come_in_order(tmp_path: Path):
    source = with_run(tmp_path, metrics__a="3 1 2\n1 1 0\n3 1 2\n2 1.0 1\n", metrics__deep__b="1 2 3\n")
    (run,) = source.runs("0")
    found = [(point.key, point.step) for point in source.points(run)]
    assert found == [("a", 0), ("a", 1), ("a", 2), ("deep/b", 3)]


def test_a_change_of_a_run_changes_its_mark(tmp_path: Path):
    marks = set()
    for number, line in enumerate(["1 1 0\n", "1 1 0\n2 1 1\n", "1 1 0\n2 1 2\n"]):
        (run,) = with_run(tmp_path / str(number), metrics__a=line).runs("0")
        marks.add(replace(run, location="").mark)
    (tagged,) = with_run(tmp_path / "tagged", metrics__a="1 1 0\n", tags__x="1").runs("0")
    assert len(marks | {tagged.mark}) == 4


@pytest.mark.parametrize(
    "meta",
    ["", "[]", "{status: 3, status: 4}", "{run_id: r1, status: many}", "{run_id: !!python/object:os.system x}", "{: x"],
    ids=["empty", "list", "twice", "word", "object", "syntax"],
)
def test_a_run_whose_meta_cannot_be_read_is_passed_over_and_told(tmp_path: Path, meta: str):
    source = with_run(tmp_path, meta)
    found = list(source.runs("0"))
    assert (found == [] and len(source.notes) == 1) or (meta == "" and len(found) == 1)


def test_a_folder_without_meta_is_no_run_and_told(tmp_path: Path):
    source = with_run(tmp_path)
    (tmp_path / "mlruns" / "0" / "stray").mkdir()
    assert len(list(source.runs("0"))) == 1
    assert [note.endswith("stray has no meta.yaml, so it is no run") for note in source.notes] == [True]


def test_names_that_yaml_takes_for_numbers_stay_words(tmp_path: Path):
    root = folder_of(tmp_path, **{"12": "{experiment_id: 12, name: 2024}"})
    assert [(one.id, one.name) for one in FolderSource(root).experiments()] == [("0", "Default"), ("12", "2024")]


def test_a_registry_alone_is_a_store(tmp_path: Path):
    place = tmp_path / "mlruns" / "models" / "late"
    (place / "version-2").mkdir(parents=True)
    (place / "meta.yaml").write_text("{name: late, creation_timestamp: 5, description: null}")
    (place / "version-2" / "meta.yaml").write_text("{version: 2, source: s3://b/x, current_stage: Production}")
    source = FolderSource(tmp_path / "mlruns")
    (model,) = source.models()
    (version,) = source.versions(model)
    assert (model.newest, model.updated_ms, model.description) == (2, 5, "")
    assert (version.version.number, version.version.stage, version.location) == (2, "Production", "s3://b/x")


# What readers share, and what a report says


def test_points_come_in_our_order_and_none_twice():
    a, b, c = MetricPoint("x", 1.0, 1, 5), MetricPoint("x", None, 1, 5), MetricPoint("x", 0.0, 0, 9)
    assert list(sorted_points([a, b, c, a])) == [c, b, a]
    judging = a.measured_on("m-1")
    assert list(sorted_points([judging, a])) == [a, judging]


@pytest.mark.parametrize("value", ["x", "", "1,5"])
def test_what_is_no_number_is_refused(value: str):
    with pytest.raises(ValueError, match="could not convert"):
        point_of("a", value, 0, 0)


def test_the_latest_point_of_each_metric_is_that_of_the_highest_step_then_time_then_value():
    points = [
        MetricPoint("a", 1.0, 2, 1),
        MetricPoint("a", 9.0, 1, 9),
        MetricPoint("a", 2.0, 2, 1),
        MetricPoint("b", None),
    ]
    assert [(point.key, point.value) for point in latest_of(("r", point) for point in points)] == [
        ("a", 2.0),
        ("b", None),
    ]


def test_what_judges_models_is_told_by_run_and_point():
    model = LoggedModel("m-1", "0", "r", "m", "", "READY", 0, 0)
    point = MetricPoint("auc", 0.5, 1, 1, "m-1")
    seen = Survey(logged=[
        TheirModel(model, "", (("r", point), ("r", point), ("s", point))),
        TheirModel(replace(model, id="m-2"), "", (("r", point.measured_on("m-2")),)),
    ])  # fmt: skip
    plain = point.measured_on("")
    assert seen.judged() == {"r": {plain: ["m-1", "m-2"]}, "s": {plain: ["m-1"]}}


def test_differences_are_told_by_number_and_by_content():
    there = {"params": Count(2, "ab"), "tags": Count(1, "cd"), "files": Count(1, "ef"), "bytes": Count(9, "ef")}
    here = {"params": Count(1, "aa"), "tags": Count(1, "ce"), "files": Count(1, "ef")}
    assert [problem.text for problem in differences("run", "r", there, here)] == [
        "params: 2 in the source, 1 in the target",
        "tags: 1 in the source, 1 in the target; the number is the same, the content is not",
    ]


def test_a_report_is_whole_where_all_lines_agree_and_nothing_went_wrong():
    same, other = Count(1, "a"), Count(1, "b")
    whole = Report("s", "t", (Line("runs", same, same),), (), ("a note",), 1, 0)
    assert whole.is_whole
    assert not replace(whole, lines=(Line("runs", same, other),)).is_whole
    assert not replace(whole, problems=tuple(differences("run", "r", {"runs": same}, {}))).is_whole


def test_an_answer_that_is_no_json_is_said(old: tuple[OldServer, str]):
    source = RestSource(old[1])
    with pytest.raises(Invalid, match="cannot be read"):
        source.client.ask("GET", "/get-artifact", dict, path="notes.txt")
