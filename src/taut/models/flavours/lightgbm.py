"""The LightGBM flavour: a booster in its own text, or an estimator of its scikit-learn interface."""

from dataclasses import replace

from taut.models.flavours.code import add_code
from taut.models.flavours.saved import Loaded, Saved, loading
from taut.models.flavours.sklearn import of_estimator, unpickled

BOOSTER = "lightgbm.basic.Booster"
SAVED_WITH = ("collections.OrderedDict", BOOSTER, "lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMRegressor",
              "lightgbm.sklearn.LGBMRanker")  # fmt: skip
"""Types of every skops file of this flavour; building them reads no file and runs no function."""


def load(saved: Saved) -> Loaded:
    """A booster answers raw numbers, as MLflow's does; a classifier gives its probabilities beside its labels."""
    path = saved.setting("data")
    add_code(saved)
    with loading(saved, path):
        import lightgbm

    refusals = (ValueError, TypeError, lightgbm.basic.LightGBMError)
    if saved.setting("model_class", default=BOOSTER) != BOOSTER:
        written_as = saved.setting("serialization_format", default="cloudpickle")
        return replace(of_estimator(unpickled(saved, path, written_as, trusted=SAVED_WITH)), refusals=refusals)
    with loading(saved, path):
        booster = lightgbm.Booster(model_str=saved.read(path).decode())
    return Loaded(booster, lambda data, _: booster.predict(data), refusals)
