"""Ids of rows that a batch answered: `JOB.PART.ROW` is a request of its own, and no row of a request `JOB.PART`."""

import re
from collections.abc import Sequence

from taut.ground.meta import Tx
from taut.records import Prediction

PART = re.compile(r"([0-9a-f]{32})\.[0-9]+")
SELECT_JOBS = "SELECT id FROM batch_job WHERE id IN [:ids]"


def requests_named(tx: Tx, named: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The request and row that each `REQUEST.ROW` names, where that request may be a part of a batch."""
    parts = [PART.fullmatch(request_id) for request_id, _ in named]
    if not any(parts):
        return list(named)
    asked = sorted({part[1] for part in parts if part is not None})
    jobs = {str(job) for (job,) in tx.rows(SELECT_JOBS, {"ids": asked})}
    return [
        (f"{request_id}.{row}", 0) if part is not None and part[1] in jobs else (request_id, row)
        for (request_id, row), part in zip(named, parts, strict=True)
    ]


def prediction_id(one: Prediction, row: int) -> str:
    """What a row of a request is called: `ID.ROW`, and of a batch as in its file."""
    return one.id if one.role == "batch" else f"{one.id}.{row}"
