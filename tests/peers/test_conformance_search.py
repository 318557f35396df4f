"""`search_runs`: the whole grammar of filters, orders with ties and gaps, views and pages to the end."""

import math

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")
BAD = "INVALID_PARAMETER_VALUE"


@pytest.fixture(scope="module")
def told(shared_url):
    """The id of an experiment of five runs, r0 to r4, and the client that made them."""
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(shared_url, shared_url)
    experiment = client.create_experiment(f"searched {id(client)}")
    kinds = ["tree", "line", "Tree", "tree", None]
    scores = [0.1, 0.2, float("nan"), 0.4, None]
    for number in range(5):
        run = client.create_run(
            experiment, start_time=1000 + number, run_name=f"r{number}", tags={"even": str(number % 2 == 0)}
        )
        run_id = run.info.run_id
        if kinds[number]:
            client.log_param(run_id, "kind", kinds[number])
        if scores[number] is not None:
            client.log_metric(run_id, "auc", scores[number])
        client.log_metric(run_id, "val loss", number * 1.5)
        client.log_param(run_id, "a.b/c d", f"it's {number}")
        client.set_terminated(run_id, "FAILED" if number == 3 else "FINISHED", end_time=2000 + number)
        dataset = mlflow.entities.Dataset(f"rows{number % 2}", f"digest{number}", "local", "{}")
        tags = [mlflow.entities.InputTag("mlflow.data.context", "train" if number < 3 else "test")]
        client.log_inputs(run_id, [mlflow.entities.DatasetInput(dataset, tags)])
    return client, experiment


def names(told, filter="", **more) -> str:
    client, experiment = told
    return "".join(run.info.run_name[1:] for run in client.search_runs([experiment], filter, **more))


FILTERS = [
    ("", "43210"),
    ("metrics.auc > 0.1", "31"),
    ("metrics.auc >= 0.1", "310"),
    ("metrics.auc < 0.4", "10"),
    ("metrics.auc <= 0.4", "310"),
    ("metrics.auc = 0.2", "1"),
    ("metric.auc > 0.3", "3"),
    ("metrics.`val loss` > 3", "43"),
    ('metrics."val loss" <= 1.5', "10"),
    ("metrics.auc > -1e-3 AND metrics.auc < 1.5e-1", "0"),
    ("params.kind = 'tree'", "30"),
    ("params.kind != 'tree'", "21"),
    ("params.kind LIKE 'tr%'", "30"),
    ("params.kind ILIKE 'tr%'", "320"),
    ("params.kind LIKE '_ree'", "320"),
    ('param.kind = "line"', "1"),
    ("parameters.kind = 'line'", "1"),
    ("params.`a.b/c d` LIKE '%2'", "2"),
    ("params.kind IS NULL", "4"),
    ("params.kind IS NOT NULL", "3210"),
    ("tags.even = 'True'", "420"),
    ("tags.even != 'True'", "31"),
    ("tag.even ILIKE 't%'", "420"),
    ("tags.none IS NULL", "43210"),
    ("tags.`mlflow.runName` = 'r2'", "2"),
    ("tags.mlflow.runName = 'r2'", "2"),
    ("attributes.run_name = 'r1'", "1"),
    ("attributes.run_name LIKE 'r%' AND attributes.run_name != 'r0'", "4321"),
    ("attribute.run_name ILIKE 'R3'", "3"),
    ("run_name = 'r1'", "1"),
    ("attributes.`run name` = 'r1'", "1"),
    ("attributes.`Run name` = 'r1'", "1"),
    ("status = 'FAILED'", "3"),
    ("attributes.status != 'FAILED'", "4210"),
    ("attributes.start_time > 1002", "43"),
    ("start_time <= 1001 and end_time >= 2001", "1"),
    ("attributes.Created = 1002", "2"),
    ("attributes.end_time != 2000", "4321"),
    ("attributes.artifact_uri LIKE '%artifacts'", "43210"),
    ("dataset.name = 'rows1'", "31"),
    ("datasets.name LIKE 'rows%' AND dataset.digest = 'digest2'", "2"),
    ("dataset.context = 'test'", "43"),
    ("dataset.name IN ('rows0', 'nothing')", "420"),
    ("dataset.digest != 'digest0'", "4321"),
    ("metrics.auc > 0.05 AND params.kind = 'tree' AND tags.even = 'True' AND status = 'FINISHED'", "0"),
    ("  params.kind='tree'   and   metrics.auc>0.3 ", "3"),
    ("params.kind = 'no''quote'", ""),
    ("metrics.nothing > 0", ""),
]


@pytest.mark.parametrize(("filter", "expected"), FILTERS)
def test_filters(told, filter, expected):
    assert names(told, filter) == expected


@pytest.mark.parametrize("turned", [False, True], ids=["in", "not in"])
def test_runs_are_chosen_by_a_list_of_ids(told, turned):
    client, experiment = told
    ids = [run.info.run_id for run in client.search_runs([experiment])]
    listed = ", ".join(f"'{one}'" for one in ids[:2])
    assert names(told, f"attributes.run_id {'NOT IN' if turned else 'IN'} ({listed})") == ("210" if turned else "43")
    assert names(told, f"run_id = '{ids[4]}'") == "0"


REFUSED = [
    "metrics.auc = 'x'", "metrics.auc > ", "metrics.auc LIKE 'x'", "params.kind = 5", "params.kind > 'a'",
    "params.kind", "= 'x'", "colours.red = 'x'", "attributes.nothing = 'x'", "params.kind == 'x'", "tags.x = y",
    "params.kind = 'tree", "'tree' = params.kind", "start_time = 'x'", "dataset.nothing = 'x'",
    "params.kind = 'a' params.kind = 'b'", "; DROP TABLE runs", "metrics.auc > 0 AND AND params.kind = 'x'",
    "attributes.start_time LIKE '1%'", "metrics.auc IN (1, 2)", "params.kind = 'x' XOR params.kind = 'y'",
]  # fmt: skip


@pytest.mark.parametrize("filter", REFUSED)
def test_filters_that_mean_nothing_are_refused(told, code_of, filter, unlike_stock):
    unlike_stock(filter.count("params.kind") > 1 or "AND AND" in filter)
    assert code_of(names, told, filter) == BAD


ORDERS = [
    (["metrics.auc"], "01324"),
    (["metrics.auc ASC"], "01324"),
    (["metrics.auc DESC"], "31024"),
    (["params.kind"], "21304"),
    (["params.kind DESC"], "30124"),
    (["attributes.start_time ASC"], "01234"),
    (["start_time DESC"], "43210"),
    (["attributes.end_time"], "01234"),
    (["tags.even", "metrics.`val loss` DESC"], "31420"),
    (["attributes.status ASC", "start_time ASC"], "30124"),
    (["run_name ASC"], "01234"),
    (["tags.`mlflow.runName` DESC"], "43210"),
    (["metrics.nothing DESC"], "43210"),
]


@pytest.mark.parametrize(("order", "expected"), ORDERS)
def test_orders(told, order, expected):
    found = names(told, order_by=order)
    if order[0].startswith("params.kind"):  # The order of capitals is the database's.
        assert (found[-1], sorted(found)) == (expected[-1], sorted(expected))
    else:
        assert found == expected


@pytest.mark.parametrize("order", ["metrics.auc UP", "nothing", "colours.red", "metrics.", "metrics.auc DESC DESC", ""])
def test_orders_that_mean_nothing_are_refused(told, code_of, order, unlike_stock):
    unlike_stock(order == "metrics.")
    assert code_of(names, told, order_by=[order]) == BAD


@pytest.mark.parametrize("size", [1, 2, 5, 6])
@pytest.mark.parametrize("order", [[], ["metrics.auc DESC"], ["params.kind"], ["tags.even DESC", "start_time"]])
def test_pages_to_the_end_are_the_whole_answer_once(told, size, order):
    client, experiment = told
    seen, token, pages = "", None, 0
    while True:
        page = client.search_runs([experiment], order_by=order, max_results=size, page_token=token)
        seen, pages = seen + "".join(run.info.run_name[1:] for run in page), pages + 1
        assert len(page) <= size
        if not (token := page.token):
            break
    assert seen == names(told, order_by=order)
    assert pages == math.ceil(5 / size)


@pytest.mark.parametrize("token", ["bm90IGEgdG9rZW4=", "x", "e30=", "W10="])
def test_tokens_that_nobody_gave_are_refused(told, code_of, token, unlike_stock):
    unlike_stock()
    assert code_of(names, told, page_token=token) == BAD


@pytest.mark.parametrize(("view", "expected"), [(1, "ba"), (2, "c"), (3, "cba")])
def test_views(client, experiment, view, expected):
    for number, name in enumerate("abc"):
        run = client.create_run(experiment, run_name=name, start_time=number + 1)
    client.delete_run(run.info.run_id)
    assert "".join(run.info.run_name for run in client.search_runs([experiment], run_view_type=view)) == expected


def test_several_experiments_are_searched_at_once_and_none_gives_none(client, unique):
    experiments = [client.create_experiment(unique("several")) for _ in range(3)]
    for experiment in experiments:
        client.create_run(experiment)
    assert len(client.search_runs(experiments)) == 3
    assert len(client.search_runs(experiments[:2])) == 2
    assert client.search_runs(["999999"]) == []


@pytest.mark.parametrize(
    "text", ["ünï ✈", "it''s", "100%", "a_b", "back\\slash", "semi;colon", "-- comment", "日本", 'double"quote']
)
def test_values_of_any_letters_are_found(client, experiment, text):
    run_id = client.create_run(experiment, tags={"t": text.replace("''", "'")}).info.run_id
    client.create_run(experiment, tags={"t": "other"})
    if "'" in text:
        found = client.search_runs([experiment], f'tags.t = "{text.replace(chr(39) * 2, chr(39))}"')
    else:
        found = client.search_runs([experiment], f"tags.t = '{text}'")
    assert [run.info.run_id for run in found] == [run_id]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("metrics.m != 1", "infinity nan zero"), ("metrics.m != 0", "infinity nan one"), ("metrics.m = 0", "zero"),
        ("metrics.m < 1", "zero"), ("metrics.m > -1", "infinity one zero"), ("metrics.m >= 0", "infinity one zero"),
        ("metrics.m != 0 and metrics.m != 1", "infinity nan"),
    ],
)  # fmt: skip
def test_what_is_not_a_number_is_unequal_to_every_number_and_else_compares_to_none(
    client, experiment, filter, expected
):
    for name, value in {"nan": math.nan, "zero": 0.0, "one": 1.0, "infinity": math.inf}.items():
        client.log_metric(client.create_run(experiment, run_name=name).info.run_id, "m", value)
    client.create_run(experiment, run_name="none")
    found = client.search_runs([experiment], filter)
    assert " ".join(sorted(run.info.run_name for run in found)) == expected
