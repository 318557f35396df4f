"""What a model server does with hostile clients, hostile models and dying processes: a table of what it got wrong.

    python bench/serving_faults.py [--peer PYTHON] [--only WORD ...] [--slow] [--json]
    python bench/serving_faults.py --url http://127.0.0.1:8080 --pid PID [--only WORD ...]

A small model is served by taut as a deployment, with its log; with --peer, also by `mlflow models serve` of an
interpreter that has mlflow. Or the cases are held against any server of that model (`save_wicked` in
tests/faults/serving_stand.py) by its address and the id of its first process. Each case sends what it is named
after and looks at the answers; then a healthy request must be answered right, and the memory (within 64 MiB) and file
descriptors of all processes must be back. `ok` is that; `-` is a case that the server has no such protocol for. Ends
with status 1 where taut fails one.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.machine import Server, port
from bench.serving_peers import ONE_THREAD, QUIET
from tests.faults.serving_cases import CASES, SLOW, Case, judged
from tests.faults.serving_stand import Stand, save_wicked, taut_stand

WIDTH = 42


def main() -> None:
    """Read the options, hold the cases against each server, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server that runs")
    parser.add_argument("--pid", type=int, help="its first process")
    parser.add_argument("--peer", help="an interpreter that has mlflow")
    parser.add_argument("--only", nargs="*", default=[], help="cases whose names hold one of these words")
    parser.add_argument("--slow", action="store_true", help="also the cases that take long")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    given = parser.parse_args()
    cases = [*CASES, *(SLOW if given.slow else [])]
    cases = [case for case in cases if not given.only or any(word in case.name for word in given.only)]
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="taut-faults-") as folder:
        if given.url:
            found[given.url] = _all(Stand(urlsplit(given.url).port or 80, given.pid), cases)
        else:
            with taut_stand(Path(folder)) as stand:
                found["taut"] = _all(stand, cases)
        if given.peer:
            found["mlflow"] = _peer(given.peer, Path(folder), cases)
    _show(cases, found, as_json=given.json)
    sys.exit(1 if any(set(words) - {"ok", "-"} for words in [found.get("taut", [])]) else 0)


def _peer(python: str, folder: Path, cases: Sequence[Case]) -> list[str]:
    """`mlflow models serve`, as its documentation starts it; started again where a case ended it."""
    number = port()
    command = [python, "-m", "mlflow", "models", "serve", "--model-uri", str(save_wicked(folder / "peer"))]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(number)]
    beside = {"PATH": f"{Path(python).parent}:/usr/bin:/bin"}
    server = Server(command, number, folder, {**QUIET, **ONE_THREAD, **beside})
    found = []
    server.start()
    try:
        for case in cases:
            stand = Stand(number, server.pid, speaks_oip=False)
            found.append(_told(case, stand))
            if not stand.is_right():
                server.end()
                server.start()
    finally:
        server.end()
    return found


def _all(stand: Stand, cases: Sequence[Case]) -> list[str]:
    return [_told(case, stand) for case in cases]


def _told(case: Case, stand: Stand) -> str:
    wrong = judged(case, stand) or "ok"
    print(f"{case.name:{WIDTH}} {wrong}", file=sys.stderr, flush=True)
    return wrong


def _show(cases: Sequence[Case], found: dict[str, list[str]], *, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps({name: dict(zip([c.name for c in cases], words, strict=True)) for name, words in found.items()})
        )
        return
    for place, case in enumerate(cases):
        print(f"{case.name:{WIDTH}} " + " | ".join(words[place] for words in found.values()))
    for name, words in found.items():
        good = sum(word == "ok" for word in words)
        print(f"{name}: {good} of {len(words) - words.count('-')} well")


if __name__ == "__main__":
    main()
