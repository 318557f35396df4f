"""Which remotes a project has: DVC's config of four levels as DVC reads it, and what DVC must not read beside it.

A remote in taut's own format stands in `.dvc/taut.config`, for DVC refuses a whole config that names a kind of URL that
it does not know. Where there is no DVC repository, all remotes stand in `.taut/remotes`, written in the same way.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from taut.data.workspace.repository import FOLDER, TRUE, config_files
from taut.data.workspace.whole import write_whole
from taut.errors import Conflict, Denied, Invalid, NotFound

if TYPE_CHECKING:
    from configobj import ConfigObj

CORE, REMOTE = "core", "remote"
OWN = "taut.config"  # In `.dvc`.
PROJECT_FILE = "remotes"  # In `.taut`.
SECTION = re.compile(r'\s*remote\s*"(.*)"\s*')
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
WITH_SCHEME = re.compile(r"[\w+]+://")
PATHS = ("url", "credentialpath", "configpath")  # What is relative to the file that says so.
SECRETS = frozenset({"access_key_id", "secret_access_key", "session_token", "password", "account_key", "sas_token"})
STORE = "taut+"  # Before the scheme of a remote in taut's own format.


class RemoteSpec(NamedTuple):
    """A remote as the config has it, its URL absolute. `file` is the nearest one that speaks of it."""

    name: str
    url: str
    options: dict[str, str]
    file: str
    is_default: bool

    def option(self, name: str) -> str:
        """What was said, or nothing."""
        return self.options.get(name, "")

    def is_on(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.option(name).strip().lower() in TRUE

    @property
    def is_store(self) -> bool:
        """Whether it is in taut's own format."""
        return self.url.startswith(STORE)


class Places(NamedTuple):
    """The files of a project's config: those that are read, in order, where they are, and those that are written to."""

    read: tuple[str, ...]
    shared: str
    local: str
    own: str
    is_dvc: bool


def places_of(project: str, taut: str) -> Places:
    """Where the remotes of a project stand; `taut` is its `.taut`, empty where it has none."""
    if os.path.isdir(f"{project}/{FOLDER}"):
        folder = f"{project}/{FOLDER}"
        own = f"{folder}/{OWN}"
        read = (*config_files(project), own)
        return Places(read, f"{folder}/config", f"{folder}/config.local", own, True)
    file = f"{taut or project}/{PROJECT_FILE}"
    return Places((file,), file, file, file, False)


def read_remotes(places: Places) -> dict[str, RemoteSpec]:
    """All remotes by name. Raises Invalid for a broken file or a URL that refers to a remote that is not there."""
    options: dict[str, dict[str, str]] = {}
    files: dict[str, str] = {}
    default = ""
    for file in places.read:
        parsed = _parsed(file)
        for section, values in parsed.items():
            if section == CORE:
                default = values.get(REMOTE, default)
            elif match := SECTION.fullmatch(section):
                name = match[1]
                options.setdefault(name, {}).update({key: _resolved(key, text, file) for key, text in values.items()})
                files[name] = file
    return {
        name: RemoteSpec(name, _url(name, options, (name,)), _inherited(name, options), files[name], name == default)
        for name in options
    }


def find_remote(places: Places, name: str = "") -> RemoteSpec:
    """The remote of a name, the default where none is said. Raises NotFound, Invalid."""
    remotes = read_remotes(places)
    if name:
        if name in remotes:
            return remotes[name]
        known = ", ".join(sorted(remotes)) or "none"
        raise NotFound(f"there is no remote {name!r}; known: {known}", hint="taut data remote list")
    for remote in remotes.values():
        if remote.is_default:
            return remote
    if remotes:
        raise NotFound("no remote is the default one", hint=f"taut data remote default {min(remotes)}")
    raise NotFound("this project has no remote", hint="taut data remote add NAME URL --default")


def add_remote(
    places: Places, name: str, url: str, *, local: bool = False, force: bool = False, default: bool = False
) -> RemoteSpec:
    """Write a remote down; a relative path is written relative to the config, as DVC does.

    Raises Conflict where there is one of that name, unless `force`, and Invalid for a name that cannot be typed.
    """
    if not NAME.fullmatch(name):
        raise Invalid(f"{name!r} is no name for a remote: letters, digits, '-', '_' and '.'")
    file = places.own if url.startswith(STORE) else places.local if local else places.shared
    if name in read_remotes(places) and not force:
        raise Conflict(f"there is a remote {name!r} already", hint=f"taut data remote add --force {name} {url}")
    written = _written(url, file)

    def change(config: "ConfigObj") -> None:
        config[f'{REMOTE} "{name}"'] = {"url": written}
        if default:
            config.setdefault(CORE, {})[REMOTE] = name

    _edit(file, change)
    if default and file != places.own:
        _forget_default(places.own)
    return find_remote(places._replace(read=tuple(dict.fromkeys((*places.read, file)))), name)


def set_option(places: Places, name: str, option: str, value: str, *, local: bool = False) -> None:
    """Set an option of a remote; empty takes it away. Raises NotFound, and Denied for a secret that git would keep."""
    spec = find_remote(places, name)
    file = places.local if local else spec.file
    if value and option in SECRETS and places.is_dvc and file != places.local:
        raise Denied(
            f"{option} would stand in {file}, which git keeps",
            hint=f"taut data remote modify --local {name} {option} VALUE",
        )

    def change(config: "ConfigObj") -> None:
        section = config.setdefault(_section(config, name), {})
        if value:
            section[option] = _written(value, file) if option in PATHS else value
        else:
            section.pop(option, None)

    _edit(file, change)


def set_default(places: Places, name: str) -> RemoteSpec:
    """Make a remote the default one. Raises NotFound."""
    spec = find_remote(places, name)

    def change(config: "ConfigObj") -> None:
        config.setdefault(CORE, {})[REMOTE] = name

    file = places.own if spec.is_store else places.shared
    _edit(file, change)
    if file != places.own:
        _forget_default(places.own)
    return find_remote(places._replace(read=tuple(dict.fromkeys((*places.read, file)))), name)


def remove_remote(places: Places, name: str) -> RemoteSpec:
    """Forget a remote; what lies there stays. Raises NotFound."""
    spec = find_remote(places, name)

    def change(config: "ConfigObj") -> None:
        config.pop(_section(config, name), None)
        if config.get(CORE, {}).get(REMOTE) == name:
            del config[CORE][REMOTE]
            if not config[CORE]:
                del config[CORE]

    for file in dict.fromkeys((places.shared, places.local, places.own)):
        if os.path.isfile(file):
            _edit(file, change)
    return spec


def _forget_default(file: str) -> None:
    def change(config: "ConfigObj") -> None:
        config.get(CORE, {}).pop(REMOTE, None)

    if os.path.isfile(file):
        _edit(file, change)


def _section(config: "ConfigObj", name: str) -> str:
    """The section of a remote as the file spells it, or as it is spelt where there is none yet."""
    for section in config.sections:
        if (match := SECTION.fullmatch(section)) and match[1] == name:
            return str(section)
    return f'{REMOTE} "{name}"'


def _parsed(file: str) -> dict[str, dict[str, str]]:
    """Sections, their keys in small letters as DVC has them; a list of words is one text again."""
    try:
        read = _opened(file, interpolation=True).dict()
    except Exception as problem:
        from configobj import ConfigObjError

        if not isinstance(problem, ConfigObjError):
            raise
        raise Invalid(f"{file}: {problem}", hint=f"cat {file}") from None
    return {
        section.lower() if not SECTION.fullmatch(section) else section: {
            key.lower(): ",".join(value) if isinstance(value, list) else str(value) for key, value in values.items()
        }
        for section, values in read.items()
        if isinstance(values, dict)
    }


def _opened(file: str, *, interpolation: bool) -> "ConfigObj":
    from configobj import ConfigObj, ConfigObjError

    try:
        text = Path(file).read_text(encoding="utf-8") if os.path.exists(file) else ""
        return ConfigObj(text.splitlines(), interpolation=interpolation)
    except (ConfigObjError, UnicodeDecodeError) as problem:
        raise Invalid(f"{file}: {str(problem).splitlines()[0]}", hint=f"cat {file}") from None
    except PermissionError:
        raise Denied(f"{file} may not be read by this user", hint=f"ls -l {file}") from None


def _edit(file: str, change: Callable[["ConfigObj"], None]) -> None:
    """Change a file; comments stay, and so does who may read it."""
    config = _opened(file, interpolation=False)
    change(config)
    mode = os.stat(file).st_mode & 0o777 if os.path.exists(file) else None
    lines: list[str] = config.write()
    os.makedirs(os.path.dirname(file), exist_ok=True)
    write_whole(Path(file), "".join(f"{line}\n" for line in lines).encode())
    if mode is not None:
        os.chmod(file, mode)


def _resolved(key: str, text: str, file: str) -> str:
    """A path made absolute, as DVC does: relative to the file that says so."""
    scheme = WITH_SCHEME.match(text)
    if key not in PATHS or (scheme and scheme[0] not in (f"{STORE}file://", "file://")):
        return text
    before, path = (STORE, text[len(scheme[0]) :]) if scheme and scheme[0].startswith(STORE) else ("", text)
    path = path.removeprefix("file://") if not before else path
    absolute = os.path.abspath(os.path.join(os.path.dirname(file), os.path.expanduser(path)))
    return f"{before}file://{absolute}" if before else absolute


def _written(url: str, file: str) -> str:
    """How a URL that was typed in the current folder stands in a file."""
    scheme = f"{STORE}file://" if url.startswith(f"{STORE}file://") else ""
    path = url[len(scheme) :]
    if WITH_SCHEME.match(path) or os.path.isabs(path) or path.startswith("~"):
        return url
    return scheme + os.path.relpath(path, os.path.dirname(file))


def _url(name: str, options: dict[str, dict[str, str]], seen: tuple[str, ...]) -> str:
    """The URL of a remote; `remote://OTHER/path` is a place below another."""
    url = options[name].get("url", "")
    if not url:
        raise Invalid(f"remote {name!r} has no url", hint=f"taut data remote modify {name} url URL")
    if not url.startswith("remote://"):
        return url
    other, _, rest = url.removeprefix("remote://").partition("/")
    if other not in options or other in seen:
        raise Invalid(f"remote {name!r} lies at {url}, and there is no remote {other!r}", hint="taut data remote list")
    return f"{_url(other, options, (*seen, other)).rstrip('/')}/{rest}"


def _inherited(name: str, options: dict[str, dict[str, str]]) -> dict[str, str]:
    """All options but the URL, over those of the remote that it lies below."""
    own = dict(options[name])
    url = own.pop("url", "")
    if not url.startswith("remote://"):
        return own
    return _inherited(url.removeprefix("remote://").partition("/")[0], options) | own
