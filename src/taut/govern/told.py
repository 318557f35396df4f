"""What webhooks are told: entries of the ledger in MLflow's words, with what the registry says of their subject."""

from collections.abc import Mapping
from typing import Any

from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.ground.clock import iso
from taut.ground.ledger import Event
from taut.home import Home
from taut.models import RegisteredModel, find_model, show_model
from taut.records import ModelVersion

KINDS = ("model.created", "model.registered", "model.tagged", "model.promoted", "model.unaliased")
PAYLOAD_BYTES_MAX = 256 << 10
IS_PROMPT, PROMPT_TYPE, PROMPT_TEXT = "mlflow.prompt.is_prompt", "_mlflow_prompt_type", "mlflow.prompt.text"

_MODEL = {"name": "example_model", "tags": {"example_key": "example_value"}, "description": "An example"}
_VERSION = {"name": "example_model", "version": "1"}
_TAG = {"key": "example_key", "value": "example_value"}
_ALIAS = {"name": "example_model", "alias": "example_alias"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "registered_model.created": _MODEL,
    "model_version.created": {**_MODEL, "version": "1", "source": "models:/m-1", "run_id": "0123456789abcdef"},
    "model_version_tag.set": {**_VERSION, **_TAG},
    "model_version_tag.deleted": {**_VERSION, "key": "example_key"},
    "model_version_alias.created": {**_ALIAS, "version": "1"},
    "model_version_alias.deleted": _ALIAS,
    "prompt.created": _MODEL,
    "prompt_version.created": {**_MODEL, "version": "1", "template": "Hello {{name}}"},
    "prompt_tag.set": {"name": "example_model", **_TAG},
    "prompt_tag.deleted": {"name": "example_model", "key": "example_key"},
    "prompt_version_tag.set": {**_VERSION, **_TAG},
    "prompt_version_tag.deleted": {**_VERSION, "key": "example_key"},
    "prompt_alias.created": {**_ALIAS, "version": "1"},
    "prompt_alias.deleted": _ALIAS,
}


def told_of(home: Home, entry: Event) -> tuple[str, str] | None:
    """The event that an entry of the ledger is for MLflow, and the payload that tells it; None where it is none.

    The ledger keeps no values of tags and no descriptions: those are what they are when it is read, moments later. A
    tag that is gone again by then is told as deleted only; a model or version that is gone is told with its name.
    """
    name, _, number = entry.subject.removeprefix("model:").partition("@")
    body = wire.decode(entry.body, dict[str, Any]) if entry.body != "null" else {}
    model, version = _model(home, name), _version(home, name, number)
    is_prompt = model is not None and model.tags.get(IS_PROMPT, "").lower() == "true"
    found = _event(entry.kind, name, number, body, model, version, is_prompt=is_prompt)
    if found is None:
        return None
    event, data = found
    return event, payload_of(event, data, at_ms=entry.at_ms)


def payload_of(event: str, data: Mapping[str, Any], *, at_ms: int) -> str:
    """The body of a delivery. Where texts of users make it too large, they are left out."""
    entity, _, action = event.partition(".")
    payload = {"entity": entity, "action": action, "timestamp": iso(at_ms), "data": data}
    written = wire.text(payload)
    if len(written.encode()) > PAYLOAD_BYTES_MAX:
        short: dict[str, Any] = {"tags": {}, "description": None, "template": None, "value": ""}
        written = wire.text({**payload, "data": {key: short.get(key, value) for key, value in data.items()}})
    return written


def _event(
    kind: str,
    name: str,
    number: str,
    body: Mapping[str, Any],
    model: RegisteredModel | None,
    version: ModelVersion | None,
    *,
    is_prompt: bool,
) -> tuple[str, dict[str, Any]] | None:
    versions = "prompt_version" if is_prompt else "model_version"
    aliases = "prompt_alias" if is_prompt else "model_version_alias"
    match kind:
        case "model.created":
            return ("prompt" if is_prompt else "registered_model") + ".created", {"name": name, **_described(model)}
        case "model.registered":
            return f"{versions}.created", _new_version(name, number, version, is_prompt=is_prompt)
        case "model.promoted":
            return f"{aliases}.created", {"name": name, "alias": body.get("alias", ""), "version": number}
        case "model.unaliased":
            return f"{aliases}.deleted", {"name": name, "alias": body.get("alias", "")}
        case "model.tagged" if number:
            tags = version.tags if version is not None else {}
            return _tagged(f"{versions}_tag", {"name": name, "version": number}, body, tags)
        case "model.tagged" if is_prompt and model is not None:  # MLflow tells of tags of prompts, not of models.
            return _tagged("prompt_tag", {"name": name}, body, model.tags)
    return None


def _tagged(
    entity: str, data: dict[str, Any], body: Mapping[str, Any], tags: Mapping[str, str]
) -> tuple[str, dict[str, Any]] | None:
    key = body.get("key", "")
    if not body.get("set", True):
        return f"{entity}.deleted", {**data, "key": key}
    return (f"{entity}.set", {**data, "key": key, "value": tags[key]}) if key in tags else None


def _described(thing: RegisteredModel | ModelVersion | None) -> dict[str, Any]:
    if thing is None:
        return {"tags": {}, "description": None}
    tags = {key: value for key, value in thing.tags.items() if key not in (IS_PROMPT, PROMPT_TYPE, PROMPT_TEXT)}
    return {"tags": tags, "description": thing.description or None}


def _new_version(name: str, number: str, version: ModelVersion | None, *, is_prompt: bool) -> dict[str, Any]:
    data = {"name": name, "version": number, **_described(version)}
    if is_prompt:
        return {**data, "template": version.tags.get(PROMPT_TEXT) if version is not None else None}
    source, run_id = (version.source, version.run_id or None) if version is not None else ("", None)
    return {**data, "source": source, "run_id": run_id}


def _model(home: Home, name: str) -> RegisteredModel | None:
    try:
        return show_model(home, name)
    except (NotFound, Invalid):
        return None


def _version(home: Home, name: str, number: str) -> ModelVersion | None:
    try:
        return find_model(home, f"{name}@{number}") if number else None
    except (NotFound, Invalid):
        return None
