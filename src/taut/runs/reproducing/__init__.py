"""A run again: from a pristine copy of what it found, in a sandbox, compared, and explained by experiment."""

from taut.runs.reproducing.copies import present_state, recorded_state
from taut.runs.reproducing.repeating import Asked, reproduce_run, run_twice

__all__ = ["Asked", "present_state", "recorded_state", "reproduce_run", "run_twice"]
