"""A batch answers as a server does: the same cells, given as a request or as a file, lead to the same words."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from taut.errors import Invalid
from taut.models import Predictor, Signature, SignatureColumn
from taut.serve.batch.plan import Options
from taut.serve.batch.scoring import Scorer
from taut.serve.batch.texts import survey_text, text_batches
from taut.serve.requests import parsed, read_csv

SIGNATURE = Signature((
    SignatureColumn("d", "double", False), SignatureColumn("w", "long", False), SignatureColumn("b", "boolean"),
    SignatureColumn("s", "string"),
))  # fmt: skip
WORDS = {
    "d": st.sampled_from(["1.5", "-2e3", "", "nan", "inf", "soon", " 7 ", "1_0", "0x1f", "1e400", "-0.0", "+3"]),
    "w": st.sampled_from(["1", "-7", "", "1.0", "0x10", "123456789", "9223372036854775808", "many", "+3"]),
    "b": st.sampled_from(["true", "False", "TRUE", "1", "yes"]),
    "s": st.sampled_from(["UA", "", "a,b", 'say "so"', "two\nlines", "ü", "null", "NaN"]),
}


class Telling:
    """Answers with the row itself, as text."""

    def predict(self, table: Any) -> Any:
        import numpy as np

        return np.array([repr(tuple(map(str, row))) for row in table.itertuples(index=False)], dtype=object)


MODEL = Predictor(SIGNATURE, Telling())


def as_csv(rows: Sequence[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([SIGNATURE.names, *rows])
    return text.getvalue().encode()


def online(row: tuple[str, ...]) -> str | None:
    """What a server says of one row of text, None where it refuses it."""
    columns = parsed(SIGNATURE, {name: [word] for name, word in zip(SIGNATURE.names, row, strict=True)})
    try:
        (said,) = MODEL.predict(columns)["prediction"]
    except Invalid:
        return None
    return str(said)


def batches(data: bytes) -> list[pa.RecordBatch]:
    found = survey_text(io.BytesIO(data), 1000, lambda _: None)
    stream = io.BytesIO(data)
    stream.seek(found.offsets[0])
    size = found.offsets[-1] - found.offsets[0]
    return list(text_batches(stream, size, found.names, found.delimiter, set(found.names)))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(*WORDS.values()), min_size=1, max_size=5))
def test_each_row_of_a_csv_is_taken_and_read_as_it_would_be_in_a_request(rows: list[tuple[str, ...]]):
    scorer = Scorer(MODEL, Options("null"), "late@1")
    said: list[str | None] = []
    for batch in batches(as_csv(rows)):
        scored = scorer.score(batch, ids="j.0.", first=len(said), at=len(said), is_text=True)
        said += scored.batch.column("prediction").to_pylist()
    # A server reads whole numbers beside a missing one as floats; so does a batch, of whatever rows stand together.
    assert [None if one is None else one.replace(".0'", "'") for one in said] == [
        None if (one := online(row)) is None else one.replace(".0'", "'") for row in rows
    ]


def test_a_csv_of_a_request_and_of_a_batch_have_the_same_columns():
    rows = [("1.5", "2", "true", "a,b"), ("", "", "false", "")]
    data = as_csv(rows)
    (batch,) = batches(data)
    expected = read_csv(data)
    assert {name: [word or "" for word in cells] for name, cells in batch.to_pydict().items()} == expected


@pytest.mark.parametrize("mode", ["stop", "null", "skip"])
def test_rows_that_are_right_are_answered_alike_however_wrong_ones_are_taken(mode: Any, tmp_path: Path):
    rows = [("1.5", "2", "true", "UA"), ("2.5", "3", "false", "AA")]
    (batch,) = batches(as_csv(rows))
    scored = Scorer(MODEL, Options(mode), "late@1").score(batch, ids="j.0.", first=0, is_text=True)
    assert scored.batch.column("prediction").to_pylist() == [online(row) for row in rows]
