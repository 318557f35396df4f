"""Disks for the tests that are really full, really read-only or without power: small file systems, mounted by root."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.parts import eventually


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


class PowerDisk:
    """An ext4 file system in an image file, mounted through a loop device, whose power can be cut.

    After a cut the disk holds what had reached the device: what was synced, what the kernel had written back on its
    own, and nothing that was only in the page cache of the file system. It shows what a lost sync would lose. It does
    not show a disk that lies about a sync, or that loses or reorders writes which it was never asked to flush; and as
    the server is stopped first, the cut falls between two system calls of it and never into the middle of an fsync.
    """

    def __init__(self, folder: Path, size_mib: int) -> None:
        self.mount_point = folder / "disk"
        self.mount_point.mkdir()
        self._image = folder / "image-0"
        with self._image.open("wb") as image:
            image.truncate(size_mib << 20)
        # Nothing is left for the kernel to write in the background.
        options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", options, str(self._image)], check=True)
        self._device = ""
        self._cuts = 0

    def mount(self) -> None:
        """Attach the image and mount it; the journal of a disk that lost its power is replayed."""
        told = subprocess.run(["losetup", "--find", "--show", str(self._image)], capture_output=True, text=True)
        if told.returncode or _mount(told.stdout.strip(), self.mount_point):
            pytest.skip("mounting an image takes root, a loop device and the right to mount")
        self._device = told.stdout.strip()

    def cut(self, stop: Callable[[], None], kill: Callable[[], None]) -> None:
        """Lose the power under a server that `stop` stops for a moment and `kill` ends; the disk is mounted again.

        The image is copied while the device does nothing; where it wrote meanwhile, it is copied again.
        """
        stop()
        self._cuts += 1
        copy = self._image.with_name(f"image-{self._cuts}")
        eventually(lambda: self._copied_at_rest(copy), what="a copy of the image at one moment")
        kill()
        self.unmount()
        self._image.unlink()
        self._image = copy
        self.mount()

    def unmount(self) -> None:
        """Unmount and detach; what is open on it keeps it until it is closed."""
        if self._device:
            if subprocess.run(["umount", str(self.mount_point)], capture_output=True).returncode:
                subprocess.run(["umount", "--lazy", str(self.mount_point)], check=True)
            subprocess.run(["losetup", "--detach", self._device], check=True)
        self._device = ""

    def _copied_at_rest(self, copy: Path) -> bool:
        before = self._counts()
        subprocess.run(["cp", "--sparse=always", str(self._image), str(copy)], check=True)
        return before == self._counts() and before[8] == "0"  # The ninth is what is under way.

    def _counts(self) -> list[str]:
        return Path(f"/sys/block/{Path(self._device).name}/stat").read_text().split()


@contextmanager
def power_disk(size_mib: int = 512) -> Iterator[PowerDisk]:
    """A disk whose power can be cut, mounted; skips where this process may not, or the system has no mkfs.ext4."""
    if os.geteuid() or not shutil.which("mkfs.ext4") or not shutil.which("losetup"):
        pytest.skip("a disk whose power is cut takes root, mkfs.ext4 and losetup")
    memory = Path("/dev/shm")  # Fast to copy; sparse, so that only what is written takes room.
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        disk = PowerDisk(Path(folder), size_mib)
        try:
            disk.mount()
            yield disk
        finally:
            disk.unmount()


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
