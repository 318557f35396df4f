"""Which files a run wrote, kept with their bytes so that a repetition can be held against them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from taut.data import digest_file
from taut.errors import TautError
from taut.home import Home
from taut.records import OutputWritten

KEPT_BYTES_MAX = 64 << 20  # A larger file is known by its digest alone.
OUTPUTS_MAX = 10_000
NEVER_OUTPUT = frozenset({".git", ".taut", ".dvc", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache"})


def outputs_of(
    home: Home, project: Path, noted: Iterable[Path], started_ns: int
) -> tuple[tuple[OutputWritten, ...], tuple[str, ...]]:
    """The files of the project that a run wrote, and what could not be recorded of them.

    Those whose opening was noted, and those that have changed since it began, which native code may have written.
    """
    places = {place.resolve() for place in noted if place.is_file()} | set(changed_files(project, started_ns))
    found: list[OutputWritten] = []
    missing: list[str] = []
    inside = sorted(place for place in places if place.is_relative_to(project) and NEVER_OUTPUT.isdisjoint(place.parts))
    if len(inside) > OUTPUTS_MAX:
        missing.append(f"{len(inside) - OUTPUTS_MAX} of {len(inside)} files that it wrote")
    for place in inside[:OUTPUTS_MAX]:
        try:
            found.append(_output(home, place, place.relative_to(project).as_posix()))
        except (OSError, TautError) as problem:
            missing.append(f"what it wrote to {place}: {problem}")
    return tuple(found), tuple(missing)


def changed_files(folder: Path, since_ns: int) -> Iterator[Path]:
    """Every file below a folder that was written since then; what tools keep for themselves is left out."""
    waiting = [folder]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue  # It went meanwhile, or is not ours to see: then it is no output of ours.
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in NEVER_OUTPUT:
                    waiting.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False) and entry.stat().st_mtime_ns >= since_ns:
                yield Path(entry.path)


def _output(home: Home, place: Path, path: str) -> OutputWritten:
    size_bytes = place.stat().st_size
    if size_bytes > KEPT_BYTES_MAX:
        return OutputWritten(path, digest_file(place).oid, size_bytes)
    with place.open("rb") as stream:
        return OutputWritten(path, home.objects.put(stream), size_bytes, kept=True)
