"""A loaded model that answers columns with columns, after its bytes were checked and before any of them ran."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from taut.errors import Invalid
from taut.models.flavours.answers import answer_columns, plain
from taut.models.flavours.saved import Loaded, Saved
from taut.models.flavours.sklearn import of_estimator
from taut.models.flavours.table import FLAVOURS, IN_PROCESS, flavour_of
from taut.models.flavours.unchecked import unchecked_input
from taut.models.inputs import Cell, Intake, frame_of
from taut.models.mlmodel import MLMODEL, parse_mlmodel
from taut.models.params import checked_params
from taut.models.schema import parse_mlflow_signature
from taut.models.signature import UNSIGNED, Signature
from taut.models.tree import read_verified, verify_folder

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
    """A model in memory: its signature, and `predict` from columns to columns.

    `loaded` is how its flavour asks it; an estimator of scikit-learn needs none.
    """

    signature: Signature
    estimator: Any
    loaded: Loaded | None = None

    def predict(self, columns: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> dict[str, list[Any]]:
        """Score rows given by columns, all of one length; a missing value is None or NaN.

        A column is a list, or an array of numpy, pandas or Arrow; that of a tensor holds nested lists or has more
        dimensions. Answers `prediction`, or what the model itself names, as MLflow's pyfunc predicts it; and for a
        classifier that gives probabilities also `probability` of its second class (of two), or `probability_CLASS`
        for each of more. Raises Invalid that names the column or param and what was found, and where the model itself
        refuses the rows; UsageError where it answers no value a row.
        """
        return {name: plain(values) for name, values in self.arrays(columns, params).items()}

    def arrays(self, columns: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As `predict`, each answer an array [rows, …] of its own type."""
        given = checked_params(self.signature, params)
        if self.signature.form == "any":
            data = unchecked_input(columns, frames=self._asked.frames)
        else:
            arrays = self._intake.arrays(columns)
            if self._asked.leaves_out and len(columns) < len(arrays):
                arrays = {name: array for name, array in arrays.items() if name in columns}
            data = frame_of(self.signature, arrays, frames=self._asked.frames)
        return self._answered(data, len(next(iter(columns.values()))), given)

    def answered(self, table: Any) -> dict[str, list[Any]]:
        """The answer to rows as the model takes them, see `frame_of`. Raises Invalid where it refuses them."""
        rows = len(next(iter(table.values()))) if isinstance(table, dict) else len(table)
        answer = self._answered(table, rows, checked_params(self.signature, None))
        return {name: plain(values) for name, values in answer.items()}

    @cached_property
    def classes(self) -> tuple[Cell, ...]:
        """The classes that it gives probabilities of, in their order; empty for a model that gives none."""
        if not self._asked.shares or not hasattr(self.estimator, "predict_proba"):
            return ()
        classes = getattr(self.estimator, "classes_", None)
        if classes is None or isinstance(classes, list):  # Of several outputs, each with classes of its own.
            return ()
        found: list[Cell] = classes.tolist()
        return () if classes.ndim != 1 else tuple(found)

    @property
    def in_process(self) -> bool:
        """Whether nothing but a well-kept runtime runs in it, so that a server may answer by it without a process."""
        return self._asked.in_process

    @property
    def no_graph(self) -> str:
        """Why it is never compiled; empty where its estimator decides that."""
        if self.signature.form not in ("frame", "array"):
            return self._asked.no_graph or "a model that takes no table has no graph"
        return self._asked.no_graph

    @cached_property
    def _asked(self) -> Loaded:
        return self.loaded or of_estimator(self.estimator)

    @cached_property
    def _intake(self) -> Intake:
        return Intake(self.signature)

    def _answered(self, data: Any, rows: int, params: dict[str, Any]) -> dict[str, Any]:
        asked = self._asked
        try:
            if not asked.shares or not self.classes:
                return answer_columns(asked.ask(data, params), self.signature, rows)
            return self._with_shares(data, params, rows)
        except asked.refusals as problem:  # What models raise for rows that they cannot score.
            first = next(iter(str(problem).splitlines()), type(problem).__name__)
            raise Invalid(f"the model refused these rows: {first[:300]}") from problem

    def _with_shares(self, data: Any, params: dict[str, Any], rows: int) -> dict[str, Any]:
        shares = self.estimator.predict_proba(data)
        answer = answer_columns(self._decided(data, shares, params), self.signature, rows)
        if getattr(shares, "shape", ()) != (rows, len(self.classes)):
            return answer  # Raw scores of an objective of its own, which are no probabilities.
        if len(self.classes) == 2:
            return answer | {"probability": shares[:, 1]}
        return answer | {f"probability_{name}": shares[:, place] for place, name in enumerate(self.classes)}

    def _decided(self, data: Any, shares: Any, params: dict[str, Any]) -> Any:
        """What `predict` answers, without scoring the rows a second time where the shares say it already.

        Two shares that round to the same number may still have been told apart before rounding: then it is asked.
        """
        if not self._decides_by_share:
            return self._asked.ask(data, params)
        largest = shares.max(axis=1, keepdims=True)
        if ((shares == largest).sum(axis=1) > 1).any():
            return self._asked.ask(data, params)
        return self.estimator.classes_[shares.argmax(axis=1)]

    @cached_property
    def _decides_by_share(self) -> bool:
        last = self.estimator.steps[-1][1] if hasattr(self.estimator, "steps") else self.estimator
        package = ".".join(type(last).__module__.split(".")[:2])
        return self._asked.decides and f"{package}.{type(last).__name__}" in DECIDE_BY_SHARE


def load_model(folder: Path, digest: str, *, trusted: Sequence[str] = ()) -> Predictor:
    """Load a model folder whose bytes have this digest. Nothing of it runs before that is checked.

    The digest stands in the registry, so a pickle is as trusted as those who may register models. A skops file builds
    only classes of scikit-learn, numpy, scipy and pandas, and those named in `trusted`. A model saved without a
    signature takes whatever comes. Raises Corrupt where the bytes differ, Invalid for a model that cannot be loaded,
    UsageError for a package that is missing and for a flavour that does not predict.
    """
    files = {file.path: file for file in verify_folder(folder, digest)}
    if MLMODEL not in files:
        raise Invalid(f"{folder} holds no {MLMODEL} file, so it is no model")
    model = parse_mlmodel(read_verified(folder, files[MLMODEL]))
    name = flavour_of(model)
    signature = UNSIGNED if model.signature is None else parse_mlflow_signature(model.signature)
    loaded = FLAVOURS[name](Saved(folder, files, model, signature, name, tuple(trusted)))
    return Predictor(signature, loaded.raw, loaded)


def in_process(folder: Path) -> bool:
    """Whether the model in a folder runs no foreign code when it answers. Raises what `load_model` does of MLmodel."""
    path = folder / MLMODEL
    if not path.is_file():
        raise Invalid(f"{folder} holds no {MLMODEL} file, so it is no model")
    return flavour_of(parse_mlmodel(path.read_bytes())) in IN_PROCESS
