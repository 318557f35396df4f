"""What checking a request's columns costs: microseconds of CPU a call, for one row and more, against numpy alone.

Run with `python bench/intake.py`. The peer is the bare conversion of the same lists by numpy, which checks nothing.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from taut.models.inputs import Intake
from taut.models.signature import Kind, Signature, SignatureColumn

KINDS: list[tuple[Kind, int]] = [("double", 12), ("long", 2), ("string", 6)]
REPEATS, CALLS = 15, 200


def columns_of(rows: int) -> dict[str, list]:
    chance = np.random.default_rng(0)
    return {
        f"{kind}{n}": {
            "double": chance.normal(size=rows).tolist(),
            "long": chance.integers(0, 99, rows).tolist(),
            "string": chance.choice(["AA", "UA", "B6"], rows).tolist(),
        }[kind]
        for kind, count in KINDS
        for n in range(count)
    }


def microseconds(call: Callable[[], object]) -> float:
    """The least of several means: what the machine's other work does not disturb."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        for _ in range(CALLS):
            call()
        best = min(best, (time.process_time() - started) / CALLS)
    return best * 1e6


def main() -> None:
    signature = Signature(tuple(SignatureColumn(f"{kind}{n}", kind) for kind, count in KINDS for n in range(count)))
    intake = Intake(signature)
    dtypes: dict[str, Any] = {"double": "float64", "long": "int64", "string": object}
    print(f"{len(signature.inputs)} columns: rows, checked us, bare numpy us, as arrays us")
    for rows in (1, 8, 64, 512):
        given = columns_of(rows)
        bare = {name: dtypes[name.rstrip("0123456789")] for name in given}
        arrays = intake.arrays(given)
        checked = microseconds(partial(intake.arrays, given))
        converted = microseconds(partial(by_numpy, given, bare))
        print(f"{rows:5} {checked:8.1f} {converted:8.1f} {microseconds(partial(intake.arrays, arrays)):8.1f}")


def by_numpy(given: dict[str, list], dtypes: dict[str, Any]) -> dict[str, Any]:
    return {name: np.array(values, dtype=dtypes[name]) for name, values in given.items()}


if __name__ == "__main__":
    main()
