"""A year that was not lived: windows, alerts and answers as rows, so that a page of it can be drawn in no time."""

from dataclasses import replace
from math import sin

from taut.ground import wire
from taut.ground.meta import Value
from taut.home import Home
from taut.records import Alert, GateCheck, Window
from taut.watch.alerts import INSERT_ALERT, alert_row
from taut.watch.windows import INSERT_WINDOW
from tests.watch.served import BEGIN_MS, DAY_MS

INSERT_STEP = "INSERT INTO step (plan, name, status, body, at_ms) VALUES (:plan, :name, 'done', :body, :at_ms)"
INSERT_GATE = """
INSERT INTO gate_result (id, model, number, champion, passed, checks, at_ms, actor)
VALUES (:id, 'late', :number, :champion, :passed, :checks, :at_ms, 'ada')
"""
INSERT_REVISION = """
INSERT INTO deployment (name, revision, model, number, target, config, cause, at_ms, actor)
VALUES (:name, :revision, 'late', :number, 'process', '{}', :cause, :at_ms, 'ada')
"""
INSERT_PREDICTION = """
INSERT INTO prediction (deployment, id, revision, model, number, at_ms, event_ms, row_count, inputs, outputs)
VALUES (:name, :id, :revision, 'late', :number, 0, :event_ms, :rows, '{}', '{}')
"""
INSERT_LABEL = "INSERT INTO label (deployment, id, row_index, value, at_ms) VALUES (:name, :id, :row, 1, 0)"
ALERTS = ((24, "page"), (62, "ticket"), (101, "page"), (160, "page"), (220, "page"))  # Day and severity.
PASSED = (True, False, True, False)  # What the gate said of the version that answered each page.


def live(home: Home, *, name: str = "late", days: int = 275, feature: str = "z", a_day: int = 1) -> None:
    """A year of `name`: 4 pages and a ticket, versions 2 to 5 trained, 2 and 4 accepted, served as revisions 2 and 3.

    1,300 predictions in all, 1,001 of them labelled.
    """
    alerts = [_alert(name, number, day, severity, feature) for number, (day, severity) in enumerate(ALERTS)]
    pages = [alert for alert in alerts if alert.severity == "page"]
    with home.meta.transaction() as tx:
        for window in windows(name, days, a_day):
            columns = wire.plain(window)
            measures, evidence = wire.text(window.measures), wire.text(window.evidence)
            tx.execute(INSERT_WINDOW, {**columns, "measures": measures, "evidence": evidence})
        for alert in alerts:
            tx.execute(INSERT_ALERT, alert_row(alert))
        for revision, (number, cause) in enumerate([(1, "apply"), (2, pages[0].point), (4, pages[2].point)], start=1):
            day = 0 if revision == 1 else (pages[2 * revision - 4].window_start_ms - BEGIN_MS) // DAY_MS + 1
            known: dict[str, Value] = {"name": name, "revision": revision, "number": number}
            tx.execute(INSERT_REVISION, {**known, "cause": cause, "at_ms": revision})
            event_ms, rows = BEGIN_MS + day * DAY_MS, 500 if day else 300
            tx.execute(INSERT_PREDICTION, {**known, "id": f"r{revision}", "event_ms": event_ms, "rows": rows})
        tx.executemany(INSERT_LABEL, ({"name": name, "id": "r1", "row": row} for row in range(1_001)))
        for place, (alert, passed) in enumerate(zip(pages, PASSED, strict=True)):
            _answer(tx, alert, place + 2, passed=passed)


def windows(name: str, days: int, a_day: int) -> list[Window]:
    """Windows whose measures wave, of versions 1, 2 and 4, with days without labels at the end."""
    made = []
    length = DAY_MS // a_day
    for number in range(days * a_day):
        day = number // a_day
        version, reference = (1, 1) if day < 25 else (2, 2) if day < 161 else (4, 4)
        labelled = 0 if day >= days - 2 else 190
        measures = {"roc_auc": 0.7 + sin(day) / 20 if labelled else None, "brier": 0.17 + sin(day) / 50}
        start_ms = BEGIN_MS + number * length
        one = Window(name, start_ms, start_ms + length, reference, version, 200, labelled, {}, {}, 0)
        evidence = {"labels": 0.5 + day % 9, "features": 3.0 ** (day % 200)}
        made.append(replace(one, measures=measures if labelled else dict.fromkeys(measures), evidence=evidence))
    return made


def _alert(name: str, number: int, day: int, severity: str, feature: str) -> Alert:
    budget = "labels" if severity == "page" else "features"
    evidence = {"bound": 100.0, "labels": 146.4, "features": 1.7e184}
    start_ms = BEGIN_MS + day * DAY_MS
    status = "handled" if severity == "page" else "open"
    alert = {"id": f"a{number}", "deployment": name, "version": 1, "window_start_ms": start_ms, "severity": severity}
    more = {"detector": f"ewin:{budget}", "feature": feature, "evidence": evidence, "status": status, "at_ms": 0}
    return wire.convert({**alert, **more}, Alert)


def _answer(tx, alert: Alert, number: int, *, passed: bool) -> None:
    gate, until_ms = f"g{number}", alert.window_start_ms + DAY_MS
    checks = [
        GateCheck("roc_auc", True, 0.7123, 0.55, "0.7123, wanted at least 0.55"),
        GateCheck("improves", passed, 0.01, 0.0, "no measure is shown better <b>&</b>"),
    ]
    verdict = {"id": gate, "number": number, "champion": 1, "passed": int(passed), "checks": wire.text(checks)}
    tx.execute(INSERT_GATE, {**verdict, "at_ms": number})
    steps = {
        "export": {"learn": 44_018, "judge": 12_423, "until_ms": until_ms},
        "run": {"run": f"{number}" * 32},
        "register": {"model": "late", "number": number},
        "gate": {"gate": gate, "passed": passed, "refusals": ""},
        "rollout": {"revision": {2: 2, 4: 3}.get(number)},
        "close": {"verdict": "retrained"},
    }
    for place, (step, body) in enumerate(steps.items()):
        tx.execute(INSERT_STEP, {"plan": alert.point, "name": step, "body": wire.text(body), "at_ms": place})
