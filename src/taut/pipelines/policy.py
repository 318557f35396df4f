"""What an alert waits for before it is answered: another answer, the cool-down, new labels, the budget of runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from taut.ground.clock import duration_ms, iso
from taut.home import Home
from taut.pipelines.steps import Steps, count_new_labels
from taut.project import TriggerSpec
from taut.records import Alert
from taut.watch import list_references, newest_window

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Wait:
    """Why an alert is not answered now: `name` is the policy that says so, `reason` its figures in a sentence."""

    name: str
    reason: str

    @property
    def step(self) -> str:
        """The name that it has among the steps of the alert's plan."""
        return f"wait {self.name}"


def why_wait(
    home: Home, trigger: TriggerSpec, alert: Alert, answers: Mapping[str, Steps], asking: Iterable[Alert]
) -> Wait | None:
    """The first policy that keeps an alert waiting, in the time of events; None where it is to be answered now.

    `answers` are the plans of the deployment's alerts with their steps, `asking` the alerts that are open: what was
    begun for one that a person has dismissed meanwhile keeps nobody waiting. Who waits stays open and is asked again
    in the next round.
    """
    end_ms = newest_window(home, alert.deployment).end_ms
    return (
        _under_way(alert, answers, asking)
        or _cooling(home, trigger, alert, end_ms)
        or _unlabelled(home, trigger, alert)
        or _spent(trigger, alert, answers, end_ms)
    )


def is_under_way(steps: Steps) -> bool:
    """Whether the answer to an alert was begun and has not come to its end."""
    return "export" in steps and "close" not in steps


def moment(at_ms: int) -> str:
    """A moment as a sentence has it: the day alone where it is a midnight in UTC.

    >>> moment(86_400_000), moment(90_000_000)
    ('1970-01-02', '1970-01-02 01:00')
    """
    return iso(at_ms)[:10] if at_ms % DAY_MS == 0 else iso(at_ms)[:16].replace("T", " ")


def _under_way(alert: Alert, answers: Mapping[str, Steps], asking: Iterable[Alert]) -> Wait | None:
    points = [one.point for one in asking if one.id != alert.id]
    others = [point for point in points if is_under_way(answers.get(point, {}))]
    return Wait("answer", f"the answer to {others[0]} is under way, and one is given at a time") if others else None


def _last_answers(home: Home, alert: Alert) -> list[tuple[int, int]]:
    """When alerts were answered or dismissed, in the time of events and by the clock."""
    known = list_references(home, alert.deployment)
    return [(one.from_ms, one.at_ms) for one in known if one.cause.startswith("alert:") and one.cause != alert.point]


def _cooling(home: Home, trigger: TriggerSpec, alert: Alert, end_ms: int) -> Wait | None:
    last_ms = max((event_ms for event_ms, _ in _last_answers(home, alert)), default=None)
    if last_ms is None or end_ms - last_ms >= duration_ms(trigger.cooldown):
        return None
    until = moment(last_ms + duration_ms(trigger.cooldown))
    said = f"the last answer is of {moment(last_ms)}, and its cool-down of {trigger.cooldown} runs until {until}"
    return Wait("cooldown", said)


def _unlabelled(home: Home, trigger: TriggerSpec, alert: Alert) -> Wait | None:
    since_ms = max((at_ms for _, at_ms in _last_answers(home, alert)), default=-1)
    found = count_new_labels(home, alert.deployment, since_ms) if trigger.labels else 0
    if found >= trigger.labels:
        return None
    since = " since the last answer" if since_ms >= 0 else ""
    return Wait("labels", f"{found:,} labels have come{since}, and {trigger.labels:,} are wanted (labels:)")


def _spent(trigger: TriggerSpec, alert: Alert, answers: Mapping[str, Steps], end_ms: int) -> Wait | None:
    per_ms = duration_ms(trigger.budget.per)
    begun = sorted(
        int(str(steps["export"]["until_ms"]))
        for point, steps in answers.items()
        if point != alert.point and "export" in steps and any(name.startswith(("run", "attempt")) for name in steps)
    )
    spent = [at_ms for at_ms in begun if at_ms > end_ms - per_ms]
    if len(spent) < trigger.budget.runs:
        return None
    free = moment(spent[-trigger.budget.runs] + per_ms)
    said = f"the budget of {trigger.budget.runs} retrainings in {trigger.budget.per} is spent until {free}"
    return Wait("budget", f"{said}; it waits for a person: taut watch dismiss {alert.id}, or a larger budget")
