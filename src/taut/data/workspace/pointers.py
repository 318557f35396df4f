"""Pointers: the small `PATH.dvc` files that git keeps in place of data, in the format of DVC 2 and 3.

DVC reads ours and we read DVC's. What taut knows besides stands under `meta`, which DVC leaves to others.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from taut.data.workspace.cache import NAME
from taut.data.workspace.config import FOLDER as DVC
from taut.data.workspace.digests import DIR, listing_bytes, md5_of
from taut.data.workspace.ignore import NEVER_INSIDE, NONE, Rules
from taut.data.workspace.listing import checked_path
from taut.data.workspace.repository import git_over, ignored_by_git, repository_of
from taut.data.workspace.whole import explained, write_whole
from taut.errors import Invalid
from taut.ground.yaml import LINE, dump_yaml, read_yaml

if TYPE_CHECKING:
    from taut.data.workspace.snapshot import Snapshot
    from taut.records import DatasetVersion

SUFFIX = ".dvc"
# What adding says anew, in the order in which DVC writes it; what else stands in an out stays, behind it.
OURS = ("md5", "size", "nfiles", "isexec", "hash", "path")
STALE = ("files", "cloud", "etag", "version_id", "checksum")  # What is no longer true of other bytes.
WIDTH = LINE
PIPELINE, LOCKED = "dvc.yaml", "dvc.lock"
# What does not count in DVC's digest over an import.
NOT_HASHED = frozenset(
    {"desc", "type", "labels", "meta", "locked", "frozen", "metric", "persist", "isexec", "size", "nfiles"}
)


class Out(NamedTuple):
    """One entry of a pointer or of a `dvc.lock`: where data lies (absolute) and what DVC's digest of it is.

    `md5` is empty where nothing was added yet, or the data is known by another digest than MD5. `is_legacy` is an entry
    of DVC 2, whose digest was taken after line ends were changed. `is_foreign` is known by an etag or a
    version in a bucket. `inline` are the files (path, MD5) of a folder whose list stands in the pointer itself.
    """

    target: str
    path: str
    md5: str = ""
    size_bytes: int = 0
    is_legacy: bool = False
    is_exec: bool = False
    is_cached: bool = True
    is_pushed: bool = True
    remote: str = ""
    is_foreign: bool = False
    files: int = 1
    inline: tuple[tuple[str, str], ...] = ()


class Pointer(NamedTuple):
    """Which version of `target` git remembers. `name`, `number` and `tree` are empty where DVC alone wrote the file.

    `md5` is DVC's digest (`.dir` behind it for a folder); empty where it is of a kind that says nothing of the bytes.
    `outs` are all entries, of which `target` is the first; `deps` those of an import, as they stand in the file.
    `is_changed` is an import that somebody edited: DVC's digest over the pointer is another. Paths begin in `folder`.
    """

    file: Path
    target: Path
    md5: str
    name: str
    number: int
    tree: str
    outs: tuple[Out, ...] = ()
    deps: tuple[dict[str, Any], ...] = ()
    is_frozen: bool = False
    is_always_changed: bool = False
    is_changed: bool = False
    folder: str = ""


class Entry(msgspec.Struct):
    """An out or dependency as it stands in a file of DVC's."""

    path: str
    md5: str | None = None
    hash: str | None = None
    size: int | None = None
    isexec: bool = False
    cache: bool = True
    push: bool = True
    remote: str | None = None
    files: Any = None
    cloud: Any = None
    etag: str | None = None
    nfiles: int | None = None
    checksum: str | None = None


class _Ours(msgspec.Struct):
    """What taut says of it."""

    name: str = ""
    version: int = 0
    tree: str = ""


class _File(msgspec.Struct):
    """A `.dvc` file, as far as taut reads it."""

    outs: list[Entry] | None = None
    deps: list[dict[str, Any]] | None = None
    wdir: str | None = None
    frozen: bool = False
    locked: bool = False  # As DVC 0 called it.
    always_changed: bool = False
    meta: Any = None


def pointer_file(target: Path) -> Path:
    """Where the pointer of a file or folder stands: beside it."""
    return target.with_name(target.name + SUFFIX)


def read_pointer(file: Path) -> Pointer:
    """Read a pointer, ours or DVC's. Raises NotFound, Invalid with line and column."""
    read = read_yaml(file, _File)
    if not read.outs:
        raise Invalid(f"{file} points at nothing: it has no outs", hint=f"taut data add {file.with_suffix('')}")
    folder = os.path.normpath(os.path.join(file.parent, read.wdir or "."))
    outs = tuple(out_of(out, folder, file) for out in read.outs)
    ours = _ours(read.meta, file)
    first = outs[0]
    md5 = "" if first.is_legacy else first.md5
    is_import = len(read.deps or ()) == len(outs) == 1
    return Pointer(
        file, Path(first.target), md5, ours.name, ours.version, ours.tree, outs, tuple(read.deps or ()),
        read.frozen or read.locked, read.always_changed,
        is_import and _is_edited(read_yaml(file, dict[str, Any])), folder,
    )  # fmt: skip


def write_pointer(snapshot: "Snapshot", version: "DatasetVersion", file: Path | None = None, number: int = 0) -> Path:
    """Point at a version: write the `.dvc` file, where fields and comments of others stay.

    `file` is one that stands elsewhere than beside the data, and `number` which of its outs is meant; of several the
    version is only told for the first. Nothing is written where it says so already; returns the file. Raises Denied,
    Invalid where the present pointer cannot be read.
    """
    target = snapshot.place
    file = file or pointer_file(target)
    said: dict[str, Any] = {"md5": snapshot.digest, "size": snapshot.size_bytes}
    if not snapshot.is_one_file:
        said["nfiles"] = len(snapshot.paths)
    if snapshot.is_exec:
        said["isexec"] = True
    said |= {"hash": "md5", "path": target.name}
    ours = {"name": version.name, "version": version.number, "tree": version.tree}
    if file.exists():
        _rewrite(file, said, ours, number)
    else:
        write_whole(file, dump_yaml({"outs": [said], "meta": {"taut": ours}}))
    return file


def find_pointers(folder: Path, rules: Rules | None = None) -> Iterator[Path]:
    """Every `.dvc` file in a folder and below, sorted; not in data that they point at, nor virtual environments.

    `rules` are those that hold in the folder; the files of rules below it are read. Raises Denied, Invalid.
    """
    for file in find_files(str(folder), rules):
        if file.endswith(SUFFIX):
            yield Path(file)


def find_files(folder: str, rules: Rules | None = None) -> Iterator[str]:
    """The same with a `dvc.lock` for every `dvc.yaml`, whether it is there yet or not.

    In a DVC repository what git ignores is left out, as DVC does.
    """
    repository = repository_of(folder)
    is_in_git = repository is not None and git_over(folder) and not repository.is_on("core", "no_scm")
    found = list(_found(folder, rules or NONE, is_in_git=is_in_git))
    ignored = ignored_by_git(folder, found) if is_in_git else set()
    for file in found:
        if file not in ignored and not any(file.startswith(one) for one in ignored if one.endswith("/")):
            yield f"{file[: -len(PIPELINE)]}{LOCKED}" if os.path.basename(file) == PIPELINE else file


def _found(folder: str, rules: Rules, *, is_in_git: bool) -> Iterator[str]:
    """Pointers and pipelines in a folder and below, sorted."""
    rules = rules.within(folder)
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as problem:
        raise explained(problem, Path(folder), "read") from None
    names = {entry.name for entry in entries}
    if "pyvenv.cfg" in names:
        return
    data = {name[: -len(SUFFIX)] for name in names if name.endswith(SUFFIX)} | {"node_modules", *NEVER_INSIDE}
    if is_in_git and ".gitignore" in names:
        data |= _outs_ignored(folder)
    for entry in entries:
        name = entry.name
        if entry.is_dir(follow_symlinks=False):
            if (
                name not in data
                and not rules.ignores(entry.path, is_dir=True)
                and not os.path.isdir(f"{entry.path}/{DVC}")
            ):
                yield from _found(entry.path, rules, is_in_git=is_in_git)
        elif ((name.endswith(SUFFIX) and name != SUFFIX) or name == PIPELINE) and not rules.ignores(
            entry.path, is_dir=False
        ):
            yield entry.path


def _outs_ignored(folder: str) -> set[str]:
    """Names that git ignores in this folder by lines as DVC writes them; git itself is asked for all others."""
    lines = Path(folder, ".gitignore").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    if any(line.startswith("!") for line in lines):
        return set()
    return {
        line[1:].rstrip("/") for line in lines if line.startswith("/") and not any(sign in line for sign in "*?[\\")
    }


def pointer_over(path: Path, project: Path) -> Path | None:
    """The pointer of the dataset that a file belongs to: its own, or that of a folder above it in the project."""
    for candidate in (path, *path.parents):
        if candidate == project or project not in candidate.parents:
            return None
        if (file := pointer_file(candidate)).is_file():
            return file
    return None


def ignore_in_git(target: Path) -> Path | None:
    """Add the data to the `.gitignore` beside it, as DVC does; the file where it was changed."""
    file = target.with_name(".gitignore")
    line = f"/{_escaped(target.name)}"
    text = file.read_text() if file.exists() else ""
    if line in text.splitlines():
        return None
    write_whole(file, f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n".encode())
    return file


def unignore_in_git(target: Path) -> Path | None:
    """Take the data out of the `.gitignore` beside it; the file where it was changed, which goes if nothing is left."""
    file = target.with_name(".gitignore")
    if not file.exists():
        return None
    lines = file.read_text().splitlines(keepends=True)
    gone = {f"/{_escaped(target.name)}", f"/{target.name}"}
    left = [line for line in lines if line.strip() not in gone]
    if len(left) == len(lines):
        return None
    if left:
        write_whole(file, "".join(left).encode())
    else:
        file.unlink()
    return file


def renamed(file: Path, goal: Path, number: int = 0, to: Path | None = None) -> bytes:
    """A pointer's text with another place for one of its outs; all else stays. Raises Invalid.

    `to` is the folder that the pointer itself moves to, if it does: what was imported from this machine is then named
    from there.
    """
    document, written = editable(file)
    folder = os.path.normpath(os.path.join(file.parent, document.get("wdir") or "."))
    if to is not None:
        for dep in document.get("deps") or ():
            said = dep.get("path", "")
            if "repo" not in dep and "://" not in said and not os.path.isabs(said):
                dep["path"] = os.path.relpath(os.path.join(folder, said), to)
        document.pop("wdir", None)
    document["outs"][number]["path"] = os.path.relpath(goal, to or folder)
    if document.get("md5"):
        document["md5"] = _digest(document)
    return written(document)


def _rewrite(file: Path, said: dict[str, Any], ours: dict[str, Any], number: int) -> None:
    """Change an existing file where it says something else, leaving every other field, comment and line as it is."""
    old = read_yaml(file, dict[str, Any])
    outs = old.get("outs") or [{}]
    meta = old.get("meta") or {}
    same = all(outs[number].get(key) == said.get(key) for key in OURS if key != "path")
    if same and (number or (isinstance(meta, dict) and meta.get("taut") == ours)):
        return
    document, written = editable(file)
    if not document.get("outs"):
        document["outs"] = [{}]
    out = document["outs"][number]
    said = {**said, "path": out.get("path", said["path"])}  # It may be written from another folder: `wdir`.
    for key in (*OURS, *STALE):
        if key not in said:
            out.pop(key, None)
    for place, key in enumerate(key for key in OURS if key in said):
        if key in out or not hasattr(out, "insert"):
            out[key] = said[key]
        else:
            out.insert(place, key, said[key])
    if number:
        write_whole(file, written(document))
        return
    if not isinstance(document.get("meta"), dict):
        document["meta"] = {} if document.get("meta") is None else {"meta": document["meta"]}
    document["meta"]["taut"] = ours
    write_whole(file, written(document))


def editable(file: Path) -> tuple[Any, Callable[[Any], bytes]]:
    """A YAML file as a document that keeps its comments, and what makes bytes of it again. Raises Invalid."""
    from io import StringIO

    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = WIDTH
    yaml.preserve_quotes = True
    try:
        document = yaml.load(file.read_text(encoding="utf-8"))
    except YAMLError as problem:
        raise Invalid(f"{file} cannot be read: {str(problem).splitlines()[0]}") from None

    def written(changed: Any) -> bytes:
        stream = StringIO()
        yaml.dump(changed, stream)
        return stream.getvalue().encode()

    return {} if document is None else document, written


def out_of(entry: Entry, folder: str, file: Path) -> Out:
    """An entry of a file of DVC's, whose paths begin in a folder. Raises Invalid for what is no digest."""
    inline = _inline(entry.files, file)
    md5 = (entry.md5 or "") or (md5_of(listing_bytes(inline)) + DIR if inline else "")
    if md5 and not NAME.fullmatch(md5):
        raise Invalid(f"{file}: {md5!r} is no digest of DVC's")
    return Out(
        os.path.normpath(os.path.join(folder, entry.path)), entry.path, md5, entry.size or 0,
        bool(md5) and entry.hash != "md5", entry.isexec, entry.cache, entry.push, entry.remote or "",
        not md5 and any((entry.files, entry.cloud, entry.etag, entry.checksum)),
        entry.nfiles if entry.nfiles is not None else len(inline) or 1, inline,
    )  # fmt: skip


def _inline(files: Any, file: Path) -> tuple[tuple[str, str], ...]:
    """The files of a folder that stand in the pointer itself; none where one has no digest of DVC's."""
    listed = files if isinstance(files, list) else []
    found = [(one.get("relpath"), one.get("md5")) for one in listed if isinstance(one, dict)]
    if len(found) != len(listed) or not all(isinstance(md5, str) and NAME.fullmatch(md5) for _, md5 in found):
        return ()
    return tuple(sorted((checked_path(path, str(file)), str(md5)) for path, md5 in found))


def _digest(document: dict[str, Any]) -> str:
    """DVC's digest over all that matters in an import, by which it tells whether somebody edited it."""
    import json

    hashed = {key: value for key, value in document.items() if key not in ("md5", *NOT_HASHED)}
    if hashed.get("wdir") in (None, "."):
        hashed.pop("wdir", None)
    if not hashed.get("always_changed"):
        hashed.pop("always_changed", None)
    text = json.dumps(_without_defaults(hashed), sort_keys=True, default=str)
    return md5_of(text.encode())


def _is_edited(document: dict[str, Any]) -> bool:
    return bool(document.get("md5") != _digest(document))


def _without_defaults(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_defaults(one) for one in value]
    if isinstance(value, dict):
        return {
            key: _without_defaults(one)
            for key, one in value.items()
            if key not in NOT_HASHED and not (key in ("cache", "push") and one is True)
        }
    return value


def _ours(meta: Any, file: Path) -> _Ours:
    """What taut wrote; whatever others keep under `meta`, which may be anything, is none of ours."""
    if not isinstance(meta, dict) or "taut" not in meta:
        return _Ours()
    try:
        return msgspec.convert(meta["taut"], _Ours)
    except msgspec.ValidationError as problem:
        raise Invalid(f"{file}: meta: taut: {problem}") from None


def _escaped(name: str) -> str:
    """A name as a line of `.gitignore` that means itself."""
    return "".join(f"\\{letter}" if letter in "[]!*#?" else letter for letter in name)
