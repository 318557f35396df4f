"""Webhooks through MLflow's protocol: kept, told of what happens to models, signed, retried, and never in the way."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from taut.faces.http.telling import webhooks_told
from taut.govern import create_token, create_webhook, deliveries, get_webhook, tell_webhooks
from taut.govern.webhooks import EVENTS
from taut.ground.ledger import events, verify_ledger
from taut.home import Home
from taut.models import create_model, delete_alias, delete_model, set_alias, tag_model, tag_version
from taut.runs import create_run
from tests.faces.receiving import Heard, Receiver, receiving
from tests.faces.serving import served
from tests.faces.speaking import INVALID, NOT_FOUND, Speaker
from tests.marks import slow_on_postgresql
from tests.parts import eventually, free_port

pytestmark = slow_on_postgresql

W = "mlflow/webhooks"
CREATED = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
TAGGED = {"entity": "MODEL_VERSION_TAG", "action": "SET"}
SECRET = "a secret of the test"
PROMPT = {"mlflow.prompt.is_prompt": "true", "_mlflow_prompt_type": "text", "owner": "ada"}


@pytest.fixture
def ask(home: Home) -> Iterator[Speaker]:
    with served(home) as url:
        yield Speaker(url)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver on this machine, which the owner allows."""
    with receiving() as one:
        monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", f"127.0.0.1:{one.port}")
        yield one


def made(ask: Speaker, url: str = "https://hooks.example.org/a", **said: object) -> dict[str, Any]:
    """Make a webhook; returns it."""
    webhook: dict[str, Any] = ask.told(W, **{"name": "hook", "url": url, "events": [CREATED], **said})["webhook"]
    return webhook


def hook(home: Home, receiver: Receiver, *asked: str, secret: str = "") -> str:
    """A webhook to the receiver for some events, all where none is said; returns its id."""
    return create_webhook(home, "hook", receiver.url + "/hook", list(asked or EVENTS), secret=secret).id


def rows(home: Home, column: str) -> list[object]:
    with home.meta.read() as tx:
        return [row[0] for row in tx.rows(f"SELECT {column} FROM webhook_delivery ORDER BY seq")]


# Kept


def test_a_webhook_that_is_made_is_the_one_that_is_read(ask: Speaker):
    webhook = made(ask, description="what for", events=[CREATED, TAGGED, CREATED])
    assert webhook == {
        "webhook_id": webhook["webhook_id"], "name": "hook", "url": "https://hooks.example.org/a",
        "description": "what for", "status": "ACTIVE", "events": [CREATED, TAGGED],
        "creation_timestamp": 1_700_000_000_000, "last_updated_timestamp": 1_700_000_000_000,
    }  # fmt: skip
    assert ask.get(f"{W}/{webhook['webhook_id']}").body["webhook"] == webhook


def test_a_webhook_changes_in_what_is_said_and_nothing_else(ask: Speaker, home: Home):
    webhook = made(ask, description="old")
    home.clock.pass_ms(5)  # type: ignore[attr-defined]  # The clock of a test's home.
    place = f"{W}/{webhook['webhook_id']}"
    changed = ask("PATCH", place, {"name": "other", "status": "DISABLED"}).body["webhook"]
    late = 1_700_000_000_005
    assert changed == {**webhook, "name": "other", "status": "DISABLED", "last_updated_timestamp": late}
    emptied = ask("PATCH", place, {"description": "", "events": [TAGGED], "url": "https://b.example.org"}).body[
        "webhook"
    ]
    assert (emptied["description"], emptied["events"]) == ("", [TAGGED])


def test_a_webhook_that_is_deleted_is_gone_with_what_it_was_still_to_hear(ask: Speaker, home: Home):
    webhook = made(ask)
    create_model(home, "late")
    deliveries.queue_events(home)
    assert rows(home, "event") == ["registered_model.created"]
    assert ask("DELETE", f"{W}/{webhook['webhook_id']}").body == {}
    assert rows(home, "event") == []
    for method, path in (("GET", ""), ("DELETE", ""), ("PATCH", ""), ("POST", "/test")):
        assert ask(method, f"{W}/{webhook['webhook_id']}{path}", {}).code == NOT_FOUND, method


def test_webhooks_are_listed_in_pages(ask: Speaker):
    ids = [made(ask, name=f"h{number}")["webhook_id"] for number in range(5)]
    found, token = [], ""
    while True:
        page = ask.get(W, max_results=2, page_token=token).body
        found += [webhook["webhook_id"] for webhook in page["webhooks"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert sorted(found) == sorted(ids)
    assert ask.get(W, max_results=2000).code == INVALID


def test_there_are_no_more_webhooks_than_a_server_can_tell(ask: Speaker):
    for number in range(100):
        made(ask, name=f"h{number}")
    said = ask.post(W, name="last", url="https://a.example.org", events=[CREATED])
    assert said.code == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"name": "a b"}, {"name": "-a"}, {"name": "a" * 64}, {"events": []},
        {"events": [{"entity": "MODEL", "action": "CREATED"}]},
        {"events": [{"entity": "REGISTERED_MODEL", "action": "DELETED"}]},
        {"events": [{"entity": "BUDGET_POLICY", "action": "EXCEEDED"}]}, {"events": ["model_version.created"]},
        {"status": "PAUSED"}, {"description": "x" * 1001}, {"secret": "x" * 1001}, {"url": "http://example.org"},
        {"url": "https://127.0.0.1/"}, {"url": "https://169.254.169.254/latest/meta-data"}, {"url": "https://[::1]/"},
        {"url": "https://10.0.0.8:8443/"}, {"url": "file:///etc/passwd"}, {"url": "nothing"},
    ],
)  # fmt: skip
def test_what_is_no_webhook_is_refused_when_it_is_made_and_when_it_is_changed(ask: Speaker, wrong: dict[str, Any]):
    good = {"name": "hook", "url": "https://hooks.example.org", "events": [CREATED]}
    assert ask.post(W, **{**good, **wrong}).code == INVALID
    assert ask.get(W).body["webhooks"] == []
    place = f"{W}/{made(ask)['webhook_id']}"
    before = ask.get(place).body
    if wrong not in ({"events": []}, {"name": ""}):  # In a change, nothing said is nothing changed.
        assert ask("PATCH", place, wrong).code == INVALID
        assert ask.get(place).body == before


def test_a_secret_comes_back_in_no_answer_and_stands_in_no_ledger(ask: Speaker, home: Home, receiver: Receiver):
    webhook = made(ask, receiver.url, secret=SECRET)
    place = f"{W}/{webhook['webhook_id']}"
    answers = [webhook, ask.get(place).body, ask.get(W).body, ask("PATCH", place, {"secret": SECRET + "2"}).body]
    answers += [ask("POST", f"{place}/test", {}).body]
    with home.meta.read() as tx:
        ledger = [event.body for event in events(tx)]
    assert SECRET not in json.dumps([answers, ledger])
    assert "secret" not in json.dumps(answers)
    assert [json.loads(body) for body in ledger if "changed" in body] == [{"changed": ["secret"]}]


def test_webhooks_ask_for_a_permission_of_owners(ask: Speaker, home: Home):
    for role in ("viewer", "data-scientist", "ml-engineer", "approver", "auditor", "serving"):
        speaker = Speaker(ask.url, ask.prefix, create_token(home, role, role).secret)
        assert speaker.get(W).code == (403, "PERMISSION_DENIED"), role
    admin = Speaker(ask.url, ask.prefix, create_token(home, "admin", "project-admin").secret)
    assert made(admin)["name"] == "hook"


# Told


def registered(home: Home, ask: Speaker, name: str = "late", **said: object) -> None:
    """A version of a model that a run made."""
    create_run(home, run_id=f"r-{name}")
    place = f"mlflow-artifacts/artifacts/0/r-{name}/artifacts/m/MLmodel"
    assert ask("PUT", place, b"flavors:\n  python_function:\n    loader_module: late\n").status == 200
    ask.told("mlflow/model-versions/create", name=name, source=f"runs:/r-{name}/m", run_id=f"r-{name}", **said)


def test_a_webhook_hears_what_happens_to_models_in_its_order(ask: Speaker, home: Home, receiver: Receiver):
    hook(home, receiver)
    create_model(home, "late", description="how late", tags={"owner": "ada"})
    registered(home, ask, description="first", tags=[{"key": "k", "value": "v"}])
    tag_version(home, "late", 1, "stage", "blue")
    tag_model(home, "late", "team", "red")  # MLflow has no event for this one.
    set_alias(home, "late", "best", 1)
    tell_webhooks(home)
    tag_version(home, "late", 1, "stage", None)
    delete_alias(home, "late", "best")
    assert tell_webhooks(home) == 2
    told = [(heard.event, heard.told["data"]) for heard in receiver.heard]
    tags = {"k": "v", "stage": "blue"}  # A tag is told as it is when the ledger is read, a moment later.
    version = {"name": "late", "version": "1", "source": "runs:/r-late/m", "run_id": "r-late", "description": "first"}
    tagged = {"owner": "ada", "team": "red"}
    assert told == [
        ("registered_model.created", {"name": "late", "tags": tagged, "description": "how late"}),
        ("model_version.created", {**version, "tags": tags}),
        ("model_version_tag.set", {"name": "late", "version": "1", "key": "stage", "value": "blue"}),
        ("model_version_alias.created", {"name": "late", "alias": "best", "version": "1"}),
        ("model_version_tag.deleted", {"name": "late", "version": "1", "key": "stage"}),
        ("model_version_alias.deleted", {"name": "late", "alias": "best"}),
    ]
    assert {heard.told["timestamp"] for heard in receiver.heard} == {"2023-11-14T22:13:20.000Z"}


def test_prompts_are_told_under_their_own_name(ask: Speaker, home: Home, receiver: Receiver):
    hook(home, receiver)
    create_model(home, "greet", tags=PROMPT)
    text = [
        {"key": "mlflow.prompt.text", "value": "Hello {{name}}"},
        {"key": "mlflow.prompt.is_prompt", "value": "true"},
    ]
    registered(home, ask, "greet", tags=text)
    tag_model(home, "greet", "team", "red")
    tag_version(home, "greet", 1, "tone", "warm")
    set_alias(home, "greet", "live", 1)
    tell_webhooks(home)
    tag_model(home, "greet", "team", None)
    tag_version(home, "greet", 1, "tone", None)
    delete_alias(home, "greet", "live")
    tell_webhooks(home)
    assert receiver.events() == [
        "prompt.created", "prompt_version.created", "prompt_tag.set", "prompt_version_tag.set", "prompt_alias.created",
        "prompt_tag.deleted", "prompt_version_tag.deleted", "prompt_alias.deleted",
    ]  # fmt: skip
    first, second = (heard.told["data"] for heard in receiver.heard[:2])
    assert first["tags"] == {"owner": "ada", "team": "red"}
    assert second["template"] == "Hello {{name}}"
    assert second["tags"] == {"tone": "warm"}


def test_a_webhook_hears_only_what_it_asked_for_since_it_was_made(home: Home, receiver: Receiver):
    create_model(home, "before")
    hook(home, receiver, "registered_model.created", "prompt.created")
    create_model(home, "after")
    create_model(home, "greet", tags=PROMPT)
    tag_model(home, "greet", "a", "b")
    tell_webhooks(home)
    assert [heard.told["data"]["name"] for heard in receiver.heard] == ["after", "greet"]
    later = create_webhook(home, "later", receiver.url + "/later", ["registered_model.created"])
    create_model(home, "last")
    assert tell_webhooks(home) == 2
    assert [heard.path for heard in receiver.heard[2:]] in (["/hook", "/later"], ["/later", "/hook"])
    assert get_webhook(home, later.id).name == "later"


def test_a_disabled_webhook_hears_nothing_and_nothing_later_of_that_time(ask: Speaker, home: Home, receiver: Receiver):
    place = f"{W}/{hook(home, receiver, 'registered_model.created')}"
    create_model(home, "queued")
    deliveries.queue_events(home)
    ask("PATCH", place, {"status": "DISABLED"})
    create_model(home, "meanwhile")
    assert tell_webhooks(home) == 0
    ask("PATCH", place, {"status": "ACTIVE"})
    create_model(home, "again")
    tell_webhooks(home)
    assert [heard.told["data"]["name"] for heard in receiver.heard] == ["again"]


def test_what_is_gone_by_the_time_it_is_told_is_told_with_its_name(home: Home, receiver: Receiver):
    hook(home, receiver)
    create_model(home, "brief", tags={"a": "b"})
    delete_model(home, "brief")
    create_model(home, "greet", tags=PROMPT)
    tag_model(home, "greet", "team", "red")
    tag_model(home, "greet", "team", None)
    tell_webhooks(home)
    told = [(heard.event, heard.told["data"]) for heard in receiver.heard]
    assert told[0] == ("registered_model.created", {"name": "brief", "tags": {}, "description": None})
    assert [event for event, _ in told[1:]] == ["prompt.created", "prompt_tag.deleted"]


def test_a_payload_that_users_made_huge_is_sent_without_their_texts(home: Home, receiver: Receiver):
    hook(home, receiver)
    create_model(home, "huge", description="d", tags={f"k{number}": "x" * 50_000 for number in range(10)})
    tell_webhooks(home)
    (heard,) = receiver.heard
    assert heard.told["data"] == {"name": "huge", "tags": {}, "description": None}


def must_be_signed(heard: Heard, secret: str) -> None:
    """The signature is that of MLflow's server: `v1,` and HMAC-SHA256 of id, time and body, in base64."""
    delivery_id, seconds = heard.headers["x-mlflow-delivery-id"], heard.headers["x-mlflow-timestamp"]
    signed = f"{delivery_id}.{seconds}.".encode() + heard.body
    expected = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    assert heard.headers["x-mlflow-signature"] == f"v1,{expected}"
    assert heard.headers["content-type"] == "application/json"


def test_a_delivery_is_signed_with_the_secret_of_its_webhook(ask: Speaker, home: Home, receiver: Receiver):
    place = f"{W}/{hook(home, receiver, secret=SECRET)}"
    create_model(home, "ünïcode", description="✈")
    tell_webhooks(home)
    must_be_signed(receiver.heard[0], SECRET)
    ask("PATCH", place, {"secret": "another"})
    create_model(home, "two")
    tell_webhooks(home)
    must_be_signed(receiver.heard[1], "another")
    ask("PATCH", place, {"secret": ""})
    create_model(home, "three")
    tell_webhooks(home)
    assert "x-mlflow-signature" not in receiver.heard[2].headers


# Retried


def test_a_delivery_is_tried_again_under_the_same_id_until_it_is_taken(home: Home, receiver: Receiver):
    hook(home, receiver, secret=SECRET)
    receiver.answers = lambda number: (500, 302, 404, 200, 200)[number]
    create_model(home, "late")
    create_model(home, "later")
    waits = []
    for _ in range(60):
        if tell_webhooks(home) and len(receiver.heard) < 4:
            waits.append(0)
        elif waits:
            waits[-1] += 1
        home.clock.pass_ms(1000)  # type: ignore[attr-defined]
    assert len(receiver.heard) == 5
    ids = [heard.headers["x-mlflow-delivery-id"] for heard in receiver.heard]
    assert len(set(ids[:4])) == 1
    assert ids[4] != ids[0]
    assert [heard.told["data"]["name"] for heard in receiver.heard] == ["late"] * 4 + ["later"]
    assert len({heard.body for heard in receiver.heard[:4]}) == 1
    assert len({heard.headers["x-mlflow-timestamp"] for heard in receiver.heard[:4]}) == 4
    for heard in receiver.heard:
        must_be_signed(heard, SECRET)
    assert waits[:2] == [4, 9]
    assert rows(home, "status") == ["done", "done"]


def test_who_never_answers_is_given_up_and_the_ledger_says_so(home: Home, receiver: Receiver):
    webhook_id = hook(home, receiver)
    receiver.answers = lambda _: 503
    create_model(home, "late")
    for _ in range(20):
        tell_webhooks(home)
        home.clock.pass_ms(3_600_000)  # type: ignore[attr-defined]
    assert len(receiver.heard) == 10
    assert rows(home, "status") == ["failed"]
    assert rows(home, "answer") == ["503 thanks"]
    with home.meta.read() as tx:
        (event,) = events(tx, kind="webhook.gave_up")
        assert list(verify_ledger(tx)) == []
    assert event.subject == f"webhook:{webhook_id}"
    assert json.loads(event.body)["attempts"] == 10


def test_old_news_is_given_up_unsent_so_that_a_backlog_ends(home: Home, receiver: Receiver):
    hook(home, receiver)
    receiver.answers = lambda _: 503
    for number in range(20):
        create_model(home, f"m{number}")
    tell_webhooks(home)
    assert len(receiver.heard) == 1
    home.clock.pass_ms(86_400_001)  # type: ignore[attr-defined]
    receiver.answers = lambda _: 200
    create_model(home, "fresh")
    tell_webhooks(home)
    assert [heard.told["data"]["name"] for heard in receiver.heard] == ["m0", "fresh"]


def test_one_that_fails_holds_nobody_else_back(home: Home, receiver: Receiver):
    create_webhook(home, "dead", receiver.url + "/dead", ["registered_model.created"])
    create_webhook(home, "well", receiver.url + "/well", ["registered_model.created"])
    receiver.answers = lambda number: 500 if receiver.heard[number].path == "/dead" else 200
    for number in range(5):
        create_model(home, f"m{number}")
    tell_webhooks(home)
    assert [heard.path for heard in receiver.heard].count("/well") == 5
    assert [heard.path for heard in receiver.heard].count("/dead") == 1


def test_what_is_done_is_forgotten_after_a_week(home: Home, receiver: Receiver):
    hook(home, receiver)
    create_model(home, "old")
    tell_webhooks(home)
    home.clock.pass_ms(8 * 86_400_000)  # type: ignore[attr-defined]
    create_model(home, "new")
    tell_webhooks(home)
    assert len(rows(home, "id")) == 1


def test_a_claim_is_for_one_and_runs_out(home: Home, receiver: Receiver):
    hook(home, receiver)
    create_model(home, "late")
    deliveries.queue_events(home)
    claimed = deliveries.claim(home)
    assert claimed is not None
    assert deliveries.claim(home) is None
    home.clock.pass_ms(deliveries.LEASE_MS)  # type: ignore[attr-defined]
    again = deliveries.claim(home)
    assert again is not None
    assert (again.id, again.attempts) == (claimed.id, 2)
    deliveries.deliver(home, again)
    deliveries.deliver(home, claimed)  # Who comes late says nothing over the other's word.
    assert rows(home, "status") == ["done"]


def test_two_servers_tell_everything_once(ask: Speaker, home: Home, receiver: Receiver):
    hook(home, receiver)
    with webhooks_told(home, every_s=0.02), webhooks_told(home, every_s=0.02), webhooks_told(home, every_s=0.02):
        for number in range(15):
            create_model(home, f"m{number}")
        receiver.await_count(15)
        eventually(lambda: rows(home, "status") == ["done"] * 15, what="every delivery to end")
    assert [heard.told["data"]["name"] for heard in receiver.heard] == [f"m{number}" for number in range(15)]


def test_no_request_waits_for_a_receiver(ask: Speaker, home: Home, receiver: Receiver):
    hook(home, receiver)
    receiver.held.clear()
    with webhooks_told(home, every_s=0.02):
        ask.told("mlflow/registered-models/create", name="first")
        receiver.await_count(1)
        began = time.monotonic()
        ask.told("mlflow/registered-models/create", name="second")
        assert time.monotonic() - began < 5
        receiver.held.set()
        receiver.await_count(2)


# Refused where it would be sent


def test_a_host_that_is_allowed_no_more_is_not_told(home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch):
    hook(home, receiver)
    create_model(home, "late")
    monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", "somewhere.else")
    assert tell_webhooks(home) == 1
    assert receiver.heard == []
    assert rows(home, "status") == ["due"]
    assert "is not https" in str(rows(home, "answer")[0])


def test_a_name_that_stands_for_this_machine_is_told_nothing(home: Home):
    with receiving() as receiver:
        create_webhook(home, "rebound", f"https://localhost:{receiver.port}/", ["registered_model.created"])
        create_model(home, "late")
        tell_webhooks(home)
        assert receiver.heard == []
    assert "no public address" in str(rows(home, "answer")[0])


# Tried out


def test_a_webhook_is_tried_with_an_example_of_each_event(ask: Speaker, home: Home, receiver: Receiver):
    place = f"{W}/{hook(home, receiver, secret=SECRET)}/test"
    for number, event in enumerate(EVENTS):
        entity, action = event.upper().split(".")
        said = ask("POST", place, {"event": {"entity": entity, "action": action}}).body["result"]
        assert said == {"success": True, "response_status": 200, "response_body": "thanks"}
        assert receiver.heard[number].event == event
        must_be_signed(receiver.heard[number], SECRET)
    assert ask("POST", place, {}).body["result"]["success"]
    assert receiver.events()[-1] == EVENTS[0]
    assert ask("POST", place, {"event": {"entity": "PROMPT", "action": "EXCEEDED"}}).code == INVALID


def test_a_try_that_fails_says_what_came_back_or_why_nothing_did(
    ask: Speaker, home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    place = f"{W}/{hook(home, receiver)}"
    receiver.answers = lambda _: 418
    said = ask("POST", f"{place}/test", {}).body["result"]
    assert said == {"success": False, "response_status": 418, "response_body": "thanks"}
    port = free_port()
    monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", f"127.0.0.1:{port}")
    ask("PATCH", place, {"url": f"http://127.0.0.1:{port}/"})
    said = ask("POST", f"{place}/test", {}).body["result"]
    assert said["success"] is False
    assert "did not answer" in said["error_message"]
    assert rows(home, "id") == []
