"""What the picture tells: windows, alerts and what each answer to an alert came to, read from the rows."""

from dataclasses import dataclass

from taut.ground import wire
from taut.ground.meta import Tx
from taut.home import Home
from taut.records import Alert, GateCheck, Window
from taut.serve import Traffic, traffic
from taut.watch.alerts import list_alerts
from taut.watch.windows import list_windows

SELECT_STEPS = "SELECT name, body FROM step WHERE plan = :plan"
SELECT_CHECKS = "SELECT checks FROM gate_result WHERE id = :id"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one page led to: the version trained, what the gate said, and since when it served (None: it never did)."""

    alert: Alert
    at_ms: int
    model: str
    version: int
    passed: bool
    checks: tuple[GateCheck, ...]


@dataclass(frozen=True, slots=True)
class Life:
    """The life of a deployment, as far as its windows were closed."""

    deployment: str
    traffic: Traffic
    windows: tuple[Window, ...]
    alerts: tuple[Alert, ...]
    answers: tuple[Answer, ...]

    @property
    def versions(self) -> list[int]:
        """The versions that served, in order."""
        return list(dict.fromkeys(window.version for window in self.windows))


def read_life(home: Home, deployment: str) -> Life:
    """Gather everything that the picture of a deployment shows."""
    alerts = list_alerts(home, deployment)
    with home.meta.read() as tx:
        answers = [_answer(tx, alert) for alert in alerts]
    return Life(
        deployment,
        traffic(home, deployment),
        tuple(list_windows(home, deployment)),
        tuple(alerts),
        tuple(answer for answer in answers if answer is not None),
    )


def _answer(tx: Tx, alert: Alert) -> Answer | None:
    """The answer to an alert, None where there was none or it never came to a verdict."""
    steps = {
        str(name): wire.decode(str(body), dict[str, object], what="a stored step")
        for name, body in tx.rows(SELECT_STEPS, {"plan": alert.point})
    }
    if not {"export", "register", "gate"} <= steps.keys():
        return None
    gate = tx.row(SELECT_CHECKS, {"id": str(steps["gate"]["gate"])})
    checks = () if gate is None else wire.decode(str(gate[0]), tuple[GateCheck, ...], what="a stored verdict")
    return Answer(
        alert=alert,
        at_ms=int(str(steps["export"]["until_ms"])),
        model=str(steps["register"]["model"]),
        version=int(str(steps["register"]["number"])),
        passed=bool(steps["gate"]["passed"]),
        checks=checks,
    )
