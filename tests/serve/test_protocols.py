"""What a server says over both protocols, held against the model itself and against every way to ask wrongly."""

import io
from collections.abc import Iterator
from pathlib import Path
from struct import pack
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from taut import __version__
from taut.home import Home, open_home
from taut.serve import find_prediction, labelled_rows, traffic
from tests.serve.scenes import ROWS, Server, make_home, record, register, serving, tensors

INFER = "/v2/models/late/infer"
ANSWER = [0.25 + 0.01, 0.4 + 0.02]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("protocols") / "project"


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """One server for all questions of this file; it keeps no state but its log."""
    with make_home(folder) as home:
        register(home)
        record(home)
        with serving(home) as started:
            yield started


@pytest.fixture
def home(server: Server, folder: Path) -> Iterator[Home]:
    with open_home(folder) as opened:
        yield opened


def refusal(server: Server, body: object, path: str = INFER, **headers: str) -> str:
    """The words in which a request is refused; every error is an object with one text."""
    found, answer = server.ask("POST", path, body, **headers)
    assert found == 400, answer
    assert set(answer) == {"error"}
    assert "Traceback" not in answer["error"]
    return str(answer["error"])


# What a server says of itself


@pytest.mark.parametrize("path", ["/ping", "/health", "/ready", "/v2/health/live", "/v2/health/ready"])
def test_a_healthy_server_says_so(server: Server, path: str):
    assert server.ask("GET", path)[0] == 200


def test_a_model_says_what_it_takes_and_which_version_it_is(server: Server):
    for path in ("/v2/models/late", "/v2/models/late/versions/1"):
        status, about = server.ask("GET", path)
        assert status == 200
        assert [(one["name"], one["datatype"]) for one in about["inputs"]] == [
            ("delay", "FP64"), ("seats", "INT64"), ("carrier", "BYTES"),
        ]  # fmt: skip
        assert [(one["name"], one["datatype"]) for one in about["outputs"]] == [
            ("prediction", "INT64"), ("probability", "FP64"),
        ]  # fmt: skip
        assert (about["versions"], about["parameters"]) == (["1"], {"model": "late", "revision": 1})
    assert server.ask("GET", "/v2/models/late/ready")[0] == 200
    assert server.ask("GET", "/v2")[1]["version"] == server.ask("GET", "/version")[1]["taut"] == __version__


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/lat", 404), ("POST", "/v2/models/lat/infer", 404), ("GET", "/nothing", 404),
        ("POST", "/v2/models/late/versions/2/infer", 404), ("GET", "/v2/models/late/nothing", 404),
        ("GET", INFER, 405), ("POST", "/v2", 405), ("GET", "/invocations", 405), ("POST", "/metrics", 405),
    ],
)  # fmt: skip
def test_unknown_paths_and_wrong_methods_are_told_apart(server: Server, method: str, path: str, status: int):
    found, answer = server.ask(method, path, b"{}" if method == "POST" else None)
    assert found == status
    assert set(answer) == {"error"}


# Open Inference Protocol


def test_an_answer_names_request_version_revision_and_outputs(server: Server, home: Home):
    status, answer = server.infer(id="named-1")
    assert status == 200
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("late", "1", "named-1")
    assert answer["parameters"] == {"model": "late", "revision": 1}
    assert answer["outputs"] == [
        {"name": "prediction", "shape": [2], "datatype": "INT64", "data": [0, 0]},
        {"name": "probability", "shape": [2], "datatype": "FP64", "data": ANSWER},
    ]
    logged = find_prediction(home, "named-1.1")
    assert (logged.inputs, logged.outputs["probability"]) == (ROWS, ANSWER)


def test_a_request_without_an_id_gets_one_that_finds_its_prediction(server: Server, home: Home):
    _, answer = server.infer()
    assert find_prediction(home, f"{answer['id']}.0").id == answer["id"]


def test_the_version_may_stand_in_the_path(server: Server):
    status, answer = server.ask("POST", "/v2/models/late/versions/1/infer", {"inputs": tensors(ROWS)})
    assert (status, answer["outputs"][1]["data"]) == (200, ANSWER)


def test_columns_may_be_of_shape_n_1_and_nested(server: Server):
    for data in ([[2.5], [4.0]], [2.5, 4.0]):
        inputs = tensors(ROWS)
        inputs[0] |= {"shape": [2, 1], "data": data}
        assert server.ask("POST", INFER, {"inputs": inputs})[1]["outputs"][1]["data"] == ANSWER


def test_the_order_of_tensors_and_of_columns_does_not_matter(server: Server):
    answer = server.ask("POST", INFER, {"inputs": tensors(ROWS)[::-1]})[1]
    assert answer["outputs"][1]["data"] == ANSWER


def test_only_the_outputs_that_were_asked_for_come_back(server: Server):
    _, answer = server.infer(outputs=[{"name": "probability"}])
    assert [one["name"] for one in answer["outputs"]] == ["probability"]


def test_a_missing_number_is_null(server: Server):
    _, answer = server.infer({**ROWS, "delay": [None, 4.0]})
    assert answer["outputs"][1]["data"] == [0.01, ANSWER[1]]


@pytest.mark.parametrize(
    ("written", "expected_ms"),
    [("2013-04-01T05:00Z", 1364792400000), ("2013-04-01", 1364774400000), (1364774400000, 1364774400000)],
)
def test_the_event_time_is_what_the_caller_says(server: Server, home: Home, written: object, expected_ms: int):
    _, answer = server.infer(parameters={"event_time": written})
    assert find_prediction(home, answer["id"]).event_ms == expected_ms


def test_without_an_event_time_it_is_when_it_was_asked(server: Server, home: Home):
    _, answer = server.infer()
    logged = find_prediction(home, answer["id"])
    assert 0 <= logged.at_ms - logged.event_ms < 5_000


def test_a_repeated_id_gets_the_stored_answer_to_the_byte_and_no_second_entry(server: Server, home: Home):
    body = {"inputs": tensors(ROWS), "id": "again-1"}
    first = server.raw("POST", INFER, body).data
    before = traffic(home, "late").requests
    assert server.raw("POST", INFER, body).data == first
    assert traffic(home, "late").requests == before


def test_a_repeated_id_does_not_score_again(server: Server, tmp_path: Path):
    gate = tmp_path / "open"
    gate.touch()
    columns = {**ROWS, "carrier": [f"hang:{gate}", "AA"]}
    assert server.infer(columns, id="once-1")[0] == 200
    gate.unlink()  # Scoring would now wait for the file and end in a time-out.
    assert server.infer(columns, id="once-1")[0] == 200


def test_a_repeated_id_with_other_inputs_is_a_conflict(server: Server):
    assert server.infer(id="other-1")[0] == 200
    status, answer = server.infer({**ROWS, "seats": [10, 21]}, id="other-1")
    assert status == 409
    assert "other-1" in answer["error"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seats": None}, "column 'seats' is missing"),
        ({"sets": [1, 2]}, "'sets'"),
        ({"seats": [1.5, 2]}, "'seats'"),
        ({"carrier": ["UA"]}, "carrier"),
        ({"delay": ["x", 1.0]}, "'delay', row 0: expected FP64, found 'x'"),
        ({"carrier": [1, "AA"]}, "'carrier', row 0: expected BYTES, found 1"),
        ({"seats": [True, 2]}, "'seats', row 0: expected INT64, found True"),
        ({"seats": [10**30, 2]}, ""),
        ({"seats": [None, 2]}, "'seats'"),
    ],
)
def test_what_does_not_fit_the_signature_is_named(server: Server, change: dict[str, Any], words: str):
    columns = {name: values for name, values in {**ROWS, **change}.items() if values is not None}
    assert words in refusal(server, {"inputs": tensors(columns)})


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ({"shape": [3]}, "2 values for shape [3]"),
        ({"shape": [3, 2]}, "shape [3, 2]"),
        ({"shape": []}, "shape []"),
        ({"shape": [0], "data": []}, "'delay'"),
        ({"datatype": "FP65"}, "'FP65'"),
        ({"data": [[1.0, 2.0], [3.0]]}, "expected one value, found 2"),
        ({"shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]}, "'delay'"),
        ({"name": "seats"}, "given twice"),
    ],
)
def test_a_tensor_that_is_no_column_is_named(server: Server, tensor: dict[str, Any], words: str):
    inputs = tensors(ROWS)
    inputs[0] |= tensor
    assert words in refusal(server, {"inputs": inputs})


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"inputs": 1}', b"\xff\xfe", b'{"inputs": []}', b"[" * 100_000,
        b'{"inputs": [{"name": "delay", "shape": [1], "datatype": "FP64", "data": [NaN]}]}',
        b'{"inputs": [{"name": "delay", "shape": [1], "datatype": "FP64", "data": [1e400]}]}',
    ],
)  # fmt: skip
def test_a_malformed_body_is_a_400_and_the_server_lives(server: Server, body: bytes):
    assert refusal(server, body)
    assert server.infer()[0] == 200


@pytest.mark.parametrize(("more", "words"), [
    ({"id": "a b"}, "request id"), ({"id": "x" * 129}, "request id"),
    ({"parameters": {"event_time": "soon"}}, "'soon'"), ({"parameters": {"event_time": True}}, "event_time"),
    ({"outputs": [{"name": "nothing"}]}, "no output 'nothing'; it gives prediction, probability"),
])  # fmt: skip
def test_what_else_may_be_wrong_with_a_request(server: Server, more: dict[str, Any], words: str):
    assert words in refusal(server, {"inputs": tensors(ROWS), **more})


def test_binary_tensors_in_and_out_are_the_same_answer(server: Server):
    head = {
        "inputs": [
            {"name": "delay", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}},
            *tensors(ROWS)[1:],
        ],
        "parameters": {"binary_data_output": True},
    }
    written = msgspec.json.encode(head)
    length = str(len(written))
    answer = server.raw("POST", INFER, written + pack("<dd", 2.5, 4.0), **{"Inference-Header-Content-Length": length})
    size = int(answer.headers["inference-header-content-length"])
    assert msgspec.json.decode(answer.data[:size])["outputs"][1]["parameters"] == {"binary_data_size": 16}
    assert answer.data[size:] == pack("<qqdd", 0, 0, *ANSWER)


@pytest.mark.parametrize("path", ["/invocations", INFER])
def test_an_arrow_stream_in_and_out_is_the_same_answer(server: Server, home: Home, path: str):
    sink = io.BytesIO()
    table = pa.table(ROWS)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    kind = "application/vnd.apache.arrow.stream"
    headers = {"Content-Type": kind, "Accept": kind, "X-Request-Id": f"arrow-{len(path)}"}
    answer = server.raw("POST", path, sink.getvalue(), **headers)
    assert pa.ipc.open_stream(answer.data).read_all().to_pydict() == {"prediction": [0, 0], "probability": ANSWER}
    assert (answer.headers["content-type"], answer.headers["x-request-id"]) == (kind, f"arrow-{len(path)}")
    assert find_prediction(home, f"arrow-{len(path)}.1").inputs == ROWS


# MLflow's /invocations

NAMES = list(ROWS)
LISTS = [[ROWS[name][row] for name in NAMES] for row in range(2)]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in LISTS]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": NAMES, "data": LISTS}},
        {"dataframe_split": {"index": [0, 1], "data": LISTS}},
        {"dataframe_records": RECORDS}, {"instances": RECORDS}, {"instances": LISTS}, {"inputs": ROWS},
        {"inputs": LISTS}, {"inputs": RECORDS},
    ],
)  # fmt: skip
def test_every_form_of_mlflow_gets_the_same_answer(server: Server, body: dict[str, Any]):
    status, answer = server.ask("POST", "/invocations", body, **{"Content-Type": "application/json"})
    assert (status, answer["predictions"], answer["probability"]) == (200, [0, 0], ANSWER)


def test_csv_is_read_by_the_signature(server: Server, home: Home):
    body = b"seats,delay,carrier\r\n10,2.5,UA\r\n20,,007\r\n"
    status, answer = server.ask("POST", "/invocations", body, **{"Content-Type": "text/csv; charset=utf-8"})
    assert (status, answer["probability"]) == (200, [ANSWER[0], 0.02])
    assert find_prediction(home, answer["id"]).inputs["carrier"] == ["UA", "007"]


def test_headers_carry_the_id_and_the_event_time(server: Server, home: Home):
    headers = {"X-Request-Id": "header-1", "X-Event-Time": "2013-04-01"}
    _, answer = server.ask("POST", "/invocations", {"inputs": ROWS}, **headers)
    assert answer["id"] == "header-1"
    assert find_prediction(home, "header-1.0").event_ms == 1364774400000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "exactly one of"),
        ({"inputs": ROWS, "instances": LISTS}, "inputs"),
        ({"rows": LISTS}, "rows"),
        ({"instances": [LISTS[0], LISTS[1][:2]]}, "row 1 has 2 values, there are 3 columns"),
        ({"dataframe_records": [RECORDS[0], {"seats": 1}]}, "row 1 and row 0"),
        ({"dataframe_records": []}, "no rows"),
        ({"dataframe_split": {"columns": ["seats", "seats", "delay"], "data": LISTS}}, "'seats' is given twice"),
        ({"inputs": ROWS, "params": {"temperature": 1}}, "temperature"),
        ({"inputs": {**ROWS, "delay": [1.0]}}, "delay"),
        ({"instances": [1, 2]}, "row 0 has 1 values"),
        # What only the model can tell: column, row, what it takes and what was found.
        ({"dataframe_split": {"data": [LISTS[0], [{}, 1, "UA"]]}}, "column 'delay' takes double; row 1 is dict {}"),
        ({"dataframe_records": [{**RECORDS[0], "delay": [1]}]}, "column 'delay' takes double; row 0 is list [1]"),
        ({"instances": [[1.5, [7], "UA"]]}, "column 'seats' takes long; row 0 is list [7]"),
        ({"inputs": {**ROWS, "carrier": [1, 2]}}, "column 'carrier' takes string; row 0 is int 1"),
        ({"inputs": {"delay": {"a": 1}}}, "column 'seats' is missing"),
    ],
)  # fmt: skip
def test_a_wrong_form_is_named(server: Server, body: dict[str, Any], words: str):
    assert words in refusal(server, body, "/invocations")


@pytest.mark.parametrize(("body", "kind", "words"), [
    (b"a", "text/csv", "heading"), (b"seats,delay\n1", "text/csv", "line 2"), (b"\xff\n1", "text/csv", "CSV"),
])  # fmt: skip
def test_other_bodies_are_refused_in_words(server: Server, body: bytes, kind: str, words: str):
    assert words in refusal(server, body, "/invocations", **{"Content-Type": kind})


@pytest.mark.parametrize("kind", ["application/parquet", "text/csv; charset=latin-1", "application/json; format=split"])
def test_a_type_that_is_not_taken_is_a_415(server: Server, kind: str):
    status, answer = server.ask("POST", "/invocations", b"x", **{"Content-Type": kind})
    assert (status, set(answer)) == (415, {"error"})


@pytest.mark.parametrize("path", ["/invocations", INFER])
def test_a_compressed_body_is_a_415(server: Server, path: str):
    status, answer = server.ask("POST", path, b"x", **{"Content-Encoding": "gzip"})
    assert (status, "gzip" in answer["error"]) == (415, True)
    assert server.ask("POST", path, b"x", **{"Content-Encoding": "identity"})[0] == 400


# Labels and metrics


def test_labels_are_taken_where_predictions_are_made(server: Server, home: Home):
    server.infer(id="labelled-1")
    body = {"labels": {"labelled-1.0": 1, "labelled-1.1": 0}}
    assert server.ask("POST", "/v2/models/late/labels", body) == (200, {"new": 2, "changed": 0, "known": 0})
    assert server.ask("POST", "/v2/models/late/labels", body) == (200, {"new": 0, "changed": 0, "known": 2})
    rows = labelled_rows(home, "late")
    assert dict(zip(rows.ids, rows.labels, strict=True)) == {"labelled-1.0": 1.0, "labelled-1.1": 0.0}


def test_labels_of_unknown_predictions_are_counted_and_named(server: Server):
    words = refusal(server, {"labels": {"nobody.0": 1}}, "/v2/models/late/labels")
    assert "1 of 1 labels" in words
    assert "nobody.0" in words


def test_metrics_count_requests_rows_errors_and_time(server: Server):
    before = metrics(server)
    server.infer()
    server.ask("POST", INFER, b"{")
    after = metrics(server)
    grown = {name: after[name] - before.get(name, 0.0) for name in after if after[name] != before.get(name, 0.0)}
    assert grown['taut_requests_total{code="200"}'] == 1
    assert grown['taut_requests_total{code="400"}'] == 1
    assert grown["taut_errors_total{}"] == 1
    assert grown["taut_rows_total{}"] == 2
    assert grown["taut_request_seconds_count{}"] == 2
    assert grown['taut_request_seconds_bucket{le="+Inf"}'] == 2
    assert after["taut_log_lag_seconds{}"] == after["taut_requests_waiting{}"] == 0


def metrics(server: Server) -> dict[str, float]:
    """The exposition as a Prometheus would read it, without the labels that are the same everywhere."""
    same = 'deployment="late",model="late",version="1",revision="1"'
    lines = server.raw("GET", "/metrics").data.decode().splitlines()
    values = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name.replace(same + ",", "").replace(same, ""): float(value) for name, _, value in values}
