"""taut's kinds of error in MLflow's codes and shape. Clients retry 429 and 500 on, so bad input never gets those."""

import msgspec
from starlette.responses import JSONResponse

from taut.errors import (
    Conflict,
    Corrupt,
    Denied,
    Ended,
    Invalid,
    NotFound,
    Refused,
    TautError,
    Throttled,
    TooLarge,
    Unavailable,
    UsageError,
)
from taut.faces.http.exchange import again_after, answer
from taut.faces.http.guard import Send
from taut.faces.http.limits import Busy
from taut.ground.answered import OtherRequest
from taut.ground.objects import NoRoom

CODES: dict[type[TautError], tuple[str, int]] = {
    NotFound: ("RESOURCE_DOES_NOT_EXIST", 404),
    Conflict: ("RESOURCE_ALREADY_EXISTS", 400),
    Invalid: ("INVALID_PARAMETER_VALUE", 400),
    TooLarge: ("INVALID_PARAMETER_VALUE", 413),
    UsageError: ("INVALID_PARAMETER_VALUE", 400),
    Refused: ("BAD_REQUEST", 400),
    Denied: ("PERMISSION_DENIED", 403),
    Ended: ("PERMISSION_DENIED", 403),
    Corrupt: ("INTERNAL_ERROR", 500),
    Unavailable: ("TEMPORARILY_UNAVAILABLE", 503),
    Busy: ("TEMPORARILY_UNAVAILABLE", 503),
    Throttled: ("REQUEST_LIMIT_EXCEEDED", 429),
    NoRoom: ("RESOURCE_EXHAUSTED", 507),
    OtherRequest: ("INVALID_PARAMETER_VALUE", 422),
}


async def send_error(send: Send, error: TautError) -> None:
    """Answer a request that failed so, on bare ASGI."""
    code, status = CODES.get(type(error), ("INTERNAL_ERROR", 500))
    body = msgspec.json.encode({"error_code": code, "message": told(error)})
    await answer(send, body, status, *again_after(error))


def told(error: TautError) -> str:
    """What an error says, and what to do next; a refusal begins as MLflow's does, which programs look for."""
    message = f"Permission denied: {error.message}" if isinstance(error, Denied) else error.message
    return f"{message} ({error.hint})" if error.hint else message


async def send_coded(send: Send, code: str, message: str, status: int) -> None:
    """An error in MLflow's shape, on bare ASGI."""
    await answer(send, msgspec.json.encode({"error_code": code, "message": message}), status)


def coded_answer(code: str, message: str, status: int) -> JSONResponse:
    """An error in MLflow's shape."""
    return JSONResponse({"error_code": code, "message": message}, status_code=status)
