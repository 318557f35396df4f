"""What a model answers, in whatever container, as named columns with a value a row."""

import base64
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from taut.errors import UsageError
from taut.models.arrays import of_pandas
from taut.models.signature import Signature
from taut.models.values import objects

PREDICTION = "prediction"


def answer_columns(answer: Any, signature: Signature, rows: int) -> dict[str, Any]:
    """Arrays by name [rows, …] of an array, a series, a frame, a list, a sparse matrix, or a map of these.

    One array is `prediction`; of several dimensions it stays one column, unless the signature names its columns. A
    frame and a map keep their names; columns that have only places take the names of the signature's outputs, else
    `prediction_PLACE`. Raises UsageError for what is no value a row.
    """
    named = _named(answer, signature)
    for name, values in named.items():
        if values.ndim == 0 and rows == 1:
            named[name] = values.reshape(1)
        elif values.ndim == 0 or len(values) != rows:
            found = "one value" if values.ndim == 0 else f"{len(values)} values"
            raise UsageError(f"the model answers {found} of {name!r} for {rows} rows; taut serves a value for each row")
    if not named:
        raise UsageError("the model answers nothing")
    return named


def plain(values: Any) -> list[Any]:
    """An array as plain values that JSON can hold: times in ISO 8601, bytes in base64, rows of tensors as lists."""
    kind = values.dtype.kind
    if kind in "biufU":
        listed: list[Any] = values.tolist()
        return listed
    if kind == "M":
        return _plain_moments(values)
    return [_plain(value) for value in values]


def _named(answer: Any, signature: Signature) -> dict[str, Any]:
    import numpy as np

    if isinstance(answer, np.ndarray):
        return _of_array(answer, signature)
    if isinstance(answer, Mapping):
        return {str(name): _array(values) for name, values in answer.items()}
    if hasattr(answer, "columns") and hasattr(answer, "iloc"):
        return _of_frame(answer, signature)
    if hasattr(answer, "toarray") and hasattr(answer, "nnz"):
        return _of_array(answer.toarray(), signature)
    if isinstance(answer, list | tuple) and answer and all(isinstance(row, Mapping) for row in answer):
        return _of_records(answer)
    if isinstance(answer, list | tuple) or hasattr(answer, "to_numpy"):
        return _of_array(_array(answer), signature)
    raise UsageError(
        f"the model answers {type(answer).__name__}; taut serves arrays, series, frames, lists, and maps of them"
    )


def _of_array(values: Any, signature: Signature) -> dict[str, Any]:
    names = [column.name for column in signature.outputs]
    if values.ndim == 2 and 1 < len(names) == values.shape[1] and all(names) and not signature.outputs[0].dtype:
        return _by_place(values.T, names)
    return {PREDICTION: values}


def _of_frame(frame: Any, signature: Signature) -> dict[str, Any]:
    columns = [of_pandas(frame.iloc[:, place]) for place in range(frame.shape[1])]
    given = [str(name) for name in frame.columns]
    if given == [str(place) for place in range(len(given))]:
        named = [column.name for column in signature.outputs]
        if len(given) == 1:
            given = [PREDICTION]
        elif len(named) == len(given) and all(named) and not all(name.isdecimal() for name in named):
            given = named
        else:
            given = [f"{PREDICTION}_{place}" for place in given]
    return _by_place(columns, given)


def _by_place(columns: Sequence[Any], names: list[str]) -> dict[str, Any]:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"the model answers two columns called {twice!r}, so neither could be named")
    return dict(zip(names, columns, strict=True))


def _of_records(rows: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
    """A map a row; a name that a row lacks is None there."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {str(name): _array([row.get(name) for row in rows]) for name in names}


def _array(values: Any) -> Any:
    """Values as an array: of numbers, or of objects where no other type says what they are."""
    import numpy as np

    if hasattr(values, "to_numpy"):
        return of_pandas(values)
    if isinstance(values, np.ndarray):
        return values
    if not isinstance(values, list | tuple):
        made = np.asarray(values)
        return made if made.dtype.kind in "biufMUS" else objects([values]).reshape(())
    try:
        made = np.array(values)
    except ValueError:  # Ragged rows.
        return objects(values)
    # Numpy would write numbers among texts as texts, and truth values among numbers as numbers.
    return made if made.dtype.kind in "biufM" and len(set(map(type, values))) == 1 else objects(values)


def _plain_moments(values: Any) -> list[Any]:
    """Times in ISO 8601, as precise as they are; nothing where there is none."""
    import numpy as np

    return [_blanked(texts) for texts in np.datetime_as_string(values).tolist()]


def _blanked(texts: Any) -> Any:
    if isinstance(texts, list):
        return [_blanked(text) for text in texts]
    whole = texts.rstrip("0").rstrip(".") if "." in texts else texts
    return None if texts == "NaT" else whole


def _plain(value: Any) -> Any:
    """A value of an object array as JSON can hold it. Raises UsageError for what it cannot."""
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if hasattr(value, "dtype") and hasattr(value, "item"):
        if value.ndim or value.dtype.kind == "M":
            return plain(value) if value.ndim else plain(value.reshape(1))[0]
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if type(value).__name__ in ("NAType", "NaTType"):  # Nothing, as pandas writes it.
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):  # Of a time too.
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(mode="json"))
    raise UsageError(f"the model answers a {type(value).__name__}, which no protocol carries")
