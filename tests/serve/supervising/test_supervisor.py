"""A supervisor: fronts that die or hang are replaced while the others answer, and nothing outlives it."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from taut.deploy.control import Asked, ask_supervisor
from taut.deploy.running import FrontState, at_door
from taut.ground.compute import is_alive
from taut.home import Home
from tests.parts import eventually
from tests.serve.scenes import make_home, record, register
from tests.serve.supervising.scenes import Supervised, gone, infer, pid_of, supervised


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "project") as made:
        register(made)
        record(made)
        yield made


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """Two fronts; one that stands still for a second counts as hung."""
    with make_home(tmp_path_factory.mktemp("supervisor") / "project") as made:
        register(made)
        record(made)
        with supervised(made, hang_s=1.0, stable_s=0.0) as found:
            yield found


def test_a_killed_front_is_replaced_while_the_others_answer(late: Supervised):
    killed, other = late.ready()
    os.kill(pid_of(killed), signal.SIGKILL)
    assert [late.infer() for _ in range(5)] == [200] * 5
    new, same = late.ready(without=killed)
    assert (same.handle, new.slot, new.restarts > killed.restarts) == (other.handle, killed.slot, True)
    assert "front 0 ended: signal 9" in late.log.read_text()


def test_a_front_whose_loop_stands_still_is_replaced(late: Supervised):
    _, hung = late.ready()
    os.kill(pid_of(hung), signal.SIGSTOP)
    assert [one.slot for one in late.ready(without=hung)] == [0, 1]
    assert not is_alive(hung.handle)
    assert late.infer() == 200
    assert "front 1 ended: its loop stood still for 1 s" in late.log.read_text()


def test_a_front_told_to_end_is_replaced(late: Supervised):
    told, other = late.ready()
    os.kill(pid_of(told), signal.SIGTERM)
    assert other.handle in [one.handle for one in late.ready(without=told)]
    assert late.infer() == 200


def test_a_supervisor_tells_how_it_is_and_refuses_what_is_older(late: Supervised):
    late.ready()
    state = late.state
    told = ask_supervisor(late.folder, state, Asked("look"))
    assert told is not None and (told.serving, told.failure) == (state, None)
    told = ask_supervisor(late.folder, state, Asked("serve", 0, 2))
    assert told is not None and told.failure is not None
    assert (told.failure.kind, told.failure.message) == ("Conflict", "revision 1 is served already")


@pytest.mark.parametrize("said", [b"", b"\n", b"{}\n", b'{"do":"dance"}\n', b"x" * 10_000])
def test_nonsense_at_the_door_is_turned_away(late: Supervised, said: bytes):
    with at_door(late.folder, late.state, "ctl", within_s=5.0) as line:
        line.sendall(said)
        line.shutdown(1)
        assert line.recv(10) == b""
    assert ask_supervisor(late.folder, late.state, Asked("look")) is not None


def test_nothing_outlives_a_supervisor_that_was_killed(home: Home):
    with supervised(home, workers=2) as late:
        fronts = late.ready()
        os.kill(pid_of(fronts[0]), signal.SIGSTOP)  # It cannot hear that its supervisor is gone.
        late.process.send_signal(signal.SIGKILL)
        eventually(lambda: not is_alive(fronts[1].handle), what="the end of the front that hears")
        late.process.wait(10)
        os.kill(pid_of(fronts[0]), signal.SIGCONT)
        with supervised(home, workers=1) as again:
            assert gone(fronts)
            assert infer(again.state.url) == 200


@pytest.mark.slow
def test_fronts_that_cannot_come_up_again_are_tried_less_often_and_say_why(home: Home):
    with supervised(home, workers=2, pause_s=0.05, pause_max_s=0.4) as late:
        first, second = late.ready()
        away = [(path, path.read_bytes()) for path in _files(home)]
        for path, _ in away:
            path.chmod(0o600)
            path.write_bytes(b"damaged")
        os.kill(pid_of(first), signal.SIGKILL)
        told = eventually(lambda: late.state.problem if "in a row" in late.state.problem else "", what="a loop")
        assert "front 0 ended: " in told and "damaged" in told
        assert infer(late.state.url) == 200, "the other front answers"
        assert late.state.fronts[-1].handle == second.handle
        for path, content in away:
            path.write_bytes(content)
        late.ready()
        assert late.state.problem == ""
    times = [line for line in (home.project / "supervisor.log").read_text().splitlines() if "in a row" in line]
    assert [line.rpartition("comes ")[2] for line in times[:4]] == [
        f"{pause:g} s later" for pause in (0.05, 0.1, 0.2, 0.4)[: len(times[:4])]
    ]


def _files(home: Home) -> list[Path]:
    """All that a version is loaded from: its objects, and the folder they were fetched into."""
    kept = home.project / ".taut"
    return [path for place in (kept / "objects", kept / "cache") for path in place.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_strangers_whom_a_supervisor_inherits_are_reaped(home: Home):
    """The first process of a container is the parent of all whose own parents ended."""
    first = (
        "import ctypes, os, time\n"
        "ctypes.CDLL(None).prctl(36, 1)\n"  # PR_SET_CHILD_SUBREAPER
        "if not os.fork():\n"
        "    os.fork() or (time.sleep(0.3), os._exit(0))\n"
        "    os._exit(0)\n"
    )
    with supervised(home, workers=1, first=first) as late:
        late.ready()
        children = Path(f"/proc/{late.process.pid}/task/{late.process.pid}/children")

        def states() -> list[str]:
            return [_state_of(pid) for pid in children.read_text().split()]

        eventually(lambda: len(found := states()) == 2 and "Z" not in found, what="a front and its attendant alone")


def _state_of(pid: str) -> str:
    """The letter of a process: S sleeps, R runs, Z has ended and nobody asked."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.slow
def test_a_second_signal_does_not_wait_for_anybody(home: Home, tmp_path: Path):
    gate = tmp_path / "never"
    with supervised(home, workers=1) as late:
        asked = threading.Thread(target=_fails, args=(late.state.url, str(gate)))
        asked.start()
        time.sleep(0.5)  # Until the request is in the model; nothing outside shows it.
        late.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert late.process.poll() is None
        late.process.send_signal(signal.SIGTERM)
        assert late.process.wait(5) == 0
        asked.join(20)


def _fails(url: str, gate: str) -> None:
    with pytest.raises(urllib3.exceptions.HTTPError):
        infer(url, carrier=[f"hang:{gate}", "AA"])


@pytest.mark.slow
def test_connections_that_come_together_are_shared_among_the_fronts(home: Home):
    with supervised(home, workers=2) as late:
        fronts = late.ready()
        address = late.state.url.removeprefix("http://").partition(":")
        before = [_sockets(front) for front in fronts]
        lines = [socket.create_connection((address[0], int(address[2])), timeout=10) for _ in range(64)]
        try:
            for line in lines:
                line.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
                assert line.recv(4096).startswith(b"HTTP/1.1 200")
            taken = [_sockets(front) - count for front, count in zip(fronts, before, strict=True)]
        finally:
            for line in lines:
                line.close()
    assert sum(taken) == 64
    assert min(taken) >= 16, taken  # Half and half where both run; a busy machine lets one wait.


def _sockets(front: FrontState) -> int:
    """How many sockets a front has open."""
    names = [os.readlink(place) for place in Path(f"/proc/{pid_of(front)}/fd").iterdir() if place.is_symlink()]
    return sum(name.startswith("socket:") for name in names)
