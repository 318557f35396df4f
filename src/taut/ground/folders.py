"""Folders that leave whole, with whatever is in them."""

import shutil
from pathlib import Path

from taut.errors import Denied


def remove_folder(folder: Path) -> None:
    """Remove a folder; one that is gone, or goes meanwhile, is no error. Raises Denied where something stays."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        if folder.exists():  # Somebody else removes it at the same time: what is left is ours to remove too.
            remove_folder(folder)
    except OSError as problem:
        raise Denied(f"{folder} cannot be removed: {problem.strerror}", hint=f"ls -ld {folder.parent}") from None
