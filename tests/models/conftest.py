"""Models that scikit-learn really fitted and MLflow really saved, and rows to judge them by."""

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from taut.ground.clock import SetClock
from taut.ground.objects.local import LocalObjects
from taut.home import Home
from taut.models.tree import tree_of_folder
from taut.project import CheckSpec, GateSpec
from taut.runs import create_logged_model, create_run, finish_logged_model, put_artifact

COLUMNS = ["delay", "hour", "carrier"]


def flights(rows: int, seed: int) -> pd.DataFrame:
    """Rows whose label follows from `delay` and `carrier`, with some delays and carriers missing."""
    chance = np.random.default_rng(seed)
    delay = chance.normal(size=rows)
    carrier = chance.choice(["AA", "UA", "B6"], rows)
    late = chance.random(rows) < 1 / (1 + np.exp(-(1.5 * delay + (carrier == "UA"))))
    frame = pd.DataFrame({"delay": delay, "hour": chance.integers(5, 23, rows), "carrier": carrier})
    frame["late"] = late.astype(int)
    frame.loc[frame.index % 40 == 7, "delay"] = np.nan
    frame.loc[frame.index % 50 == 9, "carrier"] = np.nan
    return frame


def saved(model: Any, sample: Any, folder: Path, **options: Any) -> Path:
    """Save a fitted model as MLflow's clients do."""
    import mlflow.sklearn
    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(sample, model.predict(sample))
        mlflow.sklearn.save_model(
            model, str(folder), **{"signature": signature, "pip_requirements": ["scikit-learn"], **options}
        )
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Trees that score a row with a thread a core wait for each other on a busy machine: twenty times slower."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # It publishes no types.

    with threadpool_limits(1):
        yield


@dataclass(frozen=True)
class Shelf:
    """Saved models by name, with the fitted originals."""

    folders: dict[str, Path]
    originals: dict[str, Any]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """A good classifier in each format, one that learned noise, one of arrays, one of three classes, a regressor."""
    place = tmp_path_factory.mktemp("shelf")
    train, noise = flights(2000, seed=1), flights(2000, seed=2)
    noise["late"] = np.random.default_rng(3).permutation(noise["late"])
    encoded = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough")
    trees = HistGradientBoostingClassifier(max_iter=25, random_state=0)
    good = make_pipeline(encoded, trees).fit(train[COLUMNS], train["late"])
    filled = train[["delay", "hour"]].fillna(0.0).astype("float64")
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(filled, train["late"])
    array = LogisticRegression().fit(filled.to_numpy(), train["late"])
    three = LogisticRegression().fit(filled, train["carrier"].fillna("AA"))
    from sklearn.base import clone

    noisy = clone(good).fit(noise[COLUMNS], noise["late"])
    number = LinearRegression().fit(filled, train["late"])
    originals = {"good": good, "noisy": noisy, "linear": linear, "array": array, "three": three, "number": number}
    sample = train[COLUMNS].head(100)
    folders = {
        "good": saved(good, sample, place / "good", serialization_format="cloudpickle"),
        "pickled": saved(good, sample, place / "pickled", serialization_format="pickle"),
        "noisy": saved(noisy, sample, place / "noisy", serialization_format="cloudpickle"),
        "linear": saved(linear, filled.head(50), place / "linear", serialization_format="skops"),
        "array": saved(array, filled.head(50).to_numpy(), place / "array", serialization_format="skops"),
        "three": saved(three, filled.head(50), place / "three", serialization_format="skops"),
        "number": saved(number, filled.head(50), place / "number", serialization_format="skops"),
        "unsigned": saved(linear, filled, place / "unsigned", serialization_format="skops", signature=False),
    }
    return Shelf(folders, originals)


@pytest.fixture(scope="session")
def rows_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `rows.csv`: 2,000 labelled rows that no model was trained on."""
    folder = tmp_path_factory.mktemp("rows")
    flights(2000, seed=99).to_csv(folder / "rows.csv", index=False)
    return folder


@pytest.fixture
def spec() -> GateSpec:
    """A gate with a bound and a comparison."""
    checks = (
        CheckSpec(measure="roc_auc", at_least=0.7),
        CheckSpec(measure="brier", against="champion", worse_by_at_most=0.002),
    )
    return GateSpec(data="rows.csv", target="late", checks=checks)


@pytest.fixture
def later(home: Home) -> Callable[[], None]:
    """Call it to let a second pass on the home's clock."""
    clock = home.clock
    assert isinstance(clock, SetClock)
    return lambda: clock.pass_ms(1000)


def upload(home: Home, root: str, folder: Path, below: str = "") -> None:
    """What an MLflow client does: every file of the model as an artifact."""
    for file in tree_of_folder(folder):
        oid = home.objects.put(io.BytesIO((folder / file.path).read_bytes()))
        put_artifact(home, root, below + file.path, oid, file.size_bytes)


def logged(home: Home, folder: Path, *, run_id: str = "", name: str = "model", ready: bool = True) -> tuple[str, str]:
    """A run with a logged model; returns both ids."""
    run = create_run(home, run_id=run_id)
    model = create_logged_model(home, run.experiment_id, name=name, run_id=run.id)
    upload(home, f"{run.experiment_id}/models/{model.id}/artifacts", folder)
    if ready:
        finish_logged_model(home, model.id, "READY")
    return run.id, model.id


def object_file(home: Home, oid: str) -> Path:
    assert isinstance(home.objects, LocalObjects)
    return Path(home.objects.url.removeprefix("file://")) / oid[:2] / oid[2:]


def damage(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
