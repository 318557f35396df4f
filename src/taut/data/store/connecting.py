"""From the URL of a store to the place that it lies in."""

from taut.data.store.places import Place
from taut.errors import UsageError

BUCKETS = ("s3", "gs", "az", "azure")  # The last as DVC writes it.


def is_far(url: str) -> bool:
    """Whether what is read from a place crosses a network of its own: then it is worth keeping."""
    return url.partition("://")[0] in BUCKETS


def connect_place(url: str) -> Place:
    """Open `file:///path`, a path, `s3://bucket/prefix?endpoint=…`, `gs://bucket/prefix` or `az://container/prefix`.

    Nothing is made before something is put. Raises UsageError for an unknown scheme or a missing driver.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme == "file":
        from taut.data.store.folder import Folder

        return Folder(rest if mark else url)
    if scheme in BUCKETS:
        from taut.data.store.bucket import connect

        return connect(url)
    raise UsageError(f"no store is at {scheme}://; known are a path, file, {', '.join(BUCKETS)}")
