"""Registered models and versions of another store written down here, with their own numbers, times and stages."""

from taut.errors import Conflict, Invalid
from taut.ground import wire
from taut.ground.ledger import draw_arrow
from taut.ground.meta import Tx, Value
from taut.ground.objects import Objects
from taut.home import Home, verb
from taut.models.mlmodel import MLMODEL
from taut.models.registry import INSERT_MODEL, signature_of
from taut.models.tree import check_paths, store_tree
from taut.models.versions import (
    DELETED_MODEL_TAG,
    SELECT_MODEL,
    SELECT_VERSION,
    RegisteredModel,
    check_model_name,
    is_deleted,
    lock_model,
    model_in,
    version_in,
)
from taut.records import ModelVersion, TreeFile
from taut.runs import Count, Moved, moved_in, note_moved

INSERT_VERSION = """
INSERT INTO model_version (name, number, source, run_id, model_id, digest, signature, stage, status, description,
    actor, created_ms, updated_ms, tags)
VALUES (:name, :number, :source, :run_id, :model_id, :digest, :signature, :stage, :status, :description,
    :actor, :created_ms, :updated_ms, :tags)
"""
SETTLE_VERSION = """
UPDATE model_version SET digest = :digest, signature = :signature, stage = :stage, status = :status,
    description = :description, updated_ms = :updated_ms, tags = :tags WHERE name = :name AND number = :number
"""
SETTLE_MODEL = """
UPDATE registered_model SET description = :description, created_ms = :created_ms, updated_ms = :updated_ms,
    tags = :tags WHERE name = :name
"""


@verb("model.import", needs="model:promote")
def import_model(home: Home, model: RegisteredModel, *, source: str) -> Moved:
    """Give a registered model of another store its name here; the same one again finds the name that it has.

    It keeps its name where nothing else here has or had it, or where what has it was made in the same millisecond and
    so is the same; else it becomes `NAME-mlflow`. Raises Invalid for an impossible name.
    """
    check_model_name(model.name)
    with home.meta.transaction() as tx:
        known = moved_in(tx, source, "registered model", model.name)
        if known is not None and _is_there(tx, known.ours):
            return known
        name, made = _name_of(tx, model)
        if made:
            tx.execute(INSERT_MODEL, {
                "name": name, "description": model.description, "at_ms": model.created_ms,
                "tags": wire.text(_plain(model.tags)),
            })  # fmt: skip
            home.append(tx, "model.imported", subject=f"model:{name}", body={"source": source, "name": model.name})
        note_moved(home, tx, source, "registered model", model.name, name)
    return Moved("registered model", model.name, name)


@verb("model.import_version", needs="model:promote")
def import_version(
    home: Home, version: ModelVersion, files: list[TreeFile], *, source: str, mark: str, tally: dict[str, Count]
) -> ModelVersion:
    """Write a version down under its own number; `files` are stored already, none where they could not be reached.

    One that was moved in before is brought up to date. An empty `mark` says that something could not be had, so that
    it is tried again. Raises Conflict where another version has the number, or had it and was deleted.
    """
    ordered = tuple(sorted(files, key=lambda file: file.path))
    check_paths(ordered)
    if absent := home.objects.claim([file.oid for file in ordered]):
        raise Invalid(f"{len(absent)} of {len(ordered)} files of {version.point} are not stored", hint="try again")
    digest, signature = store_tree(home.objects, ordered), _signature(home.objects, ordered)
    values: dict[str, Value] = {
        "name": version.name, "number": version.number, "source": version.source, "run_id": version.run_id,
        "model_id": version.model_id, "digest": digest, "signature": signature, "stage": version.stage,
        "status": version.status, "description": version.description, "actor": version.actor,
        "created_ms": version.created_ms, "updated_ms": version.updated_ms, "tags": wire.text(version.tags),
    }  # fmt: skip
    with home.meta.transaction() as tx:
        lock_model(tx, version.name, home.clock.now_ms())
        row = tx.row(SELECT_VERSION, {"name": version.name, "number": version.number})
        known = moved_in(tx, source, "model version", version.point)
        if row is not None and (known is None and row[11] != version.created_ms):
            raise Conflict(f"{version.point} exists already, and is not the one of {source}")
        if row is not None and row[8] == "DELETED":
            raise Conflict(f"{version.point} was deleted here; its number is not given again")
        tx.execute(INSERT_VERSION if row is None else SETTLE_VERSION, values)
        if version.run_id:
            draw_arrow(tx, f"run:{version.run_id}", "made", version.point, at_ms=version.created_ms)
        note_moved(home, tx, source, "model version", version.point, version.point, mark=mark, tally=tally)
        body = {"source": source, "digest": digest, "user": version.actor}
        home.append(tx, "model.version_imported", subject=version.point, body=body)
        return version_in(tx, version.name, version.number)


@verb("model.imported", needs="model:promote")
def settle_imported_model(home: Home, name: str, model: RegisteredModel, *, source: str, mark: str) -> RegisteredModel:
    """Say that all of a registered model is here; `name` is what it is called here, `model` how it was there."""
    with home.meta.transaction() as tx:
        lock_model(tx, name, model.updated_ms)
        tags = wire.text(model_in(tx, name).tags | _plain(model.tags))
        tx.execute(SETTLE_MODEL, {
            "name": name, "description": model.description, "created_ms": model.created_ms,
            "updated_ms": model.updated_ms, "tags": tags,
        })  # fmt: skip
        note_moved(home, tx, source, "registered model", model.name, name, mark=mark)
        home.append(tx, "model.settled", subject=f"model:{name}", body={"source": source})
        return model_in(tx, name)


def _name_of(tx: Tx, model: RegisteredModel) -> tuple[str, bool]:
    """The name that a model of theirs has here, and whether it has yet to be made."""
    for attempt in range(1000):
        name = model.name + ("" if not attempt else "-mlflow" if attempt == 1 else f"-mlflow-{attempt}")
        row = tx.row(SELECT_MODEL, {"name": name})
        if row is None:
            check_model_name(name)
            return name, True
        if row[2] == model.created_ms and not is_deleted(row):
            return name, False
    raise Conflict(f"no name is free for model {model.name!r}")


def _is_there(tx: Tx, name: str) -> bool:
    row = tx.row(SELECT_MODEL, {"name": name})
    return row is not None and not is_deleted(row)


def _plain(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key != DELETED_MODEL_TAG}


def _signature(objects: Objects, files: tuple[TreeFile, ...]) -> str:
    """The signature of a model; empty where there is none to read: what was kept elsewhere is taken as it is."""
    if not any(file.path == MLMODEL for file in files):
        return ""
    try:
        return signature_of(objects, files)
    except Invalid:
        return ""
