"""The table of all checks, in the order of the principles."""

from taut.audit import automation, collaboration, monitoring, reproducibility, scalability, security
from taut.audit.check import Check

CHECKS: tuple[Check, ...] = (
    *reproducibility.CHECKS,
    *automation.CHECKS,
    *scalability.CHECKS,
    *monitoring.CHECKS,
    *security.CHECKS,
    *collaboration.CHECKS,
)
"""Every check of the audit; to add one, write its function and its row in the file of its principle."""


def check_of(id: str) -> Check:
    """The check with this id. Raises KeyError where there is none.

    >>> check_of("RE01").key
    'git.history'
    """
    return {check.id: check for check in CHECKS}[id]
