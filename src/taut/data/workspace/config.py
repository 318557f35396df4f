"""DVC's config: the files of its four levels, each read as DVC reads it, and what they say together.

Nothing else in taut opens these files: the cache and the remotes are both asked for here.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taut.errors import Denied, Invalid

if TYPE_CHECKING:
    from configobj import ConfigObj

FOLDER = ".dvc"
CACHE, DIR = "cache", "dir"
TRUE = frozenset({"1", "yes", "true", "on", "y"})
SETTLED_NS = 2_000_000_000  # A file that young may change again without its time moving on.

Sections = dict[str, dict[str, str]]
"""Options by section, both in small letters as DVC has them: `core`, `cache`, `remote "name"`."""

_read: dict[str, tuple[tuple[int, int, int], Sections]] = {}
"""What files said when they were last read, with size, time and inode: a status asks once for every pointer."""


class Config:
    """What some files say together, each later one over the earlier ones."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = [(file, read_sections(file)) for file in files]

    def option(self, section: str, name: str) -> str:
        """What the nearest file says; empty where none does."""
        return next((said[section][name] for _, said in reversed(self.files) if name in said.get(section, {})), "")

    def section(self, name: str) -> dict[str, str]:
        """All options of a section; empty where no file has it."""
        return {option: value for _, said in self.files for option, value in said.get(name, {}).items()}

    def is_on(self, section: str, name: str) -> bool:
        """Whether a switch is on."""
        return self.option(section, name).strip().lower() in TRUE

    def cache_folder(self, default: str) -> str:
        """Where the cache is: relative to the file that says so."""
        for file, said in reversed(self.files):
            if place := said.get(CACHE, {}).get(DIR, ""):
                return os.path.normpath(os.path.join(os.path.dirname(file), os.path.expanduser(place)))
        return default


def config_files(root: str) -> list[str]:
    """The files that hold a repository's config, each later one over the earlier: system, user, repository, local."""
    told = os.environ.get
    system = told("DVC_SYSTEM_CONFIG_DIR") or f"{(told('XDG_CONFIG_DIRS') or '/etc/xdg').split(':')[0]}/dvc"
    home = told("DVC_GLOBAL_CONFIG_DIR") or f"{told('XDG_CONFIG_HOME') or os.path.expanduser('~/.config')}/dvc"
    files = [f"{system}/config", f"{home}/config", f"{root}/{FOLDER}/config", f"{root}/{FOLDER}/config.local"]
    return [file for file in files if os.path.isfile(file)]


def read_sections(file: str) -> Sections:
    """The sections of a file, a list of words as one text again; nothing where there is no file.

    Raises Invalid for a broken file, Denied for one that may not be read.
    """
    try:
        found = os.stat(file)
    except OSError:
        return _parsed(file)
    stamp = (found.st_size, found.st_mtime_ns, found.st_ino)
    known = _read.get(file)
    if known is not None and known[0] == stamp:
        return known[1]
    said = _parsed(file)
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > SETTLED_NS:
        _read[file] = (stamp, said)
    return said


def open_config(file: str, *, interpolation: bool) -> "ConfigObj":
    """A file as an object that keeps comments and order when it is written; empty where there is none.

    Raises as `read_sections` does.
    """
    from configobj import ConfigObj, ConfigObjError

    try:
        return ConfigObj(_text(file).splitlines(), interpolation=interpolation)
    except ConfigObjError as problem:
        raise Invalid(f"{file}: {str(problem).splitlines()[0]}", hint=f"cat {file}") from None


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as problem:
        raise Invalid(f"{file}: {problem}", hint=f"cat {file}") from None
    except PermissionError:
        raise Denied(f"{file} may not be read by this user", hint=f"ls -l {file}") from None


def _parsed(file: str) -> Sections:
    if not _text(file).strip():
        return {}  # As `dvc init` leaves it: whoever asks for a status need not wait for a parser.
    from configobj import ConfigObjError

    try:
        read = open_config(file, interpolation=True).dict()
    except ConfigObjError as problem:  # Of a text that refers to another option.
        raise Invalid(f"{file}: {problem}", hint=f"cat {file}") from None
    return {
        section.lower(): {
            key.lower(): ",".join(value) if isinstance(value, list) else str(value) for key, value in values.items()
        }
        for section, values in read.items()
        if isinstance(values, dict)
    }
