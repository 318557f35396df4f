"""A folder of wheels that is all a build installs from: filled with what it lacks, then used without any index."""

import platform
import secrets
import shutil
import sys
from pathlib import Path

from taut.deploy.engines import run_program
from taut.errors import Unavailable, UsageError

# Debian 12, which the images are based on, has glibc 2.36. pip takes a list of tags and adds no older ones by itself.
GLIBC_MINORS = range(36, 4, -1)
MACHINES = {"AMD64": "x86_64", "arm64": "aarch64"}
DOWNLOAD_WITHIN_S = 1800.0


def fill_packages(packages: Path, wheelhouse: Path, *, python: str) -> None:
    """Put every wheel that `packages` asks for beside its requirements, from the wheelhouse, else from pip's index.

    What had to be downloaded is kept in the wheelhouse, so that the next image needs no network. Only wheels are
    taken: a source package would run code of its own while it is built. Raises Unavailable where one is nowhere.
    """
    wheelhouse.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    command += ["--only-binary", ":all:", "--python-version", python, "--implementation", "cp", "--abi", f"cp{python}"]
    command[-1] = command[-1].replace(".", "")
    command += ["--abi", "abi3", "--abi", "none"]
    machine = MACHINES.get(platform.machine(), platform.machine())
    for minor in GLIBC_MINORS:
        command += ["--platform", f"manylinux_2_{minor}_{machine}"]
    command += ["--platform", f"manylinux2014_{machine}", "--platform", f"linux_{machine}"]
    command += ["--dest", str(packages), "--find-links", str(wheelhouse)]
    command += ["--requirement", str(packages / "requirements.txt")]
    command += ["--constraint", str(packages / "constraints.txt")]
    if not _downloaded([*command, "--no-index"]):
        _require_pip()
        run_program(command, within_s=DOWNLOAD_WITHIN_S)
    for wheel in packages.glob("*.whl"):
        if not (wheelhouse / wheel.name).exists():
            _kept(wheel, wheelhouse / wheel.name)


def _kept(wheel: Path, place: Path) -> None:
    """Copy a wheel so that it appears whole: another image may be filling from the same folder."""
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    shutil.copyfile(wheel, part)
    part.replace(place)


def _downloaded(command: list[str]) -> bool:
    try:
        run_program(command, within_s=DOWNLOAD_WITHIN_S)
    except Unavailable:
        return False  # The wheelhouse lacks something; the index is asked next, and its refusal is told.
    return True


def _require_pip() -> None:
    try:
        run_program([sys.executable, "-m", "pip", "--version"])
    except Unavailable:
        raise UsageError(
            "the Python that runs taut has no pip, which fills the wheelhouse", hint="python -m ensurepip"
        ) from None
