"""No request outlives its answer, whatever came of it: a serving process looks for cycles seldom."""

import gc
from collections.abc import Iterator

import pytest

from taut.home import Home
from taut.serve.http.reading import Question
from tests.parts import eventually
from tests.serve.http.scenes import Endpoint, endpoint, post, request

CHUNKED = b"Expect: 100-continue\r\n"  # The long way, through ASGI.
OUTCOMES: dict[str, tuple[bytes, int]] = {
    "an answer": (post(2.0), 200),
    "a request that cannot be read": (request(b'{"inputs": 1}'), 400),
    "more values than may be": (request(b'{"inputs": [' + b"1," * 2_000_001 + b"1]}", path="/invocations"), 413),
    "a model that raises": (post(do="raise"), 500),
}


@pytest.fixture
def quiet() -> Iterator[None]:
    """Nobody looks for cycles while the test runs."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left() -> int:
    return sum(type(one) is Question for one in gc.get_objects())


def asked(served: Endpoint, body: bytes) -> int:
    with served.line() as line:
        got = line.ask(body)
        return (line.read() if got.status == 100 else got).status


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
def test_nothing_keeps_a_request_after_its_answer(home: Home, quiet: None, outcome: str, long: bool):
    body, status = OUTCOMES[outcome]
    if long:
        body = body.replace(b"Host: here\r\n", b"Host: here\r\n" + CHUNKED)
    with endpoint(home) as served:
        begin = left()
        for _ in range(5):
            assert asked(served, body) == status
        eventually(lambda: left() <= begin + 1, what="requests that are gone")  # The loop may hold the last one.
