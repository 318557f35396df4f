"""Builds the observer of runs, a small C program, into the package; without a compiler taut installs without it."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = "src/taut/runs/capture/observer"
PROGRAM = "observe"
MACHINES = ("x86_64", "AMD64", "aarch64", "arm64")
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-fPIE", "-pie")


class ObserverHook(BuildHookInterface):  # type: ignore[type-arg]  # Its parameter is the builder's configuration.
    """Adds the compiled observer to a wheel or an editable install, and then says for which platform that is."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; a wheel with the program in it fits this platform only, one without it fits all."""
        problem = compile_observer(Path(self.root))
        if problem:
            self.app.display_warning(f"taut will see only what Python opens: {problem}")
            return
        build_data["artifacts"].append(f"{FOLDER}/{PROGRAM}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def compile_observer(root: Path) -> str:
    """Compile into the source tree, where an editable install looks for it. Why not, or an empty text."""
    folder = root / FOLDER
    place = folder / PROGRAM
    place.unlink(missing_ok=True)  # One of another machine or an older source must not be taken for it.
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        return f"{platform.system()} on {platform.machine()} has no way to observe a run"
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        return "there is no C compiler (cc)"
    with tempfile.TemporaryDirectory(dir=folder) as made:
        new = Path(made) / PROGRAM
        command = [*compiler.split(), *FLAGS, "-o", str(new), str(folder / "observe.c")]
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
    sys.exit(compile_observer(Path(__file__).parent) or 0)
