"""A worker process of a batch: `python -m taut.serve.batch.worker` hears of parts on stdin, tells of them on stdout."""

import os
import queue
import struct
import sys
import threading
import traceback
from typing import IO, Literal

import msgspec

from taut.errors import TautError
from taut.serve.batch.parts import Session, Setup, Written
from taut.serve.batch.plan import Part

LENGTH = struct.Struct("<Q")


class Told(msgspec.Struct, frozen=True):
    """What a worker says: that it is ready, what became of a part, or why it stops."""

    what: Literal["ready", "done", "failed"]
    done: Written | None = None
    kind: str = ""
    message: str = ""
    hint: str = ""


def send(stream: IO[bytes], value: object) -> None:
    """Write one message, in one piece."""
    body = msgspec.msgpack.encode(value)
    stream.write(LENGTH.pack(len(body)) + body)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """One message; None where there will be no more, or it was cut off."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    body = stream.read(LENGTH.unpack(head)[0])
    return body if len(body) == LENGTH.unpack(head)[0] else None


def main() -> int:
    """Write parts until stdin ends: then whoever gave them is gone, and nothing more is written."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # What a model prints is no answer.
    written = receive(sys.stdin.buffer)
    if written is None:
        return 1
    try:
        session = Session(msgspec.msgpack.decode(written, type=Setup))
        send(answers, Told("ready"))
        parts: queue.SimpleQueue[Part] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(parts,), daemon=True).start()
        while True:
            send(answers, Told("done", session.write(parts.get())))
    except TautError as error:
        send(answers, Told("failed", None, error.kind, error.message, error.hint))
    except Exception as problem:  # noqa: BLE001  # The edge of the process: it is written down, and told.
        traceback.print_exc()
        send(answers, Told("failed", None, "", f"{type(problem).__name__}: {str(problem)[:500]}"))
    return 1


def _listen(parts: "queue.SimpleQueue[Part]") -> None:
    while (message := receive(sys.stdin.buffer)) is not None:
        parts.put(msgspec.msgpack.decode(message, type=Part))
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
