"""Rows of numbers, times and texts to fit models on, and both ways to ask one."""

from typing import Any

import numpy as np
import pandas as pd

from taut.models.compiled.convert import convert
from taut.models.compiled.predictor import CompiledPredictor, load_compiled
from taut.models.predictor import Predictor
from taut.models.signature import Signature, SignatureColumn

ROWS = 400
NUMBERS, TEXTS = ["n0", "n1", "n2", "at_s"], ["c0", "c1"]
SIGNATURE = Signature(
    (
        *(SignatureColumn(name, "double", False) for name in NUMBERS),
        *(SignatureColumn(n, "string", False) for n in TEXTS),
    )
)


def table(seed: int = 0) -> pd.DataFrame:
    """Numbers with some missing, times in seconds, texts of few kinds."""
    chance = np.random.default_rng(seed)
    made = pd.DataFrame({name: chance.normal(size=ROWS) for name in NUMBERS[:3]})
    made["at_s"] = 1.7e9 + chance.integers(0, 1_000_000, ROWS)
    for name in TEXTS:
        made[name] = chance.choice(list("abcd"), size=ROWS).astype(object)
    made.loc[chance.random(ROWS) < 0.1, "n1"] = np.nan
    return made


def score_of(rows: pd.DataFrame) -> Any:
    """A number that depends on every kind of column."""
    return rows.n0 + rows.n1.fillna(0.5) * rows.n2 + (rows.c0 == "a") + (rows.at_s - 1.7e9) / 1e6


def columns_of(rows: pd.DataFrame) -> dict[str, list[Any]]:
    """A frame as a request has it: missing is None."""
    return {name: rows[name].astype(object).where(rows[name].notna(), None).tolist() for name in rows.columns}


def both(model: Any, signature: Signature = SIGNATURE) -> tuple[Predictor, CompiledPredictor]:
    """A fitted model, and the same as a graph."""
    return Predictor(signature, model), load_compiled(convert(model, signature).graph, signature)
