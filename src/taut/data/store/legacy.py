"""How a content with a digest of DVC 2 is named in a store, and how its file is held against that."""

from typing import Final

from taut.data.workspace.digests import DIR, HEX, dos2unix_digest

SUFFIX: Final = ".dos2unix"  # Behind the digest, for DVC 3 may know other bytes by the same one.


def legacy_name(digest: str) -> str:
    """The name of a content by its digest of DVC 2.

    >>> legacy_name("0cc175b9c0f1b6a831c399e269772661.dir")
    '0cc175b9c0f1b6a831c399e269772661.dir.dos2unix'
    """
    return digest + SUFFIX


def is_named(path: str, md5: str, name: str) -> bool:
    """Whether a file with this MD5 is what a name of a store stands for. Raises OSError."""
    if md5 == name[:HEX]:
        return True
    return name.endswith(SUFFIX) and not name.endswith(DIR + SUFFIX) and dos2unix_digest(path) == name[:HEX]
