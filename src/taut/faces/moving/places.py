"""Artifacts where MLflow left them: in folders of this machine, which may have been moved since, or in buckets."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from taut.errors import NotFound
from taut.faces.moving.buckets import SCHEMES, bucket_files, open_bucket_file
from taut.faces.moving.source import File

INSIDE = re.compile(r"(?P<experiment>[\w-]+)/(?P<owner>models/[\w-]+|[\w-]+)/artifacts(?P<rest>/.*)?$")
TRASH = ".trash"


class Places:
    """Reads locations; `bases` are folders to look in for `EXPERIMENT/RUN/artifacts` where a location is not there."""

    def __init__(self, bases: tuple[Path, ...] = (), *, beside: Path | None = None) -> None:
        self._bases = bases
        self._beside = beside or Path.cwd()

    def files(self, location: str) -> Iterator[File]:
        """Every file below a location, by path. Raises NotFound where it cannot be reached."""
        if scheme_of(location) in SCHEMES:
            yield from bucket_files(location)
            return
        folder = self.folder(location)
        if folder is None:
            if self._is_known(location):
                return
            raise NotFound(f"the artifacts in {location} are not within reach", hint="--artifacts FOLDER")
        yield from sorted(_files_below(folder), key=lambda file: file.path)

    def open(self, location: str, path: str) -> BinaryIO:
        """A file's bytes."""
        if scheme_of(location) in SCHEMES:
            return open_bucket_file(location, path)
        folder = self.folder(location)
        if folder is None:
            raise NotFound(f"the artifacts in {location} are not within reach", hint="--artifacts FOLDER")
        return (folder / path).open("rb")

    def folder(self, location: str) -> Path | None:
        """The folder of this machine that a location means; None where there is none."""
        said = self._said(location)
        if said is not None and said.is_dir():
            return said
        return next((place for place in self._candidates(location) if place.is_dir()), None)

    def _said(self, location: str) -> Path | None:
        scheme = scheme_of(location)
        if scheme == "file":
            return Path(unquote(urlsplit(location).path))
        return None if scheme else self._beside / location

    def _candidates(self, location: str) -> Iterator[Path]:
        """Where the same run or model would lie below each base; a run of a deleted experiment is in the trash."""
        found = INSIDE.search(unquote(location) if scheme_of(location) else location)
        if found is None:
            return
        inside = f"{found['experiment']}/{found['owner']}/artifacts{found['rest'] or ''}"
        for base in self._bases:
            yield base / inside
            yield base / TRASH / inside

    def _is_known(self, location: str) -> bool:
        """Whether what is missing was never made: its experiment's folder, or the store's, is where it should be."""
        found = INSIDE.search(location)
        if found is None:
            return False
        above = 1 + found["owner"].count("/") + (found["rest"] or "").rstrip("/").count("/")
        if found["rest"]:
            return False
        said = self._said(location)
        roots = [] if said is None else [said.parents[above + 1], said.parents[above]]
        return any(root.is_dir() for root in [*roots, *self._bases])


def scheme_of(location: str) -> str:
    """The scheme of a URL; empty for a plain path.

    >>> scheme_of("s3://bucket/x"), scheme_of("mlflow-artifacts:/0/x"), scheme_of("./mlruns/0")
    ('s3', 'mlflow-artifacts', '')
    """
    found = re.match(r"([a-z][a-z0-9+.-]+):/", location)
    return found[1] if found else ""


def _files_below(folder: Path) -> Iterator[File]:
    for place, _, names in os.walk(folder):
        for name in names:
            file = Path(place) / name
            yield File(file.relative_to(folder).as_posix(), file.stat().st_size)
