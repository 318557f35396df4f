"""Webhooks as MLflow's registry asks for them."""

import msgspec

from taut.errors import Invalid
from taut.faces.mlflow.shapes import Json
from taut.govern import (
    Webhook,
    create_webhook,
    delete_webhook,
    get_webhook,
    list_webhooks,
    try_webhook,
    update_webhook,
)
from taut.govern.webhooks import PAGE, Status
from taut.home import Home

STATUSES: dict[str, Status] = {"ACTIVE": "ACTIVE", "DISABLED": "DISABLED"}


class Event(msgspec.Struct):
    """An event as it is sent: MODEL_VERSION and CREATED, in large or small letters."""

    entity: str
    action: str


class Create(msgspec.Struct):
    """POST webhooks."""

    name: str
    url: str
    events: list[Event] = []
    description: str = ""
    secret: str = ""
    status: str = "ACTIVE"


class List(msgspec.Struct):
    """GET webhooks."""

    max_results: int = PAGE
    page_token: str = ""


class ById(msgspec.Struct):
    """GET and DELETE webhooks/{webhook_id}."""

    webhook_id: str


class Update(msgspec.Struct):
    """PATCH webhooks/{webhook_id}."""

    webhook_id: str
    name: str = ""
    url: str = ""
    events: list[Event] = []
    description: str | None = None
    secret: str | None = None
    status: str = ""


class Test(msgspec.Struct):
    """POST webhooks/{webhook_id}/test."""

    webhook_id: str
    event: Event | None = None


def create(home: Home, asked: Create) -> Json:
    """Tell a URL of events from now on."""
    webhook = create_webhook(
        home,
        asked.name,
        asked.url,
        _names(asked.events),
        description=asked.description,
        secret=asked.secret,
        status=_status(asked.status),
    )
    return {"webhook": webhook_shape(webhook)}


def all_of_them(home: Home, asked: List) -> Json:
    """A page of webhooks."""
    page = list_webhooks(home, max_results=asked.max_results or PAGE, page_token=asked.page_token)
    answer: Json = {"webhooks": [webhook_shape(webhook) for webhook in page.webhooks]}
    return {**answer, "next_page_token": page.next_page} if page.next_page else answer


def get(home: Home, asked: ById) -> Json:
    """One by its id."""
    return {"webhook": webhook_shape(get_webhook(home, asked.webhook_id))}


def update(home: Home, asked: Update) -> Json:
    """Change what is said."""
    webhook = update_webhook(
        home,
        asked.webhook_id,
        name=asked.name,
        url=asked.url,
        events=_names(asked.events),
        description=asked.description,
        secret=asked.secret,
        status=_status(asked.status) if asked.status else None,
    )
    return {"webhook": webhook_shape(webhook)}


def delete(home: Home, asked: ById) -> Json:
    """Tell it nothing more."""
    delete_webhook(home, asked.webhook_id)
    return {}


def test(home: Home, asked: Test) -> Json:
    """Send an example and say what came back."""
    tried = try_webhook(home, asked.webhook_id, event=_name(asked.event) if asked.event is not None else "")
    said = {"response_status": tried.status, "response_body": tried.text, "error_message": tried.problem}
    return {"result": {"success": tried.success, **{name: value for name, value in said.items() if value}}}


def webhook_shape(webhook: Webhook) -> Json:
    """A webhook, without its secret."""
    words = [event.upper().partition(".") for event in webhook.events]
    return {
        "webhook_id": webhook.id, "name": webhook.name, "url": webhook.url, "status": webhook.status,
        "description": webhook.description, "creation_timestamp": webhook.created_ms,
        "last_updated_timestamp": webhook.updated_ms,
        "events": [{"entity": entity, "action": action} for entity, _, action in words],
    }  # fmt: skip


def _name(event: Event) -> str:
    return f"{event.entity}.{event.action}".lower()


def _names(events: list[Event]) -> list[str]:
    return [_name(event) for event in events]


def _status(written: str) -> Status:
    if written not in STATUSES:
        raise Invalid(f"the status of a webhook is one of {', '.join(STATUSES)}, not {written[:40]!r}")
    return STATUSES[written]
