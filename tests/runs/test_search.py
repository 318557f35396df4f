"""Searching runs and logged models: the filter grammar, orders, pages that neither repeat nor hide."""

import itertools

import pytest

from taut.errors import Invalid, NotFound
from taut.runs import (
    Comparison,
    DatasetInput,
    MetricPoint,
    create_experiment,
    create_logged_model,
    create_run,
    delete_logged_model,
    delete_run,
    finish_logged_model,
    get_logged_model,
    log_batch,
    log_inputs,
    log_model_params,
    page_of_runs,
    parse_filter,
    search_logged_models,
    search_runs,
    tag_logged_model,
    update_run,
)


@pytest.fixture
def runs(home):
    """Four runs, oldest first: a to d, with what filters look at."""
    logged: dict[str, tuple[dict[str, float | None], dict[str, str], dict[str, str]]] = {
        "a": ({"auc": 0.5}, {"kind": "tree", "x%y": "1"}, {"team": "Red"}),
        "b": ({"auc": 0.7, "val loss": 2.0}, {"kind": "Tree"}, {"team": "blue"}),
        "c": ({"auc": None}, {"kind": "it's"}, {}),
        "d": ({}, {}, {"team": "red_1"}),
    }
    for name, (metrics, params, tags) in logged.items():
        run = create_run(home, run_id=name, name=f"run {name}")
        log_batch(home, run.id, metrics=[MetricPoint(k, v) for k, v in metrics.items()], tags=tags)
        log_batch(home, run.id, params={k: v for k, v in params.items() if "%" not in k})
        home.clock.pass_ms(1000)
    log_inputs(home, "a", [DatasetInput("flights", "d1", "local", "s", tags={"mlflow.data.context": "train"})])
    update_run(home, "b", status="FINISHED")


def found(home, filter: str, **options) -> str:
    return "".join(run.id for run in search_runs(home, filter=filter, **options))


FILTERS = {
    "": "dcba",
    "metrics.auc > 0.5": "b",
    "metric.auc >= 5e-1 and attributes.status = 'RUNNING'": "a",
    "metrics.auc != 0.5": "cb",
    "metrics.`val loss` = 2": "b",
    'metrics."val loss" < 1e9': "b",
    "params.kind = 'tree'": "a",
    "params.kind != 'tree'": "cb",
    "params.kind LIKE 'tr%'": "a",
    "params.kind ILIKE 'TR%'": "ba",
    "param.kind = 'it''s'": "c",
    'params.kind = "it\'s"': "c",
    "params.kind LIKE '%ee_'": "",
    "params.kind LIKE '*'": "",
    "params.kind IS NULL": "d",
    "tags.team IS NOT NULL": "dba",
    "tags.team ILIKE 'red%'": "da",
    "tags.team LIKE 'red_1'": "d",
    "tags.mlflow.runName = 'run c'": "c",
    "run_id IN ('a', 'c')": "ca",
    "attributes.run_id NOT IN ('a','c')": "db",
    "run_name LIKE '%b'": "b",
    "start_time > 1700000001000": "dc",
    "end_time IS NULL": "dca",
    "user_id = 'ada'": "dcba",
    "artifact_uri LIKE '%/b/%'": "b",
    "datasets.name = 'flights' AND dataset.context = 'train'": "a",
    "dataset.digest IN ('d1', 'd2')": "a",
    "dataset.context = 'eval'": "",
    "metrics.auc > 0.6 OR tags.team = 'Red'": "ba",
    "params.kind = 'tree' or params.kind = 'Tree' and metrics.auc > 0.9": "a",
    "(params.kind = 'tree' OR params.kind = 'Tree') AND metrics.auc > 0.6": "b",
    "NOT params.kind LIKE '%ree'": "dc",
    "NOT (end_time > 0 OR tags.team ILIKE 'red%')": "c",
    "not not run_id = 'a'": "a",
}


def test_a_filter_finds_what_it_says(home, runs):
    assert {filter: found(home, filter) for filter in FILTERS} == FILTERS


UNREADABLE = [
    "metrics.auc",
    "metrics.auc >",
    "metrics.auc > 'x'",
    "params.kind = 1",
    "params.kind = tree",
    "params.kind > 'a'",
    "params.x = '1' AND",
    "params.x = '1' OR",
    "(params.x = '1'",
    "params.x = '1')",
    "()",
    "NOT",
    "(" * 60 + "params.x = '1'" + ")" * 60,
    "nothing.x = 1",
    "shoe_size = 3",
    "metrics.auc LIKE '1'",
    "run_id IN 'a'",
    "run_id IN ()",
    "run_id IN ('a' 'b')",
    "start_time = 'x'",
    "status > 'A'",
    "params.x = 'open",
    "dataset.size = 'x'",
    "params.x = '1' params.y = '2'",
    "AND",
    "=",
    "'a' = 'a'",
    "params.x = '1'; DROP TABLE run",
    "metrics.auc > 1a",
]


def test_a_filter_that_cannot_be_read_is_told_and_never_runs(home, runs):
    for filter in UNREADABLE:
        with pytest.raises(Invalid):
            pytest.fail(f"{filter!r} found {found(home, filter)!r}")


def test_a_quote_in_a_value_or_key_is_only_a_value(home, runs):
    assert found(home, "params.kind = 'x'' OR ''1'' = ''1'") == ""
    assert found(home, "tags.`a' OR 1=1 --` = 'x'") == ""
    assert parse_filter("tags.`a b` = 'c'") == (Comparison("tag", "a b", "=", ("c",)),)


ORDERS: list[tuple[list[str], str]] = [
    (["metrics.auc"], "abcd"),
    (["metrics.auc DESC"], "bacd"),
    (["params.kind ASC"], "bcad"),
    (["tags.team desc"], "dbac"),
    (["start_time"], "abcd"),
    (["attributes.run_id DESC"], "dcba"),
    (["end_time", "run_id"], "bacd"),
    (["metrics.nothing"], "dcba"),
]


def test_what_is_missing_comes_last_and_not_a_number_before_it_whichever_way_the_order_goes(home, runs):
    assert [(order, found(home, "", order_by=order)) for order, _ in ORDERS] == ORDERS


def test_an_order_that_cannot_be_read_is_refused(home, runs):
    for order in ("metrics.", "a b c", "nothing.x", "shoe_size", "dataset.name", "metrics.a; DROP"):
        with pytest.raises(Invalid):
            pytest.fail(f"{order!r} found {found(home, '', order_by=[order])!r}")


def test_pages_put_together_are_the_whole_answer(home, runs):
    for order, size in itertools.product(
        ([], ["metrics.auc DESC"], ["params.kind"], ["end_time"], ["tags.team", "metrics.auc"]), (1, 2, 3)
    ):
        whole = [d.run.id for d in page_of_runs(home, ["0"], order_by=order).runs]
        assert sorted(whole) == ["a", "b", "c", "d"]
        pages: list[str] = []
        token = ""
        while True:
            page = page_of_runs(home, ["0"], order_by=order, max_results=size, page_token=token)
            pages += [detail.run.id for detail in page.runs]
            if not (token := page.next_page):
                break
        assert pages == whole


def test_runs_that_start_while_somebody_pages_neither_repeat_nor_hide_others(home, runs):
    first = page_of_runs(home, ["0"], max_results=2)
    create_run(home, run_id="new")
    delete_run(home, "d")
    second = page_of_runs(home, ["0"], max_results=2, page_token=first.next_page)
    assert [d.run.id for d in (*first.runs, *second.runs)] == ["d", "c", "b", "a"]


def test_a_token_of_another_question_or_server_is_refused(home, runs):
    for token in ("x", "bnVsbA==", "eyJvZmZzZXQiOiAxfQ==", "WzEsMiwzXQ=="):
        with pytest.raises(Invalid, match="token"):
            page_of_runs(home, ["0"], page_token=token)


def test_deleted_runs_are_found_only_where_they_are_asked_for(home, runs):
    delete_run(home, "a")
    seen = {view: len(page_of_runs(home, ["0"], view=view).runs) for view in ("active", "deleted", "all")}
    assert seen == {"active": 3, "deleted": 1, "all": 4}
    assert page_of_runs(home, []).runs == ()


def test_runs_are_found_by_the_names_of_their_experiments(home, runs):
    create_run(home, run_id="other", experiment="other")
    assert [run.id for run in search_runs(home, experiments=["other"])] == ["other"]
    assert search_runs(home, experiments=["nowhere"]) == []
    assert len(search_runs(home, limit=2)) == 2


def test_a_logged_model_goes_from_pending_to_ready_and_keeps_what_was_said_of_it(home):
    run = create_run(home, run_id="r")
    model = create_logged_model(home, "0", name="model", run_id=run.id, params={"a": "1"}, tags={"t": "x"})
    assert (model.status, model.id[:2], model.run_id) == ("PENDING", "m-", "r")
    log_model_params(home, model.id, {"b": "2"})
    with pytest.raises(Invalid, match="once"):
        log_model_params(home, model.id, {"b": "3"})
    tag_logged_model(home, model.id, {"u": "y", "t": None})
    with pytest.raises(NotFound, match="No tag"):
        tag_logged_model(home, model.id, {"t": None})
    log_batch(home, "r", metrics=[MetricPoint("auc", 0.1, 1, 1, model.id), MetricPoint("auc", 0.9, 2, 1, model.id)])
    done = finish_logged_model(home, model.id, "READY")
    assert (done.status, done.params, done.tags) == ("READY", {"a": "1", "b": "2"}, {"u": "y"})
    assert [(p.key, p.value) for p in done.metrics] == [("auc", 0.9)]
    delete_logged_model(home, model.id)
    for call in (get_logged_model, delete_logged_model):
        with pytest.raises(NotFound, match=r"Logged model .* not found"):
            call(home, model.id)


def test_a_logged_model_needs_an_experiment_and_a_run_that_are_there(home):
    create_run(home, run_id="r")
    for experiment, run in (("nowhere", ""), ("0", "nobody")):
        with pytest.raises(NotFound, match="no"):
            create_logged_model(home, experiment, run_id=run)
    with pytest.raises(Invalid, match="cannot name"):
        create_logged_model(home, "0", name="a/b")


def test_logged_models_are_found_by_name_params_tags_and_metrics(home):
    create_run(home, run_id="r")
    other = create_experiment(home, "other").id
    for number, name in enumerate(["one", "two", "three"]):
        model = create_logged_model(home, "0", name=name, run_id="r", params={"n": str(number)})
        log_batch(home, "r", metrics=[MetricPoint("auc", number / 10, model_id=model.id)])
        home.clock.pass_ms(1)
    create_logged_model(home, other, name="elsewhere")

    def names(**question):
        return [model.name for model in search_logged_models(home, ["0"], **question).models]

    assert names() == ["three", "two", "one"]
    assert names(filter="name LIKE 't%' AND metrics.auc > 0.1") == ["three"]
    assert names(filter="params.n = '0'") == ["one"]
    assert names(order_by=["metrics.auc ASC"]) == ["one", "two", "three"]
    assert names(filter="source_run_id = 'r'", max_results=1) == ["three"]
    first = search_logged_models(home, ["0"], max_results=2)
    assert [m.name for m in search_logged_models(home, ["0"], page_token=first.next_page).models] == ["one"]
    with pytest.raises(Invalid, match="cannot filter"):
        names(filter="colour = 'red'")


def test_a_filter_that_breaks_off_is_told_where_and_what_is_missing():
    with pytest.raises(Invalid, match=r"character 18: a key such as .* found its end"):
        parse_filter("metrics.m > 1 AND")
