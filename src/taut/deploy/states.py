"""What does serve: the state of each deployment, as its target last reported it."""

from taut.deploy.rights import of_deployment, of_state
from taut.ground import wire
from taut.ground.access import ANY
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, sight, verb
from taut.records import DeploymentState

SELECT_STATE = "SELECT name, revision, status, url, handle, at_ms FROM deployment_state WHERE name = :name"
SELECT_STATES = "SELECT name, revision, status, url, handle, at_ms FROM deployment_state ORDER BY name"
UPSERT_STATE = """
INSERT INTO deployment_state (name, revision, status, url, handle, at_ms)
VALUES (:name, :revision, :status, :url, :handle, :at_ms)
ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, status = excluded.status, url = excluded.url,
    handle = excluded.handle, at_ms = excluded.at_ms
"""


@verb("deployment.report", needs="deployment:write", on=of_state)
def report_state(home: Home, state: DeploymentState) -> DeploymentState:
    """Store what a target found. A report that says nothing new is no event, and keeps the time of the first.

    One about an older revision than is known comes from somebody who was overtaken meanwhile, and is not stored.
    """
    with home.meta.transaction() as tx:
        known = _state_of(tx, state.name)
        if known is not None and (known.revision > state.revision or _facts(known) == _facts(state)):
            return known
        tx.execute(UPSERT_STATE, wire.plain(state))
        home.append(
            tx,
            f"deployment.{state.status}",
            subject=f"deployment:{state.name}@{state.revision}",
            body={"url": state.url, "handle": state.handle},
        )
    return state


@verb("deployment.state", needs="deployment:read", on=of_deployment)
def find_state(home: Home, name: str) -> DeploymentState | None:
    """What serves under a name, None where nothing ever did."""
    with home.meta.read() as tx:
        return _state_of(tx, name)


@verb("deployment.states", needs="deployment:read", on=ANY)
def list_states(home: Home) -> list[DeploymentState]:
    """The state of every deployment that ever came up and that the actor may see, by name."""
    seen = sight(home, "deployment", "deployment:read")
    with home.meta.read() as tx:
        return [_state(row) for row in tx.rows(SELECT_STATES) if seen.sees(str(row[0]))]


def _state_of(tx: Tx, name: str) -> DeploymentState | None:
    chosen: dict[str, Value] = {"name": name}
    found = tx.row(SELECT_STATE, chosen)
    return None if found is None else _state(found)


def _facts(state: DeploymentState) -> tuple[int, str, str, str]:
    return state.revision, state.status, state.url, state.handle


def _state(row: Row) -> DeploymentState:
    named = dict(zip(("name", "revision", "status", "url", "handle", "at_ms"), row, strict=True))
    return wire.convert(named, DeploymentState, what="a stored state")
