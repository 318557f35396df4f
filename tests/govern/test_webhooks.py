"""Webhooks as verbs, here and over a server; and what is told of an entry of the ledger that says little or nothing."""

import json
from collections.abc import Iterator

import pytest

from taut.errors import Denied, Invalid, NotFound, Refused
from taut.govern import (
    create_token,
    create_webhook,
    delete_webhook,
    get_webhook,
    list_webhooks,
    tell_webhooks,
    try_webhook,
    update_webhook,
)
from taut.govern.deliveries import queue_events
from taut.govern.told import EXAMPLES, KINDS, PAYLOAD_BYTES_MAX, payload_of, told_of
from taut.govern.webhooks import EVENTS
from taut.ground.access import Actor
from taut.ground.ledger import Event, events, next_events
from taut.home import Home, open_home
from taut.models import create_model
from taut.runs import create_run
from tests.faces.receiving import Receiver, receiving
from tests.faces.serving import served
from tests.marks import POSTGRESQL_SLOW


@pytest.fixture(name="home", params=POSTGRESQL_SLOW)
def fast_home(home: Home) -> Home:
    """The home of all tests, in the fast run on SQLite alone."""
    return home


URL = "https://hooks.example.org/"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as one:
        monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", "127.0.0.1")
        yield one


def entry(kind: str, subject: str, body: object = None) -> Event:
    """An entry of a ledger, as far as telling looks at it."""
    return Event(1, 1_700_000_000_000, "ada", kind, subject, json.dumps(body), "d")


def test_an_owner_far_away_does_the_same_as_one_here(home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAUT_TOKEN", create_token(home, "ada", "owner").secret)
    with served(home) as url, open_home(url) as far:
        made = create_webhook(far, "hook", receiver.url, ["registered_model.created"], secret="s")
        assert made == get_webhook(home, made.id) == get_webhook(far, made.id)
        assert made.signed
        assert list_webhooks(far).webhooks == (made,)
        assert try_webhook(far, made.id).success
        assert not update_webhook(far, made.id, secret="").signed
        delete_webhook(far, made.id)
        with pytest.raises(NotFound):
            get_webhook(far, made.id)


@pytest.mark.parametrize("role", ["viewer", "data-scientist", "ml-engineer", "serving", "anonymous"])
def test_whoever_may_not_manage_webhooks_may_do_nothing_with_them(home: Home, role: str):
    made = create_webhook(home, "hook", URL, ["prompt.created"])
    theirs = home.as_actor(Actor("eve", role))
    for call in (
        lambda: create_webhook(theirs, "hook", URL, ["prompt.created"]),
        lambda: list_webhooks(theirs),
        lambda: get_webhook(theirs, made.id),
        lambda: update_webhook(theirs, made.id, name="other"),
        lambda: delete_webhook(theirs, made.id),
        lambda: try_webhook(theirs, made.id),
    ):
        with pytest.raises(Denied):
            call()
    assert list_webhooks(home).webhooks == (made,)


def test_every_change_of_a_webhook_stands_in_the_ledger_without_its_url(home: Home):
    made = create_webhook(home, "hook", URL + "with-a-token", ["prompt.created"], secret="hush")
    update_webhook(home, made.id, url=URL + "another-token", description="d")
    delete_webhook(home, made.id)
    with home.meta.read() as tx:
        written = events(tx, subject=f"webhook:{made.id}")
    assert [one.kind for one in written] == ["webhook.created", "webhook.updated", "webhook.deleted"]
    assert "token" not in "".join(one.body for one in written)
    assert "hush" not in "".join(one.body for one in written)


def test_a_ledger_that_moved_on_without_telling_costs_no_deliveries(home: Home, receiver: Receiver):
    for _ in range(5):
        create_run(home)
    assert queue_events(home) == 0
    create_model(home, "unheard")
    assert queue_events(home) == 0  # Nobody listens, so nothing is read.
    create_webhook(home, "hook", receiver.url, ["registered_model.created"])
    create_run(home)
    assert tell_webhooks(home) == 0
    create_model(home, "heard")
    assert (tell_webhooks(home), tell_webhooks(home)) == (1, 0)
    assert receiver.heard[0].told["data"]["name"] == "heard"


def test_the_next_entries_of_some_kinds_come_in_order_and_no_more_than_are_asked_for(home: Home):
    for number in range(6):
        create_model(home, f"m{number}")
        create_run(home)
    with home.meta.read() as tx:
        everything = [one for one in events(tx) if one.kind in ("model.created", "run.created")]
        found = next_events(tx, ("model.created", "run.created"), after=0)
        assert found == everything
        assert next_events(tx, ("model.created", "run.created"), after=found[3].seq, limit=4) == found[4:8]
        assert next_events(tx, ("nothing",), after=0) == []


def test_there_is_an_example_of_every_event_and_of_no_other():
    assert EXAMPLES.keys() == set(EVENTS)
    for event in EVENTS:
        told = json.loads(payload_of(event, EXAMPLES[event], at_ms=0))
        assert f"{told['entity']}.{told['action']}" == event
        assert told["timestamp"] == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize("kind", [*KINDS, "model.deleted", "run.created"])
@pytest.mark.parametrize("subject", ["model:gone", "model:gone@7", "model:gone@seven", "model:", "run:x"])
@pytest.mark.parametrize("body", [None, {}, {"key": "k"}, {"key": "k", "set": False}, {"alias": "best"}])
def test_an_entry_about_what_is_gone_is_told_shortly_or_not_at_all(home: Home, kind: str, subject: str, body: object):
    told = told_of(home, entry(kind, subject, body))
    if told is None:
        assert kind in ("model.tagged", "model.deleted", "run.created")
        return
    event, payload = told
    assert event in EVENTS
    assert json.loads(payload)["data"]["name"] == subject.removeprefix("model:").partition("@")[0]


def test_a_payload_within_its_bound_is_whole_and_past_it_without_texts():
    fits = {"name": "m", "tags": {"k": "x" * (PAYLOAD_BYTES_MAX - 500)}, "description": "d"}
    assert json.loads(payload_of("registered_model.created", fits, at_ms=0))["data"] == fits
    large = {**fits, "tags": {"k": "ü" * PAYLOAD_BYTES_MAX}}
    told = payload_of("registered_model.created", large, at_ms=0)
    assert json.loads(told)["data"] == {"name": "m", "tags": {}, "description": None}
    tag = {"name": "m", "version": "1", "key": "k", "value": "x" * (PAYLOAD_BYTES_MAX + 1)}
    assert json.loads(payload_of("model_version_tag.set", tag, at_ms=0))["data"]["value"] == ""


def test_a_hundred_webhooks_are_enough(home: Home):
    for number in range(100):
        create_webhook(home, f"h{number}", URL, ["prompt.created"])
    with pytest.raises(Refused, match="100 webhooks"):
        create_webhook(home, "last", URL, ["prompt.created"])
    with pytest.raises(Invalid, match="no event"):
        try_webhook(home, list_webhooks(home).webhooks[0].id, event="model.deleted")
