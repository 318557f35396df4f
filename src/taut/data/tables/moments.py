"""Dates and moments as they are written in tables, as milliseconds."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_ms(word: str) -> float | None:
    """Milliseconds since 1970 of a date or a moment, of UTC where no zone is written; None where it is none."""
    try:
        moment = datetime.fromisoformat(word)
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) / timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None
