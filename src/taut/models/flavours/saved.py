"""A saved model whose bytes were verified, and what a loader makes of it."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taut.errors import Invalid, TautError, UsageError
from taut.models.mlmodel import MLMODEL, PYFUNC, MLmodel
from taut.models.signature import Signature
from taut.models.tree import read_verified
from taut.records import TreeFile

DISTRIBUTIONS = {"sklearn": "scikit-learn", "cv2": "opencv-python", "PIL": "pillow", "yaml": "pyyaml"}
EXTRAS = {"sklearn": "ml", "skops": "ml", "cloudpickle": "ml", "pandas": "ml", "mlflow": "mlflow",
          "onnxruntime": "compile"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Saved:
    """A model's folder after its bytes were held against its digest; `name` is the flavour that loads it."""

    folder: Path
    files: Mapping[str, TreeFile]
    model: MLmodel
    signature: Signature
    name: str
    trusted: tuple[str, ...] = ()

    def setting(self, *keys: str, default: str = "") -> str:
        """The first of these settings that the flavour has, else the one of `python_function`, else the default."""
        for flavour in (self.name, PYFUNC):
            values = self.model.flavours.get(flavour, {})
            for key in keys:
                if isinstance(found := values.get(key), str) and found:
                    return found
        return default

    def read(self, path: str) -> bytes:
        """The bytes of a file, checked as they are read. Raises Invalid where the model does not hold it, Corrupt."""
        return read_verified(self.folder, self.files[self.held(path)])

    def place(self, path: str) -> Path:
        """A file for a library that opens files itself. Raises Invalid where the model does not hold it."""
        return self.folder / self.held(path)

    def held(self, path: str) -> str:
        """The path, where it is one of the model's files. Raises Invalid."""
        if path not in self.files:
            raise Invalid(f"the {MLMODEL} file names {path!r}, which the model does not hold")
        return path


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory: `ask` answers a frame, an array or arrays by name, and params, as its library would.

    `raw` is the object of the library. `refusals` are what it raises for rows that it cannot score. `shares` says
    that its classes and `predict_proba` may be asked beside, `decides` that `ask` is its plain `predict`. Where
    `frames` is False it takes columns without a data frame. `no_graph` is why it is never compiled, empty where it may.
    It `leaves_out` optional columns that a request does not have, where others are given missing values in them.
    `in_process` says that nothing but a well-kept runtime runs in it, so that a server may answer by it itself.
    """

    raw: Any
    ask: Callable[[Any, dict[str, Any]], Any]
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError)
    shares: bool = False
    decides: bool = True
    frames: bool = True
    no_graph: str = ""
    leaves_out: bool = False
    in_process: bool = False


@contextmanager
def loading(saved: Saved, what: str) -> Iterator[None]:
    """Whatever foreign code raises as a model is built becomes one Invalid; a missing package is a UsageError."""
    try:
        yield
    except ImportError as missing:
        raise _needs(saved, missing) from None
    except (TautError, MemoryError):
        raise
    except Exception as problem:  # A pickle may raise anything; it is told with the original behind it.
        said = saved.model.flavours.get(saved.name, {})
        versions = [f"{key.removesuffix('_version')} {said[key]}" for key in said if key.endswith("_version")]
        raise Invalid(
            f"the model's file {what} cannot be loaded: {type(problem).__name__}: {problem}",
            hint=f"it was saved with {', '.join(versions) or 'libraries of unknown versions'}",
        ) from problem


def _needs(saved: Saved, missing: ImportError) -> UsageError:
    """What to install for a model: the very requirement that was saved with it, where there is one."""
    package = (missing.name or "").partition(".")[0]
    asked = _requirement(saved, package)
    if package in EXTRAS and not asked:
        asked = f"taut[{EXTRAS[package]}]"
    named = DISTRIBUTIONS.get(package, package) or "what it needs"
    hint = f"pip install {asked!r}" if asked else f"pip install {named}"
    return UsageError(f"the model needs the package {package!r} to load: {missing}", hint=hint)


def _requirement(saved: Saved, package: str) -> str:
    """The line of the model's requirements.txt for a package; empty where there is none."""
    if "requirements.txt" not in saved.files or not package:
        return ""
    names = {_canonical(package), _canonical(DISTRIBUTIONS.get(package, package))}
    for line in saved.read("requirements.txt").decode(errors="replace").splitlines():
        found = re.match(r"[A-Za-z0-9._-]+", line.strip())
        if found and _canonical(found[0]) in names:
            return line.strip()
    return ""


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
