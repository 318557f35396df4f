"""A DVC remote in a bucket of S3, GCS or Azure, through one object-store library."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from taut.data.exchange.remote import Content
from taut.data.remotes.config import RemoteSpec
from taut.data.remotes.verified import Failures, failing, is_right, key_of, prefix_of
from taut.data.remotes.web import write_stream
from taut.data.workspace.cache import NAME
from taut.data.workspace.digests import SMALL_BYTES, file_digest, md5_of
from taut.data.workspace.whole import explained
from taut.errors import Corrupt, Denied, Invalid, NotFound, Unavailable, UsageError
from taut.ground.progress import Progress

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

TIMEOUT = "300s"  # Of one request, which moves some MiB.
RETRIES = 3
ASKED_MAX = 256  # From so many names on, listing folders is cheaper than asking for each.
PAGE = 1000  # Names in one answer to a listing.
SHARDS = 256  # Folders that contents of a remote spread over, evenly.
PIECE_BYTES = 1 << 20
# What DVC calls an option, and what the library does.
S3 = {
    "endpointurl": "endpoint",
    "region": "region",
    "access_key_id": "access_key_id",
    "secret_access_key": "secret_access_key",
    "session_token": "token",
}
AZURE = {
    "account_name": "account_name",
    "account_key": "account_key",
    "sas_token": "sas_token",
    "tenant_id": "tenant_id",
    "client_id": "client_id",
    "client_secret": "client_secret",
}


def connect(spec: RemoteSpec, *, is_legacy: bool, jobs: int) -> "BucketRemote":
    """A remote in a bucket. Raises as `open_bucket` does."""
    return BucketRemote(*open_bucket(spec), is_legacy=is_legacy, jobs=jobs)


def open_bucket(spec: RemoteSpec) -> "tuple[str, ObjectStore]":
    """Open a bucket; credentials from the config, else from where each provider's own tools look for them.

    Returns how it is told, without secrets, too. Raises UsageError where the driver is missing, Invalid for a profile
    that is nowhere.
    """
    try:
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError:
        raise UsageError("a remote in a bucket needs its driver", hint="pip install 'taut[s3]'") from None
    parts = urlsplit(spec.url)
    shown = f"{parts.scheme}://{parts.netloc}{parts.path}"
    prefix = parts.path.strip("/") or None
    client: dict[str, Any] = {"timeout": TIMEOUT, "allow_invalid_certificates": _is_off(spec, "ssl_verify")}
    retry: Any = {"max_retries": RETRIES}
    config: Any
    with explained_bucket(shown):
        store: ObjectStore
        if parts.scheme == "s3":
            config = _s3_config(spec)
            client["allow_http"] = config.get("endpoint", "").startswith("http://")
            options: Any = client
            store = S3Store(parts.netloc, prefix=prefix, config=config, client_options=options, retry_config=retry)
        elif parts.scheme == "gs":
            config = {"service_account": path} if (path := spec.option("credentialpath")) else {}
            options = client
            store = GCSStore(parts.netloc, prefix=prefix, config=config, client_options=options, retry_config=retry)
        else:
            config = {AZURE[name]: spec.option(name) for name in AZURE if spec.option(name)}
            options = client
            store = AzureStore(parts.netloc, prefix=prefix, config=config, client_options=options, retry_config=retry)
    return shown, store


class BucketRemote:
    """Objects below a prefix. An upload appears whole or not at all, as these services promise."""

    takes_deltas = False

    def __init__(self, url: str, store: "ObjectStore", *, is_legacy: bool, jobs: int) -> None:
        self._url, self._store, self._is_legacy, self._jobs = url, store, is_legacy, jobs
        self._absent: set[str] = set()  # What was asked for and is not there, until it is pushed.

    @property
    def url(self) -> str:
        """Bucket and prefix."""
        return self._url

    def missing(self, digests: Collection[str]) -> set[str]:
        """Those that are not there: asked for one by one, or listed where many are meant."""
        wanted = set(digests)
        if len(wanted) < ASKED_MAX:
            there = self._each(self._has, wanted)
            absent = {digest for digest, has in zip(wanted, there, strict=True) if not has}
        else:
            absent = wanted - self._found({digest[:2] for digest in wanted})
        self._absent |= absent
        return absent

    def _found(self, shards: set[str]) -> set[str]:
        """What some folders hold. How many one holds says whether it takes fewer rounds to list all that is there."""
        first = min(shards)
        prefix = prefix_of(self._is_legacy)
        found = set(self._listed(f"{prefix}{first}/"))
        # Pages of one listing come one after the other, folders some at once.
        if prefix and len(found) * SHARDS <= PAGE * max(1, len(shards) // self._jobs):
            return set(self._listed(prefix))
        return found.union(*self._each(lambda shard: set(self._listed(f"{prefix}{shard}/")), shards - {first}))

    def push(self, contents: Sequence[Content], bar: Progress) -> None:
        """Upload what is not there, each file held against its digest before; what was just asked for is not again."""
        pushed = {content.digest for content in contents}
        absent = self.missing(pushed - self._absent) | (pushed & self._absent)
        self._absent -= pushed
        todo = {content.digest: content for content in contents if content.digest in absent}
        wrong = [path for path in self._each(lambda content: self._put(content, bar), todo.values()) if path]
        if wrong:
            raise Corrupt(f"these files have not the digests that they were pushed as: {', '.join(wrong[:5])}")

    def pull(self, wanted: Mapping[str, Path], bar: Progress) -> None:
        """Download, each file verified."""
        for folder in {path.parent for path in wanted.values()}:
            folder.mkdir(parents=True, exist_ok=True)
        with failing(self._url) as failures:
            self._each(lambda item: self._get(item[0], item[1], failures, bar), wanted.items())

    def listed(self) -> Iterator[str]:
        """Every digest that has an object."""
        return self._listed(prefix_of(self._is_legacy))

    def delete(self, digests: Iterable[str]) -> None:
        """Remove objects."""
        import obstore

        with explained_bucket(self._url), suppress(FileNotFoundError):
            obstore.delete(self._store, [key_of(digest, is_legacy=self._is_legacy) for digest in digests])

    def _listed(self, prefix: str) -> Iterator[str]:
        import obstore

        root = len(prefix_of(self._is_legacy))
        with explained_bucket(self._url):
            for batch in obstore.list(self._store, prefix or None):
                for entry in batch:
                    shard, _, name = str(entry["path"])[root:].partition("/")
                    if len(shard) == 2 and NAME.fullmatch(shard + name):
                        yield shard + name

    def _has(self, digest: str) -> bool:
        import obstore

        with explained_bucket(self._url):
            try:
                obstore.head(self._store, key_of(digest, is_legacy=self._is_legacy))
            except FileNotFoundError:
                return False
        return True

    def _put(self, content: Content, bar: Progress) -> str:
        """Upload one; returns its path where it has another digest, and was not."""
        import obstore

        path, key = str(content.path), key_of(content.digest, is_legacy=self._is_legacy)
        try:
            data = content.path.read_bytes() if content.size_bytes <= SMALL_BYTES else b""
            md5 = file_digest(path).md5 if not data else md5_of(data)
            if not is_right(path, md5, content.digest, is_legacy=self._is_legacy):
                return path
        except FileNotFoundError:
            raise NotFound(f"no file {path} to push", hint="taut data add, once more") from None
        except OSError as problem:
            raise explained(problem, content.path, "read") from None
        with explained_bucket(self._url):
            obstore.put(self._store, key, data or content.path)
        bar.advance(content.size_bytes)
        return ""

    def _get(self, digest: str, path: Path, failures: Failures, bar: Progress) -> None:
        import obstore

        with explained_bucket(self._url):
            try:
                answer = obstore.get(self._store, key_of(digest, is_legacy=self._is_legacy))
            except FileNotFoundError:
                failures.absent(digest)
                return
            is_small = answer.meta["size"] <= SMALL_BYTES
            pieces = [answer.bytes()] if is_small else answer.stream(min_chunk_size=PIECE_BYTES)
            md5 = write_stream((bytes(piece) for piece in pieces), path, bar)
        if not is_right(str(path), md5, digest, is_legacy=self._is_legacy):
            path.unlink()
            failures.damaged(digest)

    def _each(self, work: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
        """Some requests at once; after an error none begins another."""
        pool = ThreadPoolExecutor(self._jobs)
        try:
            return list(pool.map(work, items))
        finally:
            pool.shutdown(cancel_futures=True)


def _s3_config(spec: RemoteSpec) -> dict[str, str]:
    """Credentials and place: what the config says, then the profile, then what the environment says."""
    profile = spec.option("profile") or os.environ.get("AWS_PROFILE", "")
    config = _profile(spec, profile) if not spec.option("access_key_id") else {}
    config |= {S3[name]: spec.option(name) for name in S3 if spec.option(name)}
    if spec.is_on("allow_anonymous_login"):
        config["skip_signature"] = "true"
    return config


def _profile(spec: RemoteSpec, profile: str) -> dict[str, str]:
    """What Amazon's own tools were told of a profile; nothing where none is named and the environment has keys."""
    from configparser import ConfigParser, Error

    if not profile and os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    folder = os.path.expanduser("~/.aws")
    keys = spec.option("credentialpath") or os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or f"{folder}/credentials"
    more = spec.option("configpath") or os.environ.get("AWS_CONFIG_FILE") or f"{folder}/config"
    read = ConfigParser(interpolation=None)
    try:
        read.read([keys, more], encoding="utf-8")
    except (Error, UnicodeDecodeError) as problem:
        raise Invalid(f"{keys} or {more}: {str(problem).splitlines()[0]}") from None
    name = profile or "default"
    found: dict[str, str] = {}
    for section in (f"profile {name}", name):
        if read.has_section(section):
            found |= dict(read[section])
    if profile and not found:
        raise Invalid(f"remote {spec.name!r}: no profile {profile!r} in {keys} or {more}", hint="aws configure list")
    words = {
        "aws_access_key_id": "access_key_id",
        "aws_secret_access_key": "secret_access_key",
        "aws_session_token": "token",
        "region": "region",
    }
    return {words[key]: value for key, value in found.items() if key in words}


def _is_off(spec: RemoteSpec, name: str) -> bool:
    return spec.option(name).strip().lower() in {"0", "no", "false", "off", "n"}


@contextmanager
def explained_bucket(url: str) -> Iterator[None]:
    """Turn what a bucket's driver raises into Denied and Unavailable."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except BaseError as problem:
        if isinstance(problem, PermissionDeniedError | UnauthenticatedError) or " 403 Forbidden" in str(problem):
            raise Denied(f"{url} refused the credentials", hint="taut data remote list, and its credentials") from None
        said = str(problem).strip().splitlines()[0][:200]
        raise Unavailable(f"{url} did not answer: {said}", hint="type the same again; it goes on") from None
