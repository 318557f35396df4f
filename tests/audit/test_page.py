"""The page of this room lists every check as its row says it."""

from pathlib import Path

from taut.audit import CHECKS, PRINCIPLES
from taut.audit.report import SEVERITIES

PAGE = Path(__file__).parents[2] / "docs" / "rooms" / "audit.md"


def table_lines() -> list[str]:
    """The table of all checks, as the page must hold it."""
    head = ["| id | key | principle | severity | passes when | risk otherwise |", "|---|---|---|---|---|---|"]
    rows = [
        f"| {one.id} | `{one.key}` | {PRINCIPLES[one.principle]} | {SEVERITIES[one.weight]} "
        f"| {one.promise} | {one.risk} |"
        for one in CHECKS
    ]
    return [*head, *rows]


def test_the_table_of_the_page_is_the_table_of_the_checks():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| id | key |"))
    assert lines[start : start + len(table_lines())] == table_lines(), "write the page's table from table_lines()"
    assert all(not line.startswith("|") for line in lines[start + len(table_lines()) :])
