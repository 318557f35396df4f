"""The picture of a deployment: metrics, evidence, alerts, retrainings and verdicts over time, as one HTML page."""

from taut.deploy.rights import of_deployment
from taut.home import Home, verb
from taut.serve.log.spans import END_OF_TIME_MS
from taut.watch.picture.page import page_of
from taut.watch.picture.year import in_period, read_year


@verb("watch.report", needs="deployment:read", on=of_deployment)
def watch_report(home: Home, deployment: str, from_ms: int = 0, until_ms: int = END_OF_TIME_MS) -> str:
    """Draw the life of a deployment, or a period of it, as a page without network and script, for light and dark.

    `from_ms` belongs to the period, `until_ms` does not; what began in it is shown. The columns of its newest window
    stand beside the reference, for who may read predictions. Below 500 kB: many windows are drawn, and stand in the
    table, as bundles of neighbours. The same rows give the same page. Raises NotFound where there was never such a
    deployment, Invalid where the period has no length.
    """
    from taut.watch.picture.newest import newest_section

    year = read_year(home, deployment)
    if (from_ms, until_ms) != (0, END_OF_TIME_MS):
        year = in_period(year, from_ms, until_ms)
    return page_of(year, newest_section(home, year))
