"""What a file holds, taken apart into leaves: values by path, as `.steps[0].coef_`, and what is no content aside.

Two contents must never have the same leaves. So a key that is no plain word stands quoted in a path, what is empty is
told from what is not there, and no leaf takes the place of another.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

NEST_MAX = 12  # Archives in archives; a file that nests deeper is compared by its bytes.
UNPACKED_BYTES_MAX = 2 << 30
WORD = re.compile(r"[^\W\d][\w-]*")
FILE = re.compile(r"[\w/-]+(\.\w+)?")
OTHERS = frozenset({"None", "True", "False", "nan", "inf"})  # Words that stand for a key which is no text.
EMPTY = "nothing in it"


@dataclass(frozen=True, slots=True)
class Numbers:
    """An array: its dtype as NumPy writes it, its shape, and its bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """A table: the names of its columns, and its rows as text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Aside:
    """What stands in a file and is no content of it: `kind` says what, as `archive timestamp` or `key order`."""

    kind: str
    value: object


Leaf = None | bool | int | float | str | bytes | Numbers | Rows | Aside
Leaves = dict[str, Leaf]


class Unreadable(Exception):
    """The bytes are not what their name or beginning promised."""


def below(path: str, leaves: Mapping[str, Leaf]) -> Leaves:
    """The same leaves, below a path."""
    return {f"{path}{inner}": leaf for inner, leaf in leaves.items()}


def step(key: object) -> str:
    """A key as it stands in a path: a word as it is, another text quoted, what is no text as Python writes it.

    >>> step("coef_"), step("a.b"), step("1"), step(1), step(None), step("None")
    ('coef_', '"a.b"', '"1"', '1', 'None', '"None"')
    """
    if not isinstance(key, str):
        return repr(key)
    return key if WORD.fullmatch(key) and key not in OTHERS else json.dumps(key)


def keys_leaf(keys: Sequence[str]) -> Leaf:
    """What stands for a mapping itself: the order of its keys, which is no content; that it is empty is."""
    return Aside("key order", tuple(keys)) if keys else EMPTY


def of_plain(value: object, path: str = "") -> Leaves:
    """The leaves of dicts, lists and scalars, as JSON and YAML give them. The order of keys is no content."""
    found: Leaves = {}
    waiting: list[tuple[str, object]] = [(path, value)]
    while waiting:
        place, one = waiting.pop()
        if isinstance(one, Mapping):
            found[f"{place}{{}}"] = keys_leaf([step(key) for key in one])
            waiting.extend((f"{place}.{step(key)}", item) for key, item in one.items())
        elif isinstance(one, Sequence) and not isinstance(one, str | bytes):
            found[f"{place}[]"] = len(one)
            waiting.extend((f"{place}[{at}]", item) for at, item in enumerate(one))
        elif one is None or isinstance(one, bool | int | float | str | bytes):
            found[place] = one
        else:
            found[f"{place}:"] = f"{type(one).__name__} {one}"  # A date of YAML, which is not the text of it.
    return found


def members(named: Iterable[tuple[str, Leaves]]) -> Leaves:
    """The leaves of an archive's members, each below `!NAME`; the order in which they lie is no content.

    Members of one name keep the order among them.
    """
    found: Leaves = {}
    names: list[str] = []
    seen: dict[str, int] = {}
    for name, leaves in named:
        seen[name] = seen.get(name, 0) + 1
        place = "!" + (name if FILE.fullmatch(name) else json.dumps(name))
        place += f"#{seen[name]}" if seen[name] > 1 else ""
        found[f"{place}?"] = "a member"
        for path, leaf in below(place, leaves).items():
            free = path
            while free in found:  # `m.json` that holds `a`, and a member `m.json.a`.
                free += "'"
            found[free] = leaf
        names.append(name)
    found["!"] = Aside("order of members", tuple(names))
    return found
