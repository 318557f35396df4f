"""Which principles of a mature workflow a project keeps, and which it misses: one file a principle."""

from taut.audit.check import PRINCIPLES
from taut.audit.describe import audit_text
from taut.audit.folder import audit_path
from taut.audit.render import render_report
from taut.audit.report import AuditReport, Finding, NextStep, PrincipleScore
from taut.audit.rubric import CHECKS, check_of

__all__ = [
    "CHECKS",
    "PRINCIPLES",
    "AuditReport",
    "Finding",
    "NextStep",
    "PrincipleScore",
    "audit_path",
    "audit_text",
    "check_of",
    "render_report",
]
