"""Artifacts in buckets, read with the credentials of the environment, as MLflow's own clients read them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from taut.errors import NotFound, UsageError
from taut.faces.moving.source import File

SCHEMES = frozenset({"s3", "gs", "az", "abfs", "abfss", "adl"})


def bucket_files(location: str) -> Iterator[File]:
    """Every file below `SCHEME://BUCKET/PREFIX`. Raises NotFound with the reason where it cannot be reached."""
    store, prefix = _bucket(location)
    with _explained(location):
        for batch in store.list(f"{prefix}/"):
            yield from (File(str(entry["path"])[len(prefix) + 1 :], int(entry["size"])) for entry in batch)


def open_bucket_file(location: str, path: str) -> BinaryIO:
    """A file's bytes, streamed."""
    store, prefix = _bucket(location)
    from obstore import open_reader

    with _explained(f"{location}/{path}"):
        return cast("BinaryIO", _Body(location, open_reader(store, f"{prefix}/{path}")))


class _Body:
    """The bytes of an object as they come; the driver's own reader is no context manager."""

    def __init__(self, location: str, reader: Any) -> None:
        self._location = location
        self._reader = reader

    def read(self, size: int = -1) -> bytes:
        """The next bytes, none at the end."""
        with _explained(self._location):
            return bytes(self._reader.read(size) if size >= 0 else self._reader.read())

    def __enter__(self) -> "_Body":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()


def _bucket(location: str) -> tuple[Any, str]:
    try:
        from obstore.store import from_url
    except ImportError:
        raise UsageError(f"{location} lies in a bucket", hint="pip install 'taut[s3]'") from None
    parts = urlsplit(location)
    more: dict[str, Any] = {"retry_config": {"max_retries": 3}}
    endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL", "")
    if parts.scheme == "s3" and endpoint:
        more |= {"config": {"endpoint": endpoint}, "client_options": {"allow_http": endpoint.startswith("http://")}}
    return from_url(f"{parts.scheme}://{parts.netloc}", **more), parts.path.strip("/")


@contextmanager
def _explained(location: str) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError) as problem:
        reason = str(problem).strip().partition("\n")[0][:200]
        raise NotFound(f"the artifacts in {location} cannot be reached: {reason}") from None
