"""Files of runs and logged models: names for stored objects, listed as folders; the bytes go to the object store."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from taut.errors import Conflict, Invalid, NotFound
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, verb
from taut.runs.rights import of_root

PATH_MAX = 1024
ROOT = re.compile(r"(?P<experiment>[\w-]+)/((?P<models>models/)|(?P<traces>traces/))?(?P<owner>[\w-]+)/artifacts")

SELECT_RUN = "SELECT 1 FROM run WHERE id = :owner AND experiment_id = :experiment"
SELECT_MODEL = "SELECT 1 FROM logged_model WHERE id = :owner AND experiment_id = :experiment"
SELECT_TRACE = "SELECT 1 FROM trace WHERE id = :owner AND experiment_id = :experiment"
UPSERT = """
INSERT INTO artifact (root, path, folder, oid, size_bytes, at_ms)
VALUES (:root, :path, :folder, :oid, :size_bytes, :at_ms)
ON CONFLICT (root, path) DO UPDATE SET oid = excluded.oid, size_bytes = excluded.size_bytes, at_ms = excluded.at_ms
"""
SELECT_FILE = "SELECT oid, size_bytes FROM artifact WHERE root = :root AND path = :path"
SELECT_SOME = "SELECT path FROM artifact WHERE root = :root AND path IN [:paths]"
SELECT_ALL = "SELECT path, oid, size_bytes FROM artifact WHERE root = :root"
SELECT_LEVEL = """
SELECT path, oid, size_bytes FROM artifact WHERE root = :root AND folder = :folder
UNION ALL SELECT path, '', 0 FROM artifact_folder WHERE root = :root AND folder = :folder AND path <> ''
"""
# The folder '' of a root is its lock: who changes the tree holds the row, so that no folder comes or goes meanwhile.
LOCK = """
INSERT INTO artifact_folder (root, path, folder) VALUES (:root, '', '')
ON CONFLICT (root, path) DO UPDATE SET folder = excluded.folder
"""
LOCK_IF_THERE = "UPDATE artifact_folder SET folder = '' WHERE root = :root AND path = ''"
SELECT_FOLDERS = "SELECT path FROM artifact_folder WHERE root = :root AND path IN (:path, :folder)"
INSERT_FOLDER = """
INSERT INTO artifact_folder (root, path, folder) VALUES (:root, :path, :folder) ON CONFLICT (root, path) DO NOTHING
"""
DELETE_FILE = "DELETE FROM artifact WHERE root = :root AND path = :path"
BELOW = """(
WITH RECURSIVE below (path) AS (
    SELECT path FROM artifact_folder WHERE root = :root AND path = :path
    UNION ALL SELECT inner_folder.path FROM artifact_folder AS inner_folder
    JOIN below ON inner_folder.folder = below.path WHERE inner_folder.root = :root AND inner_folder.path <> ''
)
SELECT path FROM below)
"""
DELETE_FILES_BELOW = f"DELETE FROM artifact WHERE root = :root AND folder IN {BELOW}"  # noqa: S608  # A constant.
DELETE_FOLDERS_BELOW = f"DELETE FROM artifact_folder WHERE root = :root AND path <> '' AND path IN {BELOW}"  # noqa: S608
DELETE_EMPTY = """
DELETE FROM artifact_folder WHERE root = :root AND path = :path
AND NOT EXISTS (SELECT 1 FROM artifact WHERE root = :root AND folder = :path)
AND NOT EXISTS (SELECT 1 FROM artifact_folder AS within WHERE within.root = :root AND within.folder = :path)
"""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file below a root, or a folder: then `oid` is empty and the size 0."""

    path: str
    oid: str = ""
    size_bytes: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it only holds others."""
        return not self.oid


def run_root(experiment_id: str, run_id: str) -> str:
    """Where a run keeps its files."""
    return f"{experiment_id}/{run_id}/artifacts"


def model_root(experiment_id: str, model_id: str) -> str:
    """Where a logged model keeps its files."""
    return f"{experiment_id}/models/{model_id}/artifacts"


def split_root(place: str) -> tuple[str, str]:
    """The root of a run or logged model, and the path below it. Raises Invalid for a place that is in none.

    >>> split_root("0/ab12/artifacts/plots/roc.png")
    ('0/ab12/artifacts', 'plots/roc.png')
    """
    check_path(place)
    found = ROOT.match(place)
    if found is None or place[found.end() : found.end() + 1] not in {"", "/"}:
        raise Invalid(f"{place[:120]!r} is in no run or logged model; it must be EXPERIMENT/RUN/artifacts/PATH")
    return found[0], place[found.end() + 1 :]


def check_path(path: str) -> None:
    """Raises Invalid for a path that could leave its root, however it is written; stores keep names, clients files."""
    # Its length first: each turn of this loop may take away two characters of what somebody made as long as they could.
    plain = path[: PATH_MAX + 1]
    while (decoded := unquote(plain)) != plain:  # A client may decode once more than we do.
        plain = decoded
    parts = plain.split("/")
    if (
        not path
        or len(path) > PATH_MAX
        or any(part in {"", ".", ".."} for part in parts)
        or any(char in plain for char in "\\\x00\n\r")
        or re.match(r"[A-Za-z]:", plain)
    ):
        raise Invalid(f"Invalid path: {path[:120]!r} is not a path below an artifact root")


@verb("artifact.put", needs="artifact:write", on=of_root)
def put_artifact(home: Home, root: str, path: str, oid: str, size_bytes: int) -> None:
    """Name a stored object as a file of a run or logged model, in place of what was there.

    Raises NotFound where the run or model is not there or the object is not stored, Invalid for an unsafe path,
    Conflict where a file would have to be a folder.
    """
    check_path(path)
    if home.objects.claim([oid]):
        raise NotFound(f"object {oid[:12]} is not stored, so {path!r} cannot name it", hint="upload it first")
    with home.meta.transaction() as tx:
        check_root(tx, root)
        tx.execute(LOCK, {"root": root})
        _make_folders(tx, root, path)
        tx.execute(UPSERT, {
            "root": root, "path": path, "folder": _folder(path), "oid": oid, "size_bytes": size_bytes,
            "at_ms": home.clock.now_ms(),
        })  # fmt: skip
        home.append(tx, "artifact.put", subject=_owner(root), body={"path": path, "oid": oid})


def expect_artifact(home: Home, root: str, path: str) -> None:
    """Whether `put_artifact` would take a file there, asked before its bytes are sent. Raises as that does."""
    check_path(path)
    with home.meta.read() as tx:
        check_root(tx, root)
        _missing_folders(tx, root, path)


@verb("artifact.find", needs="artifact:read", on=of_root)
def find_artifact(home: Home, root: str, path: str) -> Artifact:
    """The file of exactly that path. Raises NotFound."""
    check_path(path)
    with home.meta.read() as tx:
        found = tx.row(SELECT_FILE, {"root": root, "path": path})
    if found is None:
        raise NotFound(f"{root} has no file {path[:120]!r}")
    return Artifact(path, str(found[0]), int(str(found[1])))


@verb("artifact.list", needs="artifact:read", on=of_root)
def list_artifacts(home: Home, root: str, path: str = "") -> list[Artifact]:
    """What lies directly in a folder, by name: files and folders. A file, or an unknown path, holds nothing."""
    if path:
        check_path(path)
    with home.meta.read() as tx:
        found = tx.rows(SELECT_LEVEL, {"root": root, "folder": path})
    return sorted(map(_artifact, found), key=lambda one: one.path)


@verb("artifact.all", needs="artifact:read", on=of_root)
def all_artifacts(home: Home, root: str) -> list[Artifact]:
    """Every file below a root, by path."""
    with home.meta.read() as tx:
        return sorted(map(_artifact, tx.rows(SELECT_ALL, {"root": root})), key=lambda one: one.path)


@verb("artifact.delete", needs="artifact:write", on=of_root)
def delete_artifacts(home: Home, root: str, path: str = "") -> int:
    """Forget a file, or all that lies in a folder; returns how many. The bytes stay until they are collected."""
    if path:
        check_path(path)
    place: dict[str, Value] = {"root": root, "path": path}
    with home.meta.transaction() as tx:
        if not tx.execute(LOCK_IF_THERE, {"root": root}):
            return 0
        gone = tx.execute(DELETE_FILE, place) if path else 0
        if not gone:
            gone = tx.execute(DELETE_FILES_BELOW, place)
            tx.execute(DELETE_FOLDERS_BELOW, place)
        for folder in reversed(_parents(path)):
            if not tx.execute(DELETE_EMPTY, {"root": root, "path": folder}):
                break
        if gone:
            home.append(tx, "artifact.deleted", subject=_owner(root), body={"path": path, "files": gone})
    return gone


def check_root(tx: Tx, root: str) -> None:
    """Raises NotFound where no run or logged model keeps its files there."""
    found = ROOT.fullmatch(root)
    if found is None:
        raise Invalid(f"{root[:120]!r} is no artifact root")
    sql = SELECT_MODEL if found["models"] else SELECT_TRACE if found["traces"] else SELECT_RUN
    if tx.row(sql, {"owner": found["owner"], "experiment": found["experiment"]}) is None:
        kind = "logged model" if found["models"] else "trace" if found["traces"] else "run"
        raise NotFound(f"there is no {kind} with files in {root}")


def _make_folders(tx: Tx, root: str, path: str) -> None:
    """The folders that a file lies in, made where they are not there."""
    missing = _missing_folders(tx, root, path)
    if missing:
        tx.executemany(INSERT_FOLDER, [{"root": root, "path": one, "folder": _folder(one)} for one in missing])


def _missing_folders(tx: Tx, root: str, path: str) -> list[str]:
    """Which folders a file would need. A name is a file or a folder; else the tree could not be written to a disk."""
    folder = _folder(path)
    found = {str(row[0]) for row in tx.rows(SELECT_FOLDERS, {"root": root, "path": path, "folder": folder})}
    if path in found:
        raise Conflict(f"{path!r} is a folder already")
    if not folder or folder in found:  # Then those above it are folders too.
        return []
    parents = _parents(path)
    if (file := tx.row(SELECT_SOME, {"root": root, "paths": parents})) is not None:
        raise Conflict(f"{file[0]!r} is a file, so {path!r} cannot lie below it")
    return parents


def _parents(path: str) -> list[str]:
    """The folders above a path, the outermost first.

    >>> _parents("a/b/c")
    ['a', 'a/b']
    """
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _artifact(row: Row) -> Artifact:
    path, oid, size_bytes = row
    return Artifact(str(path), str(oid), int(str(size_bytes)))


def _owner(root: str) -> str:
    found = ROOT.fullmatch(root)
    assert found is not None, root
    kind = "logged-model" if found["models"] else "trace" if found["traces"] else "run"
    return f"{kind}:{found['owner']}"
