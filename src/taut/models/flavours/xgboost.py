"""The XGBoost flavour: its own JSON or UBJSON, as a booster or as the estimator that it was."""

import inspect
from functools import partial
from typing import Any

from taut.errors import UsageError
from taut.models.flavours.code import add_code
from taut.models.flavours.saved import Loaded, Saved, loading

BOOSTER = "xgboost.core.Booster"


def load(saved: Saved) -> Loaded:
    """Features are held against those of the training by name; params go to `predict` where it knows them."""
    path = saved.setting("data")
    written = saved.setting("model_class", default=BOOSTER)
    add_code(saved)
    data = bytearray(saved.read(path))
    with loading(saved, path):
        import xgboost

        # A class of XGBoost alone: the name stands in the model's own file.
        model_class = getattr(xgboost, written.rpartition(".")[2], None) if written.startswith("xgboost.") else None
        if not isinstance(model_class, type) or not issubclass(model_class, (xgboost.Booster, xgboost.XGBModel)):
            raise UsageError(
                f"this model is of {written!r}, which is no class of XGBoost",
                hint="save it by mlflow.pyfunc with a PythonModel around it",
            )
        model = model_class()
        model.load_model(data)
    if isinstance(model, xgboost.Booster):
        asked = partial(_ask_booster, model, xgboost.DMatrix)
        return Loaded(model, lambda rows, params: asked(rows, **_known(model.predict, params)))
    predict = partial(model.predict, validate_features=True)
    return Loaded(model, lambda rows, params: predict(rows, **_known(model.predict, params)), shares=True)


def _ask_booster(model: Any, matrix: Any, rows: Any, **params: Any) -> Any:
    return model.predict(matrix(rows), **{"validate_features": True, **params})


def _known(predict: Any, params: dict[str, Any]) -> dict[str, Any]:
    """The params that a method takes; MLflow leaves the others out too."""
    taken = inspect.signature(predict).parameters if params else {}
    return {name: value for name, value in params.items() if name in taken}
