"""What shall serve: deployments and their revisions, each with the model versions behind it, on a target."""

import difflib
from collections.abc import Callable, Mapping

from taut.deploy.allowing import allowed_in
from taut.deploy.backends import behind, check_others
from taut.deploy.revisions import newest_in, revision_in, revisions_in, write_revision
from taut.deploy.rights import of_deployment
from taut.deploy.running import NAME
from taut.errors import Conflict, Invalid, NotFound
from taut.ground import wire
from taut.ground.access import ANY
from taut.ground.clock import duration_ms
from taut.ground.meta import Tx
from taut.home import Home, sight, verb
from taut.project import DeploymentSpec
from taut.records import Backend, Deployment, Setting

Config = dict[str, Setting]
HISTORY = 100
AFTER_ANSWERS_S = 20.0  # Answers that are late, connections that linger, the log's last round; and air.
YOUNGER = ("workers", "rollout", "log", "limits", "access_log", "grpc_port", "access", "rate")

SELECT_NAMES = "SELECT DISTINCT name FROM deployment ORDER BY name"


@verb("deployment.record", needs="deployment:write", on=of_deployment)
def record_deployment(
    home: Home,
    name: str,
    model: str,
    number: int,
    target: str,
    config: Mapping[str, Setting],
    cause: str,
    gated: bool = False,
    others: tuple[Backend, ...] = (),
    reason: str = "",
    after: int = 0,
) -> Deployment:
    """Say what shall serve under a name; a new revision only where something differs from the newest one.

    `model` and `number` are live; `others` are a canary, whose share live does without, and shadows. A model that was
    ever judged by a gate, or is `gated` by its project, needs a pass for this very version. `after` is the revision
    that the caller has seen as the newest, 0 for whichever. Raises Invalid for a bad name or shares that cannot be,
    NotFound for an unknown version, Refused where the gate said no or was not asked, Conflict where there is a newer
    revision than `after`.
    """
    _check_name(name)
    live = Backend(model, number)
    check_others(name, target, live, others)
    backends = behind(live, others)
    with home.meta.transaction() as tx:
        newest = revision_in(tx, name)
        wanted = (backends, target, config)
        if newest is not None and (newest.backends, newest.target, newest.config) == wanted:
            return newest
        must_be_newest(name, newest, after)
        gates = allowed_in(tx, backends, config, gated=gated)
        revision = 1 if newest is None else newest.revision + 1
        now_ms = home.clock.now_ms()
        made = Deployment(
            name, revision, model, number, target, dict(config), cause, now_ms, home.actor.name, backends, reason
        )
        return write_revision(home, tx, made, gates)


@verb("deployment.check", needs="deployment:read", on=of_deployment)
def check_deployment(home: Home, name: str, model: str, number: int, gated: bool = False) -> None:
    """Whether `record_deployment` would take this version under this name; raises what it would. Changes nothing."""
    _check_name(name)
    with home.meta.read() as tx:
        allowed_in(tx, (Backend(model, number),), {}, gated=gated)


@verb("deployment.list", needs="deployment:read", on=ANY)
def list_deployments(home: Home) -> list[Deployment]:
    """The newest revision of every deployment that the actor may see, by name."""
    seen = sight(home, "deployment", "deployment:read")
    with home.meta.read() as tx:
        return [one for one in newest_in(tx) if seen.sees(one.name)]


@verb("deployment.history", needs="deployment:read", on=of_deployment)
def list_revisions(home: Home, name: str, limit: int = HISTORY) -> list[Deployment]:
    """The newest `limit` revisions of a deployment, newest first. Raises NotFound with the nearest name there is."""
    with home.meta.read() as tx:
        newest = deployment_in(tx, name).revision
        return revisions_in(tx, name, newest - limit + 1, newest)


@verb("deployment.show", needs="deployment:read", on=of_deployment)
def find_deployment(home: Home, name: str, revision: int = 0) -> Deployment:
    """One revision of a deployment, the newest for 0. Raises NotFound with the nearest name there is."""
    seen = sight(home, "deployment", "deployment:read")
    with home.meta.read() as tx:
        return deployment_in(tx, name, revision, sees=seen.sees)


def deployment_in(tx: Tx, name: str, revision: int = 0, *, sees: Callable[[str], bool] = lambda _: True) -> Deployment:
    """The same inside a transaction; `sees` says which names may be told."""
    found = revision_in(tx, name, revision)
    if found is not None:
        return found
    newest = revision_in(tx, name) if revision else None
    if newest is not None:
        raise NotFound(
            f"deployment {name!r} has no revision {revision}; it has 1 to {newest.revision}",
            hint=f"taut deployments {name}",
        )
    names = [str(row[0]) for row in tx.rows(SELECT_NAMES) if sees(str(row[0]))]
    near = difflib.get_close_matches(name, names, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}" if names else ""
    raise NotFound(f"there is no deployment {name!r}{meant}", hint=f"taut deploy {name} --model MODEL@champion")


def must_be_newest(name: str, newest: Deployment | None, after: int) -> None:
    """Raises Conflict where there is a newer revision than the one that was looked at; 0 is whichever."""
    if after and (newest is None or newest.revision != after):
        raise Conflict(
            f"{name!r} is at revision {newest.revision if newest else 0} by now, not {after}",
            hint=f"taut deployments {name}",
        )


def spec_of(deployment: Deployment) -> DeploymentSpec:
    """The section of taut.yaml that would ask for this deployment: its target and configuration, its live version."""
    wanted = {**deployment.config, "model": deployment.backends[0].version, "target": deployment.target}
    return wire.convert(wanted, DeploymentSpec, what=f"the configuration of {deployment.point}")


def ended_within_s(spec: DeploymentSpec) -> float:
    """How long whoever serves it may take to end: the longest answer that was accepted, and what comes after it."""
    return duration_ms(spec.limits.answer) / 1000 + AFTER_ANSWERS_S


def patience_s(home: Home, name: str, revision: int) -> float:
    """The same of a recorded revision; the usual time where it is not recorded, or may not be seen."""
    try:
        return ended_within_s(spec_of(find_deployment(home, name, revision)))
    except NotFound:
        return ended_within_s(DeploymentSpec(model=""))


def config_of(spec: DeploymentSpec) -> Config:
    """What of a spec is stored with a revision: all but the model and the target, which have columns of their own.

    A setting that younger versions of taut brought is stored where it says something, so that what was recorded
    before it came is still the same.
    """
    fields = wire.decode(wire.encode(spec), Config, what="a deployment")  # As it will be read again.
    usual = wire.decode(wire.encode(DeploymentSpec(model="")), Config, what="a deployment")
    left_out = {"model", "target"} | {name for name in YOUNGER if fields[name] == usual[name]}
    return {name: value for name, value in fields.items() if name not in left_out and value is not None}


def _check_name(name: str) -> None:
    if NAME.fullmatch(name) is None:
        raise Invalid(
            f"a deployment cannot be called {name!r}; take small letters, digits and hyphens, 53 at most",
            hint="taut deploy late --model MODEL@champion",
        )
