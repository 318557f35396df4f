"""Reading a request's body with a bound."""

from starlette.requests import Request

from taut.errors import TooLarge
from taut.faces.http.limits import share_of

BODY_BYTES_MAX = 64 << 20  # JSON of one call; the bytes of models and data travel as objects, which are streamed.


async def read_body(request: Request, *, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The body of a request. Raises TooLarge past `bytes_max`, before the rest is read, and Busy as `Share.take`."""
    check_length(request.headers.get("content-length", ""), bytes_max)
    parts, size, share = [], 0, share_of(request.scope)
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise too_large(bytes_max)
        share.take(len(part))
        parts.append(part)
    return b"".join(parts)


def check_length(said: str, bytes_max: int) -> None:
    """Raise TooLarge for what a Content-Length says, before anything is read; nothing said is nothing known."""
    if len(said) > 6 and int(said) > bytes_max:  # Digits alone: the parser has seen to it.
        raise too_large(bytes_max)


def too_large(bytes_max: int) -> TooLarge:
    """How a body past its limit is told."""
    return TooLarge(f"the request is larger than {bytes_max} bytes", hint="send large content as an object")
