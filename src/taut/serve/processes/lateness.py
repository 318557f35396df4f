"""When a call is late, what is done about it, and how many processes that takes: decisions, without their effects."""

from collections.abc import Collection, Sequence

from taut.serve.processes.asks import Ask, Usual, Waiting
from taut.serve.processes.member import Calling, Member

PATIENCE_S, PATIENCE_TIMES = 0.25, 4.0  # A call that takes longer than both seems to hang.
PATIENCE_LEAST = 1.5  # Times what is usual, whatever the deadline: a slow model is slow and does not hang.
PATIENCE_SHARE = 1 / 3  # Of the time that is left: whoever waits beside one that hangs must be answered in the rest.
SUSPECTS = 2  # Processes for suspects beside the others: most of them are innocent and answered at once.


def patience_with(asks: Sequence[Ask], usual: Usual, calls: int, now_s: float) -> float:
    """How long requests may take together, in so many calls of the model, before it seems to hang."""
    usual_s = usual.expected_s(sum(ask.rows for ask in asks)) * calls
    left_s = min(ask.deadline_s for ask in asks) - now_s
    return max(PATIENCE_LEAST * usual_s, min(max(PATIENCE_S, PATIENCE_TIMES * usual_s), PATIENCE_SHARE * left_s))


def is_given_up(calling: Calling, members: Collection[Member], waiting: Waiting, most: int, now_s: float) -> bool:
    """Whether a call is late, and nothing can come of it or others need its process.

    They do where all processes that there may be are in calls that are late or a suspect's. Suspects keep theirs, for
    there are never so many that no other is left.
    """
    if not calling.is_late(now_s):
        return False
    if calling.is_over or calling.is_moot:
        return True
    is_full = bool(waiting.fresh) and len(members) >= most and _kept(members, now_s) == len(members)
    return is_full and not calling.is_suspect


def may_ask_suspect(members: Collection[Member], waiting: Waiting, most: int, now_s: float) -> bool:
    """Whether a suspect may be asked next: there is one, and if it hangs the others still have a process."""
    return bool(waiting.suspects) and _kept(members, now_s) < max(1, most - 1)


def wanted_members(members: Collection[Member], waiting: Waiting, least: int, most: int, now_s: float) -> int:
    """How many processes the moment asks for: as many more as calls are late, and some for suspects, if any wait."""
    late = sum(member.is_late(now_s) for member in members)
    return min(most, least + late + min(len(waiting.suspects), SUSPECTS))


def _kept(members: Collection[Member], now_s: float) -> int:
    """Processes that may not come back soon."""
    return sum(
        member.calling is not None and (member.calling.is_suspect or member.is_late(now_s)) for member in members
    )
