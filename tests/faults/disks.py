"""Disks for the tests that are really full or really read-only: small file systems in memory, mounted by root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str = "3m") -> Iterator[Path]:
    """Mount a file system of that size in a new folder; skips where this process may not."""
    folder.mkdir()
    mounted = os.geteuid() == 0 and not _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    if not mounted:
        pytest.skip("mounting a small disk takes root and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_read_only(disk: Path) -> None:
    """From here on nothing on the disk can be changed."""
    assert _mount("-o", "remount,ro", disk) == 0


def fill(disk: Path) -> Path:
    """Write until nothing more fits; returns the file whose removal makes room."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue
    return ballast


def _mount(*words: str | Path) -> int:
    return subprocess.run(["mount", *map(str, words)], capture_output=True).returncode
