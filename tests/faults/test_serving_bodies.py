"""Bodies far too large, and very many at once: a serving process keeps its memory and goes on answering."""

import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.machine import processes_of
from tests.parts import eventually
from tests.serve.scenes import Server, make_home, record, register, serving

MIB = 1 << 20
HUGE_BYTES = 512 * MIB
GROWN_BYTES_MAX = 64 * MIB
INFER = "POST /v2/models/late/infer HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with make_home(tmp_path / "project") as home:
        register(home)
        record(home)
        with serving(home, workers=1) as started:
            started.infer()
            yield started


def peak_bytes(server: Server) -> int:
    """The most memory that its processes ever had, those that live; its front is among them."""
    found = 0
    for pid in processes_of(server.process.pid):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        found += int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    return found


def dial(server: Server) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def by_length(line: socket.socket) -> None:
    line.sendall(f"{INFER}Content-Length: {HUGE_BYTES}\r\n\r\n".encode())
    for _ in range(HUGE_BYTES // MIB):
        line.sendall(bytes(MIB))


def by_chunks(line: socket.socket) -> None:
    line.sendall(f"{INFER}Transfer-Encoding: chunked\r\n\r\n".encode())
    for _ in range(HUGE_BYTES // MIB):
        line.sendall(b"100000\r\n" + bytes(MIB) + b"\r\n")
    line.sendall(b"0\r\n\r\n")


def those_that_say_something(lines: list[socket.socket], within_s: float = 0.0) -> list[socket.socket]:
    return select.select(lines, [], [], within_s)[0]


@pytest.mark.slow
@pytest.mark.parametrize("send", [by_length, by_chunks])
def test_a_body_of_512_mib_is_a_413_and_is_never_held(server: Server, send: Callable[[socket.socket], None]):
    before = peak_bytes(server)
    with dial(server) as line:
        send(line)
        assert line.recv(65_536).startswith(b"HTTP/1.1 413 ")
    assert peak_bytes(server) - before < GROWN_BYTES_MAX
    assert server.infer()[0] == 200


@pytest.mark.slow
def test_bodies_that_never_end_hold_what_all_of_them_may_hold(server: Server):
    before = peak_bytes(server)
    body = bytes(15 * MIB)
    lines = [dial(server) for _ in range(12)]
    try:
        for line in lines:
            line.setblocking(True)
            line.sendall(f"{INFER}Content-Length: {len(body) + 1}\r\n\r\n".encode())
        for line in lines:
            line.sendall(body)
        refused = eventually(lambda: said if len(said := those_that_say_something(lines)) >= 8 else [], what="eight")
        assert {line.recv(65_536)[:13] for line in refused} == {b"HTTP/1.1 503 "}
        held = [line for line in lines if line not in refused]
        assert len(held) == 4
        assert not those_that_say_something(held, within_s=0.5)  # Four times 15 MiB wait for their last byte.
        assert server.infer()[0] == 200  # A small body finds room.
    finally:
        for line in lines:
            line.close()
    assert peak_bytes(server) - before < 2 * GROWN_BYTES_MAX
    eventually(lambda: server.infer()[0] == 200, what="the room of those that left")
