"""A loaded model that answers columns with columns, after its bytes were checked and before any of them ran."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from taut.errors import Invalid, UsageError
from taut.models.inputs import Cell, table_of
from taut.models.mlmodel import MLMODEL, Sklearn, loadable, parse_mlmodel
from taut.models.signature import Signature, parse_mlflow_signature
from taut.models.tree import read_verified, verify_folder
from taut.models.trust import trusted_types

Columns = dict[str, list[Cell]]

# Their `predict` is the class with the largest share of `predict_proba`, so scoring once answers both. Others, as a
# support vector machine or a classifier with a tuned threshold, decide apart from their probabilities and are asked.
DECIDE_BY_SHARE = frozenset({
    "sklearn.calibration.CalibratedClassifierCV", "sklearn.ensemble.ExtraTreesClassifier",
    "sklearn.ensemble.GradientBoostingClassifier", "sklearn.ensemble.HistGradientBoostingClassifier",
    "sklearn.ensemble.RandomForestClassifier", "sklearn.linear_model.LogisticRegression",
    "sklearn.naive_bayes.GaussianNB", "sklearn.tree.DecisionTreeClassifier",
})  # fmt: skip


@dataclass(frozen=True)
class Predictor:
    """A model in memory: its signature, and `predict` from columns to columns."""

    signature: Signature
    estimator: Any

    def predict(self, columns: Mapping[str, Sequence[Cell]]) -> Columns:
        """Score rows given by columns, all of one length; a missing value is None or NaN.

        Answers `prediction`, and for a classifier that gives probabilities also `probability` of its second class
        (of two), or `probability_CLASS` for each of more. Raises Invalid that names the column and what was found,
        and where the model itself refuses the rows.
        """
        return self.answered(table_of(self.signature, columns))

    def answered(self, table: Any) -> Columns:
        """The answer to rows as the model takes them, see `table_of`. Raises Invalid where it refuses them."""
        try:
            if not self.classes:
                return {"prediction": _plain(self.estimator.predict(table))}
            shares = self.estimator.predict_proba(table)
            chosen = self._decided(table, shares)
        except (ValueError, TypeError) as problem:  # What estimators raise for rows that they cannot score.
            raise Invalid(f"the model refused these rows: {str(problem).splitlines()[0][:300]}") from problem
        answer: Columns = {"prediction": _plain(chosen)}
        if len(self.classes) == 2:
            return answer | {"probability": shares[:, 1].tolist()}
        return answer | {f"probability_{name}": shares[:, place].tolist() for place, name in enumerate(self.classes)}

    @cached_property
    def classes(self) -> tuple[Cell, ...]:
        """The classes that it gives probabilities of, in their order; empty for a model that gives none."""
        if not hasattr(self.estimator, "predict_proba"):
            return ()
        classes = getattr(self.estimator, "classes_", None)
        if isinstance(classes, list):
            raise UsageError(f"the model answers {len(classes)} outputs a row; taut serves models of one output")
        return () if classes is None else tuple(classes.tolist())

    def _decided(self, table: Any, shares: Any) -> Any:
        """What `predict` answers, without scoring the rows a second time where the shares say it already.

        Two shares that round to the same number may still have been told apart before rounding: then it is asked.
        """
        if not self._decides_by_share:
            return self.estimator.predict(table)
        largest = shares.max(axis=1, keepdims=True)
        if ((shares == largest).sum(axis=1) > 1).any():
            return self.estimator.predict(table)
        return self.estimator.classes_[shares.argmax(axis=1)]

    @cached_property
    def _decides_by_share(self) -> bool:
        last = self.estimator.steps[-1][1] if hasattr(self.estimator, "steps") else self.estimator
        package = ".".join(type(last).__module__.split(".")[:2])
        return f"{package}.{type(last).__name__}" in DECIDE_BY_SHARE


def load_model(folder: Path, digest: str, *, trusted: Sequence[str] = ()) -> Predictor:
    """Load a model folder whose bytes have this digest. Nothing of it runs before that is checked.

    The digest stands in the registry, so a pickle is as trusted as those who may register models. A skops file builds
    only classes of scikit-learn, numpy, scipy and pandas, and those named in `trusted`. Raises Corrupt where the bytes
    differ, Invalid for a model without signature, UsageError for a flavour or package that taut cannot load.
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
    signature = parse_mlflow_signature(model.signature)
    if flavour.pickled_model not in files:
        raise Invalid(f"the {MLMODEL} file names {flavour.pickled_model!r}, which the model does not hold")
    data = read_verified(folder, files[flavour.pickled_model])
    return Predictor(signature, _estimator(flavour, data, trusted))


def _estimator(flavour: Sklearn, data: bytes, trusted: Sequence[str]) -> Any:
    """The object in verified bytes. Whatever foreign code raises as it is built becomes one Invalid."""
    try:
        if flavour.serialization_format == "skops":
            import skops.io

            return skops.io.loads(data, trusted=trusted_types(data, trusted))
        import cloudpickle

        return cloudpickle.loads(data)
    except ImportError as missing:
        extra = (missing.name or "").partition(".")[0]
        raise UsageError(
            f"the model needs the package {extra!r} to load: {missing}",
            hint="pip install 'taut[ml]', or what the model's requirements.txt names",
        ) from None
    except (Invalid, MemoryError):
        raise
    except Exception as problem:  # A pickle may raise anything; it is told with the original behind it.
        raise Invalid(
            f"the model's file {flavour.pickled_model} cannot be loaded: {type(problem).__name__}: {problem}",
            hint=f"it was saved with scikit-learn {flavour.sklearn_version or 'of an unknown version'}",
        ) from problem


def _plain(values: Any) -> list[Cell]:
    """One plain value a row. Raises UsageError for a model that answers several."""
    if values.ndim != 1:
        raise UsageError(f"the model answers {values.shape[1:]} values a row; taut serves models of one output")
    plain: list[Cell] = values.tolist()
    return plain
