"""Places for connections: as many as the files allow, and given to who asks before who only waits."""

import os
import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from taut.errors import Invalid
from taut.faces.http import strict
from taut.faces.http.places import MOST, TOLD, Places, backlog_of, files_of_process, most_of, most_of_environment
from taut.home import Home
from taut.runs import create_run
from tests.faces.serving import served
from tests.faces.speaking import POOL
from tests.parts import eventually


class Line:
    """A connection as `Places` knows it."""

    def __init__(self) -> None:
        self.is_open = True

    def leave(self) -> None:
        self.is_open = False


def test_a_new_connection_takes_the_place_of_who_has_waited_longest():
    held, lines = Places(3), [Line() for _ in range(5)]
    assert [held.enter(line) for line in lines[:3]] == [True] * 3
    held.ask(lines[0])
    assert held.enter(lines[3])
    assert [line.is_open for line in lines] == [True, False, True, True, True]
    held.rest(lines[0])  # It waits since now, and the others have waited longer.
    assert held.enter(lines[4])
    assert [line.is_open for line in lines] == [True, False, False, True, True]
    assert len(held) == 3


def test_where_all_are_being_answered_a_new_one_is_told_and_past_some_not_even_that():
    held, lines = Places(2), [Line() for _ in range(3)]
    for line in lines[:2]:
        assert held.enter(line)
        held.ask(line)
    assert not held.enter(lines[2])
    beyond = [Line() for _ in range(TOLD + 1)]
    assert [held.tell(line) for line in beyond] == [True] * TOLD + [False]
    held.give_back(beyond[0])
    assert held.tell(beyond[-1])
    assert all(line.is_open for line in lines)
    held.give_back(lines[0])
    held.rest(lines[0])  # It is gone already: a gone one waits for nothing.
    assert len(held) == 1
    assert held.enter(lines[2])


@pytest.mark.parametrize("files", [64, 256, 1024, 4096, 65_536])
def test_connections_and_what_they_ask_for_leave_files_for_the_rest(files: int):
    most = most_of(files)
    assert 8 <= most <= MOST
    assert 2 * most + backlog_of(files) < files


def test_the_limit_is_a_number_of_connections_and_no_more_than_there_are_files(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAUT_CONNECTIONS", "100")
    assert most_of_environment(1024) == 100
    monkeypatch.setenv("TAUT_CONNECTIONS", "9000")
    assert most_of_environment(1024) == 320
    monkeypatch.delenv("TAUT_CONNECTIONS")
    assert most_of_environment(1024) == 320
    for said in ("0", "-1", "1.5", "many", "²", "9" * 20):
        monkeypatch.setenv("TAUT_CONNECTIONS", said)
        with pytest.raises(Invalid, match="TAUT_CONNECTIONS"):
            most_of_environment(1024)


@pytest.mark.parametrize(
    ("soft", "hard", "more"),
    [(1024, 4096, 4096), (1024, 1 << 20, 22_304), (1 << 20, 1 << 20, 22_304), (1024, resource.RLIM_INFINITY, 22_304)],
)
def test_a_server_asks_for_the_files_that_its_connections_take(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, more: int
):
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr("resource.setrlimit", lambda _, limits: asked.append(limits))
    assert files_of_process() == more
    assert asked == ([] if soft >= more else [(more, hard)])


@pytest.mark.slow
def test_the_end_of_an_answer_that_nobody_reads_keeps_no_connection(home: Home, monkeypatch: pytest.MonkeyPatch):
    """The server has sent all it has and would close, which waits for the client to read."""
    create_run(home, run_id="r")
    place = "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/x"
    monkeypatch.setattr(strict, "WATCHED_S", 0.2)
    asked = f"GET {place} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
    with served(home) as url, ExitStack() as lines:
        assert POOL.request("PUT", url + place, body=os.urandom(60_000)).status == 200
        POOL.clear()
        port = int(url.rpartition(":")[2])
        for answers in range(1, 80):  # Of one of these the last answer is the one that the kernel takes no more.
            line = lines.enter_context(socket.socket())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            line.connect(("127.0.0.1", port))
            line.sendall((asked + b"\r\n") * (answers - 1) + asked + b"Connection: close\r\n\r\n")
        eventually(lambda: not established(port), what="the server to have no connection")


def established(port: int) -> int:
    """How many connections a server on this machine has at that port."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[1].partition(":")[2], 16) == port and row[3] == "01" for row in rows)
