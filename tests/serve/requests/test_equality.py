"""Each protocol, form and batch size gives what the model itself predicts in this process, to the bit."""

import io
import json
from collections.abc import Callable, Sequence
from struct import pack
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from taut.models import Predictor
from taut.models.signature import Signature, SignatureColumn
from taut.records import Prediction
from taut.serve.requests import Body, InvocationReader, Request, infer_answer, invocation_answer, read_infer
from taut.serve.requests.arrow import PARQUET
from taut.serve.requests.asked import ARROW

SIGNATURE = Signature(
    (
        SignatureColumn("delay", "double", required=False),
        SignatureColumn("seats", "long"),
        SignatureColumn("late", "boolean"),
        SignatureColumn("carrier", "string"),
    )
)
DATATYPES = {"delay": "FP64", "seats": "INT64", "late": "BOOL", "carrier": "BYTES"}


def flights(rows: int, *, missing: bool) -> pd.DataFrame:
    """Rows from a seed, with missing delays where a model takes them, and texts that are hard to write."""
    chance = np.random.default_rng(rows)
    frame = pd.DataFrame(
        {
            "delay": chance.normal(size=rows) * 10.0 ** chance.integers(-300, 300, rows).clip(-12, 12),
            "seats": chance.integers(-(2**40), 2**40, rows),
            "late": chance.random(rows) < 0.5,
            "carrier": chance.choice(["UA", "Ä, ö", 'q"uote', "new\nline", "007"], rows),
        }
    )
    if missing:
        frame.loc[chance.random(rows) < 0.3, "delay"] = np.nan
    return frame


def scaled(encoder: Any) -> Any:
    numbers = (StandardScaler(), ["delay", "seats"])
    return make_column_transformer((encoder, ["carrier"]), numbers, remainder="passthrough")


def coded() -> Any:
    return make_column_transformer((OrdinalEncoder(), ["carrier"]), remainder="passthrough")


MODELS: dict[str, tuple[Any, bool]] = {
    "hist-gradient-boosting": (make_pipeline(coded(), HistGradientBoostingClassifier(max_iter=20)), True),
    "logistic-three-classes": (make_pipeline(scaled(OneHotEncoder()), LogisticRegression()), False),
    "linear": (make_pipeline(scaled(OneHotEncoder()), LinearRegression()), False),
    "forest": (make_pipeline(scaled(OneHotEncoder()), RandomForestRegressor(5, random_state=0)), False),
}  # fmt: skip


SLOW = ("forest", "hist-gradient-boosting")


def rare(values: Sequence[Any], slow: Sequence[Any]) -> list[Any]:
    """All values, of which some are left to the slow run."""
    return [pytest.param(value, marks=[pytest.mark.slow] if value in slow else []) for value in values]


@pytest.fixture(scope="module", params=rare(sorted(MODELS), SLOW))
def model(request: pytest.FixtureRequest) -> tuple[Predictor, bool]:
    estimator, missing = MODELS[request.param]
    frame = flights(600, missing=missing)
    target = (frame["seats"] // 2**39) % 3 if "three" in request.param else (frame["seats"] > 0).astype(int)
    return Predictor(SIGNATURE, estimator.fit(frame, target)), missing


def plain(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {name: [None if pd.isna(value) else value for value in frame[name].tolist()] for name in frame.columns}


def json_form(form: str) -> Callable[[pd.DataFrame], Request]:
    def read(frame: pd.DataFrame) -> Request:
        columns = plain(frame)
        lists = [list(row) for row in zip(*columns.values(), strict=True)]
        body = {
            "dataframe_split": {"columns": list(columns), "data": lists},
            "dataframe_records": [dict(zip(columns, row, strict=True)) for row in lists],
            "instances": lists,
            "inputs": columns,
        }[form]
        return InvocationReader(SIGNATURE).read(json.dumps({form: body}).encode(), content_type="application/json")

    return read


def csv(frame: pd.DataFrame) -> Request:
    return InvocationReader(SIGNATURE).read(frame.to_csv(index=False).encode(), content_type="text/csv")


def table(kind: str) -> Callable[[pd.DataFrame], Request]:
    def read(frame: pd.DataFrame) -> Request:
        sink, written = io.BytesIO(), pa.Table.from_pandas(frame, preserve_index=False)
        if kind == PARQUET:
            pq.write_table(written, sink)
        else:
            with pa.ipc.new_stream(sink, written.schema) as writer:
                writer.write_table(written)
        return InvocationReader(SIGNATURE).read(sink.getvalue(), content_type=kind)

    return read


def tensors(shape: Callable[[int], list[int]]) -> Callable[[pd.DataFrame], Request]:
    def read(frame: pd.DataFrame) -> Request:
        inputs = [
            {"name": name, "shape": shape(len(frame)), "datatype": DATATYPES[name], "data": values}
            for name, values in plain(frame).items()
        ]
        return read_infer(msgspec.json.encode({"inputs": inputs}))

    return read


def raw_tensors(frame: pd.DataFrame) -> Request:
    raws = {
        name: b"".join(pack("<I", len(value.encode())) + value.encode() for value in frame[name])
        if name == "carrier"
        else frame[name].to_numpy().tobytes()
        for name in frame.columns
    }
    inputs = [
        {"name": name, "shape": [len(frame)], "datatype": DATATYPES[name], "parameters": {"binary_data_size": len(raw)}}
        for name, raw in raws.items()
    ]
    head = msgspec.json.encode({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return read_infer(head + b"".join(raws.values()), header_length=str(len(head)))


FORMS: dict[str, Callable[[pd.DataFrame], Request]] = {
    **{form: json_form(form) for form in ("dataframe_split", "dataframe_records", "instances", "inputs")},
    "csv": csv,
    **{kind: table(kind) for kind in (ARROW, PARQUET)},
    "tensors": tensors(lambda rows: [rows]),
    "tensors-n-1": tensors(lambda rows: [rows, 1]),
    "raw-tensors": raw_tensors,
}


@pytest.mark.parametrize("rows", rare([1, 2, 64, 257], [2, 257]))
@pytest.mark.parametrize("form", FORMS)
def test_a_form_gives_what_the_model_predicts_to_the_bit(model: tuple[Predictor, bool], form: str, rows: int):
    predictor, missing = model
    frame = flights(rows, missing=missing)
    fitted = predictor.estimator
    said = predictor.predict(FORMS[form](frame).columns)
    assert said["prediction"] == fitted.predict(frame).tolist()
    if hasattr(fitted, "predict_proba"):
        shares = fitted.predict_proba(frame)
        names = ["probability"] if shares.shape[1] == 2 else [f"probability_{name}" for name in fitted.classes_]
        assert [said[name] for name in names] == shares[:, -len(names) :].T.tolist()


@pytest.mark.parametrize("rows", [1, 64])
def test_an_answer_says_the_same_in_json_in_bytes_and_in_arrow(model: tuple[Predictor, bool], rows: int):
    predictor, missing = model
    outputs = predictor.predict(FORMS["inputs"](flights(rows, missing=missing)).columns)
    answered = Prediction("late", "an-id", 1, "late", 1, 0, 0, rows, {}, outputs)
    said = msgspec.json.decode(invocation_answer(answered, Request({})).data)
    assert {
        "prediction": said["predictions"],
        **{name: said[name] for name in outputs if name != "prediction"},
    } == outputs
    assert of_tensors(infer_answer(answered, Request({}))) == outputs
    assert of_tensors(infer_answer(answered, Request({}, binary=True))) == outputs
    assert pa.ipc.open_stream(infer_answer(answered, Request({}, arrow=True)).data).read_all().to_pydict() == outputs


def of_tensors(body: Body) -> dict[str, list[Any]]:
    """The outputs of an answer, from JSON or from the bytes behind it."""
    size = int(dict(body.headers).get(b"inference-header-content-length", len(body.data)))
    start, found = size, {}
    for one in msgspec.json.decode(body.data[:size])["outputs"]:
        end = start + one.get("parameters", {}).get("binary_data_size", 0)
        kind = "<f8" if one["datatype"] == "FP64" else "<i8"
        found[one["name"]] = one["data"] if "data" in one else np.frombuffer(body.data[start:end], kind).tolist()
        start = end
    assert start == len(body.data)
    return found
