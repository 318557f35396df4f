"""Which deployment a call is about, for what a user was granted there: given to `verb(on=…)`."""

from typing import Any

from taut.ground.access import ANY
from taut.home import Home
from taut.records import DeploymentState


def of_deployment(_: Home, deployment: str = "", *__: Any, **named: Any) -> str:
    """The deployment that a call names first, as `deployment` or `name`; any where it names none."""
    chosen = deployment or named.get("name", "")
    return f"deployment:{chosen}" if chosen else ANY


def of_state(_: Home, state: DeploymentState) -> str:
    """The deployment whose state is reported."""
    return f"deployment:{state.name}"
