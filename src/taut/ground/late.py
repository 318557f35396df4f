"""Names of a room that are imported when somebody asks for them, so that nobody loads what they do not need."""

from collections.abc import Callable, Mapping
from importlib import import_module


def names_of(room: str, places: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """The `__getattr__` of a package (PEP 562), from its modules and the names that each of them holds.

    >>> names_of("taut.ground", {"whole": ("INT64_MAX",)})("INT64_MAX") == 2**63 - 1
    True
    """
    modules = {name: module for module, names in places.items() for name in names}

    def found(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(import_module(f"{room}.{modules[name]}"), name)

    return found
