"""Runs first in every Python process of a recorded command: writes down which files it opens, once each.

It stands alone (the command's interpreter need not have taut), on PYTHONPATH through its folder. `TAUT_READS` names
the file that takes the notes: `p EXECUTABLE`, `r PATH` for the first opening of a path that reads, `w PATH` for one
that makes the file anew; each ends with NUL. The first note of a path tells whether the run needed or made it.
"""

import os
import sys
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
NOTES = os.environ.get("TAUT_READS", "")
# Folders that hold programs, not data; an interpreter opens thousands of files in them.
OUTSIDE = tuple(
    folder.rstrip("/") + "/"
    for folder in {
        sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__), HERE, os.path.dirname(NOTES),
        "/proc", "/sys", "/dev", "/usr/lib", "/usr/share", "/lib", "/etc",
    }
    if folder and folder != "/"
)  # fmt: skip
CODE = (".py", ".pyc", ".pyi", ".so")


def install() -> None:
    """Begin to note, unless nobody asked or the notes cannot be written."""
    seen = set()  # type: set[str]

    def note(kind: bytes, path: str) -> None:
        # Opened for each note: a descriptor kept open could be closed by the program and given to a file of its own.
        descriptor = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, kind + os.fsencode(path) + b"\0")
        finally:
            os.close(descriptor)

    def watch(event: str, arguments: Any) -> None:
        if event != "open":
            return
        path, _, flags = arguments
        if type(path) is bytes:
            path = os.fsdecode(path)
        if type(path) is not str or path in seen or path == NOTES:
            return
        place = os.path.abspath(path)  # A relative path means another file after chdir, so only this is remembered.
        if place in seen:
            return
        seen.add(place)
        if place.startswith(OUTSIDE) or place.endswith(CODE) or "/site-packages/" in place:
            return
        makes = flags & os.O_TRUNC or flags & os.O_ACCMODE == os.O_WRONLY or flags & os.O_EXCL
        try:
            note(b"w " if makes else b"r ", place)
        except OSError:
            return  # The disk is full or the notes are gone: the program must not suffer for them.

    try:
        note(b"p ", sys.executable or "")
    except OSError:
        return
    sys.addaudithook(watch)


def go_on() -> None:
    """Run the sitecustomize that would have run without us, and leave sys.path as it would be."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != HERE]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    if NOTES and hasattr(sys, "addaudithook"):  # Python 3.7 and older have none.
        install()
    if os.environ.get("TAUT_SEED") or os.environ.get("TAUT_SEEN"):
        import taut_seeding  # type: ignore[import-not-found]  # It lies beside us, first on sys.path.

        taut_seeding.install()
    go_on()
