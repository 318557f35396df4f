"""What is asked and told of many files at once, packed: names, digests, stamps, and what became of each."""

import os
from array import array
from collections.abc import Iterable
from typing import Final, NamedTuple

DIGEST_BYTES = 16
STAMP_NUMBERS = 3
STAMP_BYTES = 8 * STAMP_NUMBERS
MODE = 0o444  # Of what is stored.
DONE, PRESENT, DAMAGED, CHANGED, SKIPPED = 0, -1, -2, -3, -4
TARGET = 65536  # Added to an errno that is not the source's.
STORED: Final = frozenset({DONE, PRESENT})


class Brought(NamedTuple):
    """What became of each item, packed in their order: digest, stamp (size, mtime in ns, inode) and code.

    The stamp is that of the object in the last store, else of the source. DONE: it is where it belongs. PRESENT: the
    stores had a file of this name and size, whose bytes nobody looked at; its stamp. DAMAGED: the source's bytes have
    another digest than was said, and nothing is written. CHANGED: the source is no file, or another since it was read.
    SKIPPED: an error elsewhere came first. Above 0 an errno, of the source; with TARGET added, of a store or target.
    """

    digests: bytes
    stamps: bytes
    codes: bytes

    @property
    def md5s(self) -> list[str]:
        """The digests as DVC writes them."""
        return unpacked_digests(self.digests)

    def stamp_of(self, number: int) -> tuple[int, int, int]:
        """One item's stamp."""
        size_bytes, mtime_ns, inode = array("q", self.stamps[number * STAMP_BYTES : (number + 1) * STAMP_BYTES])
        return size_bytes, mtime_ns, inode

    def stamp_list(self) -> list[tuple[int, int, int]]:
        """All stamps."""
        fields = iter(array("q", self.stamps))
        return list(zip(fields, fields, fields, strict=True))

    def code_list(self) -> "array[int]":
        """All codes."""
        return array("i", self.codes)

    def failed(self) -> int | None:
        """The first item that is not where it belongs for a reason of its own; None where all are."""
        if not any(self.codes):
            return None
        codes = self.code_list()
        bad = [number for number, code in enumerate(codes) if code not in STORED]
        return next((number for number in bad if codes[number] != SKIPPED), bad[0] if bad else None)

    def problems(self) -> list[tuple[int, int]]:
        """Number and code of every item that is not where it belongs."""
        if not any(self.codes):
            return []
        return [(number, code) for number, code in enumerate(self.code_list()) if code not in STORED]


def problem_of(code: int, source: str, target: str) -> OSError:
    """What went wrong with an item, and where: an error of the system, or of a source that changed meanwhile."""
    if code > TARGET:
        return OSError(code - TARGET, os.strerror(code - TARGET), target)
    assert code > 0, (code, source)
    return OSError(code, os.strerror(code), source)


def packed_names(names: Iterable[str]) -> bytes:
    """Names as `bring` takes them. One with a NUL in it makes two of itself, which is noticed by their number."""
    joined = "\0".join(names)
    return os.fsencode(f"{joined}\0") if joined else b""


def unpacked_names(names: bytes) -> list[str]:
    """And back."""
    return os.fsdecode(names).split("\0")[:-1] if names else []


def packed_digests(md5s: Iterable[str]) -> bytes:
    """Digests as `bring` takes them."""
    return bytes.fromhex("".join(md5s))


def unpacked_digests(digests: bytes) -> list[str]:
    """And back."""
    text = digests.hex()
    return [text[at : at + 2 * DIGEST_BYTES] for at in range(0, len(text), 2 * DIGEST_BYTES)]
