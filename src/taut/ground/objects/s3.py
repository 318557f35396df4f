"""Objects in a bucket of anything that speaks S3."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import parse_qsl, urlsplit

from taut.errors import Denied, NotFound, Unavailable, UsageError
from taut.ground.objects.protocol import Stored, poured
from taut.ground.objects.s3_streams import Bucket, S3Reader, S3Sink

if TYPE_CHECKING:
    from obstore.store import S3Store

HEADS = 16  # Questions at once about objects that shall go.
TIMEOUT = "60s"  # Of one request, which moves some MiB.
COPY_TIMEOUT = "1800s"  # Of one that makes the server copy up to 5 GiB.
# What a URL may set, and what the object-store library calls it; the rest comes from the usual AWS_* variables.
OPTIONS = {
    "endpoint": "endpoint",
    "region": "region",
    "access_key_id": "access_key_id",
    "secret_access_key": "secret_access_key",
}

# What a missing bucket is called in the answers of S3 and of Azure.
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS",
} | dict.fromkeys(("az", "azure"), "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY")

OTHERS = ("tmp/", "projects/")  # Below the prefix and no objects of this store.


def connect(url: str) -> "S3Objects":
    """Open `s3://bucket/prefix?endpoint=http://host:port&region=…`; credentials from the URL or the AWS_* environment.

    Raises UsageError where the driver is missing or an option is unknown, Unavailable where nothing answers.
    """
    parts = urlsplit(url)
    return S3Objects(f"s3://{parts.netloc}{parts.path}", s3_client(url, TIMEOUT), s3_client(url, COPY_TIMEOUT))


def s3_client(url: str, timeout: str) -> "S3Store":
    """What talks to the bucket of an s3:// URL, each request within `timeout`, as "60s". Raises UsageError."""
    try:
        from obstore.store import S3Store
    except ImportError:
        raise UsageError("an S3 store needs its driver", hint="pip install 'taut[s3]'") from None
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if unknown := options.keys() - OPTIONS.keys():
        raise UsageError(f"an s3:// URL has no option {min(unknown)!r}; it has {', '.join(OPTIONS)}")
    config = {OPTIONS[name]: value for name, value in options.items()}
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=config,  # type: ignore[arg-type]  # The keys are checked against OPTIONS above.
        client_options={"allow_http": config.get("endpoint", "").startswith("http://"), "timeout": timeout},
        retry_config={"max_retries": 3},
    )


@contextmanager
def bucket_explained(url: str, what: str, *, passed: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Tell errors of the object-store library as ours; those `passed` are the caller's to catch.

    Raises NotFound, Denied or Unavailable.
    """
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except passed:
        raise
    except (FileNotFoundError, BaseError) as problem:
        if any(word in str(problem) for word in NO_BUCKET):
            raise NotFound(f"there is no bucket at {url}", hint="make it first") from None
        if isinstance(problem, FileNotFoundError):
            raise NotFound(f"no object {what} in {url}", hint="taut fsck") from None
        # Of a refused listing the library knows only the words of the answer, not the kind.
        if isinstance(problem, PermissionDeniedError | UnauthenticatedError) or " 403 Forbidden" in str(problem):
            raise Denied(f"{url} refused the credentials", hint=CREDENTIALS[url.partition(":")[0]]) from None
        raise Unavailable(f"{url} did not answer: {str(problem).strip().splitlines()[0][:200]}") from problem


def remove(url: str) -> None:
    """Remove everything under the prefix, what was being uploaded too."""
    connect(url).clear()


class S3Objects:
    """`PREFIX/ab/cdef…` in a bucket. An upload appears whole or not at all, as S3 promises."""

    def __init__(self, url: str, store: "S3Store", copying: "S3Store") -> None:
        self._url = url
        self._store = store
        self._bucket = Bucket(url, store, copying, self._explained)

    @property
    def url(self) -> str:
        """Bucket and prefix."""
        return self._url

    def put(self, source: BinaryIO) -> str:
        """Upload the bytes; returns their oid after the bucket has confirmed them."""
        return poured(source, self.sink())

    def sink(self, *, size_bytes: int = 0) -> S3Sink:
        """An upload that is named at its end. A bucket always has room."""
        return S3Sink(self._bucket, size_bytes)

    def open(self, oid: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Read an object or a range of it, some MiB at a time."""
        return cast("BinaryIO", S3Reader(self._bucket, self._bucket.key(oid), what=oid, start=start, length=length))

    def missing(self, oids: Iterable[str]) -> set[str]:
        """Those that the bucket does not have."""
        return {oid for oid in oids if not self._bucket.has(oid)}

    def claim(self, oids: Iterable[str]) -> set[str]:
        """Those that the bucket does not have. It can make none young but by sending it again: see decision 0019."""
        return self.missing(oids)

    def delete(self, oids: Iterable[str], *, before_ms: int | None = None) -> set[str]:
        """Remove objects; their ages are asked for right before."""
        import obstore

        with ThreadPoolExecutor(HEADS) as pool:
            asked = list(oids)
            ages = dict(zip(asked, pool.map(self._bucket.put_ms, asked), strict=True))
        there = {oid: put_ms for oid, put_ms in ages.items() if put_ms is not None}
        gone = {oid for oid, put_ms in there.items() if before_ms is None or put_ms < before_ms}
        with self._explained("objects"):
            obstore.delete(self._store, [self._bucket.key(oid) for oid in gone])
        return gone

    def older(self, before_ms: int) -> Iterator[Stored]:
        """Those last put before a moment, by the bucket's clock."""
        import obstore

        with self._explained("listing"):
            for batch in obstore.list(self._store):
                for entry in batch:
                    key = str(entry["path"])
                    if not key.startswith(OTHERS) and entry["last_modified"].timestamp() * 1000 < before_ms:
                        yield Stored(key.replace("/", ""), int(entry["size"]))

    def list(self) -> Iterator[str]:
        """Every oid under the prefix; uploads that were never ended are none, and projects below it have their own."""
        import obstore

        with self._explained("listing"):
            for batch in obstore.list(self._store):
                keys = (str(entry["path"]) for entry in batch)
                yield from (key.replace("/", "") for key in keys if not key.startswith(OTHERS))

    def clear(self) -> None:
        """Remove all that is there, whatever it is."""
        import obstore

        with self._explained("objects"):
            for batch in obstore.list(self._store):
                obstore.delete(self._store, [str(entry["path"]) for entry in batch])

    def _explained(self, what: str) -> AbstractContextManager[None]:
        return bucket_explained(self._url, what[:12])
