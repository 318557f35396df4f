"""The MLmodel file of MLflow's model format: how a model was saved, by which flavour, and its signature."""

from dataclasses import dataclass
from typing import Any

import msgspec

from taut.errors import Invalid, UsageError
from taut.ground.yaml import parse_yaml

MLMODEL = "MLmodel"
FORMATS = ("pickle", "cloudpickle", "skops")


class _File(msgspec.Struct):
    """What is read of an MLmodel file; everything else in it is left to others."""

    flavors: dict[str, Any] = {}
    signature: dict[str, Any] | None = None
    saved_input_example_info: dict[str, Any] | None = None


class Sklearn(msgspec.Struct, frozen=True):
    """The scikit-learn flavour, as MLflow 1 to 3 write it."""

    pickled_model: str
    serialization_format: str = "pickle"
    sklearn_version: str = ""
    code: str | None = None


@dataclass(frozen=True, slots=True)
class MLmodel:
    """What an MLmodel file says; `signature` is the part of that name as it stands there, None where there is none.

    `example` is the path of the rows that were saved with it, empty where there are none.
    """

    flavours: tuple[str, ...]
    sklearn: Sklearn | None
    signature: dict[str, Any] | None
    example: str = ""


def parse_mlmodel(data: bytes) -> MLmodel:
    """Read an MLmodel file's bytes; YAML that would build anything but plain values is refused. Raises Invalid."""
    try:
        source = data.decode()
    except UnicodeDecodeError:
        raise Invalid(f"the {MLMODEL} file is not text") from None
    file = parse_yaml(source, _File, name=MLMODEL)
    return MLmodel(
        tuple(file.flavors),
        _sklearn_of(file.flavors["sklearn"]) if "sklearn" in file.flavors else None,
        file.signature,
        _example_of(file.saved_input_example_info),
    )


def loadable(model: MLmodel) -> Sklearn:
    """The flavour that taut can load. Raises UsageError that names what can be loaded where it is another."""
    if model.sklearn is None:
        flavours = ", ".join(model.flavours) or "none"
        raise UsageError(
            f"this model cannot be loaded: its flavours are {flavours}; taut loads the sklearn flavour"
            f" ({', '.join(FORMATS)})",
            hint="save it with mlflow.sklearn.log_model, or wrap it in a scikit-learn estimator",
        )
    if model.sklearn.code:
        raise UsageError(
            "this model brings code of its own (code_paths), which taut does not run yet",
            hint="install that code as a package and save the model without code_paths",
        )
    if model.sklearn.serialization_format not in FORMATS:
        raise UsageError(
            f"this model is saved as {model.sklearn.serialization_format!r}; taut loads {', '.join(FORMATS)}"
        )
    return model.sklearn


def _example_of(info: dict[str, Any] | None) -> str:
    """The file of an input example; a path that leaves the model's folder is none."""
    path = (info or {}).get("artifact_path")
    inside = isinstance(path, str) and not path.startswith("/") and ".." not in path.split("/")
    return str(path) if inside else ""


def _sklearn_of(values: object) -> Sklearn:
    try:
        return msgspec.convert(values, Sklearn)
    except msgspec.ValidationError as problem:
        raise Invalid(f"the sklearn flavour of the {MLMODEL} file is not valid: {problem}") from None
