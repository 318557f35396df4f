"""The two protocols of predictions: how each request becomes rows, and each prediction an answer."""

from collections.abc import Callable
from dataclasses import dataclass

from taut.models.signature import Signature
from taut.records import Prediction
from taut.serve.http.answers import Answer
from taut.serve.http.board import Slot
from taut.serve.http.reading import Question
from taut.serve.requests import (
    Body,
    InvocationReader,
    Request,
    infer_answer,
    invocation_answer,
    is_table,
    must_be_plain,
    read_infer,
    read_infer_table,
)
from taut.serve.scoring.batcher import Batcher


class Way:
    """A backend as requests reach it: its batcher and counters; once it is started, what it takes and how it is read.

    `outputs` are the datatypes that its first answer had.
    """

    __slots__ = ("backend", "batcher", "outputs", "reader", "signature", "slot")
    reader: InvocationReader
    signature: Signature

    def __init__(self, batcher: Batcher, slot: Slot) -> None:
        self.backend = batcher.backend
        self.batcher = batcher
        self.outputs: dict[str, str] = {}
        self.slot = slot

    async def start(self) -> None:
        """Bring the model up. Raises what loading it raises."""
        await self.backend.engine.start()
        self.signature = self.backend.engine.signature
        self.reader = InvocationReader(self.signature, [param.name for param in self.signature.params])


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
    header = question.header
    must_be_plain(header(b"content-encoding"))
    return way.reader.read(
        question.body,
        content_type=header(b"content-type"),
        request_id=header(b"x-request-id"),
        moment=header(b"x-event-time"),
        accept=header(b"accept"),
    )


def _infer(question: Question, way: Way) -> Request:
    header = question.header
    must_be_plain(header(b"content-encoding"))
    if not is_table(header(b"content-type")):
        length = header(b"inference-header-content-length")
        accept = header(b"accept")
        return read_infer(question.body, header_length=length, accept=accept, signature=way.signature)
    return read_infer_table(
        question.body,
        request_id=header(b"x-request-id"),
        moment=header(b"x-event-time"),
        accept=header(b"accept"),
    )


def _invoked(said: Prediction, request: Request) -> Answer:
    return _answer(said, invocation_answer(said, request))


def _inferred(said: Prediction, request: Request) -> Answer:
    return _answer(said, infer_answer(said, request))


def _answer(said: Prediction, body: Body) -> Answer:
    return Answer(200, body.data, said.rows, said.id, said.number, said.revision, body.content_type, body.headers)
