"""The service itself: each call is one question to the endpoint, each kind of error one status of gRPC."""

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import msgspec

from taut.errors import (
    Conflict,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    Refused,
    TautError,
    Throttled,
    TooLarge,
    Unavailable,
    Unsupported,
    UsageError,
)
from taut.serve.grpc.asking import PEER, Endpoint
from taut.serve.grpc.messages import CLASSES, HEALTH, HEALTH_CLASSES, NOT_SERVING, SERVICE, SERVING
from taut.serve.grpc.tensors import answer_message, read_message
from taut.serve.http.asking import Unknown
from taut.serve.scoring.pending import RequestFailed

CALLS_MAX = 4096  # Under way at once, over all connections; more are told RESOURCE_EXHAUSTED by gRPC itself.
STATUSES: dict[type[Exception], grpc.StatusCode] = {
    Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    UsageError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.ALREADY_EXISTS,
    Unknown: grpc.StatusCode.UNAUTHENTICATED,
    Denied: grpc.StatusCode.PERMISSION_DENIED,
    Refused: grpc.StatusCode.FAILED_PRECONDITION,
    Corrupt: grpc.StatusCode.DATA_LOSS,
    Throttled: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    TimeoutError: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""The narrower kind before the wider; a call that fails in any other way is INTERNAL."""


async def started(endpoint: Endpoint, host: str, port: int, message_bytes_max: int, *, shared: bool) -> tuple[Any, int]:
    """A server that answers, and its port. Raises Conflict where the port is taken."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", message_bytes_max),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", int(shared)),
        ],
        maximum_concurrent_rpcs=CALLS_MAX,
    )
    server.add_generic_rpc_handlers((_inference(_Calls(endpoint)), _health(endpoint)))
    try:
        found = server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except RuntimeError as problem:
        raise Conflict(f"gRPC cannot listen at {host}:{port}: {problem!s:.200}") from None
    await server.start()
    return server, found


def status_of(problem: Exception) -> grpc.StatusCode:
    """The status that a call ends with, by the kind of what went wrong."""
    found = (status for kind, status in STATUSES.items() if isinstance(problem, kind))
    return next(found, grpc.StatusCode.INTERNAL)


class _Calls:
    """The calls of the inference service, by their names in the protocol."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def server_live(self, _: Any, __: Any) -> Any:
        return CLASSES["ServerLiveResponse"](live=True)

    async def server_ready(self, _: Any, __: Any) -> Any:
        return CLASSES["ServerReadyResponse"](ready=not self._endpoint.unready())

    async def model_ready(self, asked: Any, context: Any) -> Any:
        await self._endpoint.find(asked.name, asked.version, _headers(context))
        return CLASSES["ModelReadyResponse"](ready=not self._endpoint.unready())

    async def server_metadata(self, _: Any, __: Any) -> Any:
        return CLASSES["ServerMetadataResponse"](**msgspec.json.decode(self._endpoint.server_described()))

    async def model_metadata(self, asked: Any, context: Any) -> Any:
        await self._endpoint.find(asked.name, asked.version, _headers(context))
        about = msgspec.json.decode(self._endpoint.described(asked.name, asked.version))
        names = ("name", "versions", "platform", "inputs", "outputs")
        return CLASSES["ModelMetadataResponse"](**{name: about[name] for name in names})

    async def model_infer(self, asked: Any, context: Any) -> Any:
        scorer, signature = await self._endpoint.find(asked.model_name, asked.model_version, _headers(context))
        request = read_message(asked, signature)
        async with asyncio.timeout(context.time_remaining()):  # None without a deadline; the scorer has its own too.
            answered = await scorer.answer(request)
        return answer_message(answered, request)


def _headers(context: Any) -> dict[str, str]:
    """A call's metadata, and whence it comes under a name that no caller can give; what is binary is left out."""
    said = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
    return {**said, PEER: context.peer()}


Call = Callable[[Any, Any], Awaitable[Any]]


def _told(call: Call, name: str) -> Call:
    """A call whose errors are statuses with one text; what nobody foresaw is written down, and not told."""

    async def answer(asked: Any, context: Any) -> Any:
        try:
            return await call(asked, context)
        except TautError as problem:
            status, words = status_of(problem), problem.message
        except TimeoutError as problem:
            status, words = status_of(problem), "no answer in time; the model is slow or hangs"
        except RequestFailed as problem:  # It names the request; whoever raised it has written it down.
            status, words = grpc.StatusCode.INTERNAL, str(problem)
        except Exception as problem:  # noqa: BLE001  # The edge of the process.
            status, words = grpc.StatusCode.INTERNAL, "the server failed on this request; its log says how"
            sys.stderr.write(f"{name} failed\n{''.join(traceback.format_exception(problem))}")
        await context.abort(status, words)
        raise AssertionError("abort raises")

    return answer


def _handler(call: Call, name: str, classes: dict[str, Any]) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        _told(call, name),
        request_deserializer=classes[f"{name}Request"].FromString,
        response_serializer=classes[f"{name}Response"].SerializeToString,
    )


def _inference(calls: _Calls) -> Any:
    named: dict[str, Call] = {
        "ServerLive": calls.server_live,
        "ServerReady": calls.server_ready,
        "ModelReady": calls.model_ready,
        "ServerMetadata": calls.server_metadata,
        "ModelMetadata": calls.model_metadata,
        "ModelInfer": calls.model_infer,
    }
    return grpc.method_handlers_generic_handler(
        SERVICE, {name: _handler(call, name, CLASSES) for name, call in named.items()}
    )


def _health(endpoint: Endpoint) -> Any:
    """gRPC's own health service, which probes of orchestrators ask: the process, or the inference service by name."""

    async def check(asked: Any, _: Any) -> Any:
        if asked.service not in ("", SERVICE):
            raise NotFound(f"this server has no service {asked.service!r:.80}")
        return HEALTH_CLASSES["HealthCheckResponse"](status=NOT_SERVING if endpoint.unready() else SERVING)

    return grpc.method_handlers_generic_handler(
        f"{HEALTH}.Health", {"Check": _handler(check, "HealthCheck", HEALTH_CLASSES)}
    )
