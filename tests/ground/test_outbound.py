"""HTTP to where a user says: only public addresses, judged as they are connected to, within one bound of time."""

import ipaddress
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taut.errors import Denied, Invalid, Unavailable
from taut.ground import outbound
from taut.ground.outbound import Answer, check_url, is_public, post, read_hosts
from tests.faces.receiving import receiving
from tests.parts import free_port

HERE = read_hosts("127.0.0.1")
NOWHERE: frozenset[tuple[str, int | None]] = frozenset()
PUBLIC = ("8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")
OURS = (
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "::", "::1", "fe80::1", "fc00::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::",
    "2002:a9fe:a9fe::", "2001:db8::1", "::127.0.0.1",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OURS)
def test_no_address_of_a_net_of_our_own_is_public_however_it_is_wrapped(address: str):
    assert not is_public(ipaddress.ip_address(address))
    shown = f"[{address}]" if ":" in address else address
    with pytest.raises(Invalid, match="no public address"):
        check_url(f"https://{shown}/hook", NOWHERE)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.0.0.1.", "0"])
def test_an_address_as_only_the_system_reads_it_is_refused_when_it_is_said_and_when_something_is_sent(host: str):
    with pytest.raises(Invalid, match="no public address"):
        check_url(f"https://{host}/hook", NOWHERE)
    with receiving() as receiver, pytest.raises(Invalid, match="no public address"):
        post(f"https://{host}:{receiver.port}/", b"{}", {})
    assert receiver.heard == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost."])
def test_a_name_that_stands_for_this_machine_is_refused_when_something_is_sent(host: str):
    with receiving() as receiver:
        with pytest.raises((Denied, Unavailable)) as refused:
            post(f"https://{host}:{receiver.port}/", b"{}", {})
        assert "127.0.0.1" in str(refused.value) or "::1" in str(refused.value) or "no address" in str(refused.value)
    assert receiver.heard == []


def test_one_address_of_our_own_among_public_ones_spoils_them_all(monkeypatch: pytest.MonkeyPatch):
    answers = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("8.8.8.8", "169.254.169.254")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(Denied, match=r"169\.254\.169\.254"):
        post("https://two-faced.example/", b"{}", {})


def test_a_name_is_resolved_once_so_that_it_cannot_stand_for_another_address_afterwards(
    monkeypatch: pytest.MonkeyPatch,
):
    asked = []

    def rebinding(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        address = "127.0.0.2" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(outbound, "is_public", lambda address: str(address) == "127.0.0.2")
    with receiving() as receiver:  # On 127.0.0.1 alone: who connected there would have looked twice.
        with pytest.raises(Unavailable):
            post(f"https://rebinding.example:{receiver.port}/", b"{}", {}, timeout_s=5)
        assert receiver.heard == []
    assert asked == ["rebinding.example"]


@pytest.mark.parametrize(
    "url",
    [
        "", "hook", "ftp://example.org/", "file:///etc/passwd", "https://", "https:///path", "https://a b/",
        "https://example.org/\r\nX: y", "https://example.org:port/", "https://example.org:99999/",
        "https://me:secret@example.org/", "https://exämple.org/", "gopher://127.0.0.1/", "https://[::1/",
        "https://example.org/" + "a" * 2048, "http://example.org/",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_web_server_in_tls_is_refused(url: str):
    with pytest.raises(Invalid):
        check_url(url, NOWHERE)


def test_a_host_that_is_allowed_may_be_private_and_may_be_told_in_the_open():
    check_url("http://127.0.0.1:9000/hook", HERE)
    check_url("http://127.0.0.1:9000/hook", read_hosts("127.0.0.1:9000"))
    check_url("http://hooks.internal/", read_hosts(" Hooks.Internal ,other"))
    check_url("https://[::1]:9/", read_hosts("[::1]:9"))
    for allowed in ("127.0.0.1:9001", "127.0.0.2", ""):
        with pytest.raises(Invalid):
            check_url("http://127.0.0.1:9000/hook", read_hosts(allowed))


def test_what_is_sent_arrives_as_it_was_and_the_answer_comes_back():
    with receiving() as receiver:
        answer = post(f"{receiver.url}/a/b?c=d", b'{"a": "\xc3\xbc"}', {"X-One": "1"}, allowed=HERE)
        assert answer == Answer(200, "thanks")
        (heard,) = receiver.heard
    assert (heard.path, heard.body, heard.headers["x-one"]) == ("/a/b?c=d", b'{"a": "\xc3\xbc"}', "1")
    assert heard.headers["host"] == f"127.0.0.1:{receiver.port}"


def test_a_redirect_is_not_followed():
    with receiving() as inner, receiving() as receiver:
        receiver.answers, receiver.headers = lambda _: 307, {"location": f"{inner.url}/secret"}
        assert post(receiver.url, b"{}", {}, allowed=HERE).status == 307
        assert inner.heard == []


def test_no_proxy_of_the_environment_stands_between(monkeypatch: pytest.MonkeyPatch):
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        post(receiver.url, b"{}", {}, allowed=HERE)
        assert (len(receiver.heard), len(proxy.heard)) == (1, 0)


def test_of_a_large_answer_only_the_beginning_is_read():
    with receiving() as receiver:
        receiver.body = b"x" * (8 << 20)
        assert post(receiver.url, b"{}", {}, allowed=HERE).text == "x" * 4096


def test_where_nobody_listens_the_trouble_is_told():
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 did not answer"):
        post(f"http://127.0.0.1:{free_port()}/", b"{}", {}, allowed=HERE)
    with pytest.raises(Unavailable, match="has no address"):
        post("https://nowhere.invalid/", b"{}", {})
    with pytest.raises(Unavailable, match="has no address"):
        post(f"https://{'a' * 70}.example/", b"{}", {})


@contextmanager
def dripping(beginning: bytes) -> Iterator[str]:
    """A server that sends one more byte every now and then, and never ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def drip() -> None:
        line, _ = listener.accept()
        with line:
            line.sendall(beginning)
            while not stopped.wait(0.05):
                try:
                    line.sendall(b"a")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        stopped.set()
        thread.join(10)
        listener.close()


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nX-Long: "])
def test_a_receiver_that_drips_is_cut_off_when_time_is_up(beginning: bytes):
    with dripping(beginning) as url:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            post(url, b"{}", {}, allowed=HERE, timeout_s=0.6)
        assert time.monotonic() - began < 5


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for a name or address, with its key, in one file."""
    file = folder / "both.pem"
    subject = ["-subj", "/CN=test", "-addext", f"subjectAltName={name}"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-out", f"{folder}/cert.pem"]
    subprocess.run([*made, "-keyout", f"{folder}/key.pem", *subject], check=True, capture_output=True)
    file.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return file


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here to make a certificate with")
@pytest.mark.parametrize(("name", "trusted", "works"), [
    ("IP:127.0.0.1", True, True), ("DNS:other.example", True, False), ("IP:127.0.0.1", False, False),
])  # fmt: skip
def test_a_certificate_is_held_against_the_host_and_those_we_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool, works: bool
):
    file = certificate(tmp_path, name)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with receiving(certificate=file) as receiver:
        if works:
            assert post(receiver.url, b"{}", {}, allowed=HERE).status == 200
        else:
            with pytest.raises(Unavailable, match="certificate"):
                post(receiver.url, b"{}", {}, allowed=HERE)
        assert len(receiver.heard) == works
