"""The application that answers HTTP, as the gRPC service sees it: the same backends, guard, limits and log."""

from collections.abc import Mapping
from dataclasses import dataclass

from taut import __version__
from taut.models.signature import Signature
from taut.records import Prediction
from taut.serve.grpc.asking import Endpoint, Scorer
from taut.serve.http.application import KEY_HEADER, Application, Way
from taut.serve.requests import Request, server_body

INFER = "/v2/models/{}/infer"
"""What a call is to the guard: the same permission on the same endpoint as over HTTP."""


@dataclass(frozen=True, slots=True)
class _Asking:
    way: Way
    caller: str

    async def answer(self, request: Request) -> Prediction:
        """The answer, once it is in the log."""
        return await self.way.batcher.ask(request, self.caller)


def endpoint_of(application: Application) -> Endpoint:
    """What `serving_grpc` takes, for an application that is or will be warm."""

    async def find(name: str, number: str, headers: Mapping[str, str]) -> tuple[Scorer, Signature]:
        raw = {key.encode("latin-1"): value.encode("latin-1", "replace") for key, value in headers.items()}
        caller = "" if application.guard is None else application.guard("POST", INFER.format(name), raw)
        way = application.way(name, number)
        if not number:
            way = application.picked(headers.get(KEY_HEADER.decode(), ""))
        return _Asking(way, caller), way.backend.engine.signature

    return Endpoint(
        find, lambda name, number: application.described(application.way(name, number)),
        lambda: server_body(__version__), lambda: application.unready,
    )  # fmt: skip
