"""Bodies of any size into the object store: one pass from the socket to the disk, in little memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from taut.errors import Invalid, TautError
from taut.faces.http.intake import Intake, take_over
from taut.faces.http.limits import Limits, Share, share_of
from taut.ground.objects import Objects, Sink

# What the loop gathers while a thread hashes and writes the block before it. Measured with bench/artifacts.py: half of
# it costs 5 % more CPU for changes of threads, twice of it no longer fits the core's own cache and costs 20 %.
BLOCK_BYTES = 2 << 20

Kept = TypeVar("Kept")
Keep = Callable[[str, int], Kept]
Block = list[bytes | memoryview]


async def store_body(
    objects: Objects, request: Request, keep: Keep[Kept], *, expect: Callable[[], object] = lambda: None
) -> Kept:
    """Put a request's body into the store, then call `keep` with its oid and size; returns what that returns.

    A body of one block costs one change of threads, `keep` included. Before a larger one is read on, `expect` is
    called, to refuse what would be refused at its end. Both run in a thread. Raises Invalid where the body is not as
    long as it was said to be, TooLarge past the limit of this server for a file, Busy as `Share.take` does; whoever
    goes away in the middle leaves nothing.
    """
    said, share = _said_length(request), share_of(request.scope)
    share.limits.check_artifact(said or 0)
    stream = request.stream()
    block, whole = await _gather(stream, share)
    if whole:
        share.limits.check_artifact(sum(map(len, block)))
        return await run_in_threadpool(_store_block, objects, block, said, keep)
    share.take(2 * BLOCK_BYTES)  # One is written while the next comes in.
    await run_in_threadpool(expect)
    sink = await _in_thread(partial(objects.sink, size_bytes=said or 0))
    got = sum(map(len, block))
    taken = take_over(request, said - got) if said is not None else None
    if taken is None:
        oid, size_bytes = await _store_stream(sink, _gathered(block, stream), said, share.limits)
    else:
        intake, held = taken
        try:
            oid, size_bytes = await _store_stream(sink, _received([*block, held], intake), said, share.limits)
        except TautError:
            await intake.drain()
            raise
        finally:
            intake.give_back()
    return await run_in_threadpool(keep, oid, size_bytes)


async def _store_stream(sink: Sink, blocks: AsyncIterator[Block], said: int | None, limits: Limits) -> tuple[str, int]:
    """One block is hashed and written while the next comes in; then the loop waits, and with it the sender.

    A thread is used for a block at a time, not for as long as a slow sender takes.
    """
    writing: asyncio.Future[None] | None = None
    size_bytes = 0
    try:
        async for block in blocks:
            if writing is not None:
                await writing
            size_bytes += sum(map(len, block))
            limits.check_artifact(size_bytes)
            writing = _in_thread(partial(_write, sink, block))
        if writing is not None:
            await writing
        _check_length(size_bytes, said)
        return await _in_thread(sink.commit), size_bytes
    except BaseException:
        # Also where this task is cancelled. A thread cannot be; the file is removed once it is through.
        await asyncio.shield(asyncio.ensure_future(_abort(sink, writing)))
        raise


async def _abort(sink: Sink, writing: "asyncio.Future[None] | None") -> None:
    if writing is not None:
        await asyncio.gather(writing, return_exceptions=True)  # What it could not do is told already, or moot.
    await _in_thread(sink.abort)


async def _gathered(block: Block, stream: AsyncIterator[bytes]) -> AsyncIterator[Block]:
    """The blocks of a body as the server gives it, the first one included."""
    yield block
    whole = False
    while not whole:
        block, whole = await _gather(stream)
        yield block


async def _gather(stream: AsyncIterator[bytes], share: Share | None = None) -> tuple[Block, bool]:
    """Pieces of the body that make a block, and whether they are its last; a `share` holds them."""
    pieces: Block = []
    size = 0
    async for piece in stream:
        pieces.append(piece)
        size += len(piece)
        if share is not None:
            share.take(len(piece))
        if size >= BLOCK_BYTES:
            return pieces, False
    return pieces, True


async def _received(block: Block, intake: Intake) -> AsyncIterator[Block]:
    """The blocks of a body that we receive ourselves; the two that they lie in take turns."""
    yield block
    blocks = [memoryview(bytearray(BLOCK_BYTES)) for _ in range(2)]
    while intake.left:
        yield [await intake.fill(blocks[0])]
        blocks.reverse()


def _write(sink: Sink, block: Block) -> None:
    for piece in block:
        sink.write(piece)


def _store_block(objects: Objects, block: Block, said: int | None, keep: Keep[Kept]) -> Kept:
    size_bytes = sum(map(len, block))
    _check_length(size_bytes, said)
    with objects.sink(size_bytes=size_bytes) as sink:
        _write(sink, block)
        oid = sink.commit()
    return keep(oid, size_bytes)


def _said_length(request: Request) -> int | None:
    """What Content-Length says; None where the body comes in chunks."""
    said = request.headers.get("content-length")
    if said is None or "transfer-encoding" in request.headers:
        return None
    if not said.isdigit():
        raise Invalid(f"Content-Length must be a whole number, not {said[:20]!r}")
    return int(said)


def _check_length(size_bytes: int, said: int | None) -> None:
    if said is not None and size_bytes != said:
        raise Invalid(f"the body has {size_bytes} bytes, not the {said} of its Content-Length")


def _in_thread(act: Callable[[], Kept]) -> "asyncio.Future[Kept]":
    """In the loop's own threads: the disk may keep them waiting, and those of the other requests stay free."""
    return asyncio.get_running_loop().run_in_executor(None, copy_context().run, act)
