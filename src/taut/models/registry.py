"""The registry: named models and their numbered versions, each tied to its run and to the digest of its files."""

from pathlib import Path

from taut.errors import Conflict, Invalid
from taut.ground import wire
from taut.ground.ledger import draw_arrow
from taut.ground.meta import Tx, Value
from taut.ground.objects import Objects, read_object
from taut.home import Home, sight, verb
from taut.models.mlmodel import MLMODEL, parse_mlmodel
from taut.models.rights import of_model, of_model_or_new, of_reference, require_origin
from taut.models.schema import parse_mlflow_signature
from taut.models.signature import signature_text
from taut.models.sources import Origin, origin_in
from taut.models.tree import check_paths, read_tree, store_tree, tree_of_folder
from taut.models.versions import (
    SELECT_ALIASES,
    SELECT_MODEL,
    SELECT_MODELS,
    RegisteredModel,
    check_model_name,
    is_deleted,
    lock_model,
    model_in,
    model_of_row,
    next_number_in,
    referred_version_in,
    touch_model,
    version_in,
    versions_in,
)
from taut.records import ModelVersion, TreeFile
from taut.runs import note_version

INSERT_MODEL = """
INSERT INTO registered_model (name, description, created_ms, updated_ms, tags)
VALUES (:name, :description, :at_ms, :at_ms, :tags) ON CONFLICT (name) DO NOTHING
"""
REVIVE_MODEL = """
UPDATE registered_model SET description = :description, created_ms = :at_ms, updated_ms = :at_ms, tags = :tags
WHERE name = :name
"""
SELECT_SERVED_BY = """
SELECT target FROM lineage WHERE source = :point AND relation IN ('serves', 'shadows') ORDER BY at_ms, target
"""
SELECT_SAME = """SELECT number FROM model_version
WHERE name = :name AND digest = :digest AND run_id = :run_id AND status <> 'DELETED' ORDER BY number LIMIT 1"""
INSERT_VERSION = """
INSERT INTO model_version (name, number, source, run_id, model_id, digest, signature, stage, status, description,
    actor, created_ms, updated_ms, tags)
VALUES (:name, :number, :source, :run_id, :model_id, :digest, :signature, 'None', 'READY', :description,
    :actor, :at_ms, :at_ms, :tags)
"""


@verb("model.register", needs="model:write", on=of_model_or_new)
def register_model(
    home: Home,
    name: str,
    *,
    run_id: str = "",
    model_id: str = "",
    source: str = "",
    description: str = "",
    tags: dict[str, str] | None = None,
    again: bool = False,
) -> ModelVersion:
    """Make the model of a run the next version of a registered model, which is created where it is missing.

    The run's newest logged model is taken, or `model_id`, or `source` (`runs:/RUN/PATH`, `models:/MODEL_ID`, …). The
    same files of the same run are the same version, unless `again` asks for a new number, as MLflow's protocol does.
    Raises NotFound for an unknown run or model, Invalid where there is no MLmodel file or the three do not agree.
    """
    with home.meta.read() as tx:
        origin = origin_in(tx, run_id=run_id, model_id=model_id, source=source)
    require_origin(home, origin, verb="model.register")
    digest = origin.digest or store_tree(home.objects, origin.files)
    return _record_version(home, name, origin, digest, description=description, tags=tags or {}, again=again)


@verb("model.record", needs="model:write", on=of_model_or_new)
def record_model(home: Home, name: str, files: list[TreeFile], *, source: str, description: str = "") -> ModelVersion:
    """Make files that are stored already the next version of a model; `register_folder` stores them first.

    Raises Invalid where an object is missing or there is no MLmodel file.
    """
    check_paths(tuple(files))
    if not any(file.path == MLMODEL for file in files):
        raise Invalid(
            f"{source} holds no {MLMODEL} file, so it is no model", hint="save it with mlflow.sklearn.save_model"
        )
    if absent := home.objects.claim([file.oid for file in files]):
        raise Invalid(f"{len(absent)} of {len(files)} files of {source} are not stored", hint="register it again")
    plain = tuple(TreeFile(file.path, file.oid, "", file.size_bytes) for file in sorted(files, key=lambda f: f.path))
    origin = Origin(source, "", "", plain)
    return _record_version(home, name, origin, store_tree(home.objects, plain), description=description)


def register_folder(home: Home, name: str, folder: Path, *, description: str = "") -> ModelVersion:
    """Store a model directory of this machine and make it the next version; it has no run, so its line starts here.

    The same files are the same version. Raises NotFound for no folder, Invalid where it is no MLflow model.
    """
    files = list(tree_of_folder(folder))
    if not any(file.path == MLMODEL for file in files):
        raise Invalid(
            f"{folder} holds no {MLMODEL} file, so it is no model", hint="save it with mlflow.sklearn.save_model"
        )
    absent = home.objects.claim([file.oid for file in files])
    for file in files:
        if file.oid in absent:
            with (folder / file.path).open("rb") as stream:
                stored = home.objects.put(stream)
            if stored != file.oid:
                raise Conflict(f"{folder / file.path} changed while it was registered", hint="register it again")
    return record_model(home, name, files, source=f"folder:{folder.name}", description=description)


@verb("model.list", needs="model:read", on="*")
def list_models(home: Home) -> list[RegisteredModel]:
    """Every registered model that the actor may see, by name, with its aliases and newest number."""
    seen = sight(home, "model", "model:read")
    with home.meta.read() as tx:
        newest = {version.name: version.number for version in versions_in(tx)}
        aliases: dict[str, dict[str, int]] = {}
        for name, alias, number in tx.rows(SELECT_ALIASES, {"name": ""}):
            aliases.setdefault(str(name), {})[str(alias)] = int(str(number))
        rows = [row for row in tx.rows(SELECT_MODELS) if not is_deleted(row) and seen.sees(str(row[0]))]
    return [model_of_row(row, newest=newest.get(str(row[0]), 0), aliases=aliases.get(str(row[0]), {})) for row in rows]


@verb("model.show", needs="model:read", on=of_model)
def show_model(home: Home, name: str) -> RegisteredModel:
    """One registered model. Raises NotFound with the nearest name."""
    with home.meta.read() as tx:
        return model_in(tx, name)


@verb("model.versions", needs="model:read", on=of_model)
def list_versions(home: Home, name: str = "", *, run_ids: list[str] | None = None) -> list[ModelVersion]:
    """Every version, oldest first, of one model where it is named, of some runs where they are.

    Raises NotFound for an unknown name.
    """
    seen = sight(home, "model", "model:read")
    with home.meta.read() as tx:
        if name:
            model_in(tx, name)
        return [version for version in versions_in(tx, name, run_ids=run_ids) if seen.sees(version.name)]


@verb("model.find", needs="model:read", on=of_reference)
def find_model(home: Home, reference: str) -> ModelVersion:
    """The version that `late@3`, `late@champion` or `late` (the newest) means.

    Raises NotFound with the nearest name and the numbers that there are.
    """
    with home.meta.read() as tx:
        return referred_version_in(tx, reference)


@verb("model.files", needs="model:read", on=of_model)
def model_files(home: Home, name: str, number: int) -> list[TreeFile]:
    """The files of a version, in order of their paths."""
    with home.meta.read() as tx:
        version = version_in(tx, name, number)
    return list(read_tree(home.objects, version.digest))


@verb("model.served", needs="model:read", on=of_model)
def deployments_of(home: Home, name: str, number: int) -> list[str]:
    """The revisions of deployments that a version stands or stood behind, also as a shadow, oldest first: points."""
    with home.meta.read() as tx:
        version = version_in(tx, name, number)
        return [str(target) for (target,) in tx.rows(SELECT_SERVED_BY, {"point": version.point})]


@verb("model.create", needs="model:write", on=of_model_or_new)
def create_model(
    home: Home, name: str, *, description: str = "", tags: dict[str, str] | None = None
) -> RegisteredModel:
    """Register a name that has no versions yet. Raises Conflict where it exists, Invalid for an impossible name."""
    check_model_name(name)
    with home.meta.transaction() as tx:
        if not _create_in(home, tx, name, description, tags or {}):
            raise Conflict(f"model {name!r} exists already", hint=f"taut model show {name}")
        return model_in(tx, name)


def _record_version(
    home: Home,
    name: str,
    origin: Origin,
    digest: str,
    *,
    description: str = "",
    tags: dict[str, str] | None = None,
    again: bool = False,
) -> ModelVersion:
    check_model_name(name)
    files = origin.files or read_tree(home.objects, digest)
    signature = signature_of(home.objects, files)
    with home.meta.transaction() as tx:
        _create_in(home, tx, name, "", {})
        lock_model(tx, name)
        same = tx.row(SELECT_SAME, {"name": name, "digest": digest, "run_id": origin.run_id})
        if same is not None and not again:
            return version_in(tx, name, int(str(same[0])))
        number, at_ms = next_number_in(tx, name), home.clock.now_ms()
        touch_model(tx, name, at_ms)
        tx.execute(
            INSERT_VERSION,
            {
                "name": name, "number": number, "source": origin.source, "run_id": origin.run_id,
                "model_id": origin.model_id, "digest": digest, "signature": signature, "description": description,
                "actor": home.actor.name, "at_ms": at_ms, "tags": wire.text(tags or {}),
            },
        )  # fmt: skip
        version = version_in(tx, name, number)
        if origin.run_id:
            draw_arrow(tx, f"run:{origin.run_id}", "made", version.point, at_ms=at_ms)
        if origin.model_id:
            note_version(tx, origin.model_id, name, number)
        made_of = {"model_id": origin.model_id} if origin.model_id else {}
        body = {"digest": digest, "source": origin.source, **made_of}
        home.append(tx, "model.registered", subject=version.point, body=body)
        return version


def _create_in(home: Home, tx: Tx, name: str, description: str, tags: dict[str, str]) -> bool:
    """Make the registered model inside a transaction; False where it is there already."""
    row = tx.row(SELECT_MODEL, {"name": name})
    if row is not None and not is_deleted(row):
        return False
    values: dict[str, Value] = {
        "name": name,
        "description": description,
        "at_ms": home.clock.now_ms(),
        "tags": wire.text(tags),
    }
    changed = tx.execute(INSERT_MODEL if row is None else REVIVE_MODEL, values)
    if not changed:  # Somebody else made it in the same moment.
        return False
    home.own(tx, "model", name)
    home.append(tx, "model.created", subject=f"model:{name}")
    return True


def signature_of(objects: Objects, files: tuple[TreeFile, ...]) -> str:
    """What the MLmodel file says the model takes; empty where it says nothing, or nothing that is a table.

    A model of images can be registered, kept and handed out like any other; only taut's own gate and server need
    columns, and they say so.
    """
    oid = next(file.oid for file in files if file.path == MLMODEL)
    values = parse_mlmodel(read_object(objects, oid)).signature
    if values is None:
        return ""
    try:
        return signature_text(parse_mlflow_signature(values))
    except Invalid:
        return ""
