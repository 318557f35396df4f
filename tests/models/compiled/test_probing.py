"""The probes find what rows do not: a threshold that was rounded, a text nobody sent, a row that one refuses."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from taut.errors import Invalid
from taut.models.compilations import verify
from taut.models.compiled.comparing import compare
from taut.models.compiled.convert import convert
from taut.models.compiled.predictor import load_compiled
from taut.models.compiled.probing import Columns, Probe, _between, probes, sample_of
from taut.models.predictor import Predictor
from taut.models.signature import Kind, Signature, SignatureColumn
from tests.models.compiled.tables import columns_of, table

TIME = Signature((SignatureColumn("at_s", "double", False), SignatureColumn("n0", "double", False)))


def rounded(graph: bytes, dtype: type) -> bytes:
    """The same graph with the thresholds of its trees rounded, as converters to float32 leave them."""
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_splits":
                values = numpy_helper.to_array(attribute.t).astype(dtype).astype(np.float64)
                attribute.t.CopyFrom(numpy_helper.from_array(values, "splits"))
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def by_time() -> Predictor:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = table()[["at_s", "n0"]]
    label = ((rows.at_s - 1.7e9) / 1e6 + rows.n0 * 0.1 > 0.5).astype(int)
    return Predictor(TIME, HistGradientBoostingClassifier(max_iter=5).fit(rows, label))


def test_a_threshold_rounded_to_float32_is_found_at_the_boundary(by_time):
    graph = convert(by_time.estimator, TIME).graph
    rows = columns_of(table(3)[["at_s", "n0"]].iloc[:50])
    exact = verify(by_time, load_compiled(graph, TIME), rows, tolerance=1e-9)
    assert exact.agree and exact.rows["boundary"] > 10
    wrong = verify(by_time, load_compiled(rounded(graph, np.float32), TIME), rows, tolerance=1e-9)
    assert not wrong.agree


def test_the_rows_alone_do_not_tell_that_the_last_bit_of_a_threshold_is_another():
    """A tree over values far from its threshold: only the boundary shows what was rounded."""
    rows: Columns = {"at_s": [0.0, 0.0, 1.0, 1.0], "n0": [0.0, 1.0, 0.0, 1.0]}
    estimator = DecisionTreeClassifier().fit(np.array(list(rows.values()), dtype=float).T, [0, 0, 1, 1])
    model = Predictor(Signature(TIME.inputs, is_array=True), estimator)
    estimator.tree_.threshold[0] = 0.3  # Between two floats of 32 bits.
    graph = rounded(convert(estimator, model.signature).graph, np.float16)
    found = compare(model.predict, load_compiled(graph, model.signature).predict,
                    probes(model.signature, rows, {}, model.predict))  # fmt: skip
    assert found.difference.startswith("boundary") and found.rows["sample"] == 4


def test_a_row_that_only_one_of_the_two_refuses_is_a_difference():
    def refusing(columns):
        if None in columns["n0"]:
            raise Invalid("no")
        return {"prediction": [0.0] * len(columns["n0"])}

    def taking(columns):
        return {"prediction": [0.0] * len(columns["n0"])}

    probe = Probe("missing", {"n0": [1.0, None, 2.0]})
    assert compare(refusing, refusing, [probe]).agree
    assert "only the model refuses" in compare(refusing, taking, [probe]).difference
    assert "only the graph refuses" in compare(taking, refusing, [probe]).difference


def test_labels_may_differ_only_where_the_shares_are_equal():
    def answer(share: float, label: int):
        return lambda _: {"prediction": [label], "probability": [share]}

    probe = [Probe("sample", {"n0": [1.0]})]
    assert compare(answer(0.5, 0), answer(0.5, 1), probe).agree
    assert not compare(answer(0.6, 0), answer(0.6, 1), probe).agree
    assert not compare(answer(0.6, 1), answer(0.61, 1), probe).agree
    assert not compare(answer(float("nan"), 1), answer(0.5, 1), probe).agree


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_half_way_lies_between_and_ends_at_neighbours(one: float, other: float):
    low, high = min(one, other), max(one, other)
    for _ in range(70):
        middle = float(_between(np.array([low]), np.array([high]))[0])
        assert low <= middle <= high
        if middle in (low, high):
            break
        high = middle
    assert np.nextafter(low, high) == high or low == high


def test_made_up_rows_have_the_kinds_of_the_signature():
    kinds: tuple[Kind, ...] = ("double", "float", "long", "integer", "boolean", "string")
    signature = Signature(tuple(SignatureColumn(kind, kind) for kind in kinds))
    made = sample_of(signature, {"string": ["x", "y"]}, rows=40, seed=1)
    assert {name: {type(value) for value in values} for name, values in made.items()} == {
        "double": {float}, "float": {float}, "long": {int}, "integer": {int}, "boolean": {bool}, "string": {str},
    }  # fmt: skip
    assert set(made["string"]) == {"x", "y"}
    assert made == sample_of(signature, {"string": ["x", "y"]}, rows=40, seed=1)


def test_a_smooth_model_is_tried_at_its_neighbours_too():
    rows = table()[["at_s", "n0"]]
    model = Predictor(TIME, make_pipeline(Ridge()).fit(rows, rows.n0 * 2))
    aims = [probe.aim for probe in probes(TIME, columns_of(rows.iloc[:20]), {}, model.predict)]
    assert aims[-1] == "boundary" and {"sample", "mixed", "magnitude", "missing"} <= set(aims)
