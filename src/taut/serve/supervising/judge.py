"""The judge of a canary: a process beside the fronts that holds what they count against what was agreed.

It opens the home, which the supervisor does not, and ends with the revision that it judges. Should it be killed, the
loop of `taut up` judges by the same counters.
"""

import sys
import time

from taut.deploy import find_deployment, start_deployment
from taut.errors import TautError
from taut.home import Home
from taut.records import Deployment
from taut.serve.http.board import BOUNDS_S, CODES, REQUEST, Board
from taut.serve.rollout.canaries import Tally, judge_rollout
from taut.serve.rollout.counted import FAULT_FROM
from taut.serve.rollout.judging import Counts

JUDGE_S = 2.0


def judge_canary(home: Home, deployment: Deployment, board: Board, source: str, *, every_s: float = JUDGE_S) -> None:
    """Look at the counters until another revision is the newest; take the canary back where they speak against it.

    Returns at once where there is no canary. `source` is the handle of the supervisor, as the deployment's state has
    it. What cannot be read or written now is tried again.
    """
    name = deployment.name
    while deployment.canary is not None:
        time.sleep(every_s)
        try:
            newest = find_deployment(home, name)
            if newest.revision != deployment.revision:
                return
            judged = judge_rollout(home, name, tally(board, deployment, source))
            if judged.taken_back:
                sys.stderr.write(f"{deployment.point}: {judged.text}\n")
                start_deployment(home, find_deployment(home, name))
        except TautError as problem:
            sys.stderr.write(f"{deployment.point} was not judged: {problem.message}\n")


def tally(board: Board, deployment: Deployment, source: str) -> Tally:
    """What all fronts of a revision have counted of its live version and of its canary."""
    roles = [one.role for one in deployment.backends]
    live, canary = (_counts(board.total(roles.index(role))) for role in ("live", "canary"))
    return Tally(source, deployment.revision, tuple(1000.0 * bound for bound in BOUNDS_S), live, canary)


def _counts(cells: list[float]) -> Counts:
    latency = tuple(int(count) for count in cells[REQUEST : REQUEST + len(BOUNDS_S) + 1])
    failed = sum(int(cells[place]) for place, code in enumerate(CODES) if code >= FAULT_FROM)
    return Counts(sum(latency), failed, latency)
