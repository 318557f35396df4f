"""The scikit-learn flavour: pickle, cloudpickle or skops, from bytes that were verified as they were read."""

from typing import Any

from taut.errors import Invalid, UsageError
from taut.models.flavours.code import add_code
from taut.models.flavours.saved import Loaded, Saved, loading
from taut.models.trust import trusted_types

FORMATS = ("pickle", "cloudpickle", "skops")


def load(saved: Saved) -> Loaded:
    """An estimator or pipeline. Raises UsageError for a format that taut does not know, Invalid, Corrupt."""
    path = saved.setting("pickled_model", "model_path")
    add_code(saved)
    model = unpickled(saved, path, saved.setting("serialization_format", default="pickle"))
    return of_estimator(model, predict=saved.setting("predict_fn", default="predict"))


def of_estimator(model: Any, *, predict: str = "predict") -> Loaded:
    """Anything with scikit-learn's manners; `predict` is the method that MLflow would call."""
    if not hasattr(model, predict):
        raise Invalid(f"the model has no method {predict!r}, so it predicts nothing")
    asked = getattr(model, predict)
    return Loaded(model, lambda data, _: asked(data), shares=True, decides=predict == "predict")


def unpickled(saved: Saved, path: str, written_as: str, *, trusted: tuple[str, ...] = ()) -> Any:
    """The object in a file; `trusted` are types that a skops file of this flavour holds in any case."""
    if written_as not in FORMATS:
        raise UsageError(f"this model is saved as {written_as!r}; taut loads {', '.join(FORMATS)}")
    data = saved.read(path)
    with loading(saved, path):
        if written_as == "skops":
            import skops.io

            return skops.io.loads(data, trusted=trusted_types(data, (*saved.trusted, *trusted)))
        import cloudpickle

        return cloudpickle.loads(data)
