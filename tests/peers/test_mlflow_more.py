"""More of the real, unchanged MLflow client against a real taut server: webhooks, evaluation datasets, old clients."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taut.govern import tell_webhooks
from taut.home import Home
from tests.faces.receiving import Receiver, receiving
from tests.faces.serving import served
from tests.peers.test_mlflow_client import EPILOGUE, PRELUDE

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")

Client = Callable[..., dict[str, Any]]


@pytest.fixture
def client(home: Home, tmp_path: Path) -> Iterator[Client]:
    """Runs a program with the client in a process of its own; returns what it put into `answers`."""
    with served(home) as url:

        def run(program: str, **environment: str) -> dict[str, Any]:
            asked = {"MLFLOW_TRACKING_URI": url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", **environment}
            done = subprocess.run(
                [sys.executable, "-c", PRELUDE + program + EPILOGUE],
                cwd=tmp_path,
                env={**os.environ, **asked},
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            said: dict[str, Any] = json.loads(done.stdout.rpartition("ANSWERS ")[2])
            return said

        yield run


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as one:
        monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", "127.0.0.1")
        yield one


def test_webhooks_are_made_changed_tried_and_told(client: Client, home: Home, receiver: Receiver):
    said = client(
        """
from mlflow.entities.webhook import WebhookEvent, WebhookStatus
import os
made = client.create_webhook(
    "hook", os.environ["HOOK"], ["registered_model.created", WebhookEvent("model_version_tag", "set")],
    description="what for", secret="hush",
)
answers["made"] = [made.name, made.url, made.description, str(made.status), sorted(map(str, made.events)), made.secret]
answers["same"] = repr(client.get_webhook(made.webhook_id)) == repr(made)
other = client.create_webhook("other", "https://example.org", ["prompt.created"], status="DISABLED")
answers["listed"] = [one.name for one in client.list_webhooks()]
first = client.list_webhooks(max_results=1)
answers["paged"] = [one.name for one in client.list_webhooks(max_results=1, page_token=first.token)]
tried = client.test_webhook(made.webhook_id)
answers["tried"] = [tried.success, tried.response_status, tried.response_body, tried.error_message]
tried = client.test_webhook(made.webhook_id, event="model_version_tag.set")
changed = client.update_webhook(other.webhook_id, name="changed", events=["model_version.created"], status="ACTIVE")
answers["changed"] = [changed.name, str(changed.status), [str(one) for one in changed.events], changed.url]
client.delete_webhook(other.webhook_id)
answers["gone"] = code_of(client.get_webhook, other.webhook_id)
answers["private"] = code_of(client.create_webhook, "a", "https://10.0.0.1/", ["prompt.created"])
client.create_registered_model("late", tags={"owner": "ada"}, description="how late")
""",
        HOOK=receiver.url,
    )
    events = ["model_version_tag.set", "registered_model.created"]
    assert said["made"] == ["hook", receiver.url, "what for", "ACTIVE", events, None]
    assert said["same"]
    assert sorted(said["listed"]) == ["hook", "other"]
    assert len(said["paged"]) == 1
    assert said["tried"] == [True, 200, "thanks", None]
    assert said["changed"] == ["changed", "ACTIVE", ["model_version.created"], "https://example.org"]
    assert (said["gone"], said["private"]) == ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
    tell_webhooks(home)
    assert receiver.events() == ["registered_model.created", "model_version_tag.set", "registered_model.created"]
    assert receiver.heard[2].told["data"] == {"name": "late", "tags": {"owner": "ada"}, "description": "how late"}
