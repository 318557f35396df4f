"""Digests of distribution files, from the locks that a project keeps for its own installers.

An installer remembers no digest of what it took from an index, but most projects lock them: with uv, Poetry, PDM, pip
or Pipenv. What a lock says of the very version that is installed is said of the run's environment too.
"""

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taut.runs.capture.reads import redacted

LOCK_BYTES_MAX = 64 << 20
NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*])?\s*===?\s*([^\s;,]+)")


@dataclass(frozen=True, slots=True)
class Locked:
    """A distribution file of a version: its digest as `sha256:...`, name and address where the lock has them."""

    digest: str
    name: str = ""
    url: str = ""

    @property
    def is_wheel(self) -> bool:
        """Whether it is a built distribution."""
        return self.name.endswith(".whl")


Hashes = dict[tuple[str, str], tuple[Locked, ...]]


def normal_name(name: str) -> str:
    """The normalised name of a project (packaging.python.org, Names and normalization).

    >>> normal_name("Foo_Bar..baz")
    'foo-bar-baz'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def hashes_around(folder: Path, project: Path) -> tuple[Hashes, tuple[str, ...]]:
    """What the locks in a folder and those above it, up to the project's, know of each name and version.

    The second value says which of them could not be read, and why.
    """
    found: dict[tuple[str, str], dict[str, Locked]] = {}
    problems = []
    for place in _folders(folder, project):
        for pattern, parse in PARSERS:
            for file in sorted(place.glob(pattern)):
                try:
                    if not file.is_file() or file.stat().st_size > LOCK_BYTES_MAX:
                        continue
                    for name, version, one in parse(file.read_text(encoding="utf-8")):
                        known = found.setdefault((normal_name(name), version), {})
                        if one.digest not in known or (one.url and not known[one.digest].url):
                            known[one.digest] = one
                except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
                    problems.append(f"the digests in {file.name}: {type(problem).__name__}: {problem}")
    return {key: tuple(files[digest] for digest in sorted(files)) for key, files in found.items()}, tuple(problems)


def _folders(folder: Path, project: Path) -> Iterator[Path]:
    yield folder
    if folder != project and folder.is_relative_to(project):
        for above in folder.parents:
            yield above
            if above == project:
                return


Parsed = Iterator[tuple[str, str, Locked]]


def _uv(text: str) -> Parsed:
    """uv.lock: `sdist` and `wheels` with `url` or `path` and `hash`."""
    for package in tomllib.loads(text).get("package", []):
        for file in (*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])):
            if "hash" in file and "version" in package:
                yield package["name"], package["version"], _file(file["hash"], file)


def _files(text: str) -> Parsed:
    """poetry.lock and pdm.lock: `files` with `file` or `url` and `hash`; older ones hold them under `metadata`."""
    lock = tomllib.loads(text)
    beside = lock.get("metadata", {}).get("files", {})
    for package in lock.get("package", []):
        name, version = package["name"], package["version"]
        for file in package.get("files") or beside.get(name) or beside.get(f"{name} {version}") or []:
            if "hash" in file:
                yield name, version, _file(file["hash"], file)


def _pylock(text: str) -> Parsed:
    """pylock.toml (PEP 751): `wheels` and `sdist` with `hashes`."""
    for package in tomllib.loads(text).get("packages", []):
        for file in (*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])):
            hashes = file.get("hashes", {})
            algorithm = "sha256" if "sha256" in hashes else next(iter(hashes), "")  # One of them proves the file.
            if algorithm and "version" in package:
                yield package["name"], package["version"], _file(f"{algorithm}:{hashes[algorithm]}", file)


def _pipfile(text: str) -> Parsed:
    """Pipfile.lock: `hashes` of each package of each group."""
    for group, packages in json.loads(text).items():
        for name, package in packages.items() if not group.startswith("_") else ():
            version = package.get("version", "").removeprefix("==")
            for digest in package.get("hashes", []):
                yield name, version, Locked(digest)


def _requirements(text: str) -> Parsed:
    """pip's requirements with `--hash`: one a line, its options on lines that a backslash joins to it."""
    for line in text.replace("\\\n", " ").splitlines():
        pinned = NAME.match(line.strip())
        for word in shlex.split(line, comments=True) if pinned and "--hash" in line else ():
            if pinned and (digest := word.removeprefix("--hash=")) != word:
                yield pinned[1], pinned[2], Locked(digest)


def _file(digest: str, about: dict[str, Any]) -> Locked:
    url = str(about.get("url", ""))
    name = str(about.get("name") or about.get("file") or about.get("path") or url.partition("#")[0])
    return Locked(digest, name.rpartition("/")[2], redacted(url) if "://" in url else "")


PARSERS: tuple[tuple[str, Callable[[str], Parsed]], ...] = (
    ("uv.lock", _uv), ("poetry.lock", _files), ("pdm.lock", _files), ("pylock.toml", _pylock),
    ("pylock.*.toml", _pylock), ("Pipfile.lock", _pipfile), ("requirements*.txt", _requirements),
    ("requirements/*.txt", _requirements), ("requirements/*.lock", _requirements),
    ("requirements*.lock", _requirements),
)  # fmt: skip
