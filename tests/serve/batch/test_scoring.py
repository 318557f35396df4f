"""Models of every kind of answer over batches: what a server would say of the same rows, column for column."""

from pathlib import Path
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
from taut.models import Predictor, Signature, SignatureColumn
from taut.models.compiled.convert import convert
from taut.models.compiled.predictor import CompiledPredictor, load_compiled
from taut.serve.batch.plan import OnError, Options
from taut.serve.batch.scoring import Scored, Scorer, columns_read, must_not_clash

SIGNATURE = Signature((
    SignatureColumn("delay", "double", False), SignatureColumn("seats", "long"), SignatureColumn("carrier", "string"),
))  # fmt: skip
TARGETS = ["two", "three", "words", "value"]


def rows(count: int = 200) -> pd.DataFrame:
    chance = np.random.default_rng(5)
    carriers = chance.choice(["AA", "UA", "B6"], count).astype(object)
    return pd.DataFrame(
        {"delay": chance.normal(size=count), "seats": chance.integers(1, 300, count), "carrier": carriers}
    )


def fitted(target: str) -> Predictor:
    train = rows()
    answers: dict[str, Any] = {
        "two": train.delay > 0,
        "three": np.digitize(train.delay, [-0.5, 0.5]),
        "words": np.where(train.delay > 0, "late", "early"),
        "value": train.delay * 3,
    }
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    steps = make_column_transformer(("passthrough", ["delay", "seats"]), (texts, ["carrier"]))
    model = LinearRegression() if target == "value" else LogisticRegression(max_iter=2000)
    return Predictor(SIGNATURE, make_pipeline(steps, model).fit(train, answers[target]))


def as_graph(model: Predictor) -> CompiledPredictor:
    return load_compiled(convert(model.estimator, SIGNATURE).graph, SIGNATURE)


def columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): frame[name].tolist() for name in frame}


def score(model: Predictor | CompiledPredictor, batch: pa.RecordBatch, on_error: OnError = "stop") -> Scored:
    scorer = Scorer(model, Options(on_error), "late@1")
    scored = scorer.score(batch, ids="j.0.", first=0)
    assert scored.batch.schema == scorer.schema(batch.schema)
    return scored


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_a_batch_says_what_a_server_says(target: str, compiled: bool):
    original = fitted(target)
    model = as_graph(original) if compiled else original
    asked = columns(rows(50))
    scored = score(model, pa.RecordBatch.from_pydict(asked))
    expected = model.predict(asked)
    assert scored.batch.column_names == ["id", *expected, "model_version"]
    assert {name: scored.batch.column(name).to_pylist() for name in expected} == expected
    assert (scored.nulled, scored.skipped, scored.said) == (0, 0, "")


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("mode", ["null", "skip"])
def test_rows_that_the_model_itself_refuses_are_found_by_halves(compiled: bool, mode: OnError):
    original = fitted("value")  # It takes no missing number.
    model = as_graph(original) if compiled else original
    asked = columns(rows(60))
    bad = [3, 4, 40, 59]
    for row in bad:
        asked["delay"][row] = None
    scored = score(model, pa.RecordBatch.from_pydict(asked), mode)
    good = [row for row in range(60) if row not in bad]
    expected = model.predict({name: [cells[row] for row in good] for name, cells in asked.items()})["prediction"]
    said = scored.batch.column("prediction").to_pylist()
    assert [value for value in said if value is not None] == pytest.approx(expected)
    assert (scored.nulled, scored.skipped) == ((4, 0) if mode == "null" else (0, 4))
    assert scored.said.startswith("row 3: the model refused these rows: ")
    if mode == "null":
        assert [row for row, value in enumerate(said) if value is None] == bad
        assert [row for row, why in enumerate(scored.batch.column("error").to_pylist()) if why] == bad
    else:
        assert scored.batch.column("id").to_pylist() == [f"j.0.{row}" for row in good]


@pytest.mark.parametrize("compiled", [False, True])
def test_the_first_row_that_the_model_refuses_stops_it(compiled: bool):
    original = fitted("value")
    asked = columns(rows(60))
    for row in (40, 17):
        asked["delay"][row] = None
    with pytest.raises(Invalid, match=r"^row 17: the model refused these rows"):
        score(as_graph(original) if compiled else original, pa.RecordBatch.from_pydict(asked))


class Together:
    """Refuses any two rows that are asked at once."""

    def predict(self, table: Any) -> Any:
        if len(table) > 1:
            raise ValueError("one at a time")
        return np.zeros(len(table))


@pytest.mark.parametrize("mode", ["stop", "skip"])
def test_a_model_that_takes_rows_only_one_by_one_is_an_error_and_no_wrong_row(mode: OnError):
    with pytest.raises(Invalid, match="one at a time"):
        score(Predictor(SIGNATURE, Together()), pa.RecordBatch.from_pydict(columns(rows(4))), mode)


def test_what_a_model_without_classes_answers_is_found_by_asking_it():
    class Words:
        def predict(self, table: Any) -> Any:
            return table["carrier"].to_numpy()

    asked = columns(rows(4))
    scored = score(Predictor(SIGNATURE, Words()), pa.RecordBatch.from_pydict(asked))
    assert scored.batch.column("prediction").to_pylist() == asked["carrier"]


def test_the_row_of_an_error_is_that_of_the_file():
    scorer = Scorer(fitted("two"), Options(), "late@1")
    batch = pa.RecordBatch.from_pydict({**columns(rows(3)), "seats": [1, None, 2]})
    with pytest.raises(Invalid, match=r"^row 1001: column 'seats' takes long; it is null"):
        scorer.score(batch, ids="j.4.", first=500, at=1000)
    good = scorer.score(batch.slice(2), ids="j.4.", first=502, at=1002)
    assert good.batch.column("id").to_pylist() == ["j.4.502"]


def test_columns_that_are_read_are_named_once_and_must_be_there():
    schema = pa.schema([("carrier", pa.string()), ("delay", pa.float32()), ("seats", pa.int8()), ("key", pa.int64())])
    options = Options(id_column="key", keep=("delay", "key"))
    assert columns_read(SIGNATURE, options, schema, is_text=False) == ["delay", "seats", "carrier", "key"]
    with pytest.raises(Invalid, match="column 'delay' takes double; it is of type string"):
        columns_read(SIGNATURE, options, schema.set(1, pa.field("delay", pa.string())), is_text=False)
    texts = pa.schema([(name, pa.string()) for name in schema.names])
    assert columns_read(SIGNATURE, options, texts, is_text=True) == ["delay", "seats", "carrier", "key"]
    with pytest.raises(Invalid, match="column 'seats' is missing"):
        columns_read(SIGNATURE, options, texts.remove(2), is_text=True)


@pytest.mark.parametrize(
    ("mode", "name", "clashes"),
    [("stop", "id", True), ("stop", "probability", True), ("stop", "error", False), ("null", "error", True)],
)
def test_a_kept_column_may_not_be_called_as_one_that_is_written(mode: OnError, name: str, clashes: bool):
    options = Options(mode, keep=(name,))
    if clashes:
        with pytest.raises(Invalid, match=f"column '{name}' cannot be kept"):
            must_not_clash(fitted("two"), options)
    else:
        must_not_clash(fitted("two"), options)


def test_ids_and_computed_numbers_are_not_written_as_dictionaries(tmp_path: Path):
    scorer = Scorer(fitted("words"), Options("null", keep=("carrier",)), "late@1")
    schema = scorer.schema(pa.schema([("carrier", pa.string())]))
    assert scorer.repeated(schema) == ["carrier", "prediction", "error", "model_version"]
    assert scorer.outputs == ("prediction", "probability")
