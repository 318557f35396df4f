"""What reading the prediction log costs: one id among many, a million labels, an export. CPU seconds of this process.

python bench/prediction_reading.py [ROWS] [LABELS]
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.serve.log import Labelled, LogPlace, PredictionLog, Said, add_labels, log_place, open_log
from taut.serve.log.exporting import export_rows
from taut.serve.log.querying import rows_of
from taut.serve.log.sealing import seal
from taut.serve.log.spans import Span

COLUMNS, BATCH = 20, 512
MB = 1024


def main(rows: int, labels: int) -> None:
    """Fill a log, then read it."""
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder))
        with open_home(folder) as home:
            fill(home, log_place(home), rows)
            with open_log(home, "late") as log:
                print(f"{rows} rows in {len(log.segments)} segments")
                middle = f"r{rows // 2:09}"
                told("one id is found", lambda: log.find(middle), 20)
                span = Span("late", rows // 2, rows // 2 + 1_000)
                told("1,000 requests of a range are read", lambda: list(log.requests(span)), 5)
            names = [f"r{number:09}" for number in range(labels)]
            told(f"{labels} labels are added", lambda: add_labels(home, "late", names, [1.0] * labels))
            told(f"{labels} labels are added again", lambda: add_labels(home, "late", names, [1.0] * labels))
            with open_log(home, "late") as log:
                answers = (Labelled(one, [None]) for one in log.requests(Span("late", 0, min(rows, 200_000))))
                told(
                    "200,000 rows at most are exported",
                    lambda: export_rows((row for one in answers for row in rows_of(one)), Path(folder) / "all.parquet"),
                )


def fill(home: Home, place: LogPlace, rows: int) -> None:
    """Answers of one row each, a millisecond apart, sealed."""
    log = PredictionLog.open(place, "late")
    for start in range(0, rows, BATCH):
        numbers = range(start, min(start + BATCH, rows))
        inputs = {f"c{column:02}": [number * 0.5 + column for number in numbers] for column in range(COLUMNS)}
        size = len(numbers)
        ids, moments = [f"r{number:09}" for number in numbers], list(numbers)
        outputs = {"prediction": [0.25] * size}
        given, counts, latency_us = [False] * size, [1] * size, [120] * size
        log.append(Said(ids, given, counts, moments, start, latency_us, 1, "late", 1, "live", inputs, outputs))
    log.close()
    seal(home, "late")


def told(what: str, work: Callable[[], object], times: int = 1) -> None:
    """Say what a piece of work costs, each time, and the most memory that the process ever had."""
    began = time.process_time()
    for _ in range(times):
        work()
    each = (time.process_time() - began) / times
    print(f"{what}: {each * 1000:.1f} ms, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MB} MB")


if __name__ == "__main__":
    main(*([int(word) for word in sys.argv[1:]] + [1_000_000, 1_000_000])[:2])
