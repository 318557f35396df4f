"""What a request gets where the model fails: it raised, or its process died."""

import signal

from taut.errors import error_of
from taut.serve.processes.wire import Failed

OUT_OF_MEMORY = 87  # The exit status of a model process that could not have more memory; no library is known to use it.


class ModelFailed(Exception):
    """The model raised, or answered what is no answer. `detail` is for the server's log, never for an answer."""

    def __init__(self, detail: str, message: str = "the model failed") -> None:
        super().__init__(message)
        self.detail = detail


class ModelDied(ModelFailed):
    """The process of the model ended on this request, twice."""


def failure_of(failed: Failed) -> Exception:
    """The exception for what a model process reported: an error of ours, else ModelFailed."""
    if failed.kind:
        return error_of(failed.kind, failed.message, failed.hint)
    return ModelFailed(failed.detail)


def death(status: int | None) -> str:
    """How a process ended, in words.

    >>> death(-11), death(3)
    ('was ended by SIGSEGV', 'ended with status 3')
    """
    if status is None:
        return "is gone"
    if status == OUT_OF_MEMORY:
        return "had no memory left"
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
