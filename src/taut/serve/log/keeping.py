"""Keeping a log in order: journals sealed, small segments joined, old answers gone as its policy says."""

from taut.deploy import find_deployment, list_deployments, spec_of
from taut.errors import NotFound
from taut.ground.access import local_actor
from taut.home import Home
from taut.serve.log.compacting import compact
from taut.serve.log.expiring import count_expired, expire
from taut.serve.log.learning import learn_answers
from taut.serve.log.policy import Policy, policy_of
from taut.serve.log.sealing import Sealed, seal


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
