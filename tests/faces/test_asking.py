"""What the ledger keeps of a request, and what a caller hears whose rights end while they ask; over HTTP."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import urllib3

from taut.errors import Corrupt
from taut.govern import (
    bind_role,
    create_project,
    create_token,
    create_user,
    end_token,
    erase_body,
    prove,
    show_ledger,
)
from taut.ground.access import own_set, read_project
from taut.ground.ledger import Event, verify_ledger
from taut.ground.ledger.notes import read_public_key
from taut.ground.ledger.proofs import check_proof
from taut.home import Home
from taut.runs import create_run
from tests.faces.serving import served
from tests.faces.speaking import POOL
from tests.parts import eventually

WORD = "correct horse battery"
CREATE = "/api/2.0/mlflow/runs/create"
AGENT = {"user-agent": "mlflow-python-client/3.17.0"}


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as url:
        yield url


def basic(user: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{WORD}".encode()).decode()}


def post(url: str, path: str, body: object, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
    return POOL.request("POST", url + path, body=json.dumps(body).encode(), headers=headers)


def last(home: Home, kind: str) -> Event:
    return show_ledger(home, kind=kind)[-1]


def test_an_entry_names_its_token_its_request_and_its_client(home: Home, url: str):
    create_user(home, "olga", WORD, role="owner")
    made = create_token(home, "ci", scopes=["read", "log"])
    headers = {"authorization": f"Bearer {made.secret}", "x-request-id": "try-7", **AGENT}
    answer = post(url, CREATE, {"experiment_id": "0"}, headers)
    assert answer.status == 200, answer.data
    run = json.loads(answer.data)["run"]["info"]["run_id"]
    entry = last(home, "run.created")
    assert (entry.token, entry.request, entry.client) == (made.token.id, "try-7", "127.0.0.1 mlflow-python-client")
    logged = {"run_id": run, "key": "loss", "value": 0.5, "step": 1, "timestamp": 1}
    answer = post(url, "/api/2.0/mlflow/runs/log-metric", logged, {**headers, "user-agent": "Mozilla/5.0 (X11)"})
    entry = last(home, "run.logged")
    assert (entry.token, entry.client) == (made.token.id, "127.0.0.1 browser")
    answer = post(url, CREATE, {"experiment_id": "0"}, {**basic("olga"), "user-agent": "(no product)"})
    entry = last(home, "run.created")
    assert (entry.token, entry.request, entry.client) == ("", answer.headers["x-request-id"], "127.0.0.1")
    answer = post(url, "/api/taut/v1/verbs/token.create", {"name": "x", "scopes": ["log"]}, headers)
    assert answer.status == 403
    entry = last(home, "access.denied")
    assert (entry.token, entry.request) == (made.token.id, "try-7")
    assert made.secret not in repr(show_ledger(home, limit=1000))
    with home.meta.read() as tx:
        assert list(verify_ledger(tx)) == []


def test_what_no_request_asked_for_is_hashed_as_it_always_was(home: Home):
    create_run(home)
    proof = prove(home, last(home, "run.created").seq)
    assert list(json.loads(proof.entry)) == ["seq", "at_ms", "actor", "kind", "subject", "body"]
    assert proof.client is None


def test_a_proof_shows_the_client_until_it_is_erased(home: Home, url: str):
    post(url, CREATE, {"experiment_id": "0"}, {"x-request-id": "try-8", **AGENT})
    seq = last(home, "run.created").seq
    proof = prove(home, seq)
    shown = check_proof(proof, read_public_key(proof.key))
    assert (shown.token, shown.request, shown.client) == ("", "try-8", "127.0.0.1 mlflow-python-client")
    changed = replace(proof, client="10.0.0.1 curl")
    with pytest.raises(Corrupt, match="not the one that was written"):
        check_proof(changed, read_public_key(proof.key))
    erase_body(home, seq, because="asked to")
    entry = last(home, "run.created")
    assert (entry.erased, entry.client, entry.request) == (True, "", "try-8")
    proof = prove(home, seq)
    shown = check_proof(proof, read_public_key(proof.key))
    assert (shown.body, shown.client, shown.request) == (None, "", "try-8")
    with home.meta.read() as tx:
        assert list(verify_ledger(tx)) == []


def test_who_loses_their_token_in_the_middle_of_an_upload_is_told_and_noted(home: Home, url: str):
    create_user(home, "olga", WORD, role="owner")
    made = create_token(home, "ci", scopes=["read", "log"])
    run = create_run(home)

    shown, access = f"Bearer {made.secret}", home.access

    def body() -> Iterator[bytes]:
        yield b"first half, "
        eventually(lambda: access.caller(access.sealed(shown), home.clock.now_ms()) is not None, what="to be let in")
        end_token(home, made.token.id)
        yield b"second half"

    path = f"/api/2.0/mlflow-artifacts/artifacts/0/{run.id}/artifacts/a.txt"
    answer = POOL.request("PUT", url + path, body=body(), headers={"authorization": shown})
    assert answer.status == 403, answer.data
    assert json.loads(answer.data)["error_code"] == "PERMISSION_DENIED"
    entry = last(home, "access.denied")
    assert (entry.actor, entry.token) == ("ci", made.token.id)
    assert json.loads(entry.body) == {"because": "it was taken away meanwhile"}
    with home.meta.read() as tx:
        assert tx.rows("SELECT path FROM artifact") == []
    answer = POOL.request("PUT", url + path, body=b"again", headers={"authorization": shown})
    assert answer.status == 401


def test_a_key_stands_in_the_store_that_its_user_is_made_in(home: Home, url: str):
    """Users stand in the server's own home, whatever project is asked: the key and the answer are committed there."""
    create_user(home, "olga", WORD, role="owner")
    create_project(home, "churn")
    bind_role(home, "olga", "project-admin", project="churn")
    headers = {**basic("olga"), "x-mlflow-workspace": "churn", "idempotency-key": "k"}
    path, asked = "/api/2.0/mlflow/users/create", {"username": "ben", "password": WORD}
    first = post(url, path, asked, headers)
    assert first.status == 200, first.data
    second = post(url, path, asked, headers)
    assert (second.data, second.headers["idempotency-replayed"]) == (first.data, "true")
    with home.meta.read() as tx:
        assert tx.rows("SELECT actor, key FROM answered") == [("olga", "k")]
        churn = read_project(tx, "churn")
    with home.entered(churn) as inner, inner.meta.transaction() as tx:
        assert tx.rows("SELECT actor FROM answered") == []
        granted = own_set(tx, json.loads(first.data)["user"]["id"]).grants
        assert [(one.kind, one.level) for one in granted] == [("home", "USE")]
    taken = post(url, path, asked, {**headers, "idempotency-key": "other"})
    assert taken.status == 400 and len(show_ledger(home, kind="user.created")) == 2
    with home.meta.read() as tx:
        assert tx.rows("SELECT key FROM answered") == [("k",)]
    # A change that the project's own store holds has its key there.
    made = post(url, CREATE, {"experiment_id": "0"}, {**headers, "idempotency-key": "run"})
    assert made.status == 200, made.data
    with home.entered(churn) as inner, inner.meta.read() as tx:
        assert tx.rows("SELECT key FROM answered") == [("run",)]
