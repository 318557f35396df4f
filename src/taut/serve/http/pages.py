"""What an endpoint says of itself, and the labels it takes: everything but predictions."""

import asyncio
import time

import msgspec

from taut import __version__
from taut.deploy import list_figures
from taut.errors import NotFound, TautError
from taut.ground import wire
from taut.ground.exposed import Family, Sample, family_lines
from taut.home import Home
from taut.serve.http.answers import Answer, HttpProblem, error
from taut.serve.http.board import Board
from taut.serve.http.exposition import exposition
from taut.serve.http.reading import Question
from taut.serve.http.routes import Route, Way
from taut.serve.log import log_labels
from taut.serve.requests import metadata_body, server_body
from taut.serve.scoring.health import Health


class _Labels(msgspec.Struct):
    labels: dict[str, float]


class Pages:
    """The paths of an endpoint that are not asked all the time; `keeps` says whether it remembers its predictions."""

    def __init__(
        self, home: Home, endpoint: str, ways: list[Way], hot: dict[str, Route], board: Board, health: Health,
        *, keeps: bool,
    ) -> None:  # fmt: skip
        self._home, self._endpoint, self._ways, self._hot = home, endpoint, ways, hot
        self._board, self._health, self._keeps = board, health, keeps

    async def answer(self, question: Question) -> Answer:
        """Raises HttpProblem for a wrong method, NotFound for an unknown path, and what labels raise."""
        if question.path in self._hot:
            _only(question, "POST")
        if question.path.startswith("/v2/models/"):
            return await self._model(question)
        _only(question, "GET")
        if question.path == "/metrics":
            return await self._metrics()
        return self._about(question.path)

    def _about(self, path: str) -> Answer:
        if path in ("/v2/health/live", "/ping", "/health"):
            return Answer(200, b'{"live":true}')
        if path in ("/v2/health/ready", "/ready"):
            return self._ready()
        if path == "/version":
            return Answer(200, msgspec.json.encode({"taut": __version__}))
        if path in ("/v2", "/v2/"):
            return Answer(200, server_body(__version__))
        raise NotFound(f"this server has no {path}")

    async def _metrics(self) -> Answer:
        """What the fronts counted, and what whoever watches the deployment noted of it, where that can be read."""
        exposed = exposition(self._board, now_s=time.monotonic())
        if self._keeps:
            exposed += await asyncio.to_thread(self._noted)
        return Answer(200, exposed, content_type=b"text/plain; version=0.0.4; charset=utf-8")

    def _noted(self) -> bytes:
        """A home that is away keeps nobody from the counters of the endpoint; the figures say that it is."""
        try:
            found, is_told = list_figures(self._home, self._endpoint), 1.0
        except TautError:
            found, is_told = [], 0.0
        told = Family(
            "taut_watch_told", "gauge", "1 where what is noted of the deployment could be read, else 0.",
            (Sample({"deployment": self._endpoint}, is_told),),
        )  # fmt: skip
        return "".join(f"{line}\n" for line in family_lines([*found, told])).encode()

    async def _model(self, question: Question) -> Answer:
        """`/v2/models/NAME[/versions/NUMBER][/ready|/labels]`."""
        name, *rest = question.path.removeprefix("/v2/models/").split("/")
        number = ""
        if rest[:1] == ["versions"]:
            number, rest = "".join(rest[1:2]), rest[2:]
        way = self.way(name, number)
        if rest == ["labels"]:
            _only(question, "POST")
            return await self._label(question)
        if rest not in ([], ["ready"]):
            raise NotFound(f"this server has no {question.path}")
        _only(question, "GET")
        return self._ready() if rest else Answer(200, self.described(way))

    def way(self, name: str, number: str = "") -> Way:
        """The backend of a name and a version, as a caller wrote them; the live one where no version is named.

        Raises NotFound.
        """
        if name != self._endpoint:
            raise NotFound(f"no model {name!r} here; this server serves {self._endpoint!r}")
        if not number:
            return self._ways[0]
        for way in self._ways:
            if number == str(way.backend.number) and way.backend.role != "shadow":
                return way
        served = ", ".join(str(way.backend.number) for way in self._ways if way.backend.role != "shadow")
        raise NotFound(f"version {number!r} is not served here; {served} is")

    def described(self, way: Way) -> bytes:
        """The metadata of a backend by the Open Inference Protocol."""
        backend = way.backend
        versions = [one.backend.number for one in self._ways if one.backend.role != "shadow"]
        return metadata_body(
            self._endpoint, backend.number, backend.model, backend.revision, way.signature, way.outputs, versions
        )

    async def _label(self, question: Question) -> Answer:
        if not self._keeps:
            raise NotFound("this server serves a model without a deployment, so it remembers no predictions")
        labels = wire.decode(question.body, _Labels, what="the labels").labels
        logged = await asyncio.to_thread(log_labels, self._home, self._endpoint, labels)
        return Answer(200, wire.encode(logged))

    def _ready(self) -> Answer:
        why = self._health.unready
        return error(503, f"not ready: {why}") if why else Answer(200, b'{"ready":true}')


def _only(question: Question, method: str) -> None:
    if question.method != method:
        raise HttpProblem(405, f"{question.path} takes {method}, not {question.method}")
