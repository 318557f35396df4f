"""Code that a model brings along (`code_paths`): found by imports as MLflow has it, and only that of one model."""

import importlib
import sys
from pathlib import Path

from taut.errors import Invalid
from taut.models.flavours.saved import Saved
from taut.models.mlmodel import MLMODEL


def add_code(saved: Saved) -> None:
    """Let imports find the model's own code before any other; its bytes were verified with the rest of it.

    Modules that came from the code of another model are forgotten first: a second model with a module of the same
    name would else run the first one's code. From now on this process writes no compiled files, because one beside
    the code would change the model's folder.
    """
    _forget_others(saved.folder.resolve())
    code = saved.setting("code")
    if not code:
        return
    if not any(path.startswith(f"{code}/") for path in saved.files):
        raise Invalid(f"the {MLMODEL} file names the folder {code!r} of code, which the model does not hold")
    place = str(saved.folder.resolve() / code)
    sys.dont_write_bytecode = True
    if place not in sys.path:
        sys.path.insert(0, place)
    importlib.invalidate_caches()


def _forget_others(folder: Path) -> None:
    """Take the code of other models out of this process' imports; what they hold already goes on."""
    for place in [Path(entry) for entry in sys.path]:
        if place.parent == folder or not (place.parent / MLMODEL).is_file() or not place.is_absolute():
            continue
        sys.path.remove(str(place))
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and place in Path(file).parents:
                del sys.modules[name]
