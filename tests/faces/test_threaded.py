"""A server in a thread: it answers when the block begins, loses no answer, and is gone soon after the block."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import urllib3
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from taut.errors import Unavailable
from taut.faces.http.server import bound
from taut.faces.http.threaded import in_thread
from tests.parts import eventually

POOL = urllib3.PoolManager(retries=False, timeout=10)


def answering(answer: Callable[[Request], PlainTextResponse]) -> Starlette:
    return Starlette(routes=[Route("/", answer)])


@pytest.fixture
def kept() -> Iterator[urllib3.PoolManager]:
    """A client that keeps its connections open."""
    with urllib3.PoolManager(retries=False, timeout=10) as pool:
        yield pool


def test_it_answers_at_once_and_is_gone_before_a_tick_of_uvicorn_has_passed(kept):
    took = []
    for _ in range(5):
        listener = bound("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with in_thread(answering(lambda _: PlainTextResponse("here")), listener):
            assert kept.request("GET", url).data == b"here"
            ended = time.monotonic()
        took.append(time.monotonic() - ended)
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            POOL.request("GET", url)
    assert min(took) < 0.1, took


def test_a_request_under_way_is_answered_before_the_server_is_gone():
    asked, answer, said = threading.Event(), threading.Event(), list[bytes]()

    def slow(_: Request) -> PlainTextResponse:
        asked.set()
        assert answer.wait(10)
        return PlainTextResponse("late")

    listener = bound("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    client = threading.Thread(target=lambda: said.append(POOL.request("GET", url).data))
    with in_thread(answering(slow), listener):
        client.start()
        assert asked.wait(10)
        threading.Timer(0.2, answer.set).start()
    client.join(10)
    assert said == [b"late"]


def test_every_answer_of_a_long_block_has_the_date_of_its_second():
    listener = bound("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with in_thread(answering(lambda _: PlainTextResponse("now")), listener):
        first = POOL.request("GET", url).headers["date"]
        eventually(lambda: POOL.request("GET", url).headers["date"] != first, within=5, what="another date")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_cannot_start_is_unavailable_at_once():
    listener = bound("127.0.0.1", 0)
    listener.close()
    began = time.monotonic()
    with (
        pytest.raises(Unavailable, match="did not come up") as caught,
        in_thread(answering(PlainTextResponse), listener),
    ):
        pass
    assert time.monotonic() - began < 5
    assert caught.value.hint == "taut --debug run -- …"
