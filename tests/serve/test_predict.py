"""Asking by name: typed columns and CSV, ids that make asking again safe, and errors that say what to do."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from taut.deploy import deploy_model, find_state, reconcile_deployments, report_state, stop_deployment
from taut.deploy.running import run_folder, serving_now
from taut.errors import Conflict, Corrupt, Invalid, NotFound, Unavailable
from taut.ground.compute import is_alive, stop_process
from taut.home import Home
from taut.serve import Columns, find_prediction, predict, read_columns, traffic
from tests.parts import eventually
from tests.serve.scenes import ROWS, make_home, record, register

ANSWER = [0.25 + 0.01, 0.4 + 0.02]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose deployment `late` answers."""
    with make_home(tmp_path_factory.mktemp("predict") / "project") as made:
        register(made)
        deploy_model(made, "late", model="late@1")
        yield made
        for left in serving_now(run_folder(made), "late"):
            stop_process(left.handle, grace_s=0.0)


def test_an_answer_says_what_was_predicted_and_by_whom(home: Home):
    answer = predict(home, "late", ROWS, request_id="said-1", event_time="2013-04-01T05:00Z")
    assert (answer.id, answer.model, answer.number, answer.revision, answer.rows) == ("said-1", "late", 1, 1, 2)
    assert answer.outputs == {"prediction": [0, 0], "probability": ANSWER}
    assert find_prediction(home, "said-1.1").event_ms == 1364792400000


def test_an_answer_has_an_id_though_none_was_given(home: Home):
    answer = predict(home, "late", ROWS)
    assert find_prediction(home, answer.id).rows == 2


def test_asking_again_with_an_id_adds_nothing(home: Home):
    first = predict(home, "late", ROWS, request_id="twice-1")
    before = traffic(home, "late").requests
    assert predict(home, "late", ROWS, request_id="twice-1") == first
    assert traffic(home, "late").requests == before


def test_an_id_that_was_used_for_other_rows_is_a_conflict(home: Home):
    predict(home, "late", ROWS, request_id="taken-1")
    with pytest.raises(Conflict):
        predict(home, "late", {**ROWS, "seats": [1, 2]}, request_id="taken-1")


def test_csv_is_read_by_the_signature_of_the_model(home: Home):
    columns = read_columns("carrier,seats,delay\nUA,10,2.5\n007,20,\n")
    answer = predict(home, "late", columns, request_id="csv-1")
    assert answer.outputs["probability"] == [ANSWER[0], 0.02]
    assert find_prediction(home, "csv-1").inputs == {
        "carrier": ["UA", "007"], "seats": [10, 20], "delay": [2.5, None],
    }  # fmt: skip


@pytest.mark.parametrize("text", [
    '{"delay": [2.5, 4.0], "seats": [10, 20], "carrier": ["UA", "AA"]}',
    '[{"delay": 2.5, "seats": 10, "carrier": "UA"}, {"delay": 4.0, "seats": 20, "carrier": "AA"}]',
    "delay,seats,carrier\n2.5,10,UA\n4.0,20,AA",
])  # fmt: skip
def test_every_form_of_input_asks_the_same(home: Home, text: str):
    assert predict(home, "late", read_columns(text)).outputs["probability"] == ANSWER


@pytest.mark.parametrize(("text", "words"), [
    ("", "heading"), ("a,b", "heading"), ("a,b\n1", "line 2"), ("[]", "no rows"), ("{", "rows.json"),
    ('[{"a": 1}, {"b": 1}]', "row 1 and row 0"), ('{"a": 1}', "rows.json"),
])  # fmt: skip
def test_an_input_that_cannot_be_read_is_told_in_words(text: str, words: str):
    with pytest.raises(Invalid, match=words):
        read_columns(text, name="rows.json")


@pytest.mark.parametrize(("columns", "words"), [
    ({"delay": [1.0], "seats": [1]}, "'carrier' is missing"),
    ({**ROWS, "late": [0, 1]}, "'late'"),
    ({**ROWS, "seats": ["many", "few"]}, "'seats'"),
])  # fmt: skip
def test_a_wrong_column_is_named(home: Home, columns: Columns, words: str):
    with pytest.raises(Invalid, match=words):
        predict(home, "late", columns)


def test_a_text_that_is_no_number_is_named_from_csv(home: Home):
    with pytest.raises(Invalid, match="'seats'"):
        predict(home, "late", read_columns("delay,seats,carrier\n1.0,many,UA"))


def test_a_model_that_fails_is_no_fault_of_the_caller(home: Home):
    with pytest.raises(Corrupt, match="the model failed on request"):
        predict(home, "late", {**ROWS, "carrier": ["raise", "AA"]})


def test_a_misspelt_deployment_suggests_the_nearest(home: Home):
    with pytest.raises(NotFound, match="did you mean 'late'"):
        predict(home, "lat", ROWS)


# What may be wrong with a deployment; each scene has a home of its own.


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Home]:
    """A home where nothing answers."""
    with make_home(tmp_path / "still") as made:
        register(made)
        record(made)
        yield made
        for left in serving_now(run_folder(made), "late"):
            stop_process(left.handle, grace_s=0.0)


def test_a_deployment_that_is_not_up_says_how_to_start_it(still: Home):
    with pytest.raises(Unavailable, match="not up yet") as refused:
        predict(still, "late", ROWS)
    assert refused.value.hint == "taut deploy late --model late@1"


def test_a_stopped_deployment_says_so(still: Home):
    deploy_model(still, "late", model="late@1")
    stop_deployment(still, "late")
    with pytest.raises(Unavailable, match="'late' is stopped"):
        predict(still, "late", ROWS)


def test_a_deployment_that_died_says_what_to_do(still: Home):
    state = deploy_model(still, "late", model="late@1")
    fronts = serving_now(run_folder(still), "late")[0].fronts
    os.kill(int(state.handle.partition(":")[0]), signal.SIGKILL)
    eventually(lambda: not any(is_alive(front.handle) for front in fronts), what="the end of its fronts")
    with pytest.raises(Unavailable, match="does not answer at") as refused:
        predict(still, "late", ROWS)
    assert refused.value.hint == "taut up --once"
    assert reconcile_deployments(still)[0].done == "started"
    assert predict(still, "late", ROWS).outputs["probability"] == ANSWER


def test_a_connection_that_breaks_is_tried_again_under_the_same_id(still: Home):
    """A door that closes the first connection and leads to the deployment afterwards."""
    state = deploy_model(still, "late", model="late@1")
    with socket.create_server(("127.0.0.1", 0)) as door:
        report_state(still, replace(state, url=f"http://127.0.0.1:{door.getsockname()[1]}"))

        def close_once() -> None:
            line, _ = door.accept()
            line.recv(65_536)
            report_state(still, state)
            line.close()

        thread = threading.Thread(target=close_once)
        thread.start()
        answer = predict(still, "late", ROWS, request_id="broken-1")
        thread.join(10)
        assert not thread.is_alive()
    assert answer.outputs["probability"] == ANSWER
    assert traffic(still, "late").requests == 1
    assert find_state(still, "late") == state
