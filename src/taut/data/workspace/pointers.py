"""Pointers: the small `PATH.dvc` files that git keeps in place of data, in the format of DVC 2 and 3.

DVC reads ours and we read DVC's. What taut knows besides stands under `meta`, which DVC leaves to others.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from taut.data.workspace.cache import NAME
from taut.data.workspace.ignore import NEVER_INSIDE, NONE, Rules
from taut.data.workspace.whole import explained, write_whole
from taut.errors import Invalid
from taut.ground.yaml import read_yaml

if TYPE_CHECKING:
    from taut.data.workspace.snapshot import Snapshot
    from taut.records import DatasetVersion

SUFFIX = ".dvc"
# What adding says anew, in the order in which DVC writes it; what else stands in an out stays, behind it.
OURS = ("md5", "size", "nfiles", "isexec", "hash", "path")
WIDTH = 1 << 20  # No line is ever folded.
PIPELINE, LOCKED = "dvc.yaml", "dvc.lock"


class Out(NamedTuple):
    """One entry of a pointer or of a `dvc.lock`: where data lies (absolute) and what DVC's digest of it is.

    `md5` is empty where nothing was added yet, or the data is known by another digest than MD5. `is_legacy` is an entry
    of DVC 2, whose digest was taken after line ends were changed. `is_foreign` is known by an etag or a
    version in a bucket.
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


class Pointer(NamedTuple):
    """Which version of `target` git remembers. `name`, `number` and `tree` are empty where DVC alone wrote the file.

    `md5` is DVC's digest (`.dir` behind it for a folder); empty where it is of a kind that says nothing of the bytes.
    `outs` are all entries, of which `target` is the first; `deps` those of an import, as they stand in the file.
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


class _Out(msgspec.Struct):
    """What DVC says of the data."""

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

    outs: list[_Out] = []
    deps: list[dict[str, Any]] = []
    wdir: str = "."
    frozen: bool = False
    meta: Any = None


class _Stage(msgspec.Struct):
    """A stage of a `dvc.lock`."""

    outs: list[_Out] = []
    deps: list[_Out] = []


class _Lock(msgspec.Struct):
    """A `dvc.lock`, as far as taut reads it."""

    stages: dict[str, _Stage] = {}


class _Pipeline(msgspec.Struct):
    """A `dvc.yaml`, as far as taut reads it."""

    stages: dict[str, Any] = {}


class LockedStage(NamedTuple):
    """A stage that a `dvc.lock` knows: its address in DVC's words, what it read and what it made."""

    address: str
    deps: tuple[Out, ...]
    outs: tuple[Out, ...]


def pointer_file(target: Path) -> Path:
    """Where the pointer of a file or folder stands: beside it."""
    return target.with_name(target.name + SUFFIX)


def read_pointer(file: Path) -> Pointer:
    """Read a pointer, ours or DVC's. Raises NotFound, Invalid with line and column."""
    read = read_yaml(file, _File)
    if not read.outs:
        raise Invalid(f"{file} points at nothing: it has no outs", hint=f"taut data add {file.with_suffix('')}")
    outs = tuple(_out(out, f"{file.parent}/{read.wdir}", file) for out in read.outs)
    ours = _ours(read.meta, file)
    first = outs[0]
    md5 = "" if first.is_legacy else first.md5
    return Pointer(
        file, Path(first.target), md5, ours.name, ours.version, ours.tree, outs, tuple(read.deps), read.frozen
    )


def read_lock(file: Path, root: str = "") -> list[LockedStage]:
    """The stages of a `dvc.lock` that its `dvc.yaml` still has. `root` is where addresses begin: the current folder.

    Raises NotFound, Invalid with line and column.
    """
    pipeline = file.with_name(PIPELINE)
    said = read_yaml(pipeline, _Pipeline).stages if pipeline.exists() else {}
    where = os.path.relpath(pipeline, root or file.parent)
    found = []
    for name, stage in read_yaml(file, _Lock).stages.items():
        if (spec := said.get(name, said.get(name.partition("@")[0]))) is None:
            continue
        if isinstance(spec, dict) and isinstance(spec.get("do"), dict):
            spec = spec["do"]
        folder = f"{file.parent}/{spec.get('wdir', '.') if isinstance(spec, dict) else '.'}"
        uncached = _uncached(spec)
        outs = (_out(out, folder, file) for out in stage.outs)
        found.append(
            LockedStage(
                name if where == PIPELINE else f"{where}:{name}",
                tuple(_out(dep, folder, file) for dep in stage.deps),
                tuple(out._replace(is_cached=os.path.normpath(out.path) not in uncached) for out in outs),
            )
        )
    return found


def write_pointer(snapshot: "Snapshot", version: "DatasetVersion") -> Path:
    """Point at a version: write the `.dvc` file and fields and comments of others stay.

    Nothing is written where it says so already; returns the file. Raises Denied, Invalid where the present pointer
    cannot be read.
    """
    target = snapshot.place
    file = pointer_file(target)
    said: dict[str, Any] = {"md5": snapshot.digest, "size": snapshot.size_bytes}
    if not snapshot.is_one_file:
        said["nfiles"] = len(snapshot.paths)
    if snapshot.is_exec:
        said["isexec"] = True
    said |= {"hash": "md5", "path": target.name}
    ours = {"name": version.name, "version": version.number, "tree": version.tree}
    if file.exists():
        _rewrite(file, said, ours)
    else:
        import yaml

        new = {"outs": [said], "meta": {"taut": ours}}
        write_whole(file, yaml.safe_dump(new, sort_keys=False, allow_unicode=True, width=WIDTH).encode())
    return file


def find_pointers(folder: Path, rules: Rules | None = None) -> Iterator[Path]:
    """Every `.dvc` file in a folder and below, sorted; not in data that they point at, nor virtual environments.

    `rules` are those that hold in the folder; the files of rules below it are read. Raises Denied, Invalid.
    """
    for file in find_files(str(folder), rules):
        if file.endswith(SUFFIX):
            yield Path(file)


def find_files(folder: str, rules: Rules | None = None) -> Iterator[str]:
    """The same with every `dvc.lock`."""
    rules = (rules or NONE).within(folder)
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as problem:
        raise explained(problem, Path(folder), "read") from None
    names = {entry.name for entry in entries}
    if "pyvenv.cfg" in names:
        return
    for entry in entries:
        name = entry.name
        if entry.is_dir(follow_symlinks=False):
            if name in NEVER_INSIDE or name == "node_modules" or f"{name}{SUFFIX}" in names:
                continue
            if not rules.ignores(entry.path, is_dir=True) and not os.path.isdir(f"{entry.path}/.dvc"):
                yield from find_files(entry.path, rules)
        elif ((name.endswith(SUFFIX) and name != SUFFIX) or name == LOCKED) and not rules.ignores(
            entry.path, is_dir=False
        ):
            yield entry.path


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


def renamed(file: Path, name: str) -> bytes:
    """A pointer's text with another name for its data; all else stays. Raises Invalid."""
    document, written = editable(file)
    document["outs"][0]["path"] = name
    return written(document)


def _rewrite(file: Path, said: dict[str, Any], ours: dict[str, Any]) -> None:
    """Change an existing file where it says something else, leaving every other field, comment and line as it is."""
    old = read_yaml(file, dict[str, Any])
    outs = old.get("outs") or [{}]
    meta = old.get("meta") or {}
    same = all(outs[0].get(key) == said.get(key) for key in OURS if key != "path")
    if same and isinstance(meta, dict) and meta.get("taut") == ours:
        return
    document, written = editable(file)
    if not document.get("outs"):
        document["outs"] = [{}]
    out = document["outs"][0]
    said = {**said, "path": out.get("path", said["path"])}  # It may be written from another folder: `wdir`.
    for key in OURS:
        if key not in said:
            out.pop(key, None)
    for place, key in enumerate(key for key in OURS if key in said):
        if key in out or not hasattr(out, "insert"):
            out[key] = said[key]
        else:
            out.insert(place, key, said[key])
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


def _out(out: _Out, folder: str, file: Path) -> Out:
    md5 = out.md5 or ""
    if md5 and not NAME.fullmatch(md5):
        raise Invalid(f"{file}: {md5!r} is no digest of DVC's")
    target = os.path.normpath(os.path.join(folder, out.path))
    return Out(
        target, out.path, md5, out.size or 0, bool(md5) and out.hash != "md5", out.isexec, out.cache, out.push,
        out.remote or "", not md5 and any((out.files, out.cloud, out.etag, out.checksum)),
        1 if out.nfiles is None else out.nfiles,
    )  # fmt: skip


def _ours(meta: Any, file: Path) -> _Ours:
    """What taut wrote; whatever others keep under `meta`, which may be anything, is none of ours."""
    if not isinstance(meta, dict) or "taut" not in meta:
        return _Ours()
    try:
        return msgspec.convert(meta["taut"], _Ours)
    except msgspec.ValidationError as problem:
        raise Invalid(f"{file}: meta: taut: {problem}") from None


def _uncached(spec: Any) -> set[str]:
    """The outs of a stage with `cache: false`."""
    if not isinstance(spec, dict):
        return set()
    listed = [out for key in ("outs", "metrics", "plots") for out in spec.get(key) or []]
    return {
        os.path.normpath(path)
        for out in listed
        if isinstance(out, dict)
        for path, options in out.items()
        if isinstance(options, dict) and options.get("cache") is False
    }


def _escaped(name: str) -> str:
    """A name as a line of `.gitignore` that means itself."""
    return "".join(f"\\{letter}" if letter in "[]!*#?" else letter for letter in name)
