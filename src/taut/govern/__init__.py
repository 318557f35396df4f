"""Looks at the whole line: traces a prediction, checks a home, shows its lights, administers access."""

from taut.govern.deliveries import Tried, tell_webhooks, try_webhook
from taut.govern.fsck import Health, Problem, check_home
from taut.govern.history import show_ledger
from taut.govern.status import Line, Station, show_line
from taut.govern.tokens import NewToken, create_token, end_token, show_tokens
from taut.govern.trace import Link, Reached, Trace, trace_prediction
from taut.govern.webhooks import (
    Webhook,
    WebhookPage,
    create_webhook,
    delete_webhook,
    get_webhook,
    list_webhooks,
    update_webhook,
)

__all__ = [
    "Health",
    "Line",
    "Link",
    "NewToken",
    "Problem",
    "Reached",
    "Station",
    "Trace",
    "Tried",
    "Webhook",
    "WebhookPage",
    "check_home",
    "create_token",
    "create_webhook",
    "delete_webhook",
    "end_token",
    "get_webhook",
    "list_webhooks",
    "show_ledger",
    "show_line",
    "show_tokens",
    "tell_webhooks",
    "trace_prediction",
    "try_webhook",
    "update_webhook",
]
