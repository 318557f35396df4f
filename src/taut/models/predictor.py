"""A loaded model that answers columns with columns, after its bytes were checked and before any of them ran."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taut.errors import Invalid, UsageError
from taut.models.mlmodel import MLMODEL, Sklearn, loadable, parse_mlmodel
from taut.models.signature import NUMBERS, Signature, SignatureColumn, check_names, parse_mlflow_signature
from taut.models.tree import read_verified, verify_folder

Cell = str | float | int | bool | None
Columns = dict[str, list[Cell]]

# What skops may build besides plain containers: the packages that every scikit-learn model is made of.
TRUSTED = ("sklearn.", "numpy.", "scipy.", "pandas.", "builtins.", "collections.")
NONE = type(None)
TAKEN: dict[str, frozenset[type]] = {
    "boolean": frozenset({bool, NONE}),
    "string": frozenset({str, NONE}),
    "datetime": frozenset({str, NONE}),
} | dict.fromkeys(sorted(NUMBERS), frozenset({float, int, NONE}))
DTYPES = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32"}


@dataclass(frozen=True, slots=True)
class Predictor:
    """A model in memory: its signature, and `predict` from columns to columns."""

    signature: Signature
    estimator: Any

    def predict(self, columns: Mapping[str, Sequence[Cell]]) -> Columns:
        """Score rows given by columns, all of one length.

        Answers `prediction`, and for a classifier that gives probabilities also `probability` of its second class
        (of two), or `probability_CLASS` for each of more. Raises Invalid that names the column and what was found.
        """
        check_names(self.signature, columns)
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) != 1 or not next(iter(lengths.values())):
            raise Invalid(f"columns must be of one length, at least one row; found {lengths}")
        table = self._table(columns)
        if not _gives_probabilities(self.estimator):
            return {"prediction": self.estimator.predict(table).tolist()}
        shares = self.estimator.predict_proba(table)
        classes = self.estimator.classes_
        answer: Columns = {"prediction": _classes(self.estimator, table, shares, classes)}
        if len(classes) == 2:
            return answer | {"probability": shares[:, 1].tolist()}
        return answer | {f"probability_{name}": shares[:, place].tolist() for place, name in enumerate(classes)}

    def _table(self, columns: Mapping[str, Sequence[Cell]]) -> Any:
        """The frame or array that the model was trained on, down to the dtypes."""
        arrays = {column.name: _array(column, columns[column.name]) for column in self.signature.inputs}
        if self.signature.is_array:
            import numpy as np

            return np.column_stack(list(arrays.values()))
        import pandas as pd

        return pd.DataFrame(arrays, copy=False)


def load_model(folder: Path, digest: str) -> Predictor:
    """Load a model folder whose bytes have this digest. Nothing of it runs before that is checked.

    Raises Corrupt where the bytes differ, Invalid for a model without signature, UsageError for a flavour or package
    that taut cannot load.
    """
    files = {file.path: file for file in verify_folder(folder, digest)}
    if MLMODEL not in files:
        raise Invalid(f"{folder} holds no {MLMODEL} file, so it is no model")
    model = parse_mlmodel(read_verified(folder, files[MLMODEL]))
    flavour = loadable(model)
    if model.signature is None:
        raise Invalid(
            "the model has no signature, so its inputs cannot be checked",
            hint="save it with signature=mlflow.models.infer_signature(X, y)",
        )
    if flavour.pickled_model not in files:
        raise Invalid(f"the {MLMODEL} file names {flavour.pickled_model!r}, which the model does not hold")
    data = read_verified(folder, files[flavour.pickled_model])
    return Predictor(parse_mlflow_signature(model.signature), _estimator(flavour, data))


def _estimator(flavour: Sklearn, data: bytes) -> Any:
    try:
        if flavour.serialization_format == "skops":
            return _from_skops(data)
        import cloudpickle

        # The digest stands in the registry, written by whoever may register models; see docs/rooms/models.md.
        return cloudpickle.loads(data)
    except ImportError as missing:
        raise UsageError(f"the model needs {missing.name}", hint="pip install 'taut[ml]'") from None


def _from_skops(data: bytes) -> Any:
    import skops.io

    unknown = skops.io.get_untrusted_types(data=data)
    if strange := [name for name in unknown if not name.startswith(TRUSTED)]:
        raise Invalid(f"the model holds types that are not trusted: {', '.join(sorted(strange)[:5])}")
    return skops.io.loads(data, trusted=unknown)


def _array(column: SignatureColumn, values: Sequence[Cell]) -> Any:
    """One column as the model saw it in training; types are looked at once for the column, never cell by cell."""
    import numpy as np

    if strange := set(map(type, values)) - TAKEN[column.kind]:
        found = min(kind.__name__ for kind in strange)
        where = next(place for place, value in enumerate(values) if type(value) in strange)
        raise Invalid(f"column {column.name!r} takes {column.kind}, row {where} is {found}: {values[where]!r:.80}")
    if column.kind == "datetime":
        return np.array(values, dtype="datetime64[ns]")
    if column.kind not in DTYPES:
        return np.array(values, dtype=object if column.kind == "string" or None in values else bool)
    dtype = DTYPES[column.kind]
    if dtype.startswith("int"):
        _must_be_whole(column, values)
    return np.array(values, dtype=dtype)


def _must_be_whole(column: SignatureColumn, values: Sequence[Cell]) -> None:
    for place, value in enumerate(values):
        if value is None or (isinstance(value, float) and not value.is_integer()):
            raise Invalid(f"column {column.name!r} takes whole numbers, row {place} is {value!r}")


def _gives_probabilities(estimator: Any) -> bool:
    return hasattr(estimator, "predict_proba") and hasattr(estimator, "classes_")


def _classes(estimator: Any, table: Any, shares: Any, classes: Any) -> list[Cell]:
    """The predicted classes: those of the largest share, which saves scoring twice.

    A support vector machine fits its probabilities apart from its decisions, so there the two may differ: it is asked.
    """
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    if type(last).__name__ in ("SVC", "NuSVC"):
        answered: list[Cell] = estimator.predict(table).tolist()
        return answered
    chosen: list[Cell] = classes[shares.argmax(axis=1)].tolist()
    return chosen
