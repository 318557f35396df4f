"""The packages that a run had: what differs from those here, and an environment rebuilt from its lock through uv."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taut.errors import Corrupt, NotFound, UsageError
from taut.ground.objects import read_object
from taut.home import Home
from taut.records import Capture
from taut.runs.capture.environment import PYTHONS, Environment, ask_environment, interpreter_of
from taut.runs.reproducing.copies import Pristine
from taut.runs.reproducing.scratch import locked, remove_tree

TIMEOUT_S = 1800.0
HERE = "use the packages of here with --here"
COMPLETE = "taut-complete"  # A file in an environment, written last.
SAID_MAX = 500
WHERE = """
import importlib.metadata, json, sys
from urllib.parse import unquote, urlsplit
folders = []
for one in importlib.metadata.distributions():
    origin = json.loads(one.read_text("direct_url.json") or "{}")
    if "dir_info" in origin:
        folders.append(unquote(urlsplit(origin["url"]).path))
bases = sorted({sys.prefix, sys.base_prefix, sys.exec_prefix})
print(json.dumps({"paths": [*filter(None, sys.path), *bases], "folders": folders}))
"""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A virtual environment for a repetition; how it still differs from the recorded one, and what is to be told.

    `own` are folders of the project from which the recorded one had packages.
    """

    folder: Path
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a lock is to be installed, as lines of a requirements file, and whether all of it is fixed for ever.

    `own` are folders of the project, which are not installed.
    """

    lines: tuple[str, ...]
    is_fixed: bool
    notes: tuple[str, ...]
    own: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Paths:
    """Where an interpreter finds itself and what it imports; `folders` are those that packages were installed from."""

    paths: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


def interpreter_here(capture: Capture) -> str:
    """The interpreter of a run where it still is, else the one that its command means now."""
    recorded = capture.surroundings.interpreter if capture.surroundings else ""
    return interpreter_of(capture.command, recorded)


def environment_here(capture: Capture) -> Rebuilt | None:
    """The virtual environment that the run had, where it is still there and its command alone would not find it."""
    folder = Path(interpreter_here(capture)).parent.parent
    named = shutil.which(capture.command[0])
    is_found = named is not None and Path(named).absolute().parent.parent == folder
    return Rebuilt(folder) if (folder / "pyvenv.cfg").is_file() and not is_found else None


def package_differences(home: Home, capture: Capture, python: str) -> tuple[str, ...]:
    """How an interpreter differs from the recorded one, one sentence each."""
    if not capture.environment:
        return ()
    answer = ask_environment(python, Path.cwd())
    return (answer,) if isinstance(answer, str) else _differences(home, capture, answer)


def _differences(home: Home, capture: Capture, answer: Environment) -> tuple[str, ...]:
    before, now = _versions(recorded_lock(home, capture)), _versions(answer.lock)
    python = [f"python was {capture.python} and is {answer.python}"] if capture.python != answer.python else []
    changed = [name for name in sorted(before | now) if before.get(name) != now.get(name)]
    told = [f"{name} was {before.get(name, 'not there')} and is {now.get(name, 'not there')}" for name in changed]
    return (*python, *told)


def recorded_lock(home: Home, capture: Capture) -> tuple[str, ...]:
    """`name==version` of every package that a run had."""
    return tuple(read_object(home.objects, capture.environment).decode().split())


def rebuild(
    home: Home, capture: Capture, pristine: Pristine, scratch: Path, *, tell: Callable[[str], None] = lambda _: None
) -> Rebuilt:
    """A virtual environment at the recorded Python and packages, kept in the user's cache by the digest of its lock.

    Files are hard links into uv's cache; digests that the lock knows are verified. taut itself is left out, for it is
    no part of the program, and so is the project itself, which is imported from the copy. Raises UsageError without uv,
    NotFound for what cannot be had: an interpreter, or a package in uv's words.
    """
    uv = _uv()
    version = re.search(r"\d+\.\d+\.\d+", capture.python)
    python = version[0] if version else sys.executable
    wanted = _wanted(home, capture, pristine)
    key = hashlib.sha256("\n".join([capture.python, *wanted.lines]).encode()).hexdigest()[:32]
    folder = _cache() / key if wanted.is_fixed else scratch / "environment"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock")) as lock:
        if not (folder / COMPLETE).is_file():
            if folder.exists():  # Of a process that was killed at it.
                remove_tree(folder)
            tell(f"rebuilding its environment with uv: Python {python}, {len(wanted.lines)} packages")
            _build(uv, folder, python, wanted.lines, lock)
            (folder / COMPLETE).touch()
        answer = ask_environment(str(folder / "bin" / "python"), folder)
    if isinstance(answer, str):
        raise NotFound(f"package: {answer}", hint=f"rm -r {folder} and try again, or {HERE}")
    notes = (*wanted.notes, *_changed_files(home, capture, answer))
    return Rebuilt(folder, _differences_left(home, capture, answer, wanted), notes, wanted.own)


def _build(uv: str, folder: Path, python: str, lines: Sequence[str], lock: int) -> None:
    made = _run(lock, uv, "venv", "--quiet", "--no-project", "--python", python, str(folder))
    if made:
        raise NotFound(
            f"package: Python {python}, which the run had, is not here and cannot be had; uv said: {made}",
            hint=f"uv python install {python}, or {HERE}",
        )
    file = folder / "taut-requirements.txt"
    file.write_text("".join(f"{line}\n" for line in lines))
    said = _run(
        lock, uv, "pip", "install", "--quiet", "--no-deps", "--link-mode", "hardlink", "--python",
        str(folder / "bin" / "python"), "--requirements", str(file),
    )  # fmt: skip
    if said:
        raise NotFound(
            f"package: the recorded environment cannot be had; uv said: {said}",
            hint=f"tell uv where to look (UV_INDEX_URL, UV_FIND_LINKS), or {HERE}",
        )


def _wanted(home: Home, capture: Capture, pristine: Pristine) -> Wanted:
    """Every package of the lock as a line for uv. Raises NotFound for a file or folder that is not there any more."""
    lock = capture.surroundings.lock if capture.surroundings else ""
    if not lock:
        names = (one for one in recorded_lock(home, capture) if not one.startswith("taut=="))
        return Wanted(
            tuple(names), True, ("package: no lock was recorded, so names and versions are all that was asked for",)
        )
    lines: list[str] = []
    notes: list[str] = []
    own: list[str] = []
    is_fixed = True
    for package in _packages(home, lock):
        name, folder = str(package["name"]), package.get("directory")
        if name == "taut":
            continue
        if folder is None:
            lines.append(_requirement(package))
        elif Path(str(folder["path"])).is_relative_to(pristine.original):
            own.append(str(folder["path"]))
            notes.append(f"package: {name} is the project itself, and was imported from the copy")
        else:
            place = Path(str(folder["path"]))
            if not place.is_dir():
                raise NotFound(f"package: {name} was installed from {place}, which is not there any more", hint=HERE)
            lines.append(f"{name} @ {place.as_uri()}")
            notes.append(f"package: {name} was installed from {place}, and what lay there then is not recorded")
            is_fixed = False
    return Wanted(tuple(lines), is_fixed, tuple(notes), tuple(own))


def _packages(home: Home, lock: str) -> list[dict[str, Any]]:
    try:
        found = tomllib.loads(read_object(home.objects, lock).decode())
    except (ValueError, UnicodeDecodeError) as problem:
        raise Corrupt(f"the recorded lock of the packages is no TOML: {problem}") from None
    return list(found.get("packages", []))


def _requirement(package: Mapping[str, Any]) -> str:
    """One package as a line of a requirements file, with the digests that the lock knows."""
    name = package["name"]
    if (vcs := package.get("vcs")) is not None:
        return f"{name} @ {vcs['type']}+{vcs['url']}@{vcs['commit-id']}"
    archive = package.get("archive")
    files = [
        *([archive] if archive else ()),
        *package.get("wheels", ()),
        *([package["sdist"]] if "sdist" in package else ()),
    ]
    digests = dict.fromkeys(
        f"--hash={kind}:{value}" for file in files for kind, value in file.get("hashes", {}).items()
    )
    if archive is not None:
        url = str(archive.get("url") or Path(str(archive["path"])).as_uri())
        if url.startswith("file://") and not Path(url.removeprefix("file://")).exists():
            raise NotFound(f"package: {name} was installed from {url}, which is not there any more", hint=HERE)
        return " ".join([f"{name} @ {url}", *digests])
    return " ".join([f"{name}=={package['version']}", *digests])


def _differences_left(home: Home, capture: Capture, answer: Environment, wanted: Wanted) -> tuple[str, ...]:
    """What the rebuilt environment still has otherwise, but for what was left out of it on purpose."""
    asked = {_normal(re.split(r"[=@ ]", line, maxsplit=1)[0]) for line in wanted.lines}
    found = _differences(home, capture, answer)
    return tuple(one for one in found if one.startswith("python was") or one.split(" ", 1)[0] in asked)


def _changed_files(home: Home, capture: Capture, answer: Environment) -> Iterator[str]:
    """Packages of the recorded version whose files are others than those that the run had, by their RECORD."""
    lock = capture.surroundings.lock if capture.surroundings else ""
    now = {_normal(package.name): package.record for package in answer.packages}
    for package in _packages(home, lock) if lock else ():
        before = package.get("tool", {}).get("taut", {}).get("record-sha256", "")
        after = now.get(_normal(str(package["name"])), "")
        if before and after and before != after:
            yield f"package: {package['name']} {package['version']} has other files than that of the run"


def paths_of(python: str) -> Paths:
    """Ask an interpreter where it finds things; nothing where it gives no answer."""
    try:
        done = subprocess.run(
            [python, "-c", WHERE], capture_output=True, text=True, timeout=TIMEOUT_S, check=True, cwd="/"
        )
        answer = json.loads(done.stdout.splitlines()[-1])
        return Paths(tuple(map(str, answer["paths"])), tuple(map(str, answer["folders"])))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError, KeyError):
        return Paths()  # What it would import is then seen by the command itself, or refused to it.


def with_environment(command: tuple[str, ...], environment: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command with the Python of an environment in place of the one it names, and the variables that go with it."""
    path = f"{environment / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    names_python = os.sep in command[0] and Path(command[0]).name.startswith(PYTHONS)
    first = str(environment / "bin" / "python") if names_python else command[0]
    return (first, *command[1:]), {"PATH": path, "VIRTUAL_ENV": str(environment)}


def with_project(paths: Paths, copy: Pristine) -> dict[str, str]:
    """The variable that lets an interpreter import from the copy what it imports from the project itself.

    So for a project that is installed as editable, or that stands on `PYTHONPATH`.
    """
    own: dict[str, None] = {}
    for folder in (*paths.folders, *paths.paths):
        place = Path(folder)
        if place.is_relative_to(copy.original) and "site-packages" not in place.parts and not _is_environment(place):
            there = copy.root / place.relative_to(copy.original)
            own.update(dict.fromkeys(str(one) for one in (there / "src", there) if one.is_dir()))
    if not own:
        return {}
    given = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    besides = [one for one in given if not Path(one).is_relative_to(copy.original)]
    return {"PYTHONPATH": os.pathsep.join([*own, *besides])}


def readable_of(paths: Paths, programs: Sequence[str], project: Path) -> list[str]:
    """The folders of an interpreter, and the programs, that may be read; none that holds the project or is of it."""
    inner = (f"{path}/{name}" for path in paths.paths for name in ("lib", "lib64", "bin"))
    places = map(os.path.realpath, (*paths.paths, *inner, *programs))
    return [place for place in places if _is_beside(Path(place), project)]


def _is_beside(place: Path, project: Path) -> bool:
    if project.is_relative_to(place):
        return False
    return not place.is_relative_to(project) or "site-packages" in place.parts or _is_environment(place)


def _is_environment(place: Path) -> bool:
    return any((folder / "pyvenv.cfg").is_file() for folder in (place, *place.parents))


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "taut" / "environments"


def _uv() -> str:
    found = shutil.which("uv")
    if found is None and importlib.util.find_spec("uv") is not None:
        from uv import find_uv_bin

        found = find_uv_bin()
    if found is None:
        raise UsageError(
            "the run's packages differ from those here, and uv is not installed to get them",
            hint=f"pip install 'taut[reproduce]', or {HERE}",
        )
    return found


def _run(lock: int, *command: str) -> str:
    """Run uv; what it said where it failed. It holds the lock as well, for it goes on writing where we are killed."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, pass_fds=(lock,)
    )  # fmt: skip
    return "" if done.returncode == 0 else " ".join(done.stderr.split())[:SAID_MAX] or "nothing"


def _versions(lock: tuple[str, ...]) -> dict[str, str]:
    """Package to version; taut left out."""
    pairs = (line.partition("==") for line in lock)
    return {_normal(name): version for name, _, version in pairs if name != "taut"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
