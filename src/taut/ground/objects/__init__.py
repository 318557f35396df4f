"""Objects: immutable bytes named by their SHA-256, in a directory, a bucket, memory or behind a server."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import cast

from taut.errors import UsageError
from taut.ground.objects.protocol import NoRoom, Objects, Sink, Stored, oid_of, read_object

__all__ = [
    "OBJECTS",
    "NoRoom",
    "Objects",
    "Sink",
    "Stored",
    "connect_objects",
    "oid_of",
    "read_object",
    "remove_objects",
]

# URL scheme -> the module whose `connect(url)` opens it; imported when used.
OBJECTS: dict[str, str] = {
    "file": "taut.ground.objects.local",
    "memory": "taut.ground.objects.memory",
    "s3": "taut.ground.objects.s3",
}


def connect_objects(url: str, space: str = "") -> Objects:
    """Open the object store at `url`: `file:///path`, `s3://bucket/prefix?endpoint=…` or `memory://`.

    A `space` is a store of its own below it, which the store itself does not list: `projects/SPACE`.

    Raises UsageError for an unknown scheme or a missing driver, Unavailable where nothing answers.
    """
    connect = cast("Callable[[str], Objects]", _module(url).connect)
    return connect(_below(url, space))


def remove_objects(url: str, space: str) -> None:
    """Remove the store of a space with all that is in it; one that is gone, or half gone, is no error.

    Raises what `connect_objects` does, Denied where files cannot be removed.
    """
    remove = cast("Callable[[str], None]", _module(url).remove)
    remove(_below(url, space))


def _module(url: str) -> ModuleType:
    scheme = url.partition(":")[0]
    if scheme not in OBJECTS:
        raise UsageError(f"no object store is called {scheme!r}; known are {', '.join(sorted(OBJECTS))}")
    return import_module(OBJECTS[scheme])


def _below(url: str, space: str) -> str:
    if not space:
        return url
    place, mark, options = url.partition("?")
    return f"{place.rstrip('/')}/projects/{space}{mark}{options}"
