"""What a command ran on: the interpreter, its packages with their versions, the platform."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from taut.errors import TautError
from taut.ground import wire

TIMEOUT_S = 60.0
PYTHONS = ("python", "pypy")
# Asked of the interpreter itself, for only it knows what it would import.
SCRIPT = """
import importlib.metadata, json, platform, sys
names = {(d.metadata["Name"] or "", d.version or "") for d in importlib.metadata.distributions()}
lock = sorted({f"{name}=={version}" for name, version in names if name}, key=str.lower)
about = f"{platform.python_implementation()} {platform.python_version()}"
print(json.dumps({"python": about, "platform": platform.platform(), "lock": lock}))
"""


class Environment(msgspec.Struct, frozen=True):
    """An interpreter's answer: what it is, where it runs, and `name==version` of every package it finds."""

    python: str
    platform: str
    lock: tuple[str, ...]


def interpreter_of(command: tuple[str, ...], seen: str) -> str:
    """The Python that a command means: the one that was seen to run, the one it names, else the one we run on."""
    if seen and os.access(seen, os.X_OK):
        return seen
    named = shutil.which(command[0]) if command and Path(command[0]).name.startswith(PYTHONS) else None
    return named or sys.executable


def ask_environment(python: str, folder: Path) -> Environment | str:
    """Ask an interpreter in the folder that the command ran in; or say why it gave no answer."""
    try:
        done = subprocess.run(
            [python, "-c", SCRIPT],
            cwd=folder,
            capture_output=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=True,
        )
        return wire.decode(done.stdout.splitlines()[-1], Environment, what=f"the answer of {python}")
    except (OSError, subprocess.SubprocessError, TautError, IndexError) as problem:
        return f"the environment: {python} did not list its packages ({type(problem).__name__})"
