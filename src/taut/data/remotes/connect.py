"""A remote of the config, opened: which kinds there are, and one clear line for those that there are not."""

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taut.data.remotes.config import STORE, Places, RemoteSpec, add_remote, set_option
from taut.data.remotes.verified import JOBS
from taut.errors import Invalid, NotFound, UsageError

if TYPE_CHECKING:
    from taut.data.exchange.remote import Remote

KEY = "taut_key"  # The option that names the key provider of a store in taut's own format.
BUCKETS = ("s3", "gs", "azure")
REFUSED = ("version_aware", "worktree")


def open_remote(spec: RemoteSpec, *, is_legacy: bool = False, jobs: int = 0) -> "Remote":
    """Open a remote, for contents with digests of DVC 2 where `is_legacy`. `jobs` is how many requests run at once.

    Raises Invalid for a kind that taut does not read, UsageError where a driver is missing, and what the remote raises.
    """
    refuse(spec)
    at_once = jobs or _number(spec) or JOBS
    scheme, mark, _ = spec.url.partition("://")
    if spec.is_store:
        return _store(spec, is_legacy=is_legacy)
    if not mark:
        from taut.data.remotes.folder import FolderRemote

        return FolderRemote(Path(spec.url), is_legacy=is_legacy)
    if scheme in BUCKETS:
        from taut.data.remotes.bucket import connect

        return connect(spec, is_legacy=is_legacy, jobs=at_once)
    if scheme in ("http", "https"):
        from taut.data.remotes.web import WebRemote

        return WebRemote(spec, is_legacy=is_legacy, jobs=at_once)
    raise Invalid(
        f"remote {spec.name!r} is at {scheme}://, which taut does not reach",
        hint=f"dvc pull -r {spec.name}, then taut data push to a directory, s3://, gs:// or azure://",
    )


def refuse(spec: RemoteSpec) -> None:
    """Raise Invalid for a remote whose files have names and versions of the bucket instead of digests."""
    for switch in REFUSED:
        if spec.is_on(switch):
            raise Invalid(
                f"remote {spec.name!r} is {switch}: its files have names and versions of the bucket, not digests",
                hint=f"dvc pull -r {spec.name}, then taut data push to a remote without {switch}",
            )


def kind_of(spec: RemoteSpec) -> str:
    """The scheme of a remote's URL; empty for a directory."""
    scheme, mark, _ = spec.url.partition("://")
    return scheme if mark else ""


def add_store(places: Places, name: str, url: str, *, key: str, default: bool, force: bool) -> RemoteSpec:
    """Write down a remote in taut's own format, and make it where there is none yet; plain where there is no `key`.

    A key file that is not there is made. Raises UsageError, Conflict, Denied and what the place raises.
    """
    store = _format()
    is_new_key = key.startswith("file:") and not os.path.exists(key.removeprefix("file:"))
    if "://" not in url:
        url = f"file://{os.path.abspath(url)}"
    try:
        store.open_store(url, store.keys_of(key) if key and not is_new_key else None)
    except NotFound:
        if is_new_key:
            os.makedirs(os.path.dirname(key.removeprefix("file:")) or ".", exist_ok=True)
            store.make_key_file(Path(key.removeprefix("file:")))
        store.create_store(url, store.keys_of(key) if key else None, is_plain=not key)
    spec = add_remote(places, name, STORE + url, default=default, force=force)
    if key:
        kept = f"file:{os.path.abspath(key.removeprefix('file:'))}" if key.startswith("file:") else key
        set_option(places, name, KEY, kept)
        spec = spec._replace(options={**spec.options, KEY: kept})
    return spec


def _store(spec: RemoteSpec, *, is_legacy: bool) -> "Remote":
    store = _format()
    key = spec.option(KEY)
    opened: Remote = store.open_store(spec.url.removeprefix(STORE), store.keys_of(key) if key else None)
    if not is_legacy:
        return opened
    from taut.data.remotes.legacy_store import LegacyStore

    return LegacyStore(opened)


def _format() -> Any:
    try:
        return import_module("taut.data.store")
    except ImportError:
        raise UsageError(
            "this taut does not have taut's own format of remotes", hint="taut data remote add --dvc NAME URL"
        ) from None


def _number(spec: RemoteSpec) -> int:
    said = spec.option("jobs")
    if said and not (said.isdigit() and int(said) > 0):
        raise Invalid(f"jobs of remote {spec.name!r} is {said!r}, not a number", hint="taut data remote list")
    return int(said or 0)
