"""Where a version's files come from: a run's logged model, an artifact folder, another version; named by one digest."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from taut.errors import Invalid, NotFound
from taut.ground.meta import Tx
from taut.models.mlmodel import MLMODEL
from taut.models.tree import check_paths
from taut.models.versions import referred_version_in
from taut.records import TreeFile

SELECT_RUN = "SELECT experiment_id FROM run WHERE id = :id"
SELECT_LOGGED_MODEL = (
    "SELECT id, experiment_id, run_id, status FROM logged_model WHERE id = :id AND status <> 'DELETED'"
)
SELECT_LOGGED_MODELS = """SELECT id, experiment_id, run_id, status FROM logged_model
WHERE run_id = :run_id AND status = 'READY' ORDER BY created_ms DESC, id DESC"""
SELECT_UNREADY = """SELECT id, name FROM logged_model
WHERE run_id = :run_id AND status IN ('PENDING', 'UPLOAD_FAILED') ORDER BY created_ms DESC, id DESC LIMIT 100"""
SELECT_FILES = "SELECT path, oid, size_bytes FROM artifact WHERE root = :root ORDER BY path"

READY = ("READY", "LOGGED_MODEL_READY")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a new version is made of: the run and logged model behind it, and its files.

    Where another version is the source, its `digest` says it all and `files` is empty.
    """

    source: str
    run_id: str
    model_id: str
    files: tuple[TreeFile, ...]
    digest: str = ""


def origin_in(tx: Tx, *, run_id: str, model_id: str, source: str) -> Origin:
    """Find the files that a caller means by a run, a logged model or a source; the three must agree.

    `source` is `runs:/RUN/PATH`, `models:/MODEL_ID`, `models:/NAME/NUMBER`, or `mlflow-artifacts:/` and a root with a
    path. Only artifacts of this home can be registered: a file's path or another server's URL is Invalid.
    Raises NotFound where there is no such run or model, Invalid where it holds no MLmodel file.
    """
    if source:
        origin = _origin_of_source(tx, source, run_id)
    elif model_id:
        origin = _origin_of_logged_model(tx, model_id)
    elif run_id:
        origin = _origin_of_run(tx, run_id)
    else:
        raise Invalid("say what to register: a run, a logged model or a source", hint="taut runs list")
    _must_agree("run", run_id, origin.run_id, origin.source)
    _must_agree("logged model", model_id, origin.model_id, origin.source)
    if not origin.digest and not any(file.path == MLMODEL for file in origin.files):
        raise Invalid(
            f"{origin.source} holds no {MLMODEL} file among its {len(origin.files)} files, so it is no model",
            hint="save it with an MLflow flavour, as mlflow.sklearn.log_model(model, name='model')",
        )
    return origin


def _origin_of_run(tx: Tx, run_id: str) -> Origin:
    if tx.row(SELECT_RUN, {"id": run_id}) is None:
        raise NotFound(f"there is no run {run_id!r}", hint="taut runs list")
    logged = tx.row(SELECT_LOGGED_MODELS, {"run_id": run_id})
    if logged is not None:
        return _origin_of_logged_model(tx, str(logged[0]))
    found = [path for path in _paths_of_run(tx, run_id) if PurePosixPath(path).name == MLMODEL]
    if not found and (unready := tx.row(SELECT_UNREADY, {"run_id": run_id})) is not None:
        return _origin_of_logged_model(tx, str(unready[0]))  # Which says that it is not ready.
    if len(found) != 1:
        many = f"{len(found)} of them: {', '.join(found[:5])}" if found else "none"
        raise NotFound(
            f"run {run_id} has no logged model, and of {MLMODEL} files among its artifacts {many}",
            hint="log one with mlflow.sklearn.log_model, or name it: --source runs:/RUN/PATH",
        )
    folder = str(PurePosixPath(found[0]).parent)
    return _origin_of_run_path(tx, run_id, "" if folder == "." else folder)


def _origin_of_logged_model(tx: Tx, model_id: str) -> Origin:
    row = tx.row(SELECT_LOGGED_MODEL, {"id": model_id})
    if row is None:
        raise NotFound(f"there is no logged model {model_id!r}", hint="taut runs show RUN")
    _, experiment_id, run_id, status = map(str, row)
    if status not in READY:
        raise Invalid(
            f"logged model {model_id} is not ready: its status is {status}, so its files may not all be there",
            hint=f"finish it first: finalize_logged_model({model_id!r}, 'READY')",
        )
    root = f"{experiment_id}/models/{model_id}/artifacts"
    return Origin(f"models:/{model_id}", run_id, model_id, _files_below(tx, root, ""))


def _origin_of_run_path(tx: Tx, run_id: str, path: str) -> Origin:
    row = tx.row(SELECT_RUN, {"id": run_id})
    if row is None:
        raise NotFound(f"there is no run {run_id!r}", hint="taut runs list")
    files = _files_below(tx, f"{row[0]}/{run_id}/artifacts", path)
    return Origin(f"runs:/{run_id}/{path}".rstrip("/"), run_id, "", files)


def _origin_of_source(tx: Tx, source: str, run_id: str) -> Origin:
    if found := re.fullmatch(r"runs:/+([^/]+)/?(.*)", source):
        return _origin_of_named(tx, found[1], found[2].strip("/"))
    if found := re.fullmatch(r"models:/+(m-[^/@]+)", source):
        return _origin_of_logged_model(tx, found[1])
    if found := re.fullmatch(r"models:/+([^/@]+)[/@]([^/@]+)", source):
        return _origin_of_version(tx, f"{found[1]}@{found[2]}")
    if found := re.fullmatch(r"mlflow-artifacts:/(?:/[^/]*)?/?([^/]+)/(.+)", source):
        return _origin_of_root(tx, found[1], found[2])
    inside = f"; a version of run {run_id} must lie inside that run's artifacts" if run_id else ""
    raise Invalid(
        f"a model cannot be registered from {source[:200]!r}{inside}",
        hint="name runs:/RUN/PATH or models:/MODEL_ID, or register the folder: taut model register NAME --folder DIR",
    )


def _origin_of_named(tx: Tx, run_id: str, path: str) -> Origin:
    """`runs:/RUN/NAME`: a folder of the run's artifacts, else the newest model that the run logged under that name."""
    origin = _origin_of_run_path(tx, run_id, path)
    if origin.files:
        return origin
    for logged_id, *_ in tx.rows(SELECT_LOGGED_MODELS + " LIMIT 100", {"run_id": run_id}):
        if path in ("", _logged_name(tx, str(logged_id))):
            return _origin_of_logged_model(tx, str(logged_id))
    for unready_id, name in tx.rows(SELECT_UNREADY, {"run_id": run_id}):
        if path in ("", name):
            return _origin_of_logged_model(tx, str(unready_id))  # Which says that it is not ready.
    raise NotFound(f"run {run_id} has no artifacts and no logged model at {path!r}", hint=f"taut runs show {run_id}")


def _logged_name(tx: Tx, model_id: str) -> str:
    row = tx.row("SELECT name FROM logged_model WHERE id = :id", {"id": model_id})
    return str(row[0]) if row else ""


def _origin_of_version(tx: Tx, written: str) -> Origin:
    version = referred_version_in(tx, written)
    source = f"models:/{version.name}/{version.number}"
    return Origin(source, version.run_id, version.model_id, (), version.digest)


def _origin_of_root(tx: Tx, experiment_id: str, rest: str) -> Origin:
    """`mlflow-artifacts:/EXPERIMENT/RUN/artifacts/PATH` or `…/EXPERIMENT/models/MODEL_ID/artifacts`."""
    if found := re.fullmatch(r"models/([^/]+)/artifacts/?", rest):
        origin, said = _origin_of_logged_model(tx, found[1]), f"{experiment_id}/models/{found[1]}"
        known = tx.row(SELECT_LOGGED_MODEL, {"id": found[1]})
    elif found := re.fullmatch(r"([^/]+)/artifacts/?(.*)", rest):
        origin, said = _origin_of_run_path(tx, found[1], found[2].strip("/")), f"{experiment_id}/{found[1]}"
        known = tx.row("SELECT id, experiment_id FROM run WHERE id = :id", {"id": found[1]})
    else:
        raise Invalid(
            f"'mlflow-artifacts:/{experiment_id}/{rest[:200]}' is no artifact root of a run or a logged model"
        )
    if known is None or str(known[1]) != experiment_id:
        raise NotFound(f"there is no artifact root {said}", hint="taut runs list")
    return origin


def _files_below(tx: Tx, root: str, folder: str) -> tuple[TreeFile, ...]:
    start = f"{folder}/" if folder else ""
    rows = [(str(path), str(oid), int(str(size))) for path, oid, size in tx.rows(SELECT_FILES, {"root": root})]
    inside = [TreeFile(path[len(start) :], oid, "", size) for path, oid, size in rows if path.startswith(start)]
    files = tuple(sorted(inside, key=lambda file: file.path))
    check_paths(files)
    return files


def _paths_of_run(tx: Tx, run_id: str) -> list[str]:
    row = tx.row(SELECT_RUN, {"id": run_id})
    return [str(path) for path, *_ in tx.rows(SELECT_FILES, {"root": f"{row[0] if row else ''}/{run_id}/artifacts"})]


def _must_agree(what: str, said: str, found: str, source: str) -> None:
    if said and said != found:
        belongs = f"{what} {found}" if found else f"no {what}"
        raise Invalid(f"{source} belongs to {belongs}, not to {what} {said}")
