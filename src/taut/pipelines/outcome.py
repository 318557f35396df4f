"""What became of a version that an answer rolled out: live, taken back, replaced, or still on trial as a canary."""

from taut.deploy import is_rollback, list_revisions, told
from taut.errors import Refused
from taut.home import Home
from taut.models import promote_model
from taut.pipelines.steps import Facts


def outcome_of(home: Home, deployment: str, version: str, revision: int) -> Facts | None:
    """What the revisions since the one that brought a version say of it, with their reason; None while it is on trial.

    `outcome` is `live` where it took over at once, `promoted` where it did as a canary that held, `taken back`, or
    `replaced` where somebody brought another.
    """
    since = list_revisions(home, deployment)
    for one in sorted((one for one in since if one.revision >= revision), key=lambda one: one.revision):
        if one.backends[0].version == version:
            outcome = "live" if one.revision == revision else "promoted"
            said = f"{version} answers everything since revision {one.revision}"
        elif one.canary is not None and one.canary.version == version:
            continue
        else:
            outcome = "taken back" if is_rollback(one) else "replaced"
            said = f"revision {one.revision} brought {told(one.backends)}"
        return {"outcome": outcome, "revision": one.revision, "reason": f"{said}: {one.reason}" if one.reason else said}
    return None


def move_champion(home: Home, name: str, number: int) -> tuple[bool, str]:
    """Make a version that proved itself the champion; False, and why, where somebody made another one meanwhile."""
    try:
        promote_model(home, name, number, gated=True)
    except Refused as problem:
        return False, problem.message
    return True, f"{name}@champion is version {number}"
