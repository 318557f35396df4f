"""Whose a file is that a run opened: the project's, a package's, the system's, a cache's, a setting, or other data."""

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import taut
from taut.records import OutsideReads

Area = Literal["project", "packages", "system", "cache", "temporary", "settings", "data", "ours"]

OURS = str(Path(taut.__file__).parent)
NEVER_DATA = frozenset({".git", ".taut", "__pycache__"})  # What tools keep for themselves, wherever it lies.
CACHE_OF_DVC = re.compile(r"/\.dvc/(cache|tmp)/")
PACKAGES = re.compile(r"/(?:site|dist)-packages/([^/]+)")
# An environment tells of itself by one of these: venv (PEP 405), conda.
MARKS = ("pyvenv.cfg", "conda-meta")
STANDARD_LIBRARY = re.compile(r"/lib(?:64)?/python3\.\d+/|/bin/(?:python|pypy)[\d.]*$|\.so(?:\.\d+)*$")
SYSTEM = (
    "/usr/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/bin/", "/sbin/", "/etc/", "/proc/", "/sys/", "/dev/", "/run/",
    "/boot/", "/nix/store/", "/gnu/store/", "/snap/", "/System/", "/Library/",
)  # fmt: skip
NAMES_MAX = 200  # Of each area; packages are rarely more, and a list of all system folders helps nobody.
CODE = (".py", ".pyi", ".pyx", ".so", ".sh")


@dataclass(frozen=True, slots=True)
class Surveyor:
    """Tells areas for one run: `project` is its folder, `ours` are folders in which taut itself works."""

    project: str
    ours: tuple[str, ...]

    def area(self, path: str) -> Area:
        """The area of a real absolute path."""
        if any(path.startswith(f"{folder}/") for folder in (OURS, *self.ours)):
            return "ours"
        if path.startswith(f"{self.project}/"):
            return self._area_inside(path)
        if PACKAGES.search(path) or _environment_over(os.path.dirname(path), ""):
            return "packages"
        if path.startswith(_temporary()):
            return "temporary"
        if path.startswith(SYSTEM) or STANDARD_LIBRARY.search(path):
            return "system"
        return _of_user(path)

    def _area_inside(self, path: str) -> Area:
        """That of a file in the project, which may itself lie in an environment or be one."""
        inside = path[len(self.project) :]
        if PACKAGES.search(inside) or _environment_over(os.path.dirname(path), self.project):
            return "packages"
        never = CACHE_OF_DVC.search(path) or not NEVER_DATA.isdisjoint(inside.split("/"))
        return "ours" if never else "project"


def is_code(path: str, executed: Iterable[str]) -> bool:
    """Whether a file is program text: by its name, or since it was run."""
    return path.endswith(CODE) or path in executed


def outside_reads(paths: Mapping[str, Area], distributions: Mapping[str, str]) -> tuple[OutsideReads, ...]:
    """Count what is not told one by one, and name whose it is; `distributions` maps a top folder to its package."""
    found = []
    for area in ("packages", "system", "cache", "settings"):
        here = [path for path, its in paths.items() if its == area]
        if here:
            names = sorted({_name(path, area, distributions) for path in here} - {""}, key=str.lower)
            found.append(OutsideReads(area, len(here), tuple(names[:NAMES_MAX])))
    return tuple(found)


def _name(path: str, area: str, distributions: Mapping[str, str]) -> str:
    if area == "settings":
        return shown(path)
    if area == "packages":
        inside = PACKAGES.search(path)
        if inside is None:
            return ""
        top = inside[1] if inside[1] != "__pycache__" else path.rpartition("/")[2].partition(".")[0]
        return distributions.get(top) or distributions.get(top.partition(".")[0]) or shown(top.partition("-")[0])
    return shown("/".join(path.split("/")[:3]) if area == "system" else os.path.dirname(path))


def shown(path: str) -> str:
    r"""A path as text; a byte that is not UTF-8 becomes `\xNN`.

    >>> shown("a" + chr(0xdcff))
    'a\\xff'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _of_user(path: str) -> Area:
    home = os.path.realpath(os.path.expanduser("~"))
    cache = os.path.realpath(os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache")
    if path.startswith((f"{cache}/", "/var/cache/")) or "__pycache__" in path.split("/"):
        return "cache"
    if path.startswith(f"{home}/.") or not NEVER_DATA.isdisjoint(path.split("/")):
        return "settings"
    return "data"


@lru_cache(maxsize=4096)
def _environment_over(folder: str, top: str) -> bool:
    """Whether a folder below `top` lies in a virtual or conda environment that is below it too."""
    if folder in ("/", "", top):
        return False
    return any(os.path.exists(f"{folder}/{mark}") for mark in MARKS) or _environment_over(os.path.dirname(folder), top)


@lru_cache(maxsize=1)
def _temporary() -> tuple[str, ...]:
    folders = ("/tmp", "/var/tmp", "/dev/shm", tempfile.gettempdir())  # noqa: S108  # Asked about, not written to.
    return tuple(sorted({f"{os.path.realpath(folder)}/" for folder in folders}))
