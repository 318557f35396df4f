"""What lies in the folder of a workflow: bounded listing and bounded reading that never leave the folder."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

FILES_MAX = 20_000
"""More files than this are not listed; a workflow's own code is found long before."""

TEXT_BYTES_MAX = 1_000_000
"""Source and configuration written by people stay far below; what is larger was generated."""

DATA_TEXT_BYTES_MAX = 256_000
"""JSON, plain text and CSV above this are data, not configuration."""

NOTEBOOK_BYTES_MAX = 32_000_000
"""Notebooks carry pictures; their code is small but stands between them."""

LINE_CHARACTERS_MAX = 2_000
"""Lines are searched up to here: a person writes shorter ones, and searching longer ones could take for ever."""

TOTAL_BYTES_MAX = 100_000_000
"""What one audit reads altogether, so that a hostile folder costs bounded memory."""

SKIPPED_FOLDERS = frozenset(
    [
        "node_modules",
        ".venv",
        "venv",
        "env",
        ".env",
        "site-packages",
        "__pypackages__",
        "third_party",
        "vendor",
        ".tox",
        ".nox",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".eggs",
        ".git",
        ".hg",
        ".svn",
        ".taut",
        ".ipynb_checkpoints",
        "__pycache__",
    ]
)
"""Folders of other people's code and of caches: nothing in them says how this workflow is run."""

_TEXT_SUFFIXES = frozenset(
    [
        ".py",
        ".pyw",
        ".ipynb",
        ".yaml",
        ".yml",
        ".toml",
        ".cfg",
        ".ini",
        ".json",
        ".env",
        ".sh",
        ".bash",
        ".zsh",
        ".ps1",
        ".bat",
        ".cmd",
        ".md",
        ".rst",
        ".txt",
        ".tf",
        ".tfvars",
        ".hcl",
        ".conf",
        ".properties",
        ".groovy",
        ".mk",
        ".dvc",
        ".smk",
        ".dockerfile",
        ".sql",
        ".r",
        ".rules",
        ".j2",
        ".service",
        ".in",
        ".lock",
    ]
)
_TEXT_NAMES = frozenset(
    [
        "dockerfile",
        "containerfile",
        "makefile",
        "jenkinsfile",
        "procfile",
        "snakefile",
        "justfile",
        "pipfile",
        "mlproject",
        "codeowners",
        "licence",
        "license",
        "readme",
        "copying",
        ".dockerignore",
        ".gitattributes",
        ".gitignore",
        ".env",
        "run",
        "tox.ini",
    ]
)
_DATA_TEXT_SUFFIXES = frozenset({".json", ".txt", ".sql", ".lock"})


@dataclass(frozen=True, slots=True)
class File:
    """One file of the workflow: its path below the root (with `/`), size, whether git tracks it, and its text.

    `text` is None for what is not text of interest and for what could not be read.
    """

    path: str
    size_bytes: int
    tracked: bool
    text: str | None = None

    @property
    def name(self) -> str:
        """The last part of the path in lower case."""
        return self.path.rpartition("/")[2].lower()

    @property
    def suffix(self) -> str:
        """The ending in lower case, with its dot."""
        stem, dot, ending = self.name.rpartition(".")
        return dot + ending if stem and ending else ""

    def lines(self) -> list[tuple[int, str]]:
        """The lines of the text, numbered from 1, each cut at `LINE_CHARACTERS_MAX`."""
        lines = (self.text or "").split("\n")
        return [(number, line[:LINE_CHARACTERS_MAX]) for number, line in enumerate(lines, start=1)]


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that should have been read and could not be, with the reason in words."""

    path: str
    reason: str


def list_folder(root: Path) -> list[str]:
    """The paths of the regular files below the root, sorted; links are not followed, caches not entered."""
    found: list[str] = []
    waiting = [root]
    while waiting and len(found) < FILES_MAX:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            if folder == root:
                raise
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in SKIPPED_FOLDERS:
                    waiting.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                found.append(Path(entry.path).relative_to(root).as_posix())
    return sorted(found[:FILES_MAX])


def is_foreign(path: str) -> bool:
    """Whether a path lies in a folder of other people's code or of a cache."""
    return any(part in SKIPPED_FOLDERS for part in path.split("/")[:-1])


def read_files(
    root: Path, tracked: Iterable[str], others: Iterable[str]
) -> tuple[tuple[File, ...], tuple[Unread, ...]]:
    """Read what is text of interest and measure the rest; what should be text and cannot be read is told apart."""
    files: list[File] = []
    unread: list[Unread] = []
    budget = TOTAL_BYTES_MAX
    inside: dict[str, bool] = {}
    known = frozenset(tracked)
    candidates = sorted(path for path in {*known, *others} if not is_foreign(path))
    start = os.fspath(root)
    for path in candidates[:FILES_MAX]:
        parent = path.rpartition("/")[0]
        if parent not in inside:
            inside[parent] = _is_below(root, root / parent)
        on_disk = os.path.join(start, path)
        size = _size_of_regular(on_disk) if inside[parent] else None
        if size is None:
            continue
        text: str | None = None
        file = File(path, size, path in known)
        limit = _limit(file)
        if limit and not (size > limit and file.suffix in _DATA_TEXT_SUFFIXES):
            got = _read_text(on_disk, size, min(limit, budget))
            if isinstance(got, Unread):
                unread.append(Unread(path, got.reason))
            else:
                text, budget = got, budget - size
        files.append(replace(file, text=text))
    return tuple(files), tuple(unread)


def _is_below(root: Path, folder: Path) -> bool:
    """Whether a folder still lies below the root once its links are followed."""
    real = os.path.realpath(folder)
    return real == os.fspath(root) or real.startswith(os.fspath(root).rstrip("/") + "/")


def _size_of_regular(path: str) -> int | None:
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _limit(file: File) -> int:
    """How many bytes of a file may be read; 0 for what is no text of interest."""
    name, suffix = file.name, file.suffix
    stem = name.split(".")[0]
    if suffix == ".ipynb":
        return NOTEBOOK_BYTES_MAX
    if suffix in _DATA_TEXT_SUFFIXES:
        return DATA_TEXT_BYTES_MAX
    is_text = suffix in _TEXT_SUFFIXES or name in _TEXT_NAMES or stem in _TEXT_NAMES or name.startswith(".env")
    return TEXT_BYTES_MAX if is_text else 0


def _read_text(path: str, size: int, limit: int) -> str | Unread:
    """The text of a file, or why there is none; a pipe or device put in its place is never waited for."""
    if size > limit:
        return Unread("", f"larger than {limit:,} bytes")
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(number, "rb") as opened:
            data = opened.read(limit + 1)
    except OSError as error:
        return Unread("", (error.strerror or "cannot be opened").lower())
    if b"\0" in data:
        return Unread("", "holds null bytes")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return Unread("", "is not UTF-8")
