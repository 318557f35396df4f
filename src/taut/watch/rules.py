"""Alerting rules for Prometheus over the figures of watched deployments, as `rule_files` has them.

An alert of Prometheus says that somebody should look at one of taut's, or that taut's own watching does not go on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from taut.ground.clock import duration_ms

ROUND_MAX_S = 900
"""A loop that has not looked for so long is down; `taut up` looks every ten seconds."""


@dataclass(frozen=True, slots=True)
class AlertingRule:
    """A rule as Prometheus has it; `for_` is how long its expression has to be true, as `10m`."""

    alert: str
    expr: str
    for_: str
    severity: str
    summary: str
    description: str
    command: str
    """What to type next."""
    labels: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, object]:
        """As the file has it."""
        labels = {"severity": self.severity, **self.labels}
        told = {"summary": self.summary, "description": self.description, "command": self.command}
        return {"alert": self.alert, "expr": self.expr, "for": self.for_, "labels": labels, "annotations": told}


def alerting_rules(deployments: Iterable[str], *, silent: str = "1h") -> dict[str, object]:
    """A group of rules for each deployment; `silent` is how long one may answer nothing. Raises Invalid for no time."""
    silent_s = duration_ms(silent) // 1000
    return {
        "groups": [
            {"name": f"taut-watch-{name}", "rules": [one.plain() for one in _rules(name, silent_s)]}
            for name in deployments
        ]
    }  # fmt: skip


def _rules(name: str, silent_s: int) -> list[AlertingRule]:
    of = f'{{deployment="{name}"}}'
    labels = {"deployment": name}
    drift = [
        AlertingRule(
            alert, f'max by (deployment) (taut_watch_open_alerts{{deployment="{name}",severity="{severity}"}}) > 0',
            "0m", severity,
            f"{name}: {what}", text, f"taut watch alerts {name}", labels,
        )
        for severity, alert, what, text in (
            ("page", "TautDriftPage", "the labels say that the model has become worse",
             "{{ $value }} open pages. The evidence has reached its bound; it is kept until the alert is answered."),
            ("ticket", "TautDriftTicket", "inputs or scores have shifted",
             "{{ $value }} open tickets. Nothing says yet that the model is wrong."),
        )
    ]  # fmt: skip
    return [
        *drift,
        AlertingRule(
            "TautNoPredictions",
            f"time() - max by (deployment) (taut_watch_answered_timestamp_seconds{of}) > {silent_s}",
            "5m", "ticket", f"{name} answers nothing",
            "The newest prediction is {{ $value | humanizeDuration }} old.", "taut status", labels,
        ),
        AlertingRule(
            "TautWindowsNotClosing",
            f"max by (deployment) (taut_watch_newest_event_timestamp_seconds{of})"
            f" - max by (deployment) (taut_watch_window_due_timestamp_seconds{of}) >= 0",
            "30m", "page", f"a window of {name} is due and is not closed",
            "Events {{ $value | humanizeDuration }} past its lateness were seen. Drift is not looked for meanwhile.",
            "taut up --once", labels,
        ),
        AlertingRule(
            "TautLabelsLate",
            f"max by (deployment, version) (taut_watch_window_labelled_rows{of}) == 0"
            f" and max by (deployment, version) (taut_watch_window_rows{of}) > 0"
            " and max by (deployment, version)"
            f' (taut_watch_evidence{{deployment="{name}",budget="labels"}}) >= 0',
            "1h", "ticket", f"no label of the newest window of {name} had come when it closed",
            "Labels that come after the close count in no window: send them sooner, or raise lateness in taut.yaml.",
            f"taut watch status {name}", labels,
        ),
        AlertingRule(
            "TautLoopDown",
            f"time() - max by (deployment) (taut_watch_round_timestamp_seconds{of}) > {ROUND_MAX_S}"
            f" or absent(taut_watch_round_timestamp_seconds{of})",
            "5m", "page", f"nobody watches {name}",
            "No round of the loop has looked whether a window is to be closed.", "taut up", labels,
        ),
    ]  # fmt: skip
