"""Looks at the whole line: traces a prediction, checks a home, shows its lights, administers access."""

from taut.govern.fsck import Health, Problem, check_home
from taut.govern.history import show_ledger
from taut.govern.status import Line, Station, show_line
from taut.govern.tokens import NewToken, create_token, end_token, show_tokens
from taut.govern.trace import Link, Reached, Trace, trace_prediction

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
