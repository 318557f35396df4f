"""What it costs to know who calls, and whether they may: microseconds a request, in process.

    python bench/access.py [--runs 7]

An authentication is a request's Authorization header turned into an actor, for one whom this process let in a moment
ago; a check is one permission on one resource. Beside them what asks the database or is slow on purpose: the look at
the version that a process takes twice a second, a password that is seen for the first time. Medians, with the extremes.
"""

import argparse
import base64
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from taut.callers import actor_of, cached_actor_of
from taut.faces.http.exchange import threads
from taut.faces.http.guard import Receive, Scope, Send
from taut.faces.http.projects import Projects
from taut.govern import create_token, create_user, grant_permission
from taut.ground.access import Actor, is_allowed
from taut.ground.settings import make_folder
from taut.home import Home, open_home, require, sight
from taut.runs import create_experiment

BARS_US = {"authentication": 50, "check": 5, "project": 3}
HEADERS = [
    (b"host", b"127.0.0.1:5000"), (b"user-agent", b"mlflow-python-client/3.17"), (b"accept-encoding", b"gzip, deflate"),
    (b"accept", b"*/*"), (b"connection", b"keep-alive"), (b"content-type", b"application/json"),
]  # fmt: skip
WORD = "correct horse battery"
GRANTS = 1000


def basic(name: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{WORD}".encode()).decode()


async def answers_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind."""


async def never(_: object = None) -> Any:
    raise AssertionError("nobody is asked and nothing is sent")


def per_call_us(act: Callable[[], object], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - started) / times * 1e6


def team(home: Home) -> dict[str, Home]:
    """The home in the hands of an owner, of a viewer, of a user with many grants, and the headers they send."""
    create_user(home, "olga", WORD, role="owner")
    create_user(home, "vera", WORD)
    create_user(home, "gina", WORD)
    for number in range(GRANTS):
        made = create_experiment(home, f"e{number}")
        grant_permission(home, "gina", "experiment", made.id, "EDIT")
    return {
        name: home.as_actor(actor_of(home, basic(name)) or Actor("nobody", "anonymous"))
        for name in ("olga", "vera", "gina")
    }


def measures(home: Home) -> dict[str, tuple[Callable[[], object], int]]:
    """What is measured, and how often a run does it."""
    people = team(home)
    token = f"Bearer {create_token(home, 'ci', 'viewer').secret}"
    one = create_experiment(home, "one").id
    grant_permission(home, "gina", "experiment", one, "EDIT")
    gina = actor_of(home, basic("gina"))
    assert gina is not None
    people["gina"] = home.as_actor(gina)
    actor_of(home, token)

    def look() -> None:
        home.access._fresh_until = 0.0  # As half a second later.
        actor_of(home, token)

    def first() -> None:
        home.access.forget()
        home.access._proofs.clear()
        actor_of(home, basic("vera"))

    def authenticate(header: str) -> Callable[[], object]:
        def act() -> object:
            return cached_actor_of(home, header) if home.access.is_fresh else actor_of(home, header)

        return act

    layer = Projects(home, threads(), lambda _: answers_nothing)
    asked = {
        "type": "http",
        "method": "GET",
        "path": "/graphql",
        "headers": [*HEADERS, (b"authorization", token.encode())],
    }

    def find_project() -> None:
        if not home.access.is_fresh:
            actor_of(home, token)
        try:
            layer(asked, never, never).send(None)
        except StopIteration:
            return
        raise AssertionError("the layer waited for something")

    def checked(name: str, permission: str) -> Callable[[], object]:
        return lambda: require(people[name], permission, verb="v", resource=f"experiment:{one}")

    return {
        "authentication, token": (authenticate(token), 20_000),
        "authentication, password": (authenticate(basic("gina")), 20_000),
        "project, there is but one": (find_project, 20_000),
        "check, owner": (checked("olga", "run:write"), 50_000),
        "check, role alone": (checked("vera", "run:read"), 50_000),
        f"check, {GRANTS} grants": (checked("gina", "run:write"), 50_000),
        "permission alone": (lambda: is_allowed(people["gina"].actor, "run:read"), 50_000),
        f"sight of {GRANTS} grants": (lambda: sight(people["gina"], "experiment", "run:read"), 50),
        "look at the version": (look, 500),
        "password seen first": (first, 5),
    }


def main() -> None:
    """Measure and print."""
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--runs", type=int, default=7)
    runs = say.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        make_folder(Path(name))
        with open_home(name) as home:
            found: dict[str, list[float]] = {}
            acts = measures(home)
            for _ in range(runs):
                for words, (act, times) in acts.items():
                    found.setdefault(words, []).append(per_call_us(act, times))
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {runs} runs each")
    for words, figures in found.items():
        bar = next((f"  (bar {bar} µs)" for start, bar in BARS_US.items() if words.startswith(start)), "")
        print(f"{words:<28} {median(figures):10.2f} µs  [{min(figures):.2f}, {max(figures):.2f}]{bar}")
    print(json.dumps({words: round(median(figures), 2) for words, figures in found.items()}))


if __name__ == "__main__":
    main()
