"""Rows that every flavour is trained on, and MLflow's client kept from talking to anybody."""

import logging
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # It warns of its own type hints as it is imported first.
    import mlflow.pyfunc  # noqa: F401


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    """Numbers with some missing, whole numbers, and a label of two texts."""
    chance = np.random.default_rng(0)
    frame = pd.DataFrame({"delay": chance.normal(size=120), "wind": chance.normal(size=120)})
    frame["hour"] = chance.integers(0, 24, 120)
    frame["late"] = np.where(frame["delay"] + frame["hour"] / 24 > 0.5, "late", "not")
    frame.loc[frame.index % 9 == 4, "wind"] = np.nan
    return frame


@pytest.fixture(scope="session")
def inputs(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[["delay", "wind", "hour"]]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """MLflow warns of packages that are not the ones a model was saved with; here they are not meant to be."""
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)
