"""The picture of a deployment: metrics, evidence, alerts, retrainings and verdicts over time, as one HTML page."""

from taut.deploy.rights import of_deployment
from taut.home import Home, verb
from taut.watch.picture.page import page_of
from taut.watch.picture.year import read_year


@verb("watch.report", needs="deployment:read", on=of_deployment)
def watch_report(home: Home, deployment: str) -> str:
    """Draw the life of a deployment as a page that needs no network and no script, for light and dark screens.

    Below 300 kB: many windows are drawn, and stand in the table, as bundles of neighbours. The same rows give the
    same page. Raises NotFound where there was never such a deployment.
    """
    return page_of(read_year(home, deployment))
