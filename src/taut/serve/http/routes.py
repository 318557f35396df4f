"""The two protocols of predictions: how each request becomes rows, and each prediction an answer."""

from collections.abc import Callable
from dataclasses import dataclass

from taut.errors import Invalid
from taut.models.signature import Signature
from taut.records import Prediction
from taut.serve.http.answers import Answer
from taut.serve.http.board import Slot
from taut.serve.http.reading import Question
from taut.serve.invocations import invocation_body, read_invocation
from taut.serve.oip import infer_body, read_infer
from taut.serve.requests import Request
from taut.serve.scoring.batcher import Batcher


class Way:
    """A backend as requests reach it: its batcher and its counters, and, once it is started, what it takes."""

    __slots__ = ("backend", "batcher", "signature", "slot")
    signature: Signature

    def __init__(self, batcher: Batcher, slot: Slot) -> None:
        self.backend = batcher.backend
        self.batcher = batcher
        self.slot = slot

    async def start(self) -> None:
        """Bring the model up. Raises what loading it raises."""
        await self.backend.engine.start()
        self.signature = self.backend.engine.signature


@dataclass(frozen=True, slots=True)
class Route:
    """A path that predictions are asked of. `is_free` says that it names no version, so that any may answer."""

    read: Callable[[Question, Way], Request]
    write: Callable[[Prediction, Request], Answer]
    way: Way
    is_free: bool = True


def hot_routes(endpoint: str, ways: list[Way]) -> dict[str, Route]:
    """What is asked all the time, by its whole path; the first backend is the live one."""
    live = ways[0]
    return {
        **{
            f"/v2/models/{endpoint}/versions/{way.backend.number}/infer": Route(_infer, _inferred, way, is_free=False)
            for way in ways
            if way.backend.role != "shadow"
        },
        "/invocations": Route(_invoke, _invoked, live),
        f"/v2/models/{endpoint}/infer": Route(_infer, _inferred, live),
    }


def _invoke(question: Question, way: Way) -> Request:
    return read_invocation(
        question.body,
        way.signature,
        content_type=question.header(b"content-type"),
        request_id=question.header(b"x-request-id"),
        moment=question.header(b"x-event-time"),
    )


def _invoked(said: Prediction, _: Request) -> Answer:
    return _answer(said, invocation_body(said))


def _infer(question: Question, _: Way) -> Request:
    if b"inference-header-content-length" in question.headers:
        raise Invalid("this server takes tensors as JSON; leave binary_data out")
    return read_infer(question.body)


def _inferred(said: Prediction, request: Request) -> Answer:
    return _answer(said, infer_body(said, request.outputs))


def _answer(said: Prediction, body: bytes) -> Answer:
    return Answer(200, body, said.rows, said.id, said.number, said.revision)
