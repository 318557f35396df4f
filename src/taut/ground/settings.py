"""Where a project keeps its things: the `.taut` folder and the few settings in it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from taut.errors import Denied, Invalid, NotFound
from taut.ground import wire

FOLDER = ".taut"
SETTINGS_FILE = "settings.toml"
KNOWN = ("server", "metadata", "objects")


@dataclass(frozen=True, slots=True)
class Settings:
    """`server` forwards every verb to another home; else rows live in `metadata` and bytes in `objects`.

    Empty means the folder itself.
    """

    server: str = ""
    metadata: str = ""
    objects: str = ""


def find_folder(start: Path) -> Path:
    """The nearest `.taut` in `start` or above it. Raises NotFound with the command that makes one."""
    for candidate in (start, *start.parents):
        if (candidate / FOLDER).is_dir():
            return candidate / FOLDER
    raise NotFound(f"no taut project in {start} or above it", hint="taut init")


def make_folder(project: Path, settings: Settings | None = None) -> Path:
    """Make `project/.taut`, ignored by git and for its owner alone; an existing one is left as it is.

    Raises Denied where it cannot be made.
    """
    folder = project / FOLDER
    try:
        project.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)  # Rows hold the hashes of passwords, whatever the umask is.
        (folder / ".gitignore").write_text("*\n")
        if settings is not None:
            values = wire.plain(settings)
            lines = [f'{name} = "{values[name]}"' for name in KNOWN if values[name]]
            (folder / SETTINGS_FILE).write_text("\n".join(lines) + "\n")
    except OSError as problem:
        raise Denied(f"the folder {folder} cannot be made: {problem.strerror}", hint=f"ls -ld {project}") from None
    return folder


def read_settings(folder: Path) -> Settings:
    """The settings of a `.taut` folder; all empty where it has no file. Raises Invalid with line and column."""
    path = folder / SETTINGS_FILE
    if not path.exists():
        return Settings()
    try:
        values = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise Invalid(f"{path}: {problem}") from None
    if unknown := values.keys() - set(KNOWN):
        raise Invalid(f"{path} has an unknown setting {min(unknown)!r}; known are {', '.join(KNOWN)}")
    return wire.convert(values, Settings, what=str(path))
