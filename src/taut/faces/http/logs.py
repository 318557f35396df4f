"""What a server writes down: one line an event, for people or as JSON, each with the id of its request."""

import json
import logging
import re
import sys
from contextvars import ContextVar
from typing import Literal

from taut.ground.access import PREFIX
from taut.ground.clock import iso

Format = Literal["text", "json"]

SECRET = re.compile(PREFIX + "[A-Za-z0-9_-]{20,}")
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request_id", "taskName"}


class JsonLines(logging.Formatter):
    """A record as a JSON object: time, level, logger, message, request_id, what it was given besides, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        told: dict[str, object] = {
            "time": iso(int(record.created * 1000)), "level": record.levelname.lower(), "logger": record.name,
            "message": record.getMessage(),
        }  # fmt: skip
        if request_id := REQUEST_ID.get():
            told["request_id"] = request_id
        told |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(told, default=str, ensure_ascii=False))


class TextLines(logging.Formatter):
    """A record for people: `2026-01-02T03:04:05.678Z WARNING taut.requests [ID] words`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback where there is one."""
        request_id = REQUEST_ID.get()
        named = f" [{request_id}]" if request_id else ""
        duration = getattr(record, "duration_ms", None)
        took = f" {duration} ms" if duration is not None else ""
        said = _one_line(record.getMessage())
        line = f"{iso(int(record.created * 1000))} {record.levelname} {record.name}{named} {said}{took}"
        return without_secrets(f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line)


def write_logs(form: Format, level: str) -> None:
    """Have everything that this process logs written to standard error, from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def without_secrets(text: str) -> str:
    """Text in which no token of ours stands: a client may have put one into a path, or a defect into its traceback.

    >>> without_secrets("GET /taut_" + "a" * 40 + "/x")
    'GET /taut_…/x'
    """
    return SECRET.sub(f"{PREFIX}…", text)


def _one_line(text: str) -> str:
    r"""Text of a client's own writes no lines of its own into the log.

    >>> _one_line("/a\nERROR b")
    '/a\\nERROR b'
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
