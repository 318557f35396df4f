"""A model process: takes calls from its socket, one after the other, and answers each request in it."""

import os
import socket
import time
import traceback
from collections.abc import Mapping
from typing import Any, Protocol

from taut.errors import Invalid
from taut.models import Signature
from taut.serve.processes.failures import OUT_OF_MEMORY
from taut.serve.processes.joining import Columns, cut
from taut.serve.processes.wire import READ_CALL, Answered, Call, Failed, Frames, pack_reply, seal, unpack

DETAIL_MAX = 16_000  # Characters of a traceback that are kept: the end, where it says what happened.
READ_BYTES = 1 << 20
MADE_UP: dict[str, float | int | bool | str] = {
    "double": 0.0, "float": 0.0, "long": 0, "integer": 0, "boolean": False, "string": "", "datetime": "2000-01-01",
}  # fmt: skip


class Model(Protocol):
    """A loaded model, and all that is asked of it here."""

    @property
    def signature(self) -> Signature:
        """What it takes."""
        ...

    @property
    def predict(self) -> Any:
        """A function from columns to columns; one that takes params has them as its second argument."""
        ...


def work(model: Model, calls: socket.socket) -> None:
    """Answer calls until nobody asks any more. Raises BadFrame."""
    frames = Frames()
    while data := calls.recv(READ_BYTES):
        for frame in frames.feed(data):
            calls.sendall(reply_to(model, unpack(frame, READ_CALL)))


def warm_up(model: Model) -> float:
    """Ask a made-up row twice, so that what a first call sets up is set up. Returns the seconds that the second took.

    What the model says of it is nobody's business; 0 where its inputs are none that a row can be made up for.
    """
    row = {column.name: [MADE_UP[column.kind]] for column in model.signature.inputs if column.kind in MADE_UP}
    if not row or len(row) < len(model.signature.inputs):
        return 0.0
    _asked(model, row, 1, {})
    began_s = time.monotonic()
    _asked(model, row, 1, {})
    return time.monotonic() - began_s


def reply_to(model: Model, call: Call) -> bytes:
    """The frame with the answers to a call."""
    try:
        sealed, same = _compared(model, call) if call.compare else (_divided(model, call), None)
        return pack_reply(sealed, same=same)
    except Invalid as problem:  # Together they are larger than a frame.
        failed = seal(Failed(problem.kind, problem.message))
        return pack_reply([failed] * len(call.counts), same=None)


def _divided(model: Model, call: Call) -> list[bytes]:
    """One call for all; where it fails, each half again, until the guilty requests stand alone.

    So a few guilty ones among many cost a few calls, and not one for each request.
    """
    said, sealed = _asked(model, call.columns, sum(call.counts), call.params, len(call.counts))
    if isinstance(said, Answered) or len(call.counts) == 1:
        return [sealed]
    return [part for half in _halves(call) for part in _divided(model, half)]


def _compared(model: Model, call: Call) -> tuple[list[bytes], bool | None]:
    """One call for all, and calls for some of the requests alone; where these say another thing, for all of them.

    That two calls say the same of a row is not a matter of course: matrices of other sizes are multiplied in another
    order, which changes last digits, and a model may look at the rows beside it.
    """
    said, _ = _asked(model, call.columns, sum(call.counts), call.params, len(call.counts))
    requests = list(zip(cut(call.columns, call.counts), call.counts, strict=True))
    alone = [_asked(model, columns, rows, call.params) for columns, rows in requests[-call.compare :]]
    if isinstance(said, Answered):
        together = [seal(Answered(columns)) for columns in cut(said.columns, call.counts)]
        if [sealed for _, sealed in alone] == together[-call.compare :]:
            return together, True
    alone = [_asked(model, columns, rows, call.params) for columns, rows in requests[: -call.compare]] + alone
    sealed = [sealed for _, sealed in alone]
    if isinstance(said, Failed) and any(isinstance(one, Failed) for one, _ in alone):
        return sealed, None  # A guilty request among them, which says nothing of the others.
    return sealed, False


def _halves(call: Call) -> list[Call]:
    middle = len(call.counts) // 2
    counts = [call.counts[:middle], call.counts[middle:]]
    columns = cut(call.columns, [sum(counts[0]), sum(counts[1])])
    return [Call(one, of, call.params) for one, of in zip(columns, counts, strict=True)]


def _asked(
    model: Model, columns: Columns, rows: int, params: Mapping[str, Any], requests: int = 1
) -> tuple[Answered | Failed, bytes]:
    """What the model says of rows, and the same ready to be sent. A model is foreign code and may raise anything."""
    try:
        outputs = model.predict(columns, params) if params else model.predict(columns)
        said: Answered | Failed = Answered(_whole(outputs, rows), requests)
        return said, seal(said)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # What it holds is lost to nobody who lives; the requests are asked again elsewhere.
    except Invalid as problem:  # Other errors of ours, as a package that is missing, are not the caller's doing.
        said = Failed(problem.kind, problem.message, problem.hint)
    except OverflowError as problem:
        said = Failed(Invalid.__name__, f"a number is too large for its column: {problem}")
    except BaseException as problem:  # noqa: BLE001  # SystemExit too: a model does not say when its process ends.
        said = Failed("", detail="".join(traceback.format_exception(problem))[-DETAIL_MAX:])
    return said, seal(said)


def _whole(outputs: Any, rows: int) -> dict[str, Any]:
    """The outputs, one value a row. Raises TypeError or ValueError for anything else."""
    if not isinstance(outputs, Mapping) or not all(isinstance(name, str) for name in outputs):
        raise TypeError(f"the model gave a {type(outputs).__name__}, not columns by name")
    for name, values in outputs.items():
        if len(values) != rows:
            raise ValueError(f"the model gave {len(values)} values of {name!r} for {rows} rows")
    return dict(outputs)
