"""A model's signature: which columns of which kinds it takes, read from MLflow's schema, and the check of names."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from taut.errors import Invalid
from taut.ground import wire

Kind = Literal["double", "float", "long", "integer", "boolean", "string", "datetime"]

NUMBERS = frozenset({"double", "float", "long", "integer"})
KIND_OF_DTYPE: dict[str, Kind] = {
    "float64": "double", "float32": "float", "int64": "long", "int32": "integer", "bool": "boolean", "object": "string",
    "str": "string",
}  # fmt: skip
WIDTH_MAX = 100_000  # Columns of a tensor; past this a signature is a mistake or an attack, not a table.


@dataclass(frozen=True, slots=True)
class SignatureColumn:
    """One input: `required` is False where the training data had missing values in it."""

    name: str
    kind: Kind
    required: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs in the order that the model takes them.

    `is_array` says that the model was trained on an array without column names: its columns are called "0", "1", …
    """

    inputs: tuple[SignatureColumn, ...]
    is_array: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(column.name for column in self.inputs)


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]


class _Spec(msgspec.Struct):
    """One entry of MLflow's schema: a column, or a tensor in the place of all of them."""

    type: str
    name: str | None = None
    required: bool = True
    tensor: _Tensor | None = msgspec.field(name="tensor-spec", default=None)


def parse_signature(written: str) -> Signature | None:
    """A signature as a model version keeps it; None for a model saved without one. Raises Invalid."""
    return wire.decode(written, Signature, what="the signature of a model") if written else None


def signature_text(signature: Signature | None) -> str:
    """A signature as a model version keeps it: canonical JSON, empty for none."""
    return wire.text(signature) if signature is not None else ""


def parse_mlflow_signature(values: dict[str, Any]) -> Signature:
    """The signature of an MLmodel file, whose `inputs` is a JSON text. Raises Invalid for what is no table.

    >>> parse_mlflow_signature({"inputs": '[{"type": "double", "name": "delay"}]'}).names
    ('delay',)
    """
    written = values.get("inputs")
    if not isinstance(written, str):
        raise Invalid("the model's signature has no inputs", hint="save it with signature=infer_signature(X, y)")
    specs = wire.decode(written, list[_Spec], what="the inputs of the model's signature")
    if len(specs) == 1 and specs[0].type == "tensor":
        return _of_tensor(specs[0])
    columns = tuple(_column(spec, place) for place, spec in enumerate(specs))
    names = [column.name for column in columns]
    if twice := {name for name in names if names.count(name) > 1}:
        raise Invalid(f"the signature of the model has two inputs called {min(twice)!r}")
    return Signature(columns, is_array=bool(specs) and all(spec.name is None for spec in specs))


def check_names(signature: Signature, given: Iterable[str]) -> None:
    """Raise Invalid where the columns are not exactly those of the signature; names the first that is wrong."""
    found, wanted = set(given), set(signature.names)
    if found == wanted:
        return
    missing = [name for name in signature.names if name not in found]
    unknown = sorted(found - wanted)
    if unknown:
        near = difflib.get_close_matches(unknown[0], missing or signature.names, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise Invalid(f"the model takes no column {unknown[0]!r}{meant}; it takes {_listed(signature.names)}")
    raise Invalid(f"column {missing[0]!r} is missing; the model takes {_listed(signature.names)}")


def _of_tensor(spec: _Spec) -> Signature:
    if spec.tensor is None or len(spec.tensor.shape) != 2 or not 0 < spec.tensor.shape[1] <= WIDTH_MAX:
        shape = spec.tensor.shape if spec.tensor else "nothing"
        raise Invalid(f"the signature takes a tensor of shape {shape}; taut reads tables: [-1, COLUMNS]")
    if spec.tensor.dtype not in KIND_OF_DTYPE:
        raise Invalid(f"the signature takes a tensor of {spec.tensor.dtype}; taut reads {', '.join(KIND_OF_DTYPE)}")
    kind = KIND_OF_DTYPE[spec.tensor.dtype]
    return Signature(tuple(SignatureColumn(str(n), kind) for n in range(spec.tensor.shape[1])), is_array=True)


def _column(spec: _Spec, place: int) -> SignatureColumn:
    name = spec.name if spec.name is not None else str(place)
    if spec.tensor is not None or spec.type not in get_args(Kind):
        raise Invalid(f"input {name!r} of the model is of type {spec.type!r}, which taut does not read")
    return SignatureColumn(name, msgspec.convert(spec.type, Kind), spec.required)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
