"""Looks at the whole line: traces a prediction, checks a home, shows its lights, administers access.

`taut status` is typed often and needs the lights alone, so each name brings its module along when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taut.govern.fsck import Health, Problem, check_home
    from taut.govern.history import show_ledger
    from taut.govern.status import Line, Station, show_line
    from taut.govern.tokens import NewToken, create_token, end_token, show_tokens
    from taut.govern.trace import Link, Reached, Trace, trace_prediction

_PLACES = {
    "fsck": ("Health", "Problem", "check_home"),
    "history": ("show_ledger",),
    "status": ("Line", "Station", "show_line"),
    "tokens": ("NewToken", "create_token", "end_token", "show_tokens"),
    "trace": ("Link", "Reached", "Trace", "trace_prediction"),
}

__all__ = [
    "Health",
    "Line",
    "Link",
    "NewToken",
    "Problem",
    "Reached",
    "Station",
    "Trace",
    "check_home",
    "create_token",
    "end_token",
    "show_ledger",
    "show_line",
    "show_tokens",
    "trace_prediction",
]


def __getattr__(name: str) -> object:
    """A name of this room, from the module that holds it."""
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"taut.govern.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
