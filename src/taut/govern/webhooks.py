"""Webhooks: which URL is told of which events, as MLflow's registry has them. A secret goes in and never comes out."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from taut.errors import Invalid, NotFound, Refused
from taut.govern.secrets import HOLD, opened, sealed
from taut.ground import wire
from taut.ground.ledger import size_of
from taut.ground.meta import Row, Tx
from taut.ground.outbound import allowed_hosts, check_url
from taut.ground.sealed import key_name_of
from taut.home import Home, verb
from taut.runs import page_of

Status = Literal["ACTIVE", "DISABLED"]

EVENTS = (
    "registered_model.created", "model_version.created", "model_version_tag.set", "model_version_tag.deleted",
    "model_version_alias.created", "model_version_alias.deleted", "prompt.created", "prompt_version.created",
    "prompt_tag.set", "prompt_tag.deleted", "prompt_version_tag.set", "prompt_version_tag.deleted",
    "prompt_alias.created", "prompt_alias.deleted",
)  # fmt: skip
NAME = re.compile(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", re.ASCII)
DESCRIPTION_MAX, SECRET_MAX = 1000, 1000
WEBHOOKS_MAX = 100  # Each is a row and a request for every event.
PAGE, PAGE_MAX = 100, 1000

COLUMNS = "id, name, url, events, description, secret <> '', status, created_ms, updated_ms"
SELECT_ONE = f"SELECT {COLUMNS} FROM webhook WHERE id = :id"  # noqa: S608  # Constants only.
SELECT_ALL = f"SELECT {COLUMNS} FROM webhook ORDER BY created_ms, id"  # noqa: S608
SELECT_SECRET = "SELECT secret FROM webhook WHERE id = :id"  # noqa: S105  # A statement, not a secret.
# The first one need not read what happened before anybody listened.
SKIP = """
UPDATE webhook_cursor SET seq = (SELECT COALESCE(MAX(seq), 0) FROM ledger)
WHERE one = 1 AND NOT EXISTS (SELECT 1 FROM webhook)
"""
INSERT = """
INSERT INTO webhook (id, name, url, events, description, secret, status, from_seq, created_ms, updated_ms)
VALUES (:id, :name, :url, :events, :description, :secret, :status, :from_seq, :at_ms, :at_ms)
"""
LOCK = "UPDATE webhook SET updated_ms = :at_ms WHERE id = :id"
UPDATE = """
UPDATE webhook SET name = :name, url = :url, events = :events, description = :description, status = :status
WHERE id = :id
"""
SELECT_SECRETS = "SELECT id, secret FROM webhook WHERE secret <> ''"
SET_SECRET = "UPDATE webhook SET secret = :secret WHERE id = :id"  # noqa: S105
FORGET_ALL = "DELETE FROM webhook_delivery WHERE webhook_id = :id"
FORGET_DUE = "DELETE FROM webhook_delivery WHERE webhook_id = :id AND status = 'due'"
DELETE = "DELETE FROM webhook WHERE id = :id"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL that is told of events (`model_version.created`, …); `signed` says that it has a secret."""

    id: str
    name: str
    url: str
    events: tuple[str, ...]
    description: str
    signed: bool
    status: Status
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class WebhookPage:
    """Webhooks; `next_page` is empty on the last page."""

    webhooks: tuple[Webhook, ...]
    next_page: str = ""


@verb("webhook.create", needs="webhook:admin")
def create_webhook(
    home: Home,
    name: str,
    url: str,
    events: list[str],
    *,
    description: str = "",
    secret: str = "",
    status: Status = "ACTIVE",
) -> Webhook:
    """Tell a URL of events from now on. Raises Invalid, for a URL at an address that is not public too."""
    _check(name, url, events, description, secret)
    webhook_id, at_ms = str(uuid.uuid4()), home.clock.now_ms()
    with home.meta.transaction() as tx:
        tx.execute(SKIP)
        if len(tx.rows(SELECT_ALL)) >= WEBHOOKS_MAX:
            raise Refused(f"there are {WEBHOOKS_MAX} webhooks already; each is a request for every event")
        tx.execute(INSERT, {
            "id": webhook_id, "name": name, "url": url, "events": wire.text(_unique(events)),
            "secret": _sealed(home, tx, webhook_id, secret),
            "description": description, "status": status, "from_seq": size_of(tx), "at_ms": at_ms,
        })  # fmt: skip
        home.append(tx, "webhook.created", subject=f"webhook:{webhook_id}", body={"name": name, "events": events})
        return webhook_in(tx, webhook_id)


@verb("webhook.list", needs="webhook:admin")
def list_webhooks(home: Home, *, max_results: int = PAGE, page_token: str = "") -> WebhookPage:
    """A page of webhooks, oldest first."""
    if not 1 <= max_results <= PAGE_MAX:
        raise Invalid(f"max_results is between 1 and {PAGE_MAX}, not {max_results}")
    with home.meta.read() as tx:
        webhooks = [_webhook(row) for row in tx.rows(SELECT_ALL)]
    page, token = page_of(webhooks, page_token, max_results, key=lambda webhook: webhook.id)
    return WebhookPage(tuple(page), token)


@verb("webhook.get", needs="webhook:admin")
def get_webhook(home: Home, webhook_id: str) -> Webhook:
    """One by its id. Raises NotFound."""
    with home.meta.read() as tx:
        return webhook_in(tx, webhook_id)


@verb("webhook.update", needs="webhook:admin")
def update_webhook(
    home: Home,
    webhook_id: str,
    *,
    name: str = "",
    url: str = "",
    events: list[str] | None = None,
    description: str | None = None,
    secret: str | None = None,
    status: Status | None = None,
) -> Webhook:
    """Change what is said; an empty secret takes it away. What a disabled one was still to be told is dropped."""
    with home.meta.transaction() as tx:
        if secret:
            tx.execute(HOLD)  # Before the row, as whoever seals everything anew does.
        if not tx.execute(LOCK, {"id": webhook_id, "at_ms": home.clock.now_ms()}):
            raise _no_webhook(webhook_id)
        old = webhook_in(tx, webhook_id)
        new_events = list(events or old.events)
        new_description = old.description if description is None else description
        _check(name or old.name, url or old.url, new_events, new_description, secret or "")
        tx.execute(UPDATE, {
            "id": webhook_id, "name": name or old.name, "url": url or old.url, "status": status or old.status,
            "events": wire.text(_unique(new_events)), "description": new_description,
        })  # fmt: skip
        if secret is not None:
            tx.execute(SET_SECRET, {"id": webhook_id, "secret": _sealed(home, tx, webhook_id, secret)})
        if status == "DISABLED":
            tx.execute(FORGET_DUE, {"id": webhook_id})
        said = {"name": name, "url": url, "events": events, "status": status, "secret": secret}
        changed = sorted(field for field, value in said.items() if value)
        home.append(tx, "webhook.updated", subject=f"webhook:{webhook_id}", body={"changed": changed})
        return webhook_in(tx, webhook_id)


@verb("webhook.delete", needs="webhook:admin")
def delete_webhook(home: Home, webhook_id: str) -> None:
    """Tell it nothing more, what is still to be sent included. Raises NotFound."""
    with home.meta.transaction() as tx:
        tx.execute(FORGET_ALL, {"id": webhook_id})
        if not tx.execute(DELETE, {"id": webhook_id}):
            raise _no_webhook(webhook_id)
        home.append(tx, "webhook.deleted", subject=f"webhook:{webhook_id}")


def webhook_in(tx: Tx, webhook_id: str) -> Webhook:
    """The webhook of that id. Raises NotFound."""
    row = tx.row(SELECT_ONE, {"id": webhook_id})
    if row is None:
        raise _no_webhook(webhook_id)
    return _webhook(row)


def webhooks_in(tx: Tx) -> list[Webhook]:
    """Every webhook, oldest first."""
    return [_webhook(row) for row in tx.rows(SELECT_ALL)]


def secret_in(home: Home, tx: Tx, webhook_id: str) -> str:
    """What the deliveries of a webhook are signed with; empty for none. It leaves this room in no answer.

    Raises Unavailable where the key that sealed it is not here, Corrupt where it was changed.
    """
    row = tx.row(SELECT_SECRET, {"id": webhook_id})
    return "" if row is None else opened(home, f"webhook:{webhook_id}", str(row[0]))


def seal_secrets(home: Home) -> int:
    """Seal the secrets that an older taut wrote in the open; returns how many there were."""
    with home.meta.transaction() as tx:
        tx.execute(HOLD)
        plain = {str(one): str(written) for one, written in tx.rows(SELECT_SECRETS) if not key_name_of(str(written))}
        for webhook_id, secret in plain.items():
            tx.execute(SET_SECRET, {"id": webhook_id, "secret": _sealed(home, tx, webhook_id, secret)})
        if plain:
            home.append(tx, "webhook.sealed", subject="home", body={"secrets": len(plain)})
    return len(plain)


def _sealed(home: Home, tx: Tx, webhook_id: str, secret: str) -> str:
    """A secret as it is stored."""
    return sealed(home, tx, f"webhook:{webhook_id}", secret) if secret else ""


def check_event(event: str) -> None:
    """Raise Invalid for an event that taut never tells."""
    if event not in EVENTS:
        raise Invalid(f"there is no event {event[:80]!r}; there are {', '.join(EVENTS)}")


def _check(name: str, url: str, events: Sequence[str], description: str, secret: str) -> None:
    if not NAME.fullmatch(name):
        raise Invalid(
            f"{name[:80]!r} cannot name a webhook: 1 to 63 letters, digits, . _ and -, a letter or digit at both ends"
        )
    check_url(url, allowed_hosts())
    if not events:
        raise Invalid("a webhook asks for one event at least")
    for event in events:
        check_event(event)
    if len(description) > DESCRIPTION_MAX or len(secret) > SECRET_MAX:
        raise Invalid(f"description and secret of a webhook have at most {DESCRIPTION_MAX} characters each")


def _unique(events: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(events))


def _no_webhook(webhook_id: str) -> NotFound:
    return NotFound(f"there is no webhook {webhook_id[:80]!r}")


def _webhook(row: Row) -> Webhook:
    webhook_id, name, url, events, description, signed, status, created_ms, updated_ms = row
    return Webhook(
        str(webhook_id), str(name), str(url), tuple(wire.decode(str(events), list[str])), str(description),
        bool(signed), cast("Status", status), int(str(created_ms)), int(str(updated_ms)),
    )  # fmt: skip
