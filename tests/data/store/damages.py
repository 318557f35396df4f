"""Damages to the objects of a store in a directory, one at a time: done, looked at, and undone."""

import os
import random
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

NOBODY = 65534
SLICE_MAX = 400


class Damager:
    """The objects of a store as they were, and ways to damage them; `older` are objects of an earlier state of it."""

    def __init__(self, root: Path, older: Mapping[str, bytes]) -> None:
        self.root = root
        self.whole = read_all(root)
        # Notes say nothing of contents; what is under test is what holds or finds them.
        self.keys = sorted(key for key in self.whole if not key.startswith("promises/"))
        self.older = {key: data for key, data in older.items() if self.whole.get(key) != data and key in self.keys}
        self.removed = {key: data for key, data in older.items() if key not in self.whole}

    def damage(self, kind: str, chance: random.Random) -> tuple[str, ...]:
        """Do one damage of a kind; returns the keys that a check has to name one of, none where nothing changed."""
        touched = KINDS[kind](self, chance)
        changed = kind in NOT_BYTES or any(self.path(key).read_bytes() != self.whole.get(key) for key in touched)
        return touched if changed else ()

    def undo(self) -> None:
        """Have the objects as they were."""
        for key in [*self.whole, *map(self.key_of, self.root.rglob("*"))]:
            path = self.path(key)
            is_good = path.is_file() and not path.is_symlink() and key in self.whole
            if is_good and os.access(path, os.R_OK) and path.stat().st_mode & 0o444 and self.is_same(key):
                continue
            if path.is_dir() and not path.is_symlink():
                if key in self.whole:
                    path.rmdir()
            else:
                path.unlink(missing_ok=True)
            if key in self.whole:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.write(key, self.whole[key])
                path.chmod(0o444)

    def is_same(self, key: str) -> bool:
        """Whether an object has the bytes that it should have."""
        return self.path(key).read_bytes() == self.whole[key]

    def path(self, key: str) -> Path:
        return self.root / key

    def key_of(self, path: Path) -> str:
        return str(path.relative_to(self.root))

    def write(self, key: str, data: bytes) -> None:
        """Give an object, which is read-only, other bytes."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.chmod(0o644)
        path.write_bytes(data)

    def replaced(self, key: str, data: bytes) -> tuple[str, ...]:
        self.write(key, data)
        return (key,)


def read_all(root: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def flip(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """One to four bits."""
    key = chance.choice(store.keys)
    data = bytearray(store.whole[key])
    for at in chance.sample(range(8 * len(data)), chance.choice((1, 1, 1, 2, 4))):
        data[at // 8] ^= 1 << at % 8
    return store.replaced(key, bytes(data))


def cut(store: Damager, chance: random.Random) -> tuple[str, ...]:
    key = chance.choice(store.keys)
    return store.replaced(key, store.whole[key][: chance.randrange(len(store.whole[key]))])


def empty(store: Damager, chance: random.Random) -> tuple[str, ...]:
    return store.replaced(chance.choice(store.keys), b"")


def append(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """Bytes at the end: zeros, noise, or the object once more."""
    key = chance.choice(store.keys)
    data = store.whole[key]
    return store.replaced(key, data + chance.choice((b"\0", bytes(512), chance.randbytes(40), data)))


def splice(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """A part of one object, or of the same one, over or into another."""
    key, other = chance.choice(store.keys), chance.choice(store.keys)
    data, source = store.whole[key], store.whole[other]
    begin = chance.randrange(len(source))
    part = source[begin : begin + chance.randrange(1, SLICE_MAX)]
    at = chance.randrange(len(data))
    left = at if chance.random() < 0.3 else at + len(part)
    return store.replaced(key, data[:at] + part + data[left:])


def take_out(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """A part in the middle."""
    key = chance.choice(store.keys)
    data = store.whole[key]
    at = chance.randrange(len(data))
    return store.replaced(key, data[:at] + data[at + chance.randrange(1, SLICE_MAX) :])


def reorder(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """Two parts of one object change places."""
    key = chance.choice(store.keys)
    data = store.whole[key]
    one, two, three = sorted(chance.sample(range(len(data) + 1), 3))
    return store.replaced(key, data[:one] + data[two:three] + data[one:two] + data[three:])


def exchange(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """Two objects change places."""
    one, other = chance.sample(store.keys, 2)
    return store.replaced(one, store.whole[other]) + store.replaced(other, store.whole[one])


def double(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """An object lies in the place of another, too."""
    one, other = chance.sample(store.keys, 2)
    return store.replaced(one, store.whole[other])


def rename(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """An object has another name, one that an object of its kind could have."""
    key = chance.choice(store.keys)
    length = len(Path(key).name)
    new = store.path(key).with_name(f"{chance.getrandbits(4 * length):0{length}x}")
    store.path(key).rename(new)
    return key, store.key_of(new)


def remove(store: Damager, chance: random.Random) -> tuple[str, ...]:
    key = chance.choice(store.keys)
    store.path(key).unlink()
    return (key,)


def make_folder(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """A folder stands in the place of an object."""
    (key,) = remove(store, chance)
    store.path(key).mkdir()
    return (key,)


def make_loop(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """A link to itself stands in the place of an object."""
    (key,) = remove(store, chance)
    store.path(key).symlink_to(store.path(key).name)
    return (key,)


def make_pipe(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """A pipe that nobody writes to stands in the place of an object."""
    (key,) = remove(store, chance)
    os.mkfifo(store.path(key))
    return (key,)


def forbid(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """An object that whoever looks may not read."""
    key = chance.choice(store.keys)
    store.path(key).chmod(0)
    return (key,)


def replay(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """What lay in the place of an object earlier, or an object that was removed since."""
    if chance.random() < len(store.older) / (len(store.older) + len(store.removed)):
        key = chance.choice(sorted(store.older))
        return store.replaced(key, store.older[key])
    key = chance.choice(sorted(store.removed))
    store.write(key, store.removed[key])
    # Of a copy of an index that is there alone the other is told to be gone.
    return key, key.replace("mirror/", "index/"), key.replace("index/", "mirror/")


def replay_pair(store: Damager, chance: random.Random) -> tuple[str, ...]:
    """An index that a collection removed, in both places; its packs are gone."""
    name = chance.choice(sorted(key for key in store.removed if key.startswith("index/"))).removeprefix("index/")
    for key in (f"index/{name}", f"mirror/{name}"):
        store.write(key, store.removed[key])
    return tuple(key for key in store.removed if key.startswith("packs/"))


Kind = Callable[[Damager, random.Random], tuple[str, ...]]
KINDS: dict[str, Kind] = {
    one.__name__: one
    for one in (
        flip, cut, empty, append, splice, take_out, reorder, exchange, double, rename, remove, make_folder, make_loop,
        make_pipe, forbid, replay, replay_pair,
    )
}  # fmt: skip
NOT_BYTES = {"rename", "remove", "make_folder", "make_loop", "make_pipe", "forbid", "replay", "replay_pair"}
WEIGHTS = {name: 6 if name in ("flip", "cut", "splice") else 2 for name in KINDS}


def give_to_nobody(folder: Path) -> None:
    """Have a user who may not do everything own a folder and all in it."""
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, NOBODY)
