"""Every other flavour, by MLflow itself: custom Python models with their artifacts and code, CatBoost, Prophet, …"""

import os
import warnings
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

        model = mlflow.pyfunc.load_model(str(saved.folder), suppress_warnings=True)
    return Loaded(
        model, lambda data, params: _ask(model, data, params), (ValueError, TypeError, MlflowException),
        no_graph=f"a model of {saved.model.loader} has no graph",
    )  # fmt: skip


def _ask(model: Any, data: Any, params: dict[str, Any]) -> Any:
    return model.predict(data, params=params or None)
