"""taut's kinds of error in MLflow's codes and shape. Clients retry 429 and 500 on, so bad input never gets those."""

from starlette.responses import JSONResponse

from taut.errors import (
    Conflict,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    Refused,
    TautError,
    Unavailable,
    UsageError,
)
from taut.ground.objects import NoRoom

CODES: dict[type[TautError], tuple[str, int]] = {
    NotFound: ("RESOURCE_DOES_NOT_EXIST", 404),
    Conflict: ("RESOURCE_ALREADY_EXISTS", 400),
    Invalid: ("INVALID_PARAMETER_VALUE", 400),
    UsageError: ("INVALID_PARAMETER_VALUE", 400),
    Refused: ("BAD_REQUEST", 400),
    Denied: ("PERMISSION_DENIED", 403),
    Corrupt: ("INTERNAL_ERROR", 500),
    Unavailable: ("TEMPORARILY_UNAVAILABLE", 503),
    NoRoom: ("RESOURCE_EXHAUSTED", 507),
}


def error_answer(error: TautError) -> JSONResponse:
    """The answer to a request that failed so."""
    code, status = CODES.get(type(error), ("INTERNAL_ERROR", 500))
    hint = f" ({error.hint})" if error.hint else ""
    return coded_answer(code, f"{error.message}{hint}", status)


def coded_answer(code: str, message: str, status: int) -> JSONResponse:
    """An error in MLflow's shape."""
    return JSONResponse({"error_code": code, "message": message}, status_code=status)
