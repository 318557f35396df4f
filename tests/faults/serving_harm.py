"""Models that do harm, and model processes that are killed: only the guilty request fails, the others do not notice."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

import msgspec

from bench.machine import processes_of
from tests.faults.serving_load import asked, harm_of
from tests.faults.serving_stand import Reply, Stand, meanwhile, rows, soon

DEADLINE_S = 10.0
LATER_S = 5.0
BACK_S = 2.0


def told(stand: Stand, carrier: str) -> Reply:
    return stand.ask(rows([1.5, 10, carrier]))


def failed_with_id(reply: Reply, *statuses: int) -> str:
    """What is wrong with an answer that the server owes an id."""
    said = msgspec.json.decode(reply.body)
    if reply.status not in statuses:
        return f"{reply.status} {reply.body[:100]!r}"
    if not isinstance(said, dict) or not said.get("id"):
        return f"{reply.status} without an id"
    return "it shows a traceback" if b"Traceback" in reply.body or b"told to" in reply.body else ""


def beside(carrier: str, *statuses: int, slowest_s: float) -> Callable[[Stand], str]:
    """A request that harms, while others are asked."""

    def run(stand: Stand) -> str:
        with meanwhile(stand) as found:
            time.sleep(0.3)
            wrong = failed_with_id(told(stand, carrier), *statuses)
            time.sleep(0.3)
        return "; ".join(word for word in (wrong, harm_of(found, slowest_s=slowest_s, grown_mib=1000.0)) if word)

    return run


def hangs(stand: Stand) -> str:
    """A model that hangs for an hour: 504 at the deadline, the others are answered."""
    begun = time.monotonic()
    wrong = beside("wait:3600", 504, slowest_s=5.0)(stand)
    took = time.monotonic() - begun
    late = "" if took < DEADLINE_S + LATER_S else f"told after {took:.1f} s"
    return "; ".join(word for word in (wrong, late) if word)


def many_hang(stand: Stand) -> str:
    """Eight that hang at once."""
    said: list[str] = []
    with meanwhile(stand) as found:
        threads = [
            threading.Thread(target=lambda: said.append(failed_with_id(told(stand, "wait:3600"), 504, 503)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    wrong = {word for word in said if word}
    return "; ".join([*wrong, *[word for word in [harm_of(found, grown_mib=2000.0)] if word]])


def exits_again_and_again(stand: Stand) -> str:
    """20 requests that each end the model's process."""
    wrong = {failed_with_id(told(stand, "exit"), 500, 502, 503) for _ in range(20)} - {""}
    begun = time.monotonic()
    if not soon(lambda: stand.is_right(2.0), 10.0):
        return "not back after 10 s"
    took = time.monotonic() - begun
    return "; ".join([*wrong, *([f"back after {took:.1f} s"] if took > BACK_S else [])])


def mixed(stand: Stand) -> str:
    """Good requests in the same batches as those that raise, give wrong rows and exit."""
    stop = threading.Event()

    def harm() -> None:
        while not stop.is_set():
            for carrier in ("raise", "rows", "exit"):
                with contextlib.suppress(AssertionError, OSError):
                    told(stand, carrier)

    thread = threading.Thread(target=harm)
    thread.start()
    try:
        said, _ = asked(stand, 64, 10, "UA")
    finally:
        stop.set()
        thread.join()
    return "" if set(said) == {"200"} else f"the good ones got {dict(said)}"


def kill_a_leaf(stand: Stand) -> str:
    """SIGKILL for the youngest process with a request in the model: that one is a 5xx with an id, soon all is well."""
    got: list[str] = []
    thread = threading.Thread(
        target=lambda: got.append(
            failed_with_id(told(stand, "wait:3"), 200, 500, 502, 503, 504).replace("200 without an id", "")
        )
    )
    thread.start()
    time.sleep(0.8)
    youngest = max(set(processes_of(stand.pid)) - {stand.pid}, default=0)
    if youngest:
        os.kill(youngest, signal.SIGKILL)
    begun = time.monotonic()
    is_back = soon(lambda: stand.is_right(2.0), 10.0)
    took = time.monotonic() - begun
    thread.join()
    late = "" if is_back and took < BACK_S else f"back after {took:.1f} s"
    return "; ".join(word for word in [*got, late] if word)


def killed_under_load(stand: Stand) -> str:
    """Ten SIGKILLs of the youngest process under 64 clients: no wrong answer, no connection without one."""
    stop = threading.Event()

    def kill() -> None:
        while not stop.wait(0.3):
            youngest = max(set(processes_of(stand.pid)) - {stand.pid}, default=0)
            with contextlib.suppress(ProcessLookupError):
                os.kill(youngest, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        said, _ = asked(stand, 64, 60, "wait:0.001")
    finally:
        stop.set()
        thread.join()
    strange = set(said) - {"200", "500", "502", "503"}
    return f"{dict(said)}" if strange or not said["200"] else ""


HARM: dict[str, Callable[[Stand], str]] = {
    "a model that raises": beside("raise", 500, slowest_s=5.0),
    "a model with too few answers": beside("rows", 500, slowest_s=5.0),
    "a model that ends its process": beside("exit", 500, 502, 503, slowest_s=5.0),
    "20 that end their process": exits_again_and_again,
    "a model that hangs": hangs,
    "eight that hang": many_hang,
    "harm in the same batches": mixed,
    "a model process is killed": kill_a_leaf,
    "model processes are killed under load": killed_under_load,
}
