"""Which data a run read: the notes that its Python processes left, made into digests and dataset versions.

What is seen: files that Python code opens, in every Python process of the command. What is not: files that native code
(pyarrow, polars, DuckDB, ...) or programs other than Python open. `seen_by` says so, and every capture repeats it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from taut.data import digest_file, find_versions, path_in_project, pointer_over, read_pointer, take_snapshot
from taut.errors import TautError
from taut.home import Home
from taut.records import InputRead

SHIM = Path(__file__).with_name("shim")
OUTSIDE_BYTES_MAX = 1 << 30  # Reading a larger file again takes seconds; outside datasets its size must do.
NEVER_DATA = frozenset({".git", ".taut", "__pycache__"})  # What tools keep for themselves.
NATIVE = "data that native code or programs other than Python opened: only opens by Python code are seen"
UNSEEN = "the data it read: no Python process of the command was seen, and other programs are not watched"


@dataclass(frozen=True, slots=True)
class Notes:
    """What the shim noted: the first interpreter, the places first opened to be read, and those made anew."""

    interpreter: str
    reads: tuple[Path, ...]
    writes: tuple[Path, ...] = ()


def watched(notes: Path, inherited: str | None = None) -> dict[str, str]:
    """The environment that makes a command's Python processes take notes; `inherited` is its PYTHONPATH, else ours."""
    inherited = os.environ.get("PYTHONPATH", "") if inherited is None else inherited
    path = f"{SHIM}{os.pathsep}{inherited}" if inherited else str(SHIM)
    return {"PYTHONPATH": path, "TAUT_READS": str(notes)}


def read_notes(file: Path) -> Notes:
    """What was noted; nothing where no Python process ran. Half a note, of a process killed in between, is none."""
    lines = file.read_bytes().split(b"\0")[:-1] if file.exists() else []
    interpreters = [os.fsdecode(line[2:]) for line in lines if line.startswith(b"p ")]
    first: dict[bytes, bool] = {}
    for line in lines:
        if line[:2] in (b"r ", b"w "):
            first.setdefault(line[2:], line.startswith(b"r "))
    reads = tuple(Path(os.fsdecode(path)) for path, is_read in first.items() if is_read)
    writes = tuple(Path(os.fsdecode(path)) for path, is_read in first.items() if not is_read)
    return Notes(next((python for python in interpreters if python), ""), reads, writes)


def inputs_of(
    home: Home, project: Path, notes: Notes, started_ns: int
) -> tuple[tuple[InputRead, ...], tuple[str, ...]]:
    """The files of the notes that count as input, with digest and dataset version; and what could not be recorded.

    Inside the project every file counts; outside, one whose content is part of a dataset version.
    """
    missing = [NATIVE if notes.interpreter else UNSEEN]
    found: list[InputRead] = []
    for place in sorted({path.resolve() for path in notes.reads if path.is_file()}):
        if not NEVER_DATA.isdisjoint(place.parts):
            continue
        try:
            found.append(_read(home, project, place))
            if place.stat().st_mtime_ns > started_ns:
                missing.append(f"what {found[-1].path} held when it was read: it changed during the run")
        except (OSError, TautError) as problem:
            missing.append(f"the digest of {place}: {problem}")
    versions = find_versions(home, sorted({read.oid for read in found if read.oid})) if found else {}
    named = (_named(home, project, read, versions.get(read.oid, [])) for read in found)
    inside = tuple(read for read in named if read.dataset or not os.path.isabs(read.path))
    return inside, tuple(missing)


def _read(home: Home, project: Path, place: Path) -> InputRead:
    path = path_in_project(home, place) if place.is_relative_to(home.project) else _shown(place, project)
    size_bytes = place.stat().st_size
    if pointer_over(place, project) is not None:
        return InputRead(path, take_snapshot(home, place, store=False).files[0].oid, size_bytes, "")
    oid = digest_file(place).oid if size_bytes <= OUTSIDE_BYTES_MAX else ""
    return InputRead(path, oid, size_bytes, "")


def _shown(place: Path, project: Path) -> str:
    return place.relative_to(project).as_posix() if place.is_relative_to(project) else str(place)


def _named(home: Home, project: Path, read: InputRead, versions: list[str]) -> InputRead:
    """Name the version: that of the pointer above the file if it holds the content, else of its name, else any."""
    if not versions:
        return read
    file = pointer_over(project / read.path, project)
    pointer = read_pointer(file) if file is not None else None
    own = [version for version in versions if pointer and version.rpartition("@")[0] == pointer.name]
    exact = f"{pointer.name}@{pointer.number}" if pointer else ""
    dataset = exact if exact in own else (own or versions)[0]
    return InputRead(read.path, read.oid, read.size_bytes, dataset)
