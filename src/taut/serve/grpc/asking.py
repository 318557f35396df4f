"""What the gRPC service asks of the process it stands in: who answers, and what it says of itself."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from taut.models.signature import Signature
from taut.records import Prediction
from taut.serve.requests import Request

PEER = ":peer"
"""Where metadata says whence a call comes, as gRPC writes it."""


class Scorer(Protocol):
    """Answers one request; the same that answers over HTTP, so that limits, ids and the log are the same."""

    async def answer(self, request: Request) -> Prediction:
        """The answer, once it may be told. Raises what becomes a status: kinds of TautError, TimeoutError."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: how it finds who answers.

    `find` takes the name and the version of a model as the caller wrote them (an empty version is any) and the call's
    metadata, as headers in lower case, and raises NotFound, Denied and their kin. `described` gives the metadata as
    REST tells it; `unready` says why it is not ready, empty where it is.
    """

    find: Callable[[str, str, Mapping[str, str]], Awaitable[tuple[Scorer, Signature]]]
    described: Callable[[str, str], bytes]
    server_described: Callable[[], bytes]
    unready: Callable[[], str]
