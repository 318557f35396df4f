"""Which types a skops file may build: what skops itself allows, and classes of the packages models are made of."""

import sys
from collections.abc import Sequence
from importlib import import_module

from taut.errors import Invalid

PACKAGES = ("sklearn", "numpy", "scipy", "pandas")


def trusted_types(data: bytes, listed: Sequence[str] = ()) -> list[str]:
    """The types in a skops file that may be built: own classes of scikit-learn, numpy, scipy and pandas, and `listed`.

    Never a function that is not listed: building one is harmless, but a model may call it with what it likes, and
    each of these packages holds functions that read files or run code. The list in the model's own MLmodel file does
    not count, for whoever wrote the one wrote the other. Raises Invalid that names what is not trusted.
    """
    import skops.io

    asked: list[str] = skops.io.get_untrusted_types(data=data)
    strange = [name for name in asked if name not in listed and not _is_own_class(name)]
    if strange:
        raise Invalid(
            f"the model holds what is not trusted: {', '.join(sorted(strange)[:5])}",
            hint="build it from classes of scikit-learn, or save it with cloudpickle if its author is trusted",
        )
    return asked


def _is_own_class(name: str) -> bool:
    """Whether the name is a class that one of the packages defines itself, in a module of its own."""
    module, _, attribute = name.rpartition(".")
    package = module.partition(".")[0]
    if package not in PACKAGES or ".test" in f".{module}" or "externals" in module:
        return False
    try:
        found = getattr(sys.modules.get(module) or import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__.partition(".")[0] == package
