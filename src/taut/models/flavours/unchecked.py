"""Rows for a model that was saved without a signature: whatever comes, in the shape that fits it best."""

from collections.abc import Mapping
from typing import Any

from taut.errors import Invalid
from taut.models.arrays import listed_or_array
from taut.models.inputs import Table, must_be_even
from taut.models.signature import TENSOR, UNSIGNED


def unchecked_input(columns: Mapping[str, Any], *, frames: bool) -> Any:
    """What a model saved without a signature is given: whatever came, in the order it came.

    Columns of plain values are a data frame whose types pandas infers; one called as an input without a name is an
    array; arrays of several dimensions stay arrays by name. Raises Invalid for ragged or no columns or rows.
    """
    import numpy as np

    if not columns:
        raise Invalid("there are no columns to predict")
    held = {name: listed_or_array(values) for name, values in columns.items()}
    must_be_even(UNSIGNED, held)
    if list(held) == [TENSOR]:
        return _array(TENSOR, held[TENSOR])
    if any(getattr(values, "ndim", 1) > 1 for values in held.values()):
        return {name: _array(name, values) for name, values in held.items()}
    if not frames:
        return Table({name: _array(name, values) for name, values in held.items()})
    import pandas as pd

    return pd.DataFrame({name: list(v) if not isinstance(v, np.ndarray) else v for name, v in held.items()})


def _array(name: str, values: Any) -> Any:
    import numpy as np

    try:
        return np.asarray(values)
    except ValueError:
        raise Invalid(f"the rows of column {name!r} have different shapes") from None
