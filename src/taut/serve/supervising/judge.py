"""The judge of a canary: what the fronts count, held against what was agreed."""

import sys

from taut.deploy import find_deployment, start_deployment
from taut.home import Home
from taut.records import Deployment
from taut.serve.http.board import BOUNDS_S, CODES, REQUEST, Board
from taut.serve.rollout.canaries import Tally, judge_rollout
from taut.serve.rollout.counted import FAULT_FROM
from taut.serve.rollout.judging import Counts


def judge_canary(home: Home, deployment: Deployment, board: Board, source: str) -> None:
    """Look at the counters once; take the canary back where they speak against it, and have that answer.

    `source` is the handle of the supervisor, as the deployment's state has it. Nothing is done where another revision
    is the newest by now. Raises what reading and writing the home does.
    """
    name = deployment.name
    if find_deployment(home, name).revision != deployment.revision:
        return
    judged = judge_rollout(home, name, tally(board, deployment, source))
    if judged.taken_back:
        sys.stderr.write(f"{deployment.point}: {judged.text}\n")
        start_deployment(home, find_deployment(home, name))


def tally(board: Board, deployment: Deployment, source: str) -> Tally:
    """What all fronts of a revision have counted of its live version and of its canary."""
    roles = [one.role for one in deployment.backends]
    live, canary = (_counts(board.total(roles.index(role))) for role in ("live", "canary"))
    return Tally(source, deployment.revision, tuple(1000.0 * bound for bound in BOUNDS_S), live, canary)


def _counts(cells: list[float]) -> Counts:
    latency = tuple(int(count) for count in cells[REQUEST : REQUEST + len(BOUNDS_S) + 1])
    failed = sum(int(cells[place]) for place, code in enumerate(CODES) if code >= FAULT_FROM)
    return Counts(sum(latency), failed, latency)
