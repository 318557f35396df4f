"""What shall serve: deployments and their revisions, each a model version on a target."""

import difflib
import re

from taut.deploy.rights import of_deployment
from taut.errors import Conflict, Invalid, NotFound, Refused
from taut.ground import wire
from taut.ground.access import ANY
from taut.ground.ledger import draw_arrow
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, sight, verb
from taut.models import must_be_approved
from taut.project import DeploymentSpec, LogSpec
from taut.records import Deployment

# Targets name processes, containers and cluster objects after a deployment; the strictest of them takes this much.
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?")
Config = dict[str, str | int | float | bool]
YOUNGER = {"workers": 0, "access": "auto", "rate": ""}

SELECT_NEWEST = """
SELECT name, revision, model, number, target, config, cause, at_ms, actor FROM deployment
WHERE name = :name AND (:revision = 0 OR revision = :revision) ORDER BY revision DESC LIMIT 1
"""
SELECT_ALL = """
SELECT name, revision, model, number, target, config, cause, at_ms, actor FROM deployment
WHERE revision = (SELECT max(revision) FROM deployment AS newer WHERE newer.name = deployment.name) ORDER BY name
"""
SELECT_NAMES = "SELECT DISTINCT name FROM deployment ORDER BY name"
SELECT_VERSION = "SELECT digest FROM model_version WHERE name = :model AND number = :number"
SELECT_VERDICT = """
SELECT id, passed FROM gate_result WHERE model = :model AND number = :number ORDER BY at_ms DESC, id LIMIT 1
"""
SELECT_ANY_VERDICT = "SELECT id FROM gate_result WHERE model = :model LIMIT 1"
INSERT = """
INSERT INTO deployment (name, revision, model, number, target, config, cause, at_ms, actor)
VALUES (:name, :revision, :model, :number, :target, :config, :cause, :at_ms, :actor)
ON CONFLICT (name, revision) DO NOTHING
"""


@verb("deployment.record", needs="deployment:write", on=of_deployment)
def record_deployment(
    home: Home, name: str, model: str, number: int, target: str, config: Config, cause: str, gated: bool = False
) -> Deployment:
    """Say what shall serve under a name; a new revision only where something differs from the newest one.

    A model that was ever judged by a gate, or is `gated` by its project, needs a pass for this very version.
    Raises Invalid for a bad name, NotFound for an unknown version, Refused where the gate said no or was not asked.
    """
    _check_name(name)
    with home.meta.transaction() as tx:
        newest = _newest(tx, name)
        if newest is not None and (newest.model, newest.number, newest.target, newest.config) == (
            model, number, target, config,
        ):  # fmt: skip
            return newest
        gate = _allowed(tx, model, number, gated)
        at_ms = home.clock.now_ms()
        revision = 1 if newest is None else newest.revision + 1
        made = Deployment(name, revision, model, number, target, config, cause, at_ms, home.actor.name)
        if not tx.execute(INSERT, {**wire.plain(made), "config": wire.text(config)}):
            raise Conflict(f"somebody else deploys {name!r} at this moment", hint=f"taut deploy {name}, once more")
        home.append(tx, "deployment.recorded", subject=made.point, body={"model": f"{model}@{number}", "cause": cause})
        draw_arrow(tx, f"model:{model}@{number}", "serves", made.point, at_ms=at_ms)
        if gate:
            draw_arrow(tx, f"gate:{gate}", "allowed", made.point, at_ms=at_ms)
    return made


@verb("deployment.check", needs="deployment:read", on=of_deployment)
def check_deployment(home: Home, name: str, model: str, number: int, gated: bool = False) -> None:
    """Whether `record_deployment` would take this version under this name; raises what it would. Changes nothing."""
    _check_name(name)
    with home.meta.read() as tx:
        _allowed(tx, model, number, gated)


@verb("deployment.list", needs="deployment:read", on=ANY)
def list_deployments(home: Home) -> list[Deployment]:
    """The newest revision of every deployment that the actor may see, by name."""
    seen = sight(home, "deployment", "deployment:read")
    with home.meta.read() as tx:
        return [_deployment(row) for row in tx.rows(SELECT_ALL) if seen.sees(str(row[0]))]


@verb("deployment.show", needs="deployment:read", on=of_deployment)
def find_deployment(home: Home, name: str, revision: int = 0) -> Deployment:
    """One revision of a deployment, the newest for 0. Raises NotFound with the nearest name there is."""
    seen = sight(home, "deployment", "deployment:read")
    with home.meta.read() as tx:
        found = _newest(tx, name, revision)
        if found is not None:
            return found
        newest = _newest(tx, name) if revision else None
        names = [str(row[0]) for row in tx.rows(SELECT_NAMES) if seen.sees(str(row[0]))]
    if newest is not None:
        raise NotFound(f"deployment {name!r} has no revision {revision}; it has 1 to {newest.revision}")
    near = difflib.get_close_matches(name, names, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}" if names else ""
    raise NotFound(f"there is no deployment {name!r}{meant}", hint=f"taut deploy {name} --model MODEL@champion")


def spec_of(deployment: Deployment) -> DeploymentSpec:
    """The section of taut.yaml that would ask for this deployment: its target and configuration, its very version."""
    wanted: dict[str, object] = {
        **deployment.config,
        "model": f"{deployment.model}@{deployment.number}",
        "target": deployment.target,
    }
    if "log" in wanted:
        what = f"the log's policy of {deployment.point}"
        wanted["log"] = wire.decode(str(wanted["log"]), LogSpec, what=what)
    return wire.convert(wanted, DeploymentSpec, what=f"the configuration of {deployment.point}")


def config_of(spec: DeploymentSpec) -> Config:
    """What of a spec is stored with a revision: all but the model and the target, which have columns of their own.

    A setting that younger versions of taut brought is stored where it says something, so that what was recorded
    before it came is still the same; the policy of the log stands there as JSON.
    """
    fields: Config = wire.plain(spec)
    left_out = {"model", "target", "log"} | {name for name, usual in YOUNGER.items() if fields[name] == usual}
    kept = {name: value for name, value in fields.items() if name not in left_out}
    return kept if spec.log == LogSpec() else {**kept, "log": wire.text(spec.log)}


def _check_name(name: str) -> None:
    if NAME.fullmatch(name) is None:
        raise Invalid(
            f"a deployment cannot be called {name!r}; take small letters, digits and hyphens, 53 at most",
            hint="taut deploy late --model MODEL@champion",
        )


def newest_revision(tx: Tx, name: str) -> Deployment:
    """The newest revision of a deployment, in the caller's transaction. Raises NotFound."""
    found = _newest(tx, name)
    if found is None:
        raise NotFound(f"there is no deployment {name[:80]!r}", hint="taut status")
    return found


def _newest(tx: Tx, name: str, revision: int = 0) -> Deployment | None:
    chosen: dict[str, Value] = {"name": name, "revision": revision}
    found = tx.row(SELECT_NEWEST, chosen)
    return None if found is None else _deployment(found)


def _allowed(tx: Tx, model: str, number: int, gated: bool) -> str:
    """The id of the gate result that lets this version go live, empty where the model has no gate."""
    version: dict[str, Value] = {"model": model, "number": number}
    if tx.row(SELECT_VERSION, version) is None:
        raise NotFound(f"model {model!r} has no version {number}", hint=f"taut model show {model}")
    verdict = tx.row(SELECT_VERDICT, version)
    if verdict is None and (gated or tx.row(SELECT_ANY_VERDICT, {"model": model}) is not None):
        raise Refused(
            f"{model}@{number} may not be deployed: it was not judged by its gate", hint=f"taut gate {model}@{number}"
        )
    if verdict is not None and not verdict[1]:
        raise Refused(
            f"{model}@{number} may not be deployed: the gate refused it", hint=f"taut model show {model}@{number}"
        )
    must_be_approved(tx, model, number)
    return "" if verdict is None else str(verdict[0])


def _deployment(row: Row) -> Deployment:
    name, revision, model, number, target, config, cause, at_ms, actor = row
    return Deployment(
        name=str(name), revision=int(str(revision)), model=str(model), number=int(str(number)), target=str(target),
        config=wire.decode(str(config), Config, what="a stored configuration"), cause=str(cause),
        at_ms=int(str(at_ms)), actor=str(actor),
    )  # fmt: skip
