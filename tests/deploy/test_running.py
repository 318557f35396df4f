"""How serving processes find each other: files that speak for the living only, and a socket that changes hands."""

import os
import select
import socket
import stat
import threading
from pathlib import Path

import pytest

from taut.deploy.running import (
    FrontState,
    Serving,
    announce,
    end_orphans,
    give_listener,
    locked,
    open_door,
    publish,
    run_folder,
    serving_now,
    take_over,
    withdraw,
)
from taut.errors import Conflict, Denied
from taut.ground.compute import handle_of, is_alive, start_detached, stop_process
from taut.home import open_home
from tests.serve.scenes import make_home


def test_who_announces_itself_is_found_until_it_withdraws(tmp_path: Path):
    mine = announce(tmp_path, "late", 3)
    assert (mine.pid, mine.url) == (os.getpid(), "")
    assert serving_now(tmp_path, "late") == [mine]
    assert serving_now(tmp_path, "other") == []
    withdraw(tmp_path, mine)
    assert serving_now(tmp_path, "late") == []


def test_the_same_or_a_newer_revision_keeps_an_older_one_away(tmp_path: Path):
    (tmp_path / "late").mkdir()
    publish(tmp_path, Serving("late", 3, handle_of(os.getppid()), ""))  # Another living process.
    for revision in (3, 2):
        with pytest.raises(Conflict, match="revision 3 of 'late' is served already"):
            announce(tmp_path, "late", revision)
    assert announce(tmp_path, "late", 4).revision == 4
    assert [one.revision for one in serving_now(tmp_path, "late")] == [4, 3]


def test_the_dead_are_not_counted_and_leave_nothing(tmp_path: Path):
    handle = start_detached(["sleep", "60"], log=tmp_path / "log", folder=tmp_path, environment={})
    (tmp_path / "late").mkdir()
    publish(tmp_path, Serving("late", 7, handle, "http://127.0.0.1:1"))
    assert [one.revision for one in serving_now(tmp_path, "late")] == [7]
    stop_process(handle, grace_s=0.0)
    assert serving_now(tmp_path, "late") == []
    assert list((tmp_path / "late").iterdir()) == []


def test_another_process_with_the_same_id_is_not_taken_for_the_dead_one(tmp_path: Path):
    (tmp_path / "late").mkdir()
    publish(tmp_path, Serving("late", 7, f"{os.getpid()}:1.00000000", "http://127.0.0.1:1"))
    assert serving_now(tmp_path, "late") == []


def test_a_socket_changes_hands_and_both_accept_from_its_queue(tmp_path: Path):
    folder = tmp_path / ("deep" * 30)  # Longer than the kernel takes as the name of a Unix socket.
    (folder / "late").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # The predecessor is spoken for by another living process, for nobody takes over from itself.
        old = Serving("late", 1, handle_of(os.getppid()), "http://127.0.0.1:1")
        publish(folder, old)
        with open_door(folder, old, "sock") as door:
            assert not give_listener(door, listener), "nobody stands there"
            visit = threading.Thread(target=_give_once, args=(door, listener))
            visit.start()
            taken = take_over(folder, "late")
            visit.join(5)
        assert taken is not None
        with taken:
            assert taken.getsockname() == listener.getsockname()
            address = listener.getsockname()
            listener.close()
            client = threading.Thread(target=lambda: socket.create_connection(address, timeout=5).close())
            client.start()
            accepted, _ = taken.accept()
            accepted.close()
            client.join(5)


def _give_once(door: socket.socket, listener: socket.socket) -> None:
    select.select([door], [], [], 5)
    assert give_listener(door, listener)


def test_fronts_without_their_supervisor_are_ended_before_anybody_forgets_them(tmp_path: Path):
    handles = [start_detached(["sleep", "60"], log=tmp_path / "log", folder=tmp_path, environment={}) for _ in range(2)]
    supervisor, front = handles
    (tmp_path / "late").mkdir()
    publish(tmp_path, Serving("late", 7, supervisor, "http://127.0.0.1:1", fronts=(FrontState(0, front, 7, "ready"),)))
    assert end_orphans(tmp_path, "late") == 0
    assert is_alive(front), "its supervisor lives"
    stop_process(supervisor, grace_s=0.0)
    assert serving_now(tmp_path, "late") == []
    assert is_alive(front)
    assert end_orphans(tmp_path, "late") == 1
    assert not is_alive(front)
    assert list((tmp_path / "late").iterdir()) == []


def test_there_is_nothing_to_take_over_from_nobody_or_from_one_that_does_not_answer(tmp_path: Path):
    assert take_over(tmp_path, "late") is None
    (tmp_path / "late").mkdir()
    publish(tmp_path, Serving("late", 1, handle_of(os.getppid()), "http://127.0.0.1:1"))
    assert take_over(tmp_path, "late") is None


def test_only_the_owner_may_ask_for_the_socket(tmp_path: Path):
    announce(tmp_path, "late", 1)
    assert stat.S_IMODE((tmp_path / "late").stat().st_mode) == 0o700


def test_a_lock_is_held_by_one(tmp_path: Path):
    order: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.set()
        with locked(tmp_path, "late.start"):
            order.append("second")

    with locked(tmp_path, "late.start"):
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_a_folder_that_is_a_file_is_told_in_words(tmp_path: Path):
    (tmp_path / "run").touch()
    with pytest.raises(Denied, match="cannot be written"), locked(tmp_path / "run", "late.start"):
        pass


def test_the_files_of_a_servers_home_lie_with_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with open_home("http://127.0.0.1:1") as remote:
        assert run_folder(remote).is_relative_to(tmp_path / "state" / "taut")
    with make_home(tmp_path / "project") as local:
        assert run_folder(local) == tmp_path / "project" / ".taut" / "run"
