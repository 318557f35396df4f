"""The MLmodel file of MLflow's model format: by which flavours a model was saved, and its signature."""

from dataclasses import dataclass
from typing import Any

import msgspec

from taut.errors import Invalid
from taut.ground.yaml import parse_yaml

MLMODEL = "MLmodel"
PYFUNC = "python_function"


class _File(msgspec.Struct):
    """What is read of an MLmodel file; everything else in it is left to others."""

    flavors: dict[str, Any] = {}
    signature: dict[str, Any] | None = None
    saved_input_example_info: dict[str, Any] | None = None
    is_signature_from_type_hint: bool = False


@dataclass(frozen=True, slots=True)
class MLmodel:
    """What an MLmodel file says; `signature` is the part of that name as it stands there, None where there is none.

    It also says whether it `is_signature_from_type_hint`, which stands beside it in the file.

    `flavours` are the settings of each flavour by its name. `example` is the path of the rows that were saved with
    it, empty where there are none.
    """

    flavours: dict[str, dict[str, Any]]
    signature: dict[str, Any] | None
    example: str = ""

    @property
    def loader(self) -> str:
        """The module of MLflow that loads it as a function; empty where it was saved for one library alone."""
        return str(self.flavours.get(PYFUNC, {}).get("loader_module", ""))


def parse_mlmodel(data: bytes) -> MLmodel:
    """Read an MLmodel file's bytes; YAML that would build anything but plain values is refused. Raises Invalid."""
    try:
        source = data.decode()
    except UnicodeDecodeError:
        raise Invalid(f"the {MLMODEL} file is not text") from None
    file = parse_yaml(source, _File, name=MLMODEL)
    flavours = {name: values if isinstance(values, dict) else {} for name, values in file.flavors.items()}
    signature = file.signature
    if signature is not None and file.is_signature_from_type_hint:
        signature = {**signature, "is_signature_from_type_hint": True}
    return MLmodel(flavours, signature, _example_of(file.saved_input_example_info))


def _example_of(info: dict[str, Any] | None) -> str:
    """The file of an input example; a path that leaves the model's folder is none."""
    path = (info or {}).get("artifact_path")
    inside = isinstance(path, str) and not path.startswith("/") and ".." not in path.split("/")
    return str(path) if inside else ""
