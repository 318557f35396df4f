"""The packages that a run had: what differs from those here, and an environment rebuilt from the lock through uv."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from taut.errors import NotFound, UsageError
from taut.ground.objects import read_object
from taut.home import Home
from taut.records import Capture
from taut.runs.capture.environment import PYTHONS, ask_environment, interpreter_of

TIMEOUT_S = 1800.0
SHOWN = 5


def package_differences(home: Home, capture: Capture) -> tuple[str, ...]:
    """How the interpreter that the command would get here differs from the recorded one, one sentence each."""
    if not capture.environment:
        return ()
    answer = ask_environment(interpreter_of(capture.command, ""), Path.cwd())
    if isinstance(answer, str):
        return (answer,)
    before, now = _versions(recorded_lock(home, capture)), _versions(answer.lock)
    python = [f"python was {capture.python} and is {answer.python}"] if capture.python != answer.python else []
    changed = [name for name in sorted(before | now) if before.get(name) != now.get(name)]
    told = [f"{name} was {before.get(name, 'not there')} and is {now.get(name, 'not there')}" for name in changed]
    return (*python, *told)


def recorded_lock(home: Home, capture: Capture) -> tuple[str, ...]:
    """`name==version` of every package that a run had."""
    return tuple(read_object(home.objects, capture.environment).decode().split())


def rebuild(home: Home, capture: Capture, at: Path) -> Path:
    """A virtual environment at the recorded Python and packages; returns it.

    taut itself is left out, for it is no part of the program. Raises UsageError without uv, NotFound for what uv cannot
    get, in its words.
    """
    uv = _uv()
    version = re.search(r"\d+\.\d+\.\d+", capture.python)
    _said(uv, "venv", "--quiet", "--python", version[0] if version else sys.executable, str(at))
    lock = at.with_name("recorded-lock.txt")
    lock.write_text("".join(f"{one}\n" for one in recorded_lock(home, capture) if not one.startswith("taut==")))
    python = str(at / "bin" / "python")
    _said(uv, "pip", "install", "--quiet", "--no-deps", "--python", python, "--requirements", str(lock))
    return at


def with_environment(command: tuple[str, ...], environment: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command with the Python of an environment in place of the one it names, and the variables that go with it."""
    path = f"{environment / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    names_python = os.sep in command[0] and Path(command[0]).name.startswith(PYTHONS)
    first = str(environment / "bin" / "python") if names_python else command[0]
    return (first, *command[1:]), {"PATH": path, "VIRTUAL_ENV": str(environment)}


def _uv() -> str:
    found = shutil.which("uv")
    if found is None and importlib.util.find_spec("uv") is not None:
        from uv import find_uv_bin

        found = find_uv_bin()
    if found is None:
        raise UsageError(
            "the run's packages differ from those here, and uv is not installed to get them",
            hint="pip install 'taut[reproduce]', or use the packages of here with --here",
        )
    return found


def _said(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[:500] or "nothing"
        raise NotFound(
            f"package: the recorded environment cannot be had; uv said: {said}",
            hint="use the packages of here with --here",
        )


def _versions(lock: tuple[str, ...]) -> dict[str, str]:
    """Package to version; taut left out."""
    pairs = (line.partition("==") for line in lock)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in pairs if name != "taut"}
