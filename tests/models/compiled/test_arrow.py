"""A batch of Arrow is answered by a graph exactly as the same rows given as lists are."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from taut.errors import Invalid
from taut.models.compiled.arrow import ROWS_AT_ONCE, answers_of, matrix_of
from taut.models.compiled.predictor import CompiledPredictor
from taut.models.signature import Signature, SignatureColumn
from tests.models.compiled.tables import both

KINDS: list[Any] = [("n", "double"), ("f", "float"), ("w", "long"), ("b", "boolean"), ("c", "string")]
SIGNATURE = Signature(tuple(SignatureColumn(name, kind, required=False) for name, kind in KINDS))


def rows(count: int, *, missing: bool = False) -> dict[str, list[Any]]:
    chance = np.random.default_rng(3)
    made: dict[str, list[Any]] = {
        "n": chance.normal(size=count).tolist(),
        "f": chance.normal(size=count).tolist(),
        "w": chance.integers(-9, 9, count).tolist(),
        "b": (chance.random(count) < 0.5).tolist(),
        "c": chance.choice(["a", "b", "seen by nobody", ""], count).tolist(),
    }
    if missing:
        made["c"][1] = made["c"][-1] = None
    return made


def fitted(target: str) -> CompiledPredictor:
    train = pd.DataFrame(rows(300))
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    steps = make_column_transformer(("passthrough", ["n", "f", "w", "b"]), (texts, ["c"]))
    answers = {
        "two": (train.n > 0).astype(int),
        "three": np.where(train.n > 0.5, "high", np.where(train.n < -0.5, "low", "mid")),
        "value": train.n * 2,
    }
    model = LinearRegression() if target == "value" else LogisticRegression()
    return both(make_pipeline(steps, model).fit(train, answers[target]), SIGNATURE)[1]


def stored(columns: dict[str, list[Any]], *, encoded: bool) -> pa.RecordBatch:
    batch = pa.RecordBatch.from_pydict({"more": list(range(len(columns["n"]))), **columns})
    return batch.set_column(5, "c", batch.column("c").dictionary_encode()) if encoded else batch


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("target", ["two", "three", "value"])
def test_a_batch_is_answered_as_lists_are(target: str, encoded: bool):
    model, columns = fitted(target), rows(ROWS_AT_ONCE + 7, missing=target != "value")
    matrix, wrong = matrix_of(model, stored(columns, encoded=encoded))
    assert wrong == []
    np.testing.assert_array_equal(matrix, model.matrix(columns))
    said, expected = answers_of(model, matrix), model.predict(columns)
    assert list(said) == list(expected)
    assert {name: cells.to_pylist() for name, cells in said.items()} == expected


def test_missing_words_are_told_from_unknown_ones_however_they_are_stored():
    model = fitted("two")
    whole = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2], pa.int8()), pa.array(["a", None, "never"]))
    columns = {**rows(4), "c": ["a", None, None, "never"]}
    batch = stored(columns, encoded=False).set_column(5, "c", whole)
    np.testing.assert_array_equal(matrix_of(model, batch)[0], model.matrix(columns))
    views = stored({**columns, "c": ["a", None, "b", "never"]}, encoded=False)
    views = views.set_column(5, "c", views.column("c").cast(pa.string_view()))
    expected = model.matrix({**columns, "c": ["a", None, "b", "never"]})
    np.testing.assert_array_equal(matrix_of(model, views)[0], expected)
    nothing = stored({**columns, "c": [None] * 4}, encoded=False)
    np.testing.assert_array_equal(matrix_of(model, nothing)[0], model.matrix({**columns, "c": [None] * 4}))


def test_what_a_column_does_not_take_is_told_by_row():
    _, wrong = matrix_of(fitted("two"), stored({**rows(3), "n": [0.0, float("inf"), 1.0]}, encoded=False))
    assert [(one.column.name, one.rows.tolist()) for one in wrong] == [("n", [False, True, False])]


def test_what_the_model_itself_refuses_is_invalid():
    model = fitted("value")  # A linear regression takes no missing number.
    batch = stored({**rows(3), "n": [0.0, None, 1.0]}, encoded=False)
    with pytest.raises(Invalid, match="the model refused these rows"):
        answers_of(model, matrix_of(model, batch)[0])
