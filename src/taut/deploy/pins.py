"""What an image installs: the packages that a model asks for, at the versions that its run had, or that we have."""

import hashlib
import importlib.metadata
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from taut.ground.objects import read_object
from taut.ground.yaml import read_yaml
from taut.home import Home
from taut.records import ModelVersion
from taut.runs import get_run

# What MLflow writes into every model's requirements and taut does not need to serve it: 100 MB, and as many packages.
NOT_SERVED = {"mlflow", "mlflow-skinny", "mlflow-tracing", "pytest", "taut"}
WRITES_GRAPHS = re.compile(r"onnx\b(?!runtime)")  # Who answers by a graph writes none.
REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*([^#]*)")
PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)")
PYTHON = re.compile(r"(\d+\.\d+)(\.|$)")


class _Function(msgspec.Struct):
    python_version: str = ""


class _Flavours(msgspec.Struct):
    python_function: _Function = msgspec.field(default_factory=_Function)


class _File(msgspec.Struct):
    """What is read of MLflow's MLmodel file here: the Python that the model was saved by."""

    flavors: _Flavours = msgspec.field(default_factory=_Flavours)


@dataclass(frozen=True, slots=True)
class Pins:
    """`python` is `X.Y`; `requirements` are to be installed, `constraints` say at which version anything is."""

    python: str
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]


def pins_of(home: Home, version: ModelVersion, folder: Path, *, compiled: bool = False) -> Pins:
    """The pins of a model in a folder: its requirements.txt, then the environment of its run, then ours.

    `compiled` asks for what a graph is run with, besides.
    """
    file = folder / "requirements.txt"
    asked = parse_requirements(file.read_text()) if file.exists() else ()
    known = {**_installed(), **_environment(home, version), **_exact(asked)}
    constraints = tuple(f"{name}=={known[name]}" for name in sorted(known) if name not in NOT_SERVED)
    return Pins(_python(folder), (*_needed_to_serve(compiled), *asked), constraints)


def parse_requirements(text: str) -> tuple[str, ...]:
    r"""The packages that a model's requirements.txt asks for, without those that only trained it.

    Options and comments are left out, for an image says by itself where it installs from.

    >>> parse_requirements("mlflow==3.7\n# why\nscikit-learn==1.6.1  # trees\n--pre\nNumPy>=2")
    ('scikit-learn==1.6.1', 'NumPy>=2')
    """
    found = [match for line in text.splitlines() if (match := REQUIREMENT.match(line))]
    return tuple(f"{match[1]}{match[2].strip()}" for match in found if _normal(match[1]) not in NOT_SERVED)


def locked(wheels: Path) -> str:
    """A requirements file that names every wheel of a folder, its version and its digest, and so admits no other."""
    lines = []
    for wheel in sorted(wheels.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        with wheel.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        lines.append(f"{_normal(name)}=={version} --hash=sha256:{digest}")
    return "\n".join([*lines, ""])


def _needed_to_serve(compiled: bool) -> tuple[str, ...]:
    """What taut itself asks for, with what it takes to load a model, or to run its graph."""
    extras = ['extra == "ml"', *(['extra == "compile"'] if compiled else [])]
    wanted = [line.partition(";") for line in importlib.metadata.requires("taut") or []]
    found = {n.strip() for n, _, marker in wanted if not marker or any(one in _plain(marker) for one in extras)}
    return tuple(sorted(name for name in found if not WRITES_GRAPHS.match(name)))


def _plain(marker: str) -> str:
    return marker.replace("'", '"')


def _installed() -> dict[str, str]:
    found = importlib.metadata.distributions()
    return {_normal(d.metadata["Name"]): d.version for d in found if d.metadata["Name"]}


def _environment(home: Home, version: ModelVersion) -> dict[str, str]:
    """The packages that the model's run was seen to have; none where it has no run or the run did not say."""
    if not version.run_id:
        return {}
    lock = get_run(home, version.run_id).capture.environment
    return _exact(tuple(read_object(home.objects, lock).decode().split())) if lock else {}


def _exact(requirements: tuple[str, ...]) -> dict[str, str]:
    found = [match for line in requirements if (match := PINNED.fullmatch(line.replace(" ", "")))]
    return {_normal(match[1]): match[2] for match in found}


def _python(folder: Path) -> str:
    """The Python that saved the model, as `3.11`: pickles of another one may not load. Ours where it does not say."""
    said = PYTHON.match(read_yaml(folder / "MLmodel", _File).flavors.python_function.python_version)
    return said[1] if said else f"{sys.version_info.major}.{sys.version_info.minor}"


def _normal(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
