"""Which loader a saved model gets: by the module of MLflow that its `python_function` flavour names."""

from collections.abc import Callable

from taut.errors import UsageError
from taut.models.flavours import lightgbm, onnx, pyfunc, pytorch, sklearn, xgboost
from taut.models.flavours.saved import Loaded, Saved
from taut.models.mlmodel import PYFUNC, MLmodel

Load = Callable[[Saved], Loaded]

FLAVOURS: dict[str, Load] = {
    "sklearn": sklearn.load,
    "lightgbm": lightgbm.load,
    "xgboost": xgboost.load,
    "onnx": onnx.load,
    "pytorch": pytorch.load,
    PYFUNC: pyfunc.load,
}

IN_PROCESS = frozenset({"onnx"})
"""Of these nothing but a well-kept runtime runs when they answer, so that a server may do it itself."""


def flavour_of(model: MLmodel) -> str:
    """The flavour that loads a model: one of taut's own loaders where MLflow itself would use that flavour.

    A model that names no loader was saved for one library alone; of those the first that taut knows is taken.
    Raises UsageError that names its flavours where none can be loaded.
    """
    if model.loader:
        named = model.loader.removeprefix("mlflow.")
        return named if named in FLAVOURS and named in model.flavours else PYFUNC
    for name in FLAVOURS:
        if name in model.flavours and name != PYFUNC:
            return name
    found = ", ".join(model.flavours) or "none"
    raise UsageError(
        f"this model cannot be loaded: its flavours are {found}, and none of them is python_function",
        hint="save it with a flavour of MLflow that predicts, or with mlflow.pyfunc",
    )
