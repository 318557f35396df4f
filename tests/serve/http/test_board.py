"""The counters of several processes, added up and read as Prometheus reads them."""

import mmap
import os
import signal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from taut.errors import Invalid
from taut.serve.http.board import BATCH_BOUNDS, BOUNDS_S, MODEL_BOUNDS_S, Board, Labels
from taut.serve.http.exposition import exposition

LATE = Labels("late", "flights", "2", "3")
CANARY = Labels("late", "flights", "3", "3")


def samples(board: Board, *, now_s: float = 0.0) -> dict[tuple[str, ...], float]:
    """Every sample by its name and what tells it apart, as Prometheus' own parser reads it."""
    found = {}
    for family in text_string_to_metric_families(exposition(board, now_s=now_s).decode()):
        for sample in family.samples:
            told = [sample.labels[name] for name in ("version", "code", "le") if name in sample.labels]
            assert (sample.name, *told) not in found
            found[sample.name, *told] = sample.value
    return found


def test_the_histogram_counts_up_to_all_requests():
    board = Board([LATE])
    slot = board.meter(0, 0)
    for seconds in (0.0005, 0.001, 0.02, 99.0):
        slot.answered(200, seconds)
    found = samples(board)
    buckets = [found["taut_request_seconds_bucket", "2", str(bound)] for bound in (*BOUNDS_S, "+Inf")]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-2], buckets[-1]) == (2, 3, 4)
    assert found["taut_request_seconds_count", "2"] == 4
    assert found["taut_request_seconds_sum", "2"] == pytest.approx(99.0215)


def test_every_status_has_a_line_and_errors_are_those_from_400_on():
    board = Board([LATE])
    slot = board.meter(0, 0)
    for status in (200, 200, 413, 500, 418):
        slot.answered(status, 0.0)
    found = samples(board)
    assert {key[2]: value for key, value in found.items() if key[0] == "taut_requests_total"} == {
        "200": 2, "413": 1, "500": 1, "other": 1,
    }  # fmt: skip
    assert found["taut_errors_total", "2"] == 3


def test_calls_of_the_model_are_counted_by_time_and_by_size():
    board = Board([LATE])
    slot = board.meter(0, 0)
    slot.called(0.0002, 1)
    slot.called(0.5, 600)
    found = samples(board)
    assert found["taut_model_seconds_bucket", "2", str(MODEL_BOUNDS_S[1])] == 1
    assert found["taut_model_seconds_count", "2"] == 2
    assert found["taut_model_seconds_sum", "2"] == pytest.approx(0.5002)
    assert found["taut_batch_requests_bucket", "2", str(BATCH_BOUNDS[0])] == 1
    assert found["taut_batch_requests_bucket", "2", str(BATCH_BOUNDS[-1])] == 1
    assert (found["taut_batch_requests_count", "2"], found["taut_batch_requests_sum", "2"]) == (2, 601)


def test_the_fronts_of_an_endpoint_are_added_up_and_its_versions_are_not():
    board = Board([LATE, CANARY], fronts=3)
    for front in range(3):
        board.meter(front, 0).answered(200, 0.1)
        board.meter(front, 0).under_way(2, 100)
        board.meter(front, 1).said(7)
    found = samples(board)
    assert (found["taut_requests_total", "2", "200"], found["taut_request_seconds_count", "3"]) == (3, 0)
    assert (found["taut_requests_waiting", "2"], found["taut_request_bytes_held", "2"]) == (6, 300)
    assert (found["taut_rows_total", "2"], found["taut_rows_total", "3"]) == (0, 21)


def test_the_log_lags_by_the_oldest_prediction_of_any_front():
    board = Board([LATE], fronts=2)
    assert samples(board, now_s=10.0)["taut_log_lag_seconds", "2"] == 0
    first, second = board.meter(0, 0), board.meter(1, 0)
    second.unlogged(9.0)
    first.unlogged(7.0)
    assert samples(board, now_s=10.0)["taut_log_lag_seconds", "2"] == 3.0
    first.unlogged(0.0)
    assert samples(board, now_s=10.0)["taut_log_lag_seconds", "2"] == 1.0
    second.unlogged(0.0)
    assert samples(board, now_s=10.0)["taut_log_lag_seconds", "2"] == 0


def test_what_a_killed_front_counted_stays_and_what_it_had_under_way_goes():
    board = Board([LATE], fronts=2)
    child = os.fork()
    if child == 0:
        slot = board.meter(1, 0)
        slot.answered(200, 0.1)
        slot.under_way(5, 500)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert samples(board)["taut_requests_waiting", "2"] == 5
    board.meter(1, 0).answered(200, 0.1)  # Its successor.
    found = samples(board)
    assert (found["taut_requests_total", "2", "200"], found["taut_requests_waiting", "2"]) == (2, 0)


def test_boards_over_the_same_memory_are_one_board():
    memory = mmap.mmap(-1, 1 << 16)
    ours, theirs = (Board([LATE, CANARY], fronts=2, memory=memory) for _ in range(2))
    ours.meter(0, 1).said(3)
    theirs.meter(1, 1).said(4)
    assert samples(ours) == samples(theirs)
    assert samples(ours)["taut_rows_total", "3"] == 7


def test_memory_that_is_too_small_is_refused():
    with pytest.raises(Invalid, match=r"30 processes of 2 versions count in .* bytes, not 4096"):
        Board([LATE, CANARY], fronts=30, memory=mmap.mmap(-1, 4096))


def test_labels_of_metrics_are_escaped():
    told = exposition(Board([Labels('a"b\\c\nd', "m", "1", "1")]), now_s=0.0)
    assert b'{deployment="a\\"b\\\\c\\nd",' in told
    (family, *_) = text_string_to_metric_families(told.decode())
    assert {one.labels["deployment"] for one in family.samples} <= {'a"b\\c\nd'}
