"""MLflow's schemas as the MLmodel file holds them, in JSON texts: columns, nested types, tensors, params."""

from collections import Counter
from dataclasses import replace
from typing import Any, get_args

import msgspec

from taut.errors import Invalid
from taut.ground import wire
from taut.models.signature import TENSOR, Field, Kind, Param, Signature, SignatureColumn, Type

KIND_OF_DTYPE: dict[str, Kind] = {
    "float64": "double", "float32": "float", "float16": "float", "int64": "long", "uint64": "long", "uint32": "long",
    "int32": "integer", "uint16": "integer", "int16": "integer", "uint8": "integer", "int8": "integer",
    "bool": "boolean", "object": "string", "str": "string", "bytes": "binary", "datetime64[ns]": "datetime",
}  # fmt: skip
NESTED = ("array", "object", "map", "any")
COLUMNS_MAX = 1_000
"""A tensor of rows and columns is a table up to so many columns; a wider one is taken whole."""
DEPTH_MAX = 32  # Of types in types; deeper is a mistake or an attack.


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]


class _Spec(msgspec.Struct):
    """One entry of a schema: a column, a value inside another, or a tensor."""

    type: str
    name: str | None = None
    required: bool | None = True
    tensor: _Tensor | None = msgspec.field(name="tensor-spec", default=None)
    items: dict[str, Any] | None = None
    values: dict[str, Any] | None = None
    properties: dict[str, dict[str, Any]] = {}


class _Param(msgspec.Struct):
    name: str
    default: Any
    type: str = ""
    dtype: str = ""
    shape: list[int] | None = None
    properties: dict[str, dict[str, Any]] = {}


def parse_mlflow_signature(values: dict[str, Any]) -> Signature:
    """The signature of an MLmodel file, whose `inputs`, `outputs` and `params` are JSON texts.

    Raises Invalid for what taut cannot give to a model. Outputs that cannot be read are left out: they name answers,
    and check none.

    >>> parse_mlflow_signature({"inputs": '[{"type": "double", "name": "delay"}]'}).names
    ('delay',)
    """
    written = values.get("inputs")
    if not isinstance(written, str):
        raise Invalid("the model's signature has no inputs", hint="save it with signature=infer_signature(X, y)")
    signature = _inputs(wire.decode(written, list[_Spec], what="the inputs of the model's signature"))
    if values.get("is_signature_from_type_hint"):
        signature = replace(signature, inputs=tuple(map(_as_hinted, signature.inputs)))
    return replace(signature, outputs=_outputs(values.get("outputs")), params=_params(values.get("params")))


def _inputs(specs: list[_Spec]) -> Signature:
    if not specs:
        raise Invalid("the model's signature has no inputs", hint="save it with signature=infer_signature(X, y)")
    if specs[0].type == "tensor":
        return _tensors(specs)
    columns = tuple(_column(spec, place) for place, spec in enumerate(specs))
    _must_differ([column.name for column in columns], "inputs")
    return Signature(columns, is_array=all(spec.name is None for spec in specs))


def _tensors(specs: list[_Spec]) -> Signature:
    columns = [_tensor(spec, TENSOR) for spec in specs]
    heads = {spec.tensor.shape[0] for spec in specs if spec.tensor is not None}
    if len(heads) > 1:
        raise Invalid(f"the tensors of the signature have different numbers of rows: {sorted(heads)}")
    rows = heads.pop()
    if any(spec.name is not None for spec in specs):
        _must_differ([column.name for column in columns], "inputs")
        return Signature(tuple(columns), form="tensors", rows=rows)
    only, *more = columns
    if more:
        raise Invalid("the signature has several tensors without names, so a request could not tell them apart")
    if len(only.shape) == 1 and 0 < only.shape[0] <= COLUMNS_MAX:
        each = tuple(SignatureColumn(str(n), only.kind, dtype=only.dtype) for n in range(only.shape[0]))
        return Signature(each, is_array=True, form="array", rows=rows)
    return Signature((only,), form="tensor", rows=rows)


def _as_hinted(column: SignatureColumn) -> SignatureColumn:
    """An input of a model that checks what is nested by its own type hints, which know more, as defaults."""
    return replace(column, kind="any", items=None, fields=()) if column.kind in NESTED else column


def _outputs(written: object) -> tuple[SignatureColumn, ...]:
    """The outputs by name; empty names where they have none."""
    if not isinstance(written, str):
        return ()
    try:
        specs = wire.decode(written, list[_Spec], what="the outputs of the model's signature")
        made = [_tensor(spec, "") if spec.type == "tensor" else _column(spec, "") for spec in specs]
    except Invalid:
        return ()
    return tuple(made)


def _params(written: object) -> tuple[Param, ...]:
    if not isinstance(written, str):
        return ()
    params = []
    for spec in wire.decode(written, list[_Param], what="the params of the model's signature"):
        kind = spec.type or spec.dtype
        if kind not in get_args(Kind) or kind in ("binary", "array", "map", "any") or spec.shape not in (None, [-1]):
            raise Invalid(f"param {spec.name!r} of the model is of type {kind!r}, which taut does not read")
        fields = _fields(spec.properties, 0)
        params.append(Param(spec.name, msgspec.convert(kind, Kind), spec.default, spec.shape is not None, fields))
    _must_differ([param.name for param in params], "params")
    return tuple(params)


def _tensor(spec: _Spec, unnamed: str) -> SignatureColumn:
    name = unnamed if spec.name is None else spec.name
    if spec.tensor is None or not spec.tensor.shape or min(spec.tensor.shape) < -1:
        shape = spec.tensor.shape if spec.tensor else "nothing"
        raise Invalid(f"the signature has a tensor of shape {shape}; taut reads [ROWS, …]")
    if spec.tensor.dtype not in KIND_OF_DTYPE:
        raise Invalid(f"the signature has a tensor of {spec.tensor.dtype}; taut reads {', '.join(KIND_OF_DTYPE)}")
    kind = KIND_OF_DTYPE[spec.tensor.dtype]
    return SignatureColumn(name, kind, dtype=spec.tensor.dtype, shape=tuple(spec.tensor.shape[1:]))


def _column(spec: _Spec, place: int | str) -> SignatureColumn:
    name = spec.name if spec.name is not None else str(place)
    known = _type(spec, name, 0)
    return SignatureColumn(name, known.kind, spec.required is not False, items=known.items, fields=known.fields)


def _type(spec: _Spec, name: str, depth: int) -> Type:
    """A type and those inside it. Raises Invalid for one that is not known."""
    if spec.tensor is not None or spec.type not in (*get_args(Kind), "sparkml_vector") or depth > DEPTH_MAX:
        raise Invalid(f"input {name!r} of the model is of type {spec.type!r}, which taut does not read")
    if spec.type == "sparkml_vector":
        return Type("array", Type("double"))
    kind = msgspec.convert(spec.type, Kind)
    inner = spec.items if kind == "array" else spec.values if kind == "map" else None
    if kind in ("array", "map") and inner is None:
        raise Invalid(f"input {name!r} of the model is of type {kind!r} and does not say of what")
    items = None if inner is None else _type(_spec_of(inner, name), name, depth + 1)
    return Type(kind, items, _fields(spec.properties, depth) if kind == "object" else ())


def _fields(properties: dict[str, dict[str, Any]], depth: int) -> tuple[Field, ...]:
    read = [(name, _spec_of(values, name)) for name, values in properties.items()]
    return tuple(Field(name, _type(spec, name, depth + 1), spec.required is not False) for name, spec in read)


def _spec_of(values: dict[str, Any], name: str) -> _Spec:
    return wire.convert(values, _Spec, what=f"the type of {name!r} in the model's signature")


def _must_differ(names: list[str], what: str) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise Invalid(f"the signature of the model has two {what} called {min(twice)!r}")
