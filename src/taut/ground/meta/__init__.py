"""Metadata: rows in SQLite or PostgreSQL behind one protocol, and the migrations that shape them."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import cast

from taut.errors import UsageError
from taut.ground.meta.protocol import Cell, Figure, Insert, Kind, Metadata, Row, Tx, Update, Value

__all__ = [
    "METADATA",
    "Cell",
    "Figure",
    "Insert",
    "Kind",
    "Metadata",
    "Row",
    "Tx",
    "Update",
    "Value",
    "connect_metadata",
    "remove_metadata",
]

# URL scheme -> the module whose `connect(url)` opens it; imported when used, so that nobody pays for the other driver.
METADATA: dict[str, str] = {
    "sqlite": "taut.ground.meta.sqlite",
    "postgresql": "taut.ground.meta.postgres",
    "postgres": "taut.ground.meta.postgres",
}


def connect_metadata(url: str, space: str = "") -> Metadata:
    """Open the metadata store at `url` (`sqlite:///path` or `postgresql://…`) and migrate it to this version.

    A `space` is a store of its own beside it: another file, or another schema of the same database.

    Raises UsageError for an unknown scheme or a missing driver, Unavailable where nothing answers.
    """
    connect = cast("Callable[[str, str], Metadata]", _module(url).connect)
    return connect(url, space)


def remove_metadata(url: str, space: str) -> None:
    """Remove the store of a space with all that is in it; one that is gone, or half gone, is no error.

    Raises what `connect_metadata` does, Denied where files cannot be removed.
    """
    remove = cast("Callable[[str, str], None]", _module(url).remove)
    remove(url, space)


def _module(url: str) -> ModuleType:
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme not in METADATA:
        raise UsageError(f"no metadata store is called {scheme!r}; known are {', '.join(sorted(METADATA))}")
    return import_module(METADATA[scheme])
