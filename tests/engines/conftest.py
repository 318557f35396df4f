"""Engines that are here, and a trained model to put into them; what is not here skips with its reason."""

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from taut.deploy.engines import Engine, run_program
from taut.errors import TautError
from taut.ground.settings import make_folder
from taut.home import Home
from taut.models import register_folder
from taut.records import ModelVersion
from tests.deploy.images import home_of

BASE = "python:3.11-slim"


def engine_or_skip(name: str) -> Engine:
    """The engine, with the base image in it, or a skip that says what is missing."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    try:
        run_program([name, "info"], within_s=20)
    except TautError as problem:
        pytest.skip(f"{name} does not answer: {problem.message}")
    try:
        run_program([name, "image", "inspect", BASE], within_s=20)
    except TautError:
        pytest.skip(f"{name} has no image {BASE}; .ci/base-image makes one")
    return Engine(name)


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Each engine that runs containers, and the one that taut takes while the test runs."""
    found = engine_or_skip(request.param)
    monkeypatch.setenv("TAUT_ENGINE", found.name)
    return found


@pytest.fixture
def podman(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """podman, which taut takes while the test runs."""
    monkeypatch.setenv("TAUT_ENGINE", "podman")
    return engine_or_skip("podman")


@pytest.fixture
def home(tmp_path: Path, wheelhouse: Path) -> Iterator[Home]:
    """An open home whose images find the wheels of the session."""
    folder = tmp_path / "project"
    folder.mkdir()
    make_folder(folder)
    (folder / ".taut" / "cache").mkdir()
    (folder / ".taut" / "cache" / "wheels").symlink_to(wheelhouse)
    with home_of(folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels that all workers of the session share: filled from the index once."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if base.name.startswith("popen-") else base) / "wheelhouse"
    place.mkdir(exist_ok=True)
    return place


@pytest.fixture
def version(home: Home, tmp_path: Path) -> ModelVersion:
    """A real model: is a + b above zero?"""
    return register_folder(home, "late", trained(tmp_path / "trained"))


def trained(folder: Path, *, sign: int = 1) -> Path:
    """Train and save as MLflow does; with `sign` -1 the model says the opposite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, as it is imported.
        import mlflow
        from mlflow.models import infer_signature

        rows = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 2)), columns=["a", "b"])
        model = LogisticRegression().fit(rows, (sign * (rows.a + rows.b) > 0).astype(int))
        signature = infer_signature(rows, model.predict(rows))
        mlflow.sklearn.save_model(model, folder, signature=signature, pip_requirements=[])
    return folder
