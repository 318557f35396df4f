"""The Open Inference Protocol over gRPC, as an extra: beside the HTTP server, on a port of its own, same answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taut.errors import UsageError
from taut.serve.grpc.asking import Endpoint, Scorer

__all__ = ["Endpoint", "Scorer", "serving_grpc"]


@asynccontextmanager
async def serving_grpc(
    endpoint: Endpoint,
    host: str,
    port: int,
    *,
    shared: bool = False,
    message_bytes_max: int = 16 << 20,
    drain_s: float = 15.0,
) -> AsyncIterator[int]:
    """Answer over gRPC in this event loop until the block ends; yields the port, which 0 leaves to the system.

    At the end no call is accepted any more, and those under way have `drain_s` to be answered. Where the port is
    `shared`, other processes of the endpoint may listen at it too, and the system spreads connections over them.
    Raises UsageError where grpcio is not installed, Conflict where the port is taken.
    """
    try:
        from taut.serve.grpc.service import started
    except ImportError as missing:
        raise UsageError(
            f"gRPC needs the package {missing.name or 'grpcio'!r}", hint="pip install 'taut[grpc]'"
        ) from None
    server, found = await started(endpoint, host, port, message_bytes_max, shared=shared)
    try:
        yield found
    finally:
        await server.stop(drain_s)
