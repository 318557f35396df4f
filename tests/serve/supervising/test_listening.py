"""The listening socket: found where it was, refused in words, and closed with nobody in its queue forgotten."""

import socket
import threading

import pytest

from taut.errors import Conflict, Invalid
from taut.serve.supervising.listening import admit_newcomers, listener_at, turn_away_newcomers, url_of


def connects(address: tuple[str, int], *, within_s: float = 5.0) -> bool:
    try:
        socket.create_connection(address, timeout=within_s).close()
    except TimeoutError:
        return False
    return True


def test_port_0_is_any_free_one_and_the_last_one_where_it_is_free():
    with listener_at(None, "127.0.0.1", 0, 0) as first:
        port = first.getsockname()[1]
        assert port
        with listener_at(None, "127.0.0.1", 0, port) as other:
            assert other.getsockname()[1] not in (0, port), "it is taken"
    with listener_at(None, "127.0.0.1", 0, port) as again:
        assert again.getsockname()[1] == port


def test_a_port_of_its_own_is_not_exchanged_for_another():
    with listener_at(None, "127.0.0.1", 0, 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port} on 127.0.0.1 is in use") as refused:
            listener_at(None, "127.0.0.1", port, port)
    assert "--port" in refused.value.hint


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_an_address_of_somebody_else_is_refused_in_words(host: str):
    with pytest.raises(Invalid, match=host):
        listener_at(None, host, 0, 0)


@pytest.mark.parametrize("port", [0, None])
def test_a_socket_that_was_handed_over_is_kept_where_it_has_the_wanted_address(port: int | None):
    with socket.create_server(("127.0.0.1", 0)) as old:
        wanted = old.getsockname()[1] if port is None else port
        taken = old.dup()
        with listener_at(taken, "localhost", wanted, 0) as found:
            assert found is taken


def test_a_socket_of_another_address_is_given_back():
    with socket.create_server(("127.0.0.1", 0)) as old:
        taken = old.dup()
        with listener_at(taken, "127.0.0.2", 0, 0) as found:
            assert found.getsockname()[0] == "127.0.0.2"
        assert taken.fileno() == -1


@pytest.mark.parametrize(
    ("family", "host", "url"),
    [
        (socket.AF_INET, "127.0.0.1", "http://127.0.0.1:{}"), (socket.AF_INET, "0.0.0.0", "http://127.0.0.1:{}"),
        (socket.AF_INET6, "::1", "http://[::1]:{}"), (socket.AF_INET6, "::", "http://[::1]:{}"),
    ],
)  # fmt: skip
def test_a_url_names_what_this_machine_reaches(family: socket.AddressFamily, host: str, url: str):
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert url_of(listener) == url.format(listener.getsockname()[1])


def test_who_is_in_the_queue_is_served_and_who_comes_later_finds_a_closed_door():
    """A connection that stands in the queue of a socket is reset when that is closed: nobody may join it any more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
        queued = socket.create_connection(address, timeout=5)
        if not turn_away_newcomers(listener):
            pytest.skip("this kernel takes no filter")
        assert not connects(address, within_s=0.2)
        queued.sendall(b"asked")  # What is open stays open: only what opens a connection is thrown away.
        served, _ = listener.accept()
        assert served.recv(10) == b"asked"
        served.sendall(b"answered")
        assert queued.recv(10) == b"answered"
        refused: list[OSError] = []
        late = threading.Thread(target=lambda: refused.append(_refusal(address)))
        late.start()
        for one in (served, queued, listener):
            one.close()
        late.join(10)
    assert isinstance(refused[0], ConnectionRefusedError), "it was never told that it had been heard"


def test_an_heir_lets_newcomers_in_again():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
        turn_away_newcomers(listener)
        admit_newcomers(listener)
        assert connects(address)
        admit_newcomers(listener)
        assert connects(address), "twice is once"


def _refusal(address: tuple[str, int]) -> OSError:
    try:
        socket.create_connection(address, timeout=8).close()
    except OSError as problem:
        return problem
    return OSError("it was let in")
