"""The report of a contract check as a page: each rule that was broken, and the first rows that break it."""

from html import escape

from taut.data.tables.contracts import Breach, ContractResult
from taut.data.tables.page import page, rows_table


def check_page(title: str, found: ContractResult) -> str:
    """Draw what a check found."""
    if found.passed:
        return page(title, f"<p>{found.rows:,} rows keep the contract.</p>")
    head = f"<p class=bad>{found.rows:,} rows break {rules_of(found)} of the contract.</p>"
    rules = rows_table(
        ["rule", "broken"], [(escape(rule), f"{times:,}") for rule, times in found.broken.items()], "rules"
    )
    rows = rows_table(["row", "column", "value", "rule"], map(_line, found.breaches), "rows that break a rule")
    return page(title, f"{head}<h2>Rules</h2>{rules}<h2>First rows of each</h2>{rows}")


def rules_of(found: ContractResult) -> str:
    """How many rules are broken, in words."""
    return f"{len(found.broken)} rule{'' if len(found.broken) == 1 else 's'}"


def _line(one: Breach) -> tuple[str, ...]:
    value = "<i>missing</i>" if one.value is None and one.row else escape(one.value or "")
    return (f"{one.row:,}" if one.row else "the table", escape(one.column), value, escape(one.rule))
