"""taut's own remote: deltas against earlier versions, chunks, packs and encryption, in a directory or a bucket.

    store = create_store("s3://bucket/data", keys_of("file:team.key"))
    store = open_store("s3://bucket/data", keys_of("file:team.key"))
    store.push([Content(digest, path, size, ancestor)], bar)

The format is described in docs/decisions/0021-a-store-of-deltas.md.
"""

from typing import TYPE_CHECKING

from taut.data.store.keys import KeyProvider, file_key, keys_of, make_key_file, variable_key
from taut.errors import UsageError

if TYPE_CHECKING:
    from taut.data.store.places import Place
    from taut.data.store.roots import Root
    from taut.data.store.stores import Store

__all__ = ["KeyProvider", "create_store", "file_key", "keys_of", "make_key_file", "open_store", "variable_key"]


def create_store(url: str, keys: KeyProvider | None, *, is_plain: bool = False) -> "Store":
    """Make a store at an empty place: a path, `file:///…`, `s3://…?endpoint=…`, `gs://…` or `az://…`.

    It is encrypted with a secret that `keys` wraps. Only with `is_plain`, and then without keys, is it not: whoever
    reads the place then reads the data.

    Raises UsageError where neither is given or an extra is missing, Conflict where a store is there already.
    """
    _check_extra()
    from taut.data.store.connecting import connect_place
    from taut.data.store.formats import create_format

    if (keys is None) != is_plain:
        raise UsageError("a store is encrypted: it needs a key, or is asked for as a plain one without")
    place = connect_place(url)
    return _store(url, place, create_format(place, keys), keys)


def open_store(url: str, keys: KeyProvider | None = None) -> "Store":
    """Open a store. One that is not encrypted needs no keys, and ignores them.

    Raises NotFound where there is none, Denied without its key or with another, Corrupt, or UsageError where an extra
    is missing.
    """
    _check_extra()
    from taut.data.store.connecting import connect_place
    from taut.data.store.formats import open_format

    place = connect_place(url)
    return _store(url, place, open_format(place, keys), keys)


def _store(url: str, place: "Place", root: "Root", keys: KeyProvider | None) -> "Store":
    from taut.data.store.connecting import is_far
    from taut.data.store.kept import kept_indexes
    from taut.data.store.stores import Store

    return Store(place, root, keys, kept=kept_indexes(root.id) if is_far(url) else None)


def _check_extra() -> None:
    """Raise UsageError where the packages of the format are not installed."""
    try:
        from taut.data.store import chunks, codec  # noqa: F401  # Imported to see whether it can be.
    except ImportError:
        raise UsageError("taut's own data store needs its packages", hint="pip install 'taut[data]'") from None
