"""Keeping the registry: descriptions, tags, stages, new names, and deletions that never reuse a number."""

from typing import Literal, get_args

from taut.errors import Conflict, Invalid, Refused
from taut.ground import wire
from taut.ground.access import forget_resource, rename_resource
from taut.ground.meta import Tx
from taut.home import Home, verb
from taut.models.approvals import must_be_approved
from taut.models.rights import of_model
from taut.models.versions import (
    DELETED_MODEL_TAG,
    SELECT_MODEL,
    RegisteredModel,
    check_model_name,
    lock_model,
    model_in,
    version_in,
    versions_in,
)
from taut.records import ModelVersion

Stage = Literal["None", "Staging", "Production", "Archived"]

DESCRIBE_MODEL = "UPDATE registered_model SET description = :description WHERE name = :name"
TAG_MODEL = "UPDATE registered_model SET tags = :tags WHERE name = :name"
COPY_MODEL = """
INSERT INTO registered_model (name, description, created_ms, updated_ms, tags)
SELECT :new, description, created_ms, :at_ms, tags FROM registered_model WHERE name = :name
"""
DROP_MODEL = "DELETE FROM registered_model WHERE name = :name"
RENAME_VERSIONS = "UPDATE model_version SET name = :new WHERE name = :name"
RENAME_ALIASES = "UPDATE model_alias SET name = :new WHERE name = :name"
RENAME_GATES = "UPDATE gate_result SET model = :new WHERE model = :name"
RENAME_COMPILATIONS = "UPDATE compilation SET model = :new WHERE model = :name"
RENAME_BATCHES = "UPDATE batch_job SET model = :new WHERE model = :name"
RENAME_POLICY = "UPDATE approval_policy SET model = :new WHERE model = :name"
RENAME_PROMOTIONS = "UPDATE promotion SET model = :new WHERE model = :name"
RENAMES = (
    RENAME_VERSIONS, RENAME_ALIASES, RENAME_GATES, RENAME_COMPILATIONS, RENAME_BATCHES, RENAME_POLICY,
    RENAME_PROMOTIONS,
)  # fmt: skip
MOVE_ARROWS_FROM = "UPDATE lineage SET source = :after WHERE source = :before"
MOVE_ARROWS_TO = "UPDATE lineage SET target = :after WHERE target = :before"
SELECT_SERVED = "SELECT target FROM lineage WHERE source = :point AND relation IN ('serves', 'shadows') LIMIT 1"
DESCRIBE_VERSION = """
UPDATE model_version SET description = :description, updated_ms = :at_ms WHERE name = :name AND number = :number
"""
TAG_VERSION = "UPDATE model_version SET tags = :tags WHERE name = :name AND number = :number"
STAGE_VERSION = "UPDATE model_version SET stage = :stage, updated_ms = :at_ms WHERE name = :name AND number = :number"
DELETE_VERSION = """
UPDATE model_version SET status = 'DELETED', updated_ms = :at_ms WHERE name = :name AND number = :number
"""
DELETE_ALIASES_OF = "DELETE FROM model_alias WHERE name = :name AND (:number = 0 OR number = :number)"


@verb("model.describe", needs="model:write", on=of_model)
def describe_model(home: Home, name: str, description: str) -> RegisteredModel:
    """Set the description of a registered model."""
    with home.meta.transaction() as tx:
        lock_model(tx, name, home.clock.now_ms())
        tx.execute(DESCRIBE_MODEL, {"name": name, "description": description})
        home.append(tx, "model.described", subject=f"model:{name}")
        return model_in(tx, name)


@verb("model.tag", needs="model:write", on=of_model)
def tag_model(home: Home, name: str, key: str, value: str | None) -> RegisteredModel:
    """Set a tag of a registered model, or take it away with None."""
    with home.meta.transaction() as tx:
        lock_model(tx, name, home.clock.now_ms())
        tags = _tagged(model_in(tx, name).tags, key, value)
        tx.execute(TAG_MODEL, {"name": name, "tags": wire.text(tags)})
        home.append(tx, "model.tagged", subject=f"model:{name}", body={"key": key, "set": value is not None})
        return model_in(tx, name)


@verb("model.rename", needs="model:write", on=of_model)
def rename_model(home: Home, name: str, new_name: str) -> RegisteredModel:
    """Give a registered model another name, its versions, aliases, verdicts and arrows with it.

    Raises Conflict where the name is taken, Refused where a version was deployed: predictions name it, and what was
    said to others cannot be renamed.
    """
    check_model_name(new_name)
    with home.meta.transaction() as tx:
        lock_model(tx, name, home.clock.now_ms())
        if tx.row(SELECT_MODEL, {"name": new_name}) is not None:
            raise Conflict(f"a model {new_name!r} exists or existed; its numbers are taken", hint="choose another name")
        versions = versions_in(tx, name)
        _must_not_serve(tx, versions, doing="renamed")
        values = {"name": name, "new": new_name}
        tx.execute(COPY_MODEL, {"name": name, "new": new_name, "at_ms": home.clock.now_ms()})
        for statement in RENAMES:
            tx.execute(statement, values)
        tx.execute(DROP_MODEL, {"name": name})
        for version in versions:
            moved = {"before": version.point, "after": f"model:{new_name}@{version.number}"}
            tx.execute(MOVE_ARROWS_FROM, moved)
            tx.execute(MOVE_ARROWS_TO, moved)
        rename_resource(tx, "model", name, new_name)
        home.append(tx, "model.renamed", subject=f"model:{new_name}", body={"before": name})
        return model_in(tx, new_name)


@verb("model.delete", needs="model:delete", on=of_model)
def delete_model(home: Home, name: str) -> None:
    """Delete a registered model, its versions and aliases; their rows stay hidden, so that no number comes twice.

    Raises NotFound, Refused where a version was deployed.
    """
    with home.meta.transaction() as tx:
        at_ms = home.clock.now_ms()
        lock_model(tx, name, at_ms)
        versions = versions_in(tx, name)
        _must_not_serve(tx, versions, doing="deleted")
        for version in versions:
            tx.execute(DELETE_VERSION, {"name": name, "number": version.number, "at_ms": at_ms})
        tx.execute(DELETE_ALIASES_OF, {"name": name, "number": 0})
        tx.execute(TAG_MODEL, {"name": name, "tags": wire.text({DELETED_MODEL_TAG: str(at_ms)})})
        forget_resource(tx, "model", name)
        home.append(tx, "model.deleted", subject=f"model:{name}", body={"versions": len(versions)})


@verb("model.describe_version", needs="model:write", on=of_model)
def describe_version(home: Home, name: str, number: int, description: str) -> ModelVersion:
    """Set the description of a version."""
    with home.meta.transaction() as tx:
        version = _locked(home, tx, name, number)
        at_ms = home.clock.now_ms()
        tx.execute(DESCRIBE_VERSION, {"name": name, "number": number, "description": description, "at_ms": at_ms})
        home.append(tx, "model.described", subject=version.point)
        return version_in(tx, name, number)


@verb("model.tag_version", needs="model:write", on=of_model)
def tag_version(home: Home, name: str, number: int, key: str, value: str | None) -> ModelVersion:
    """Set a tag of a version, or take it away with None."""
    with home.meta.transaction() as tx:
        version = _locked(home, tx, name, number)
        tags = _tagged(version.tags, key, value)
        tx.execute(TAG_VERSION, {"name": name, "number": number, "tags": wire.text(tags)})
        home.append(tx, "model.tagged", subject=version.point, body={"key": key, "set": value is not None})
        return version_in(tx, name, number)


@verb("model.stage", needs="model:promote", on=of_model)
def set_stage(home: Home, name: str, number: int, stage: str, *, archive_others: bool = False) -> ModelVersion:
    """Move a version to one of MLflow's old stages; `archive_others` moves who was there before to Archived.

    Stages are labels for older clients: taut itself goes by aliases. Raises Invalid for an unknown stage, Refused for
    Production without the approvals that the model asks for.
    """
    chosen = stage_named(stage)
    with home.meta.transaction() as tx:
        version = _locked(home, tx, name, number)
        if chosen == "Production":
            must_be_approved(tx, name, number)
        others = [v for v in versions_in(tx, name) if archive_others and v.stage == chosen and v.number != number]
        moves = [(number, chosen), *((other.number, "Archived") for other in others)]
        for moved, to in moves:
            tx.execute(STAGE_VERSION, {"name": name, "number": moved, "stage": to, "at_ms": home.clock.now_ms()})
        home.append(tx, "model.staged", subject=version.point, body={"stage": chosen, "archived": len(others)})
        return version_in(tx, name, number)


@verb("model.delete_version", needs="model:delete", on=of_model)
def delete_version(home: Home, name: str, number: int) -> None:
    """Delete one version and the aliases that point at it. Raises NotFound, Refused where it was deployed."""
    with home.meta.transaction() as tx:
        version = _locked(home, tx, name, number)
        _must_not_serve(tx, [version], doing="deleted")
        tx.execute(DELETE_ALIASES_OF, {"name": name, "number": number})
        tx.execute(DELETE_VERSION, {"name": name, "number": number, "at_ms": home.clock.now_ms()})
        home.append(tx, "model.version_deleted", subject=version.point, body={"digest": version.digest})


def _locked(home: Home, tx: Tx, name: str, number: int) -> ModelVersion:
    lock_model(tx, name, home.clock.now_ms())
    return version_in(tx, name, number)


def _must_not_serve(tx: Tx, versions: list[ModelVersion], *, doing: str) -> None:
    for version in versions:
        served = tx.row(SELECT_SERVED, {"point": version.point})
        if served is not None:
            raise Refused(
                f"{version.name}@{version.number} cannot be {doing}: {served[0]} served it, its predictions name it",
                hint=f"taut model show {version.name}",
            )


def _tagged(tags: dict[str, str], key: str, value: str | None) -> dict[str, str]:
    if not key or key == DELETED_MODEL_TAG or len(key) > 250:
        raise Invalid(f"{key[:80]!r} cannot be a tag: it must have 1 to 250 characters and not be taut's own")
    rest = {known: kept for known, kept in tags.items() if known != key}
    return rest if value is None else {**rest, key: value}


def stage_named(written: str) -> Stage:
    """The stage that a word in any letters' size means. Raises Invalid.

    >>> stage_named("production")
    'Production'
    """
    known: dict[str, Stage] = {each.lower(): each for each in get_args(Stage)}
    if written.lower() not in known:
        raise Invalid(f"there is no stage {written[:80]!r}; there are {', '.join(get_args(Stage))}")
    return known[written.lower()]
