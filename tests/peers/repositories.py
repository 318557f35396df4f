"""Small DVC repositories, and the real DVC to work in them; `DVC` is None where it is not installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# DVC_PROGRAM points at a DVC of another environment: ours does not have its hundred packages.
DVC = os.environ.get("DVC_PROGRAM") or shutil.which("dvc") or shutil.which("dvc", path=str(Path(sys.executable).parent))


def dvc(folder: Path, *arguments: str) -> str:
    assert DVC is not None
    done = subprocess.run([DVC, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def make_repository(folder: Path) -> Path:
    """An empty repository of git and DVC."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    dvc(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "begin")
    return folder


def commit(folder: Path, message: str = "more") -> str:
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def fill(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, or the one file that it is."""
    if folder.is_file():
        return {".": folder.read_bytes()}
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def clone(source: Path, target: Path) -> Path:
    """A clone that has none of the data: as a colleague gets it."""
    git(source.parent, "clone", "--quiet", str(source), str(target))
    return target
