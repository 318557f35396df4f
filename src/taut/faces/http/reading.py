"""Reading a request's body with a bound."""

from starlette.requests import Request

from taut.errors import Invalid

BODY_BYTES_MAX = 64 << 20  # JSON of one call; the bytes of models and data travel as objects, which are streamed.


async def read_body(request: Request, *, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The body of a request. Raises Invalid past `bytes_max`, before the rest of it is read."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise Invalid(f"the request is larger than {bytes_max} bytes", hint="send large content as an object")
        parts.append(part)
    return b"".join(parts)
