"""A store in a bucket of S3, GCS or Azure, through one object-store library."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from taut.data.store.codec import Bytes
from taut.data.store.places import Found
from taut.errors import NotFound, UsageError
from taut.ground.objects.s3 import bucket_explained, s3_client

if TYPE_CHECKING:
    from obstore.store import ObjectStore

TIMEOUT = "300s"  # Of one request: an object has up to 32 MiB, seldom more.
RETRIES = 3
BATCH = 250  # Of objects that one request removes: Azure takes 256, S3 1000.


def connect(url: str) -> "Bucket":
    """Open a bucket; credentials from the URL (S3) or from where each provider's own tools look for them.

    Raises UsageError where the driver is missing, or the URL is none that it takes.
    """
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if parts.scheme == "s3":
        return Bucket(shown, s3_client(url, TIMEOUT))
    try:
        from obstore.store import AzureStore, GCSStore
    except ImportError:
        raise UsageError("a store in a bucket needs its driver", hint="pip install 'taut[s3]'") from None
    if parts.query:
        raise UsageError(f"a {parts.scheme}:// URL takes no options, and has {parse_qsl(parts.query)[0][0]!r}")
    prefix = parts.path.strip("/") or None
    retry, client = {"max_retries": RETRIES}, {"timeout": TIMEOUT}
    with bucket_explained(shown, ""):
        if parts.scheme == "gs":
            return Bucket(shown, GCSStore(parts.netloc, prefix=prefix, client_options=client, retry_config=retry))  # type: ignore[arg-type]  # TypedDicts of the stubs.
        return Bucket(shown, AzureStore(parts.netloc, prefix=prefix, client_options=client, retry_config=retry))  # type: ignore[arg-type]  # The same.


class Bucket:
    """Keys below a prefix. These services show what was put at once, in reads and in listings."""

    def __init__(self, url: str, store: "ObjectStore") -> None:
        self._url, self._store = url, store

    @property
    def url(self) -> str:
        """Bucket and prefix."""
        return self._url

    def put(self, key: str, data: Bytes) -> None:
        """Upload; a large object goes in parts, and appears when the last is there."""
        import obstore

        with bucket_explained(self._url, key):
            obstore.put(self._store, key, memoryview(data))

    def create(self, key: str, data: Bytes) -> bool:
        """Upload under a condition, which the service keeps."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            with bucket_explained(self._url, key, passed=(AlreadyExistsError,)):
                obstore.put(self._store, key, memoryview(data), mode="create")
        except AlreadyExistsError:
            return False
        return True

    def read(self, key: str, start: int = 0, length: int | None = None, *, into: bytearray | None = None) -> Bytes:
        """Download an object or a range of it, into memory of the library's own."""
        import obstore

        with bucket_explained(self._url, key):
            if start == 0 and length is None:
                return memoryview(obstore.get(self._store, key).bytes())
            size = int(obstore.head(self._store, key)["size"]) if length is None else start + length
            return memoryview(obstore.get_range(self._store, key, start=start, end=size))

    def found(self, prefix: str) -> Iterator[Found]:
        """All keys below a prefix."""
        import obstore

        with bucket_explained(self._url, prefix):
            for batch in obstore.list(self._store, prefix.rstrip("/") or None):
                for entry in batch:
                    yield Found(str(entry["path"]), int(entry["size"]), int(entry["last_modified"].timestamp() * 1000))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        import obstore

        gone = list(keys)
        for at in range(0, len(gone), BATCH):
            try:
                with bucket_explained(self._url, gone[at]):
                    obstore.delete(self._store, gone[at : at + BATCH])
            except NotFound:  # Azure and Google tell of one that was gone already, and the rest may have stayed.
                for key in gone[at : at + BATCH]:
                    with suppress(NotFound), bucket_explained(self._url, key):
                        obstore.delete(self._store, key)
