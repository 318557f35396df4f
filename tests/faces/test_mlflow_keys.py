"""`Idempotency-Key`: a request that was answered is answered the same again, for a day, and done once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest
import urllib3

from taut.faces.mlflow import runs as run_answers
from taut.faces.mlflow.routes import ROUTES
from taut.govern import check_home, create_token
from taut.ground.answered import KEPT_MS
from taut.ground.clock import SetClock
from taut.ground.ledger import events
from taut.home import Home
from taut.models import list_models, list_versions
from taut.runs import create_run, get_run, metric_history, put_artifact, search_runs
from tests.faces.serving import served

POOL = urllib3.PoolManager(retries=False, timeout=30, maxsize=16)
CREATE = "/api/2.0/mlflow/runs/create"
NEW = {"experiment_id": "0", "run_name": "one"}


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as place:
        yield place


def send(
    url: str, path: str, body: object, *, key: str = "", method: str = "POST", secret: str = ""
) -> tuple[int, dict[str, Any], bool]:
    """Status and JSON of an answer, and whether it is one that was given before."""
    headers = {"idempotency-key": key} if key else {}
    headers |= {"authorization": f"Bearer {secret}"} if secret else {}
    answer = POOL.request(method, url + path, body=json.dumps(body).encode(), headers=headers)
    return answer.status, json.loads(answer.data), answer.headers.get("idempotency-replayed") == "true"


def kept(home: Home) -> int:
    with home.meta.read() as tx:
        row = tx.row("SELECT COUNT(*) FROM answered")
        return int(str(row and row[0]))


def test_a_run_asked_for_twice_under_one_key_is_one_run_and_one_answer(home: Home, url: str):
    status, first, replayed = send(url, CREATE, NEW, key="k")
    assert (status, replayed) == (200, False)
    assert send(url, CREATE, NEW, key="k") == (200, first, True)
    assert [run.id for run in search_runs(home)] == [first["run"]["info"]["run_id"]]
    with home.meta.read() as tx:
        assert len(events(tx, kind="run.created")) == 1
    assert check_home(home).problems == ()


def test_without_a_key_nothing_is_kept_and_each_request_is_done(home: Home, url: str):
    assert send(url, CREATE, NEW)[1] != send(url, CREATE, NEW)[1]
    assert len(search_runs(home)) == 2
    assert kept(home) == 0


def scene(home: Home) -> str:
    """A run with the file of a model in it, and the model."""
    run = create_run(home, run_id="a" * 32)
    data = b"flavors:\n  python_function:\n    loader_module: none\n"
    put_artifact(home, f"0/{run.id}/artifacts", "model/MLmodel", home.objects.put(BytesIO(data)), len(data))
    return run.id


def changes(run: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        ("POST", "mlflow/experiments/create", {"name": "new"}),
        ("POST", "mlflow/runs/create", NEW),
        ("POST", "mlflow/runs/update", {"run_id": run, "status": "FINISHED"}),
        ("POST", "mlflow/runs/log-metric", {"run_id": run, "key": "loss", "value": 0.5, "step": 1, "timestamp": 1}),
        ("POST", "mlflow/runs/log-batch", {"run_id": run, "params": [{"key": "p", "value": "1"}]}),
        ("POST", "mlflow/runs/set-tag", {"run_id": run, "key": "t", "value": "1"}),
        ("POST", "mlflow/runs/delete-tag", {"run_id": run, "key": "t"}),
        ("POST", "mlflow/registered-models/create", {"name": "late"}),
        ("POST", "mlflow/model-versions/create", {"name": "late", "source": f"runs:/{run}/model", "run_id": run}),
        ("POST", "mlflow/registered-models/alias", {"name": "late", "alias": "champion", "version": "1"}),
        ("PATCH", "mlflow/registered-models/update", {"name": "late", "description": "d"}),
        ("DELETE", "mlflow/registered-models/alias", {"name": "late", "alias": "champion"}),
        ("DELETE", "mlflow/model-versions/delete", {"name": "late", "version": "1"}),
        ("POST", "mlflow/logged-models", {"experiment_id": "0", "name": "m"}),
        ("POST", "mlflow/runs/delete", {"run_id": run}),
    ]


def test_every_change_sent_twice_under_its_key_is_done_once(home: Home, url: str):
    """Several of these are errors the second time without a key: the name is taken, the tag is gone."""
    run = scene(home)
    for number, (method, path, body) in enumerate(changes(run)):
        first = send(url, f"/api/2.0/{path}", body, key=str(number), method=method)
        assert (first[0], first[2]) == (200, False), (path, first)
        with home.meta.read() as tx:
            entries = len(events(tx, limit=10_000))
        assert send(url, f"/api/2.0/{path}", body, key=str(number), method=method) == (*first[:2], True)
        with home.meta.read() as tx:
            assert len(events(tx, limit=10_000)) == entries, path
    assert [point.value for point in metric_history(home, run, "loss").points] == [0.5]
    assert len(list_models(home)) == 1
    assert get_run(home, run).lifecycle == "deleted"
    assert check_home(home).problems == ()


def test_a_version_asked_for_twice_under_one_key_is_one_version(home: Home, url: str):
    run = scene(home)
    send(url, "/api/2.0/mlflow/registered-models/create", {"name": "late"})
    body = {"name": "late", "source": f"runs:/{run}/model", "run_id": run}
    numbers = [
        send(url, "/api/2.0/mlflow/model-versions/create", body, key=key)[1]["model_version"]["version"]
        for key in ("a", "a", "b", "a", "b")
    ]
    assert numbers == ["1", "1", "2", "1", "2"]
    assert [version.number for version in list_versions(home, "late")] == [1, 2]


@pytest.mark.parametrize("other", [{"experiment_id": "0", "run_name": "two"}, {**NEW, "tags": []}, {}])
def test_a_key_of_another_request_is_422_and_does_nothing(home: Home, url: str, other: object):
    send(url, CREATE, NEW, key="k")
    status, said, _ = send(url, CREATE, other, key="k")
    assert (status, said["error_code"]) == (422, "INVALID_PARAMETER_VALUE")
    assert "'k' was used for another request" in said["message"]
    status, _, _ = send(url, "/api/2.0/mlflow/experiments/create", {"name": "new"}, key="k")
    assert status == 422
    assert len(search_runs(home)) == 1


def test_what_failed_is_not_kept_and_may_be_sent_again(home: Home, url: str):
    place, body = "/api/2.0/mlflow/registered-models/update", {"name": "late", "description": "d"}
    answers = [send(url, place, body, key="k", method="PATCH") for _ in range(2)]
    assert [(answer[0], answer[2]) for answer in answers] == [(404, False)] * 2
    assert kept(home) == 0
    send(url, "/api/2.0/mlflow/registered-models/create", {"name": "late"})
    status, made, replayed = send(url, place, body, key="k", method="PATCH")
    assert (status, replayed) == (200, False)
    assert send(url, place, body, key="k", method="PATCH") == (200, made, True)


def test_a_batch_that_contradicts_is_refused_under_a_key_and_nothing_of_it_stays(home: Home, url: str):
    run = scene(home)
    place = "/api/2.0/mlflow/runs/log-batch"
    body = {"run_id": run, "params": [{"key": "p", "value": "1"}]}
    assert send(url, place, body, key="a")[0] == 200
    other = {"run_id": run, "params": [{"key": "p", "value": "2"}], "tags": [{"key": "t", "value": "1"}]}
    assert [send(url, place, other, key="b")[0] for _ in range(2)] == [400, 400]
    found = get_run(home, run)
    assert "t" not in found.tags
    assert kept(home) == 1


def test_after_a_day_a_key_is_forgotten(home: Home, url: str):
    assert isinstance(home.clock, SetClock)
    _, first, _ = send(url, CREATE, NEW, key="k")
    home.clock.pass_ms(KEPT_MS)
    assert send(url, CREATE, NEW, key="k") == (200, first, True)
    home.clock.pass_ms(1)
    _, second, replayed = send(url, CREATE, NEW, key="k")
    assert not replayed
    assert second != first
    assert kept(home) == 1


def test_many_at_once_under_one_key_make_one_run(home: Home, url: str):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(url, CREATE, NEW, key="k"), range(24)))
    assert {answer[0] for answer in answers} == {200}
    assert len({json.dumps(answer[1]) for answer in answers}) == 1
    assert sum(not answer[2] for answer in answers) == 1
    assert len(search_runs(home)) == 1


def test_keys_of_others_are_others(home: Home, url: str):
    secrets = [create_token(home, name, "data-scientist", days=1).secret for name in ("ada", "bob")]
    made = [send(url, CREATE, NEW, key="k", secret=secret) for secret in secrets]
    assert [answer[2] for answer in made] == [False, False]
    assert made[0][1] != made[1][1]
    assert send(url, CREATE, NEW, key="k", secret=secrets[0]) == (200, made[0][1], True)


def test_a_refusal_under_a_key_stands_in_the_ledger_like_any_other(home: Home, url: str):
    viewer = create_token(home, "vera", "viewer", days=1).secret
    assert send(url, CREATE, NEW, key="k", secret=viewer)[0] == 403
    scientist = create_token(home, "sam", "data-scientist", days=1).secret
    body = {"name": "late", "alias": "champion", "version": "1"}
    assert send(url, "/api/2.0/mlflow/registered-models/alias", body, key="k", secret=scientist)[0] == 403
    with home.meta.read() as tx:
        assert [event.actor for event in events(tx, kind="access.denied")] == ["vera", "sam"]
    assert kept(home) == 0


@pytest.mark.parametrize("key", ["x" * 256, "caf\xe9", "a\tb"])
def test_a_key_that_is_none_is_told(home: Home, url: str, key: str):
    status, said, _ = send(url, CREATE, NEW, key=key)
    assert status == 400
    assert "Idempotency-Key is 1 to 255" in said["message"]
    assert search_runs(home) == []


def test_a_question_under_a_key_is_asked_anew(home: Home, url: str):
    ask = ("/api/2.0/mlflow/runs/search", {"experiment_ids": ["0"]})
    assert send(url, *ask, key="k")[1] == {"runs": []}
    send(url, CREATE, NEW)
    assert len(send(url, *ask, key="k")[1]["runs"]) == 1
    assert kept(home) == 0


def test_keys_count_where_something_is_changed_and_nowhere_else():
    heeding = {row.path for row in ROUTES if row.heeds_keys}
    assert {"mlflow/runs/create", "mlflow/experiments/create", "mlflow/model-versions/create"} <= heeding
    for row in ROUTES:
        if row.heeds_keys:
            assert row.method in ("POST", "PATCH", "DELETE"), row
            assert not row.path.endswith(("/search", "/get", "/test")), row
        elif row.method in ("POST", "PATCH", "DELETE") and row.takes is not None:
            assert row.needs.endswith(":read") or row.path.endswith("/test"), row
    assert next(row for row in ROUTES if row.answers is run_answers.create).heeds_keys
