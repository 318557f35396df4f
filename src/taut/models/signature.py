"""A model's signature: what it takes, what it answers and by which params it is steered, and the check of names."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from taut.errors import Invalid
from taut.ground import wire

Kind = Literal[
    "double", "float", "long", "integer", "boolean", "string", "binary", "datetime", "array", "object", "map", "any"
]
Form = Literal["frame", "array", "tensor", "tensors", "any"]

NUMBERS = frozenset({"double", "float", "long", "integer"})
TENSOR = "input-0"
"""What the only input of a model is called where its signature gives it no name."""


@dataclass(frozen=True, slots=True)
class Type:
    """What a value inside another may be: a plain kind; an array or a map of `items`; an object of `fields`."""

    kind: Kind
    items: "Type | None" = None
    fields: tuple["Field", ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """A property of an object."""

    name: str
    type: Type
    required: bool = True


@dataclass(frozen=True, slots=True)
class SignatureColumn:
    """One input or output: `required` is False where the training data had missing values in it.

    `dtype` is numpy's name of a tensor's elements, empty for a plain column; `shape` is that of one row, -1 for any
    size. `items` and `fields` say more of a nested kind, as in `Type`.
    """

    name: str
    kind: Kind
    required: bool = True
    dtype: str = ""
    shape: tuple[int, ...] = ()
    items: Type | None = None
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Param:
    """What a request may say besides its rows; `default` stands where it says nothing."""

    name: str
    kind: Kind
    default: Any = None
    is_list: bool = False
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs in the order that the model takes them, its outputs and its params.

    `is_array` says that the inputs have no names: they are called "0", "1", … What the model is given is a `form`: a
    data frame; an array with a column an input; one tensor; tensors by name; or, for a model saved without a
    signature, whatever comes. `rows` is how many rows each call must have, -1 for any number.
    """

    inputs: tuple[SignatureColumn, ...]
    is_array: bool = False
    form: Form = "frame"
    outputs: tuple[SignatureColumn, ...] = ()
    params: tuple[Param, ...] = ()
    rows: int = -1

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(column.name for column in self.inputs)

    @property
    def is_table(self) -> bool:
        """Whether each input is one plain value a row, as a CSV file could hold it."""
        plain = all(not column.shape and not is_nested(column) for column in self.inputs)
        return plain and self.form in ("frame", "array")


UNSIGNED = Signature((), form="any")
"""Of a model that was saved without one: nothing is known of its inputs, so nothing is checked."""


def is_nested(column: SignatureColumn | Type | Param) -> bool:
    """Whether its values are lists or objects."""
    return column.kind in ("array", "object", "map", "any")


def parse_signature(written: str) -> Signature | None:
    """A signature as a model version keeps it; None for a model saved without one. Raises Invalid."""
    return wire.decode(written, Signature, what="the signature of a model") if written else None


def signature_text(signature: Signature | None) -> str:
    """A signature as a model version keeps it: canonical JSON without what says nothing, empty for none."""
    return wire.text(_short(wire.plain(signature))) if signature is not None else ""


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


SAYS_NOTHING: dict[str, object] = {
    "dtype": "", "shape": (), "items": None, "fields": (), "form": "frame", "outputs": (), "params": (), "rows": -1,
}  # fmt: skip


def _short(value: Any) -> Any:
    """Plain values without the fields that a table of plain columns does not need."""
    if isinstance(value, dict):
        told = {key: held for key, held in value.items() if key not in SAYS_NOTHING or held != SAYS_NOTHING[key]}
        return {key: held if key == "default" else _short(held) for key, held in told.items()}
    return [_short(held) for held in value] if isinstance(value, tuple) else value


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
