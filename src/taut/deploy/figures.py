"""What Prometheus is told of deployments by whoever watches them: noted in the home, shown by the server and endpoints.

So a scrape costs one question, and an endpoint needs nothing of what the figures were computed with.
"""

from collections.abc import Callable

from taut.deploy.rights import of_deployment
from taut.ground import wire
from taut.ground.exposed import Family
from taut.ground.meta import Tx
from taut.home import Home, sight, verb

SELECT = """
SELECT deployment, families FROM deployment_figures WHERE (:deployment = '' OR deployment = :deployment)
ORDER BY deployment
"""
SELECT_NOTED = "SELECT at_ms FROM deployment_figures WHERE deployment = :deployment"
UPSERT = """
INSERT INTO deployment_figures (deployment, families, at_ms) VALUES (:deployment, :families, :at_ms)
ON CONFLICT (deployment) DO UPDATE SET families = excluded.families, at_ms = excluded.at_ms
"""


@verb("deployment.figures", needs="deployment:read", on=of_deployment)
def list_figures(home: Home, deployment: str = "") -> list[Family]:
    """The figures of one deployment, or of all that the actor may see; none for one that nobody watches."""
    seen = sight(home, "deployment", "deployment:read")
    with home.meta.read() as tx:
        return figures_in(tx, deployment, seen.sees)


def figures_in(tx: Tx, deployment: str = "", sees: Callable[[str], bool] = lambda _: True) -> list[Family]:
    """The same inside a transaction, of the deployments that somebody sees."""
    return [
        family
        for name, families in tx.rows(SELECT, {"deployment": deployment})
        if sees(str(name))
        for family in wire.decode(str(families), list[Family], what="stored figures")
    ]


def noted_ms(tx: Tx, deployment: str) -> int:
    """When the figures of a deployment were noted last, 0 for never."""
    row = tx.row(SELECT_NOTED, {"deployment": deployment})
    return 0 if row is None else int(str(row[0]))


def note_figures(tx: Tx, deployment: str, families: list[Family], *, at_ms: int) -> None:
    """Note what is told of a deployment in the place of what was. It decides nothing, so no entry tells of it."""
    tx.execute(UPSERT, {"deployment": deployment, "families": wire.text(families), "at_ms": at_ms})
