"""Which kind of store somebody means, by what they wrote."""

from pathlib import Path

from taut.errors import NotFound, UsageError
from taut.faces.moving.database import DatabaseSource
from taut.faces.moving.folder import FolderSource
from taut.faces.moving.rest import RestSource
from taut.faces.moving.source import Source


def open_source(written: str, *, artifacts: str = "") -> Source:
    """The store that somebody means: an `http(s)` URL, an `mlruns` folder, or a SQLite file by path or `sqlite:///`.

    `artifacts` is a folder where artifacts lie now, whatever the store says. Raises NotFound, UsageError.
    """
    bases = (Path(artifacts),) if artifacts else ()
    for base in bases:
        if not base.is_dir():
            raise NotFound(f"there is no folder of artifacts {artifacts}")
    if written.startswith(("http://", "https://")):
        return RestSource(written, bases)
    path = _path_of(written)
    if path.is_dir():
        return FolderSource(path, bases)
    if path.is_file():
        return DatabaseSource(path, bases)
    raise NotFound(f"there is no MLflow store {written}", hint=f"ls -ld {path.parent}")


def _path_of(written: str) -> Path:
    scheme, found, rest = written.partition("://")
    if not found:
        return Path(written.removeprefix("file:")).absolute()
    if scheme == "file":
        return Path("/" + rest.lstrip("/"))
    if scheme == "sqlite":  # Three slashes are a relative path, four an absolute one.
        return Path(rest.removeprefix("/")).absolute()
    raise UsageError(
        f"a store at {scheme}:// is read through its MLflow server",
        hint=f"mlflow server --backend-store-uri {scheme}://… , then: taut import mlflow http://127.0.0.1:5000",
    )
