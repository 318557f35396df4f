"""The judge of every flavour: MLflow's own client, asked for the same rows in the same process."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from taut.models import Predictor, load_model
from taut.models.tree import digest_of, tree_of_folder

REQUIREMENTS = ["scikit-learn"]  # Given, so that MLflow does not start a process to find out.


def loaded(folder: Path) -> Predictor:
    """The model as taut loads it."""
    return load_model(folder, digest_of(tree_of_folder(folder)))


def mlflow_says(folder: Path, data: Any, params: dict[str, Any] | None = None) -> Any:
    """What `mlflow.pyfunc.load_model` of the real client predicts."""
    import mlflow.pyfunc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mlflow.pyfunc.load_model(str(folder), suppress_warnings=True).predict(data, params=params)


def as_columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """What a JSON request would carry: plain values, null where nothing is known."""
    return {str(name): [None if pd.isna(v) else v for v in frame[name].tolist()] for name in frame.columns}


def same(ours: Any, theirs: Any) -> bool:
    """Whether two arrays hold the same values bit for bit, NaN where NaN."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape or ours.dtype.kind != theirs.dtype.kind:
        return False
    if ours.dtype.kind in "fc":
        return bool(np.array_equal(ours, theirs, equal_nan=True))
    return ours.tolist() == theirs.tolist()
