"""Files that have changed since a moment: what a run wrote, where nothing saw it write."""

import os
from collections.abc import Iterator
from pathlib import Path

NEVER_OUTPUT = frozenset({".git", ".taut", ".dvc", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache"})


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
