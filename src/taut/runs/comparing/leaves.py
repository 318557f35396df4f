"""What a file holds, taken apart into leaves: values by path, as `.steps[0].coef_`, and what is no content aside."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

NEST_MAX = 12  # Archives in archives; a file that nests deeper is compared by its bytes.
UNPACKED_BYTES_MAX = 2 << 30


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


def of_plain(value: object, path: str = "") -> Leaves:
    """The leaves of dicts, lists and scalars, as JSON and YAML give them. The order of keys is no content."""
    found: Leaves = {}
    waiting: list[tuple[str, object]] = [(path, value)]
    while waiting:
        place, one = waiting.pop()
        if isinstance(one, Mapping):
            found[f"{place}{{}}"] = Aside("key order", tuple(map(str, one)))
            waiting.extend((f"{place}.{key}", item) for key, item in one.items())
        elif isinstance(one, Sequence) and not isinstance(one, str | bytes):
            found[f"{place}[]"] = len(one)
            waiting.extend((f"{place}[{at}]", item) for at, item in enumerate(one))
        elif one is None or isinstance(one, bool | int | float | str | bytes):
            found[place] = one
        else:
            found[place] = str(one)  # A date of YAML.
    return found


def members(named: Iterable[tuple[str, Leaves]]) -> Leaves:
    """The leaves of an archive's members, each below `!NAME`; the order in which they lie is no content.

    Members of one name keep the order among them.
    """
    found: Leaves = {}
    names: list[str] = []
    for name, leaves in named:
        again = names.count(name) if name in found else 0
        place = f"!{name}" + (f"#{again}" if again else "")
        found[f"{place}?"] = "a member"
        found.update(below(place, leaves))
        names.append(name)
    found["!"] = Aside("order of members", tuple(names))
    return found
