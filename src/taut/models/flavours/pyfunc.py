"""Every other flavour, by MLflow itself: custom Python models with their artifacts and code, CatBoost, Prophet, …"""

import os
import warnings
from functools import partial
from typing import Any

from taut.models.flavours.code import add_code
from taut.models.flavours.saved import Loaded, Saved, loading
from taut.models.mlmodel import MLMODEL


def load(saved: Saved) -> Loaded:
    """The model as `mlflow.pyfunc.load_model` loads it from the verified folder.

    MLflow checks a second time what taut checked, and converts what a model's type hints ask for.
    """
    add_code(saved)
    with loading(saved, MLMODEL):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # Serving a model is nobody else's business.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It warns of its own type hints as it is imported first.
            import mlflow.pyfunc
            from mlflow.exceptions import MlflowException

        model = mlflow.pyfunc.load_model(str(saved.folder.resolve()), suppress_warnings=True)
    refusals = (ValueError, TypeError, MlflowException)
    no_graph = f"a model of {saved.model.loader} has no graph"
    return Loaded(model, partial(_ask, model, MlflowException), refusals, no_graph=no_graph, leaves_out=True)


def _ask(model: Any, refusal: type[Exception], data: Any, params: dict[str, Any]) -> Any:
    try:
        return model.predict(data, params=params or None)
    except refusal as problem:  # Its text holds all rows before it comes to what is wrong with them.
        raise ValueError(str(problem).rpartition(" Error: ")[2]) from problem
