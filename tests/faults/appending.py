"""A process that appends to a prediction log, and says on its output what is written; for the tests of kills.

`python -m tests.faults.appending PROJECT NAME OWN`: ids begin with NAME; OWN is 1 for ids that a caller chose.
"""

import sys
import time

from taut.home import open_home
from taut.serve.log import Policy, PredictionLog, log_place
from tests.serve.log.scenes import said


def main(project: str, name: str, own: str) -> None:
    with open_home(project) as home:
        log = PredictionLog.open(log_place(home), "late", Policy(encrypt=True))
    number = 0
    while True:
        ids = [f"{name}-{number}-{place}" for place in range(3)]
        log.append(said(*ids, given=own == "1", delay=float(number)))
        sys.stdout.write("".join(f"{one}\n" for one in ids))
        sys.stdout.flush()
        number += 1
        time.sleep(0.002)


if __name__ == "__main__":
    main(*sys.argv[1:])
