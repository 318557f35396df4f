"""How a text table is written: its endings, encoding, delimiter and header, found in its first line."""

import csv
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import IO, cast

TEXT_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst")
DELIMITERS = ",\t;|"
LINE_MAX = 16 << 20  # A longer line is no row of a table that anybody reads; memory would grow with the file.
BUFFER = 1 << 20
UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Dialect:
    """The delimiter, the encoding by its mark, and the names in the first line."""

    delimiter: str
    encoding: str
    names: tuple[str, ...]


@contextmanager
def read_text(stream: IO[bytes]) -> Iterator[tuple[Dialect, Iterator[list[str]]]]:
    """The dialect, and every row below the header that is no empty line; no names where there is no header.

    Raises csv.Error, now or from the rows, for what no reader takes for a table.
    """
    buffered = stream if hasattr(stream, "peek") else io.BufferedReader(cast("io.RawIOBase", stream), BUFFER)
    encoding = "utf-16" if buffered.peek(2)[:2] in UTF16 else "utf-8-sig"
    text = io.TextIOWrapper(cast("io.BufferedReader", buffered), encoding=encoding, errors="replace", newline="")
    try:
        lines = _lines(text)
        first = next(lines, "")
        delimiter = max(DELIMITERS, key=lambda each: len(next(csv.reader([first], delimiter=each), [])))
        rows = csv.reader(chain([first], lines), delimiter=delimiter)
        names = next(rows, [])
        yield Dialect(delimiter, encoding, tuple(names)), (row for row in rows if row)
    finally:
        text.detach()  # Whoever opened the stream closes it.


@contextmanager
def unzipped(name: str, stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """What is inside a file that is called gzip; others as they are."""
    if not name.lower().endswith(".gz"):
        yield stream
        return
    with gzip.open(stream) as inside, io.BufferedReader(cast("io.RawIOBase", inside), BUFFER) as buffered:
        yield buffered


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(LINE_MAX):
        if len(line) >= LINE_MAX:
            raise csv.Error("a line is past 16 MB")
        yield line
