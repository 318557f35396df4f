"""The application that answers HTTP, as the gRPC service sees it: the same backends, guard, limits and log."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from taut import __version__
from taut.models.signature import Signature
from taut.records import Prediction
from taut.serve.grpc.asking import PEER, Endpoint, Scorer
from taut.serve.http.application import Application
from taut.serve.http.routes import Way
from taut.serve.requests import Request, server_body
from taut.serve.scoring.pending import Result

INFER = "/v2/models/{}/infer"
"""What a call is to the guard: the same permission on the same endpoint as over HTTP."""


@dataclass(frozen=True, slots=True)
class _Asking:
    application: Application
    way: Way
    headers: Mapping[bytes, bytes]
    caller: str
    is_free: bool

    async def answer(self, request: Request) -> Prediction:
        """The answer, once it is in the log."""
        way = self.application.picked(self.headers, request.columns) if self.is_free else self.way
        future: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        way.batcher.put(request, self.caller, lambda result: _tell(future, result))
        return await future


def endpoint_of(application: Application) -> Endpoint:
    """What `serving_grpc` takes, for an application that is or will be warm."""

    async def find(name: str, number: str, headers: Mapping[str, str]) -> tuple[Scorer, Signature]:
        raw = {key.encode("latin-1"): value.encode("latin-1", "replace") for key, value in headers.items()}
        raw[b"host"] = b"localhost"  # Browsers do not speak it, and a call has no Host.
        caller = await application.admitted("POST", INFER.format(name), raw, address_of(headers.get(PEER, "")))
        way = application.pages.way(name, number)
        return _Asking(application, way, raw, caller, is_free=not number), way.signature

    return Endpoint(
        find, lambda name, number: application.pages.described(application.pages.way(name, number)),
        lambda: server_body(__version__), lambda: application.health.unready,
    )  # fmt: skip


def address_of(peer: str) -> str:
    """The address in gRPC's word for who calls; empty for a socket of this machine.

    >>> address_of("ipv4:10.0.0.1:5"), address_of("ipv6:%5B::1%5D:5"), address_of("unix:"), address_of("")
    ('10.0.0.1', '::1', '', 'nowhere')
    """
    kind, _, rest = peer.partition(":")
    if kind in ("unix", "unix-abstract"):
        return ""
    return unquote(rest).rpartition(":")[0].strip("[]") or "nowhere"


def _tell(future: "asyncio.Future[Prediction]", result: Result) -> None:
    if future.done():  # Whoever waited may have given up.
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
