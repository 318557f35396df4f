"""Files to push, stores to push them to, and what lies in a store: the scene of the tests of taut's own format."""

import hashlib
import random
from collections.abc import Iterable
from pathlib import Path

from taut.data.exchange.remote import Content
from taut.data.store import create_store, make_key_file, open_store
from taut.data.store.keys import LocalKey
from taut.data.store.stores import Store
from taut.ground.progress import Silent

BAR = Silent()
MIB = 1 << 20


class Counted:
    """A bar that only counts."""

    def __init__(self) -> None:
        self.done = 0

    def advance(self, done: int = 1) -> None:
        self.done += done


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def table(rows: int, seed: int = 0) -> list[bytes]:
    """The lines of a CSV of random numbers."""
    chance = random.Random(seed)
    return [row(at, chance) for at in range(rows)]


def row(at: int, chance: random.Random) -> bytes:
    return f"{at},{chance.random():.6f},{chance.gauss(0, 1):.4f},{chance.randrange(1000)}\n".encode()


def edited(lines: list[bytes], share: float, seed: int = 1) -> list[bytes]:
    """The lines with a share of them, scattered, written anew."""
    chance = random.Random(seed)
    new = list(lines)
    for at in chance.sample(range(len(lines)), max(1, int(len(lines) * share))):
        new[at] = row(at, chance)
    return new


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def content(folder: Path, data: bytes, ancestor: str = "", ancestor_path: Path | None = None) -> Content:
    """A file with these bytes, and what is pushed of it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / md5(data)
    path.write_bytes(data)
    return Content(path.name, path, len(data), ancestor, ancestor_path)


def contents(folder: Path, many: Iterable[bytes]) -> list[Content]:
    return [content(folder, data) for data in many]


def key_in(folder: Path) -> LocalKey:
    return make_key_file(folder / "store.key")


def new_store(folder: Path, *, is_plain: bool = False) -> Store:
    """A store in `folder/store`, with its key beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    return create_store(str(folder / "store"), None if is_plain else key_in(folder), is_plain=is_plain)


def again(folder: Path) -> Store:
    """The same store as another process would open it."""
    from taut.data.store import file_key

    return open_store(str(folder / "store"), file_key(folder / "store.key"))


def fetched(store: Store, digests: Iterable[str], folder: Path) -> dict[str, bytes]:
    """What comes back for digests."""
    wanted = {digest: folder / digest for digest in digests}
    store.pull(wanted, BAR)
    return {digest: path.read_bytes() for digest, path in wanted.items()}


def objects(folder: Path) -> dict[str, Path]:
    """The files of a store in a directory, by their keys."""
    root = folder / "store"
    return {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in objects(folder).values())


def overwrite(path: Path, data: bytes) -> None:
    """Give an object, which is read-only, other bytes."""
    path.chmod(0o644)
    path.write_bytes(data)


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)
