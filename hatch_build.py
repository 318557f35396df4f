"""Builds what is written in C into the package; without a compiler taut installs without it, and says what is lost."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MACHINES = ("x86_64", "AMD64", "aarch64", "arm64")
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2")


class Compiled(NamedTuple):
    """Something in C: where it lies, its source, what comes of it, how, and what is so without it."""

    folder: str
    source: str
    made: str
    flags: tuple[str, ...]
    loss: str


OBSERVER = Compiled(
    "src/taut/runs/capture/observer", "observe.c", "observe", ("-fPIE", "-pie"), "taut will see only what Python opens"
)
# For the stable interface of Python 3.11: one file serves this Python and those that come.
NATIVE = Compiled(
    "src/taut/data/workspace/native",
    "native.c",
    "_native.abi3.so",
    ("-fPIC", "-shared", "-pthread", "-fvisibility=hidden", f"-I{sysconfig.get_path('include')}"),
    "taut will handle small files one by one",
)
STABLE = "cp311-abi3"


class ObserverHook(BuildHookInterface):  # type: ignore[type-arg]  # Its parameter is the builder's configuration.
    """Adds what was compiled to a wheel or an editable install, and then says for which platform that is."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; a wheel with the results in it fits this platform only, one without them fits all."""
        made = []
        for one in (OBSERVER, NATIVE):
            if problem := compiled(Path(self.root), one):
                self.app.display_warning(f"{one.loss}: {problem}")
            else:
                made.append(one)
                build_data["artifacts"].append(f"{one.folder}/{one.made}")
        if made:
            python = STABLE if NATIVE in made else "py3-none"
            build_data["pure_python"] = False
            build_data["tag"] = f"{python}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def compiled(root: Path, one: Compiled) -> str:
    """Compile into the source tree, where an editable install looks for it. Why not, or an empty text."""
    folder = root / one.folder
    place = folder / one.made
    place.unlink(missing_ok=True)  # One of another machine or an older source must not be taken for it.
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        return f"{platform.system()} on {platform.machine()} is not what it is written for"
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        return "there is no C compiler (cc)"
    with tempfile.TemporaryDirectory(dir=folder) as made:
        new = Path(made) / one.made
        command = [*compiler.split(), *FLAGS, *one.flags, "-o", str(new), str(folder / one.source)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return f"{compiler}: {error.strerror}"
        if done.returncode:
            return f"{compiler} failed: {done.stderr.strip()[:500]}"
        new.chmod(0o755)
        new.replace(place)
    return ""


if __name__ == "__main__":
    here = Path(__file__).parent
    problems = [f"{one.loss}: {problem}" for one in (OBSERVER, NATIVE) if (problem := compiled(here, one))]
    sys.exit("\n".join(problems) or 0)
