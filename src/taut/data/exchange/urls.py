"""`taut data import-url`: data of a path, a web server or a bucket, with a pointer that knows what it came from."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from taut.data.exchange.bringing import spec_of
from taut.data.exchange.imported import folder_of, out_entry, target_of, write_import
from taut.data.exchange.remote import Content
from taut.data.remotes.config import Places, places_of
from taut.data.remotes.connect import open_remote
from taut.data.remotes.sources import Marked, Seen, Source, changed, fetch_all, seen_here, source_of
from taut.data.workspace.cache import Cache
from taut.data.workspace.checkout import put_out
from taut.data.workspace.digests import DIR, listing_bytes, md5_of
from taut.data.workspace.index import open_index
from taut.data.workspace.listing import checked_path, read_listing
from taut.data.workspace.opened import Workspace, workspace_of
from taut.data.workspace.overview import index_place, project_of
from taut.data.workspace.pointers import Out, Pointer
from taut.data.workspace.snapshot import store_snapshot
from taut.data.workspace.states import FileState, OutState, State
from taut.errors import Conflict, Invalid, NotFound, UsageError
from taut.ground.progress import progress

# So much lies on this machine at a time on its way from a source to a remote.
BATCH_BYTES = 1 << 30
BATCH_FILES = 10_000


def import_url(
    folder: Path, url: str, *, to: str = "", remote: str = "", to_remote: bool = False, no_download: bool = False,
    no_exec: bool = False, force: bool = False, jobs: int = 0,
) -> Path:  # fmt: skip
    """Take a file or folder from a path or URL; returns the pointer, which remembers what the source had.

    With `no_download` only the source's marks are taken, with `no_exec` not even those, with `to_remote` the content
    goes to a remote and stays there. Raises NotFound for what is not there, Conflict where something lies in its place
    or the source changes meanwhile, UsageError for options that contradict each other, Invalid, Denied, Unavailable.
    """
    if to_remote and (no_download or no_exec):
        raise UsageError("--to-remote brings content, and --no-download and --no-exec bring none")
    if remote and not to_remote:
        raise UsageError("--remote says where --to-remote brings it", hint="the same with --to-remote")
    project, taut = project_of(str(folder))
    target = target_of(folder, to, os.path.basename(os.path.normpath(urlsplit(url).path)), force=force)
    workspace, places = workspace_of(str(target), project, taut), places_of(project, taut)
    told = _told(url, folder, target)
    source = source_of(told, target.parent, places, jobs)
    if source.place and (f"{target}/".startswith(f"{source.place}/") or f"{source.place}/".startswith(f"{target}/")):
        raise Invalid(f"{url} lies where it would be put", hint="taut data add, for data that stays where it is")
    with workspace.locked(target):
        if no_exec:
            return write_import(workspace, target, {"hash": "md5", "path": told}, {"hash": "md5"}, is_checked=False)
        if no_download:
            return write_import(workspace, target, _dep(source.look(), told), {"hash": "md5"})
        if to_remote:
            seen, out = _sent(source, places, remote, index_place(project, taut), jobs)
        else:
            seen, out = _brought(source, workspace.cache, jobs)
            _put(workspace, target, out["md5"], project, taut, force=force)
        return write_import(workspace, target, _dep(seen, told), out)


def update_url(
    pointer: Pointer, dep: dict[str, Any], *, remote: str = "", to_remote: bool = False, no_download: bool = False,
    jobs: int = 0,
) -> Path:  # fmt: skip
    """Look at the source of an import again, and take what it has now where that is something else.

    Raises as `import_url` does.
    """
    project, taut = project_of(str(pointer.file.parent))
    out = pointer.outs[0]
    target, told = Path(out.target), str(dep["path"])
    workspace, places = workspace_of(out.target, project, taut), places_of(project, taut)
    source = source_of(told, folder_of(pointer), places, jobs)
    with workspace.locked(target):
        seen = source.look()
        new = _dep(seen, told)
        is_same = bool(out.md5) and all(dep.get(key) == value for key, value in new.items())
        entry: dict[str, Any]
        if is_same and (to_remote or no_download or not _lacks(workspace.cache, out.md5)):
            if not (to_remote or no_download):
                _put(workspace, target, out.md5, project, taut, force=True)
            return pointer.file
        if no_download:
            entry = {"hash": "md5"}
        elif to_remote:
            seen, entry = _sent(source, places, remote, index_place(project, taut), jobs)
        else:
            seen, entry = _brought(source, workspace.cache, jobs)
            _put(workspace, target, entry["md5"], project, taut, force=True)
        return write_import(workspace, target, _dep(seen, told), entry, file=pointer.file)


def with_sources(found: Sequence[FileState]) -> list[FileState]:
    """States of pointers with those of the URLs that they depend on, as DVC asks for them: of what is not frozen.

    Raises Unavailable, Denied where a source does not answer.
    """
    told = []
    for one in found:
        pointer, deps = one.pointer, list(one.deps)
        if pointer is not None and not pointer.is_frozen:
            for dep in pointer.deps:
                path = str(dep.get("path", ""))
                if "://" in path and "repo" not in dep:
                    deps.append(OutState(Out(path, path), _source_state(pointer, dep), shown=path))
        told.append(one._replace(deps=tuple(deps)))
    return told


def _source_state(pointer: Pointer, dep: dict[str, Any]) -> State:
    project, taut = project_of(str(pointer.file.parent))
    try:
        seen = source_of(str(dep["path"]), folder_of(pointer), places_of(project, taut)).look()
    except NotFound:
        return "deleted"
    marks = seen.as_dep()
    return "unchanged" if all(dep.get(key) == marks.get(key) for key in ("md5", "etag", "checksum")) else "modified"


def bring_partial(pointer: Pointer, dep: dict[str, Any], *, jobs: int = 0) -> str:
    """Have what a pointer without content means in the cache, as its source has it; returns the digest.

    Raises Conflict where the source has something else by now: `taut data update` takes that.
    """
    project, taut = project_of(str(pointer.file.parent))
    out, told = pointer.outs[0], str(dep["path"])
    source = source_of(told, folder_of(pointer), places_of(project, taut), jobs)
    seen, entry = _brought(source, workspace_of(out.target, project, taut).cache, jobs)
    marks = _dep(seen, told)
    if any(dep.get(key) not in (None, marks.get(key)) for key in ("md5", "etag", "checksum")):
        raise Conflict(f"{told} is not what was imported any more", hint=f"taut data update {pointer.file.name}")
    return str(entry["md5"])


def _told(url: str, folder: Path, target: Path) -> str:
    """How a source stands in the pointer: as DVC writes it, and so that a clone in another place finds it."""
    if "://" in url and not url.startswith("file://"):
        return url
    place = url.removeprefix("file://")
    absolute = os.path.abspath(folder / os.path.expanduser(place))
    if os.path.isabs(os.path.expanduser(place)) and not absolute.startswith(f"{project_of(str(folder))[0]}/"):
        return absolute
    return os.path.relpath(absolute, target.parent)


def _dep(seen: Seen, told: str) -> dict[str, Any]:
    return {**seen.as_dep(), "path": told}


def _lacks(cache: Cache, md5: str) -> bool:
    """Whether the cache has not all of a digest's content."""
    return not cache.has(md5) or bool(cache.missing(one for _, one in read_listing(cache, md5)))


def _put(workspace: Workspace, target: Path, digest: str, project: str, taut: str, *, force: bool) -> None:
    with open_index(index_place(project, taut)) as index:
        put_out(index, workspace, target, read_listing(workspace.cache, digest), force=force, is_exec=False)


def _brought(source: Source, cache: Cache, jobs: int) -> tuple[Seen, dict[str, Any]]:
    """Have all of a source in a cache; returns what it had and what a pointer says of the content."""
    if source.place:
        with open_index("") as index:  # As a copy, whatever the cache's links are: the source is nobody's to change.
            found = store_snapshot(index, source.place, Cache(cache.folder))
        return seen_here(found), out_entry(found.digest, found.size_bytes, len(found.paths))
    seen = source.look()
    with progress("importing", seen.size_bytes, unit="B") as bar, cache.filling(len(seen.files)) as filling:
        places = [Path(f"{filling.staging}/{number}") for number in range(len(seen.files))]
        md5s = fetch_all(source, seen.files, places.__getitem__, bar, jobs)
        size_bytes = sum(os.stat(place).st_size for place in places)
        for place, md5 in zip(places, md5s, strict=True):
            filling.take(str(place), md5)
        digest = filling.put_bytes(_listing(seen, md5s), DIR) if seen.is_folder else md5s[0]
    _check(source, seen)
    return seen, out_entry(digest, size_bytes, len(md5s))


def _sent(source: Source, places: Places, name: str, scratch: str, jobs: int) -> tuple[Seen, dict[str, Any]]:
    """Send all of a source to a remote, some at a time; nothing of it stays on this machine."""
    seen = source.look()
    remote = open_remote(spec_of(places, name), jobs=jobs)
    md5s: list[str] = []
    size_bytes = 0
    with progress("importing", 2 * seen.size_bytes, unit="B") as bar:
        for batch in _batches(seen.files):
            with tempfile.TemporaryDirectory(prefix="import-", dir=scratch) as made:
                here = Path(made)
                fetched = fetch_all(source, batch, lambda number, here=here: here / str(number), bar, jobs)  # type: ignore[misc]  # The default binds this turn's folder.
                contents = [
                    Content(md5, here / str(at), os.stat(here / str(at)).st_size) for at, md5 in enumerate(fetched)
                ]
                remote.push(contents, bar)
                md5s += fetched
                size_bytes += sum(one.size_bytes for one in contents)
        _check(source, seen)
        digest = md5s[0] if not seen.is_folder else ""
        if not digest:
            listing = _listing(seen, md5s)
            digest = md5_of(listing) + DIR
            with tempfile.TemporaryDirectory(prefix="import-", dir=scratch) as made:
                (path := Path(made, "list")).write_bytes(listing)
                remote.push([Content(digest, path, len(listing))], bar)
    return seen, out_entry(digest, size_bytes, len(md5s))


def _listing(seen: Seen, md5s: Sequence[str]) -> bytes:
    names = [checked_path(file.path, "the source") for file in seen.files]
    return listing_bytes(zip(names, md5s, strict=True))


def _check(source: Source, seen: Seen) -> None:
    """Raise Conflict where a source is not any more what it was before it was read."""
    if source.look() != seen:
        raise changed(source.place or seen.files[0].key)


def _batches(files: Sequence[Marked]) -> Iterator[list[Marked]]:
    batch: list[Marked] = []
    size_bytes = 0
    for file in files:
        batch.append(file)
        size_bytes += file.size_bytes
        if size_bytes >= BATCH_BYTES or len(batch) == BATCH_FILES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
