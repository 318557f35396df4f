"""Alerts when whoever closes windows or tells receivers is killed: before, while and after; none lost, none doubled."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from taut.ground.ledger import events
from taut.home import Home
from taut.watch import list_alerts, list_windows, replay_alert
from taut.watch.telling import list_notices
from tests.faces.receiving import Receiver, receiving
from tests.marks import slow_on_postgresql
from tests.parts import eventually
from tests.watch.served import draw, serve, watched

DAYS = 9
PROJECT = """\
models: {{late: {{gate: {{data: rows.csv, target: late}}}}}}
deployments: {{late: {{model: late@1}}}}
monitors: {{late: {{window: 1d, alpha: 0.01}}}}
notify:
  receivers: {{ops: {{kind: webhook, url: "{url}/taut", secret_from: OPS_SECRET}}}}
  page: [ops]
  ticket: [ops]
"""
LOOP = """\
import os, signal, sys
from taut.home import open_home
from taut.project import read_project
from taut.watch import close_windows
from taut.watch.telling import tell_receivers
with open_home(sys.argv[1]) as home:
    project = read_project(home.project)
    while close_windows(home, "late", project.monitors["late"]):
        pass
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    list(tell_receivers(home, project))
"""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as one:
        monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", f"127.0.0.1:{one.port}")
        monkeypatch.setenv("OPS_SECRET", "s")
        yield one


def drifting(home: Home, receiver: Receiver) -> Home:
    """A deployment whose labels and inputs turn on day 2, watched, with a receiver that is told of it."""
    (home.project / "taut.yaml").write_text(PROJECT.format(url=receiver.url))
    watched(home)
    for day in range(DAYS):
        serve(home, day, draw(day, flipped=day > 1, shifted=day > 1))
    return home


def loop(home: Home, how: str = "live") -> subprocess.Popen[bytes]:
    """A process of its own that closes what is due and tells what is to be told; `die` kills it in between."""
    return subprocess.Popen([sys.executable, "-c", LOOP, home.place, how], env=dict(os.environ))


def ran(home: Home) -> None:
    assert loop(home).wait(120) == 0


def assert_each_once(home: Home) -> None:
    """One alert a budget, each with its events once, windows without a gap, and the same answer when it is replayed."""
    found = list_alerts(home)
    assert sorted(alert.severity for alert in found) == ["page", "ticket"]
    windows = list_windows(home, "late")
    assert [window.rows for window in windows] == [200] * (DAYS - 1)
    with home.meta.read() as tx:
        told = Counter((one.kind, one.subject) for one in events(tx, limit=10_000) if one.subject.startswith("alert:"))
        kept = tx.row("SELECT count(*) FROM monitor_counts")
    assert kept == (DAYS - 1,)
    for alert in found:
        assert told["alert.raised", alert.point] == 1
        assert told["alert.updated", alert.point] == alert.windows - 1
        assert alert.windows == sum(window.start_ms >= alert.window_start_ms for window in windows)
        assert replay_alert(home, alert.id).is_same


@slow_on_postgresql
def test_what_a_loop_that_was_killed_after_its_windows_had_to_tell_the_next_one_tells_once(home, receiver):
    drifting(home, receiver)
    assert loop(home, "die").wait(120) == -signal.SIGKILL
    assert receiver.heard == []
    assert [one.status for one in list_notices(home)] == ["due", "due"]
    ran(home)
    assert [heard.told["type"] for heard in receiver.heard] == ["alert.opened"] * 2
    ran(home)
    assert len(receiver.heard) == 2
    assert_each_once(home)


def test_what_was_being_told_when_the_loop_was_killed_is_told_again_under_its_id(home, receiver):
    drifting(home, receiver)
    receiver.held.clear()  # The request arrives and is not answered: the sender is in the middle of it.
    sender = loop(home)
    receiver.await_count(1)
    sender.send_signal(signal.SIGKILL)
    assert sender.wait(20) == -signal.SIGKILL
    receiver.held.set()
    ran(home)  # The claim still holds: only the other one is told.
    assert len(receiver.heard) == 2
    with home.meta.transaction() as tx:
        tx.execute("UPDATE notice SET claimed_until_ms = 0")  # As after a minute.
    ran(home)
    ids = Counter(heard.headers["webhook-id"] for heard in receiver.heard)
    assert sorted(ids.values()) == [1, 2]
    assert [one.status for one in list_notices(home)] == ["done", "done"]
    with home.meta.read() as tx:
        assert len(events(tx, kind="alert.told")) == 2
    assert_each_once(home)


def test_two_loops_at_once_tell_each_change_once(home, receiver):
    drifting(home, receiver)
    loops = [loop(home) for _ in range(2)]
    assert [one.wait(120) for one in loops] == [0, 0]
    ran(home)
    assert len({heard.headers["webhook-id"] for heard in receiver.heard}) == len(receiver.heard) == 2
    assert_each_once(home)


def came_to(home: Home, closed: int, running: subprocess.Popen[bytes]) -> bool:
    """Whether so many windows are closed, or whoever closes them is done."""
    return running.poll() is not None or len(list_windows(home, "late")) >= closed


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("home", ["sqlite", "postgresql"], indirect=True)
def test_killed_at_any_moment_no_alert_is_lost_or_doubled(home, receiver):
    drifting(home, receiver)
    chance, waited = random.Random(7), threading.Event()
    for closed in range(1, DAYS - 1):
        running = loop(home)
        eventually(partial(came_to, home, closed, running), within=120, what=f"{closed} windows")
        waited.wait(chance.random() * 0.03)
        running.kill()
        running.wait(20)
    with home.meta.transaction() as tx:
        tx.execute("UPDATE notice SET claimed_until_ms = 0")
    ran(home)
    assert_each_once(home)
    assert {one.status for one in list_notices(home)} == {"done"}
    assert len({heard.headers["webhook-id"] for heard in receiver.heard}) == 2
