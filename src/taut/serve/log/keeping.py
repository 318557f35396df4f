"""Keeping a log in order: journals sealed, small segments joined, old answers gone as its policy says."""

import time
from importlib.util import find_spec
from pathlib import Path

from taut.deploy import find_deployment, list_deployments, spec_of
from taut.errors import NotFound, Unavailable
from taut.ground.access import local_actor
from taut.home import Home
from taut.serve.log.compacting import compact
from taut.serve.log.expiring import count_expired, expire
from taut.serve.log.journal import Reading, journals_in
from taut.serve.log.learning import learn_answers
from taut.serve.log.live import live_deployments
from taut.serve.log.policy import Policy, policy_of
from taut.serve.log.sealing import Sealed, seal
from taut.serve.log.segments import sealing_progress
from taut.serve.log.writing import log_place

PAUSE_S = 0.05


def policy_for(home: Home, deployment: str) -> Policy:
    """The policy of a deployment's newest revision; the usual one where it was never recorded."""
    try:
        return policy_of(spec_of(find_deployment(home, deployment)).log)
    except NotFound:
        return Policy()


def keep_in_order(home: Home, deployment: str, *, also_written: bool = False) -> Sealed:
    """One round: seal, and where segments are at hand learn ids from them and join the small ones. Raises as `seal`."""
    policy = policy_for(home, deployment)
    done = seal(home, deployment, also_written=also_written, encrypt=policy.encrypt)
    learn_answers(home, deployment, policy)
    if home.remote is None and done.segments:
        compact(home, deployment, encrypt=policy.encrypt)
    return done


def seal_left(home: Home) -> int:
    """Seal what lies in journals that nobody writes any more, as those of a server that was killed; returns the rows.

    Does nothing without pyarrow: readers find answers in journals, too.
    """
    if find_spec("pyarrow") is None:
        return 0
    machine = home.as_actor(local_actor())
    known = {one.name for one in list_deployments(machine)}
    return sum(
        seal(machine, name, encrypt=policy_for(machine, name).encrypt).rows
        for name in live_deployments(home)
        if name in known
    )


def seal_until_now(home: Home, *, patience_s: float = 60.0) -> None:
    """Seal all that was answered on this machine before this call, also what serving processes write.

    Where another process is at it, that is waited for. Raises Unavailable where it does not get there, and what `seal`
    does.
    """
    machine = home.as_actor(local_actor())
    for name in live_deployments(home):
        folder = log_place(home).folder / name
        sizes = {path: path.stat().st_size for path in journals_in(folder)}
        ends = time.monotonic() + patience_s
        while sizes and (left := _unsealed(machine, name, sizes)):
            if time.monotonic() > ends:
                raise Unavailable(f"{left[0]} is not sealed after {patience_s:.0f} s", hint="taut fsck")
            seal(machine, name, also_written=True, encrypt=policy_for(machine, name).encrypt)
            time.sleep(PAUSE_S)


def _unsealed(home: Home, deployment: str, sizes: dict[Path, int]) -> list[Path]:
    """The journals that have records, below these sizes, which are in no segment."""
    sealed = sealing_progress(home, deployment, [path.name for path in sizes]).sealed
    left = []
    for path, size in sizes.items():
        start, reading = sealed.get(path.name, 0), Reading(path, None)
        if reading.reach(start, size - start) > start:
            left.append(path)
        reading.close()
    return left


def expire_answers(home: Home, *, dry_run: bool = False) -> int:
    """Remove what each deployment answered longer ago than its policy keeps it; returns how many requests.

    With `dry_run` they are counted alone.
    """
    gone = 0
    reader = home.as_actor(local_actor())  # Whoever may collect garbage need not see what is deployed.
    for deployment in list_deployments(reader):
        policy = policy_for(reader, deployment.name)
        if policy.retain_ms:
            before_ms = home.clock.now_ms() - policy.retain_ms
            if dry_run:
                gone += count_expired(home, deployment.name, before_ms)
            else:
                gone += expire(home, deployment.name, before_ms=before_ms, encrypt=policy.encrypt).requests
    return gone
