"""Which remotes a project has: DVC's config of four levels as DVC reads it, and what DVC must not read beside it.

A remote in taut's own format stands in `.dvc/taut.config`, for DVC refuses a whole config that names a kind of URL that
it does not know. Where there is no DVC repository, all remotes stand in `.taut/remotes`, written in the same way.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from taut.data.workspace.config import FOLDER, TRUE, config_files, open_config, read_sections
from taut.data.workspace.whole import write_whole
from taut.errors import Conflict, Denied, Invalid, NotFound

if TYPE_CHECKING:
    from configobj import ConfigObj

CORE, REMOTE = "core", "remote"
OWN = "taut.config"  # In `.dvc`.
PROJECT_FILE = "remotes"  # In `.taut`.
SECTION = re.compile(r'\s*remote\s*"(.*)"\s*', re.IGNORECASE)
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
WITH_SCHEME = re.compile(r"[\w+]+://")
PATHS = (
    "url",
    "credentialpath",
    "configpath",
    "cert_path",
    "key_path",
    "keyfile",
)  # What is relative to the file that says so.
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
        parsed = read_sections(file)
        for section, values in parsed.items():
            if section == CORE:
                default = values.get(REMOTE, default).lower()
            elif match := SECTION.fullmatch(section):
                name = match[1]
                options.setdefault(name, {}).update({key: _resolved(key, text, file) for key, text in values.items()})
                files[name] = file
    return {
        name: RemoteSpec(name, _url(name, options, (name,)), _inherited(name, options), files[name], name == default)
        for name in options
    }


def overlaid(remotes: Mapping[str, RemoteSpec], config: Any, remote: Any) -> dict[str, RemoteSpec]:
    """Remotes of another repository, with what a pointer that imports from there says of them.

    `config` is a file of more config, or what such a file says as sections; `remote` the name of the one to ask first,
    or options of the default one. Raises Invalid, Denied.
    """
    found = dict(remotes)
    default = next((spec.name for spec in found.values() if spec.is_default), "")
    if isinstance(config, str):
        for spec in read_remotes(Places((config,), "", "", "", True)).values():
            found[spec.name] = spec
            default = spec.name if spec.is_default else default
    elif isinstance(config, dict):
        default = str(config.get(CORE, {}).get(REMOTE, default)).lower()
        for name, options in config.get(REMOTE, {}).items():
            found[name.lower()] = _with(found.get(name.lower()), name.lower(), options)
    if isinstance(remote, dict):
        found[default] = _with(found.get(default), default, remote)
    elif remote:
        default = str(remote).lower()
    return {name: spec._replace(is_default=name == default) for name, spec in found.items() if spec.url}


def _with(spec: RemoteSpec | None, name: str, options: Mapping[str, Any]) -> RemoteSpec:
    told = {key.lower(): str(value) for key, value in options.items()}
    known = spec or RemoteSpec(name, "", {}, "", False)
    url = told.pop("url", known.url)
    return known._replace(url=os.path.abspath(url) if url and "://" not in url else url, options=known.options | told)


def find_remote(places: Places, name: str = "") -> RemoteSpec:
    """The remote of a name, in small or capital letters; the default where none is said. Raises NotFound, Invalid."""
    remotes = read_remotes(places)
    if name:
        if name.lower() in remotes:
            return remotes[name.lower()]
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
    name = name.lower()
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
        section = config.setdefault(_section(config, spec.name), {})
        if value:
            section[option] = _written(value, file) if option in PATHS else value
        else:
            section.pop(option, None)

    _edit(file, change)


def set_default(places: Places, name: str) -> RemoteSpec:
    """Make a remote the default one. Raises NotFound."""
    spec = find_remote(places, name)

    def change(config: "ConfigObj") -> None:
        config.setdefault(CORE, {})[REMOTE] = spec.name

    file = places.own if spec.is_store else places.shared
    _edit(file, change)
    if file != places.own:
        _forget_default(places.own)
    return find_remote(places._replace(read=tuple(dict.fromkeys((*places.read, file)))), name)


def remove_remote(places: Places, name: str) -> RemoteSpec:
    """Forget a remote; what lies there stays. Raises NotFound."""
    spec = find_remote(places, name)

    def change(config: "ConfigObj") -> None:
        config.pop(_section(config, spec.name), None)
        if str(config.get(CORE, {}).get(REMOTE, "")).lower() == spec.name:
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
        if (match := SECTION.fullmatch(section)) and match[1].lower() == name:
            return str(section)
    return f'{REMOTE} "{name}"'


def _edit(file: str, change: Callable[["ConfigObj"], None]) -> None:
    """Change a file; comments stay, and so does who may read it."""
    config = open_config(file, interpolation=False)
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
    other, _, rest = _below(url)
    if other not in options or other in seen:
        raise Invalid(f"remote {name!r} lies at {url}, and there is no remote {other!r}", hint="taut data remote list")
    return f"{_url(other, options, (*seen, other)).rstrip('/')}/{rest}"


def _inherited(name: str, options: dict[str, dict[str, str]]) -> dict[str, str]:
    """All options but the URL, over those of the remote that it lies below."""
    own = dict(options[name])
    url = own.pop("url", "")
    if not url.startswith("remote://"):
        return own
    return _inherited(_below(url)[0], options) | own


def _below(url: str) -> tuple[str, str, str]:
    """The remote that `remote://OTHER/path` names, and what lies below it."""
    other, slash, rest = url.removeprefix("remote://").partition("/")
    return other.lower(), slash, rest
