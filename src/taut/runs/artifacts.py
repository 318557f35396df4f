"""Files of runs and logged models: names for stored objects, listed as folders; the bytes go to the object store."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from taut.errors import Conflict, Invalid, NotFound
from taut.ground.meta import Tx, Value
from taut.home import Home, verb

PATH_MAX = 1024
ROOT = re.compile(r"(?P<experiment>[\w-]+)/(?P<models>models/)?(?P<owner>[\w-]+)/artifacts")

SELECT_RUN = "SELECT 1 FROM run WHERE id = :owner AND experiment_id = :experiment"
SELECT_MODEL = "SELECT 1 FROM logged_model WHERE id = :owner AND experiment_id = :experiment"
UPSERT = """
INSERT INTO artifact (root, path, oid, size_bytes, at_ms) VALUES (:root, :path, :oid, :size_bytes, :at_ms)
ON CONFLICT (root, path) DO UPDATE SET oid = excluded.oid, size_bytes = excluded.size_bytes, at_ms = excluded.at_ms
"""
SELECT_FILE = "SELECT oid, size_bytes FROM artifact WHERE root = :root AND path = :path"
SELECT_SOME = "SELECT path FROM artifact WHERE root = :root AND path IN [:paths]"
SELECT_ALL = "SELECT path, oid, size_bytes FROM artifact WHERE root = :root ORDER BY path"
DELETE = "DELETE FROM artifact WHERE root = :root AND path = :path"


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
    plain = path
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
        raise Invalid(f"{path[:120]!r} is not a path below an artifact root")


@verb("artifact.put", needs="artifact:write")
def put_artifact(home: Home, root: str, path: str, oid: str, size_bytes: int) -> None:
    """Name a stored object as a file of a run or logged model, in place of what was there.

    Raises NotFound where the run or model is not there or the object is not stored, Invalid for an unsafe path,
    Conflict where a file would have to be a folder.
    """
    check_path(path)
    if home.objects.missing([oid]):
        raise NotFound(f"object {oid[:12]} is not stored, so {path!r} cannot name it", hint="upload it first")
    with home.meta.transaction() as tx:
        check_root(tx, root)
        _check_folders(tx, root, path)
        tx.execute(UPSERT, {
            "root": root, "path": path, "oid": oid, "size_bytes": size_bytes, "at_ms": home.clock.now_ms(),
        })  # fmt: skip
        home.append(tx, "artifact.put", subject=_owner(root), body={"path": path, "oid": oid})


@verb("artifact.find", needs="artifact:read")
def find_artifact(home: Home, root: str, path: str) -> Artifact:
    """The file of exactly that path. Raises NotFound."""
    check_path(path)
    with home.meta.read() as tx:
        found = tx.row(SELECT_FILE, {"root": root, "path": path})
    if found is None:
        raise NotFound(f"{root} has no file {path[:120]!r}")
    return Artifact(path, str(found[0]), int(str(found[1])))


@verb("artifact.list", needs="artifact:read")
def list_artifacts(home: Home, root: str, path: str = "") -> list[Artifact]:
    """What lies directly in a folder, by name: files and folders. A file, or an unknown path, holds nothing."""
    if path:
        check_path(path)
    start = f"{path}/" if path else ""
    children: dict[str, Artifact] = {}
    for file in all_artifacts(home, root):
        if file.path.startswith(start):
            name, _, below = file.path[len(start) :].partition("/")
            children[start + name] = Artifact(start + name) if below else file
    return [children[name] for name in sorted(children)]


@verb("artifact.all", needs="artifact:read")
def all_artifacts(home: Home, root: str) -> list[Artifact]:
    """Every file below a root, by path."""
    with home.meta.read() as tx:
        return [
            Artifact(str(path), str(oid), int(str(size))) for path, oid, size in tx.rows(SELECT_ALL, {"root": root})
        ]


@verb("artifact.delete", needs="artifact:write")
def delete_artifacts(home: Home, root: str, path: str = "") -> int:
    """Forget a file, or all that lies in a folder; returns how many. The bytes stay until they are collected."""
    if path:
        check_path(path)
    with home.meta.transaction() as tx:
        paths = [str(row[0]) for row in tx.rows(SELECT_ALL, {"root": root})]
        gone = [one for one in paths if not path or one == path or one.startswith(f"{path}/")]
        for one in gone:
            tx.execute(DELETE, {"root": root, "path": one})
        if gone:
            home.append(tx, "artifact.deleted", subject=_owner(root), body={"path": path, "files": len(gone)})
    return len(gone)


def check_root(tx: Tx, root: str) -> None:
    """Raises NotFound where no run or logged model keeps its files there."""
    found = ROOT.fullmatch(root)
    if found is None:
        raise Invalid(f"{root[:120]!r} is no artifact root")
    sql = SELECT_MODEL if found["models"] else SELECT_RUN
    if tx.row(sql, {"owner": found["owner"], "experiment": found["experiment"]}) is None:
        raise NotFound(f"there is no {'logged model' if found['models'] else 'run'} with files in {root}")


def _check_folders(tx: Tx, root: str, path: str) -> None:
    """A name is a file or a folder; else the tree could not be written to a disk again."""
    parts = path.split("/")
    parents = ["/".join(parts[:count]) for count in range(1, len(parts))]
    if parents and (file := tx.row(SELECT_SOME, {"root": root, "paths": parents})) is not None:
        raise Conflict(f"{file[0]!r} is a file, so {path!r} cannot lie below it")
    # '0' is the character after '/': everything that begins with `path/` stands between the two.
    below: dict[str, Value] = {"root": root, "low": f"{path}/", "high": f"{path}0"}
    if tx.row("SELECT path FROM artifact WHERE root = :root AND path >= :low AND path < :high LIMIT 1", below):
        raise Conflict(f"{path!r} is a folder already")


def _owner(root: str) -> str:
    found = ROOT.fullmatch(root)
    assert found is not None, root
    return f"{'logged-model' if found['models'] else 'run'}:{found['owner']}"
