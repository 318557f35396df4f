"""Sessions of servers that this user logged in to: one file of their own, which nobody else may read."""

import json
import os
from pathlib import Path

from taut.errors import Denied, Invalid


def credentials_file() -> Path:
    """Where sessions are kept: `taut/sessions.json` below XDG_CONFIG_HOME, else below `~/.config`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "taut" / "sessions.json"


def kept_token(url: str) -> str:
    """The token kept for a server; empty for none. Raises Denied where others could read the file, Invalid."""
    return _kept().get(_server(url), "") if credentials_file().exists() else ""


def keep_token(url: str, token: str) -> Path:
    """Keep a token for a server; returns the file. Raises Denied where it cannot be written."""
    _write({**(_kept() if credentials_file().exists() else {}), _server(url): token})
    return credentials_file()


def drop_token(url: str) -> None:
    """Keep it no more."""
    if credentials_file().exists():
        _write({server: token for server, token in _kept().items() if server != _server(url)})


def _server(url: str) -> str:
    """A server's URL without the project that may stand in it: a session is for all of them."""
    return url.partition("/projects/")[0].rstrip("/")


def _kept() -> dict[str, str]:
    path = credentials_file()
    try:
        if path.stat().st_mode & 0o077:
            raise Denied(f"others may read {path}, which holds your sessions", hint=f"chmod 600 {path}")
        found = json.loads(path.read_text())
    except OSError as problem:
        raise Denied(f"{path} cannot be read: {problem.strerror}", hint=f"ls -l {path}") from None
    except ValueError:
        raise Invalid(f"{path} is no JSON", hint=f"rm {path}") from None
    return {str(server): str(token) for server, token in found.items()} if isinstance(found, dict) else {}


def _write(kept: dict[str, str]) -> None:
    path = credentials_file()
    beside = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(kept, file)
        beside.replace(path)
    except OSError as problem:
        raise Denied(f"{path} cannot be written: {problem.strerror}", hint=f"ls -ld {path.parent}") from None
