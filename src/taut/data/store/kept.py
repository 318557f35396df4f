"""Index objects of a store far away, kept on this machine as they lie there: sealed, so nobody reads more of them here.

They never change, and are held against the store's key and their own names each time: what is damaged here is fetched
again.
"""

import os
import secrets
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from taut.data.store.codec import Bytes

FOLDER = "taut/indexes"


class KeptIndexes:
    """A folder of them, of one store. It may be deleted at any time, and where it cannot be written nothing is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        """An index object, None where it is not here."""
        try:
            return (self._folder / name).read_bytes()
        except OSError:
            return None

    def put(self, name: str, data: Bytes) -> None:
        """Keep one: whole or not at all."""
        part = self._folder / f".{secrets.token_hex(8)}"
        with suppress(OSError):  # It is fetched again the next time.
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                part.write_bytes(data)
                part.replace(self._folder / name)
            finally:
                part.unlink(missing_ok=True)

    def keep_only(self, names: Collection[str]) -> None:
        """Forget all others, and what was left by a process that was killed."""
        with suppress(OSError):
            for name in set(os.listdir(self._folder)).difference(names):
                (self._folder / name).unlink(missing_ok=True)


def kept_indexes(store_id: bytes) -> KeptIndexes | None:
    """Those of a store, below XDG_CACHE_HOME or ~/.cache; None for a user who has no home."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return KeptIndexes(Path(cache) / FOLDER / store_id.hex()) if os.path.isabs(cache) else None
