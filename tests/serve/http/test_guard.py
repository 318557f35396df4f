"""The guard of an endpoint: what a path asks for, however it is written; browsers; tokens of a file; strangers."""

import asyncio
import threading
from pathlib import Path

import pytest

from taut.errors import Denied, Invalid, Unavailable
from taut.ground.browsers import LOOPBACK, Hosts
from taut.home import Home
from taut.serve.http.asking import Admitted, OfToken, Unknown, read_token
from taut.serve.http.guard import ASKING_MAX, Doorkeeper, hosts_for, needs_of
from taut.serve.http.rates import Rate, Rates
from tests.serve.http.scenes import INFER, doubled, endpoint, post, request

TOKEN = "0123456789abcdef-secret"
HEAD = f"Authorization: Bearer {TOKEN}\r\n"
OPEN = ("/health", "/ping", "/ready", "/version", "/v2", "/v2/", "/v2/health/live", "/v2/health/ready")


def keeper(**more: object) -> Doorkeeper:
    return Doorkeeper(OfToken(TOKEN), hosts=Hosts(LOOPBACK | {"here"}), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "needs"),
    [
        *((path, "") for path in OPEN),
        ("/invocations", "deployment:predict"), (INFER, "deployment:predict"),
        ("/v2/models/late/versions/3/infer", "deployment:predict"), ("/v2/models/other/infer", "deployment:predict"),
        ("/v2/models/late/labels", "feedback:write"), ("/v2/models/late", "deployment:read"),
        ("/v2/models/late/ready", "deployment:read"), ("/metrics", "server:observe"),
        # Whatever else there is or will be asks for something.
        ("//invocations", "deployment:read"), ("/invocations/", "deployment:read"), ("", "deployment:read"),
        ("/metrics/", "deployment:read"), ("/ping/../invocations", "deployment:read"), ("/PING", "deployment:read"),
        ("/health/", "deployment:read"), ("/v2/health/live/", "deployment:read"), ("*", "deployment:read"),
        ("/v2/health/live\0", "deployment:read"), ("/ping?x", "deployment:read"), ("/./ping", "deployment:read"),
    ],
)  # fmt: skip
def test_what_a_path_asks_for(path: str, needs: str):
    assert needs_of(path) == needs


ATTACKS = [
    b"POST //invocations HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /%69nvocations HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /ping/..%2finvocations HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /invocations?ping HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}",
    b"POST http://here/invocations HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /invocations HTTP/1.1\r\nHost: here\r\n\r\n",
    b"OPTIONS /invocations HTTP/1.1\r\nHost: here\r\nOrigin: http://evil\r\n\r\n",
    b"PUT /v2/models/late/infer HTTP/1.1\r\nHost: here\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n",
    b"GET /metrics?a=/ping HTTP/1.1\r\nHost: here\r\n\r\n",
    b"GET /v2/models/late HTTP/1.1\r\nHost: here\r\nAuthorization: 127.0.0.1\r\n\r\n",
    b"POST /v2/models/late/labels HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /v2/models/late HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer\r\n\r\n",
    f"GET /v2/models/late HTTP/1.1\r\nHost: here\r\nAuthorization: bearer{TOKEN}\r\n\r\n".encode(),
    f"GET /v2/models/late HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN[:-1]}\r\n\r\n".encode(),
    f"GET /v2/models/late HTTP/1.1\r\nHost: here\r\nProxy-Authorization: Bearer {TOKEN}\r\n\r\n".encode(),
    f"GET /v2/models/late?access_token={TOKEN} HTTP/1.1\r\nHost: here\r\n\r\n".encode(),
    b"GET /v2/models/late HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer " + b"x" * 5000 + b"\r\n\r\n",
    b"GET /v2/models/late HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer \xff\xfe\xe9\r\n\r\n",
]


def test_no_way_of_asking_comes_past_the_guard(home: Home):
    with endpoint(home, guard=keeper()) as served:
        for attack in ATTACKS:
            with served.line() as line:
                got = line.ask(attack)
                assert got.status == 401, (attack[:80], got)
                assert got.headers.get("www-authenticate") == "Bearer", attack[:80]
                assert b"secret" not in got.body
        with served.line() as line:
            line.send(b"HEAD /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
            assert line.read(head_only=True).status == 401
        assert served.models[0].calls == []
        with served.line() as line:
            assert doubled(line.ask(post(2.0, head=HEAD))) == 4.0
            assert line.ask(f"GET /metrics HTTP/1.1\r\nHost: here\r\n{HEAD}\r\n".encode()).status == 200
            for path in OPEN:
                assert line.ask(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()).status == 200


@pytest.mark.parametrize("name", ["Authorization", "Host", "Origin", "Sec-Fetch-Site"])
def test_a_header_that_says_who_asks_whom_is_given_once(home: Home, name: str):
    value = f"Bearer {TOKEN}" if name == "Authorization" else "here"
    with endpoint(home, guard=keeper()) as served, served.line() as line:
        twice = f"{name}: {value}\r\n" * (1 if name in ("Host", "Authorization") else 2)
        got = line.ask(post(head=HEAD + twice))
        assert got.status == 400 and "given twice" in got.json["error"], got
    with endpoint(home, guard=keeper()) as served, served.line() as line:
        assert doubled(line.ask(post(2.0, head=HEAD + "X-Other: a\r\nX-Other: b\r\n"))) == 4.0


@pytest.mark.parametrize(
    ("method", "headers", "problem"),
    [
        ("POST", {b"host": b"evil.example"}, "does not answer to the host"),
        ("GET", {b"host": b"127.0.0.1.evil.example:80"}, "does not answer to the host"),
        ("GET", {b"host": b""}, "does not answer to the host"),
        ("GET", {}, ""),  # A probe that speaks HTTP/1.0; no browser leaves it out.
        ("POST", {b"host": b"localhost:1", b"origin": b"http://evil.example"}, "pages of"),
        ("POST", {b"host": b"localhost:1", b"origin": b"null"}, "pages of"),
        ("POST", {b"host": b"localhost:1", b"origin": b"http://localhost:2"}, "pages of"),
        ("POST", {b"host": b"localhost:1", b"sec-fetch-site": b"cross-site"}, "other sites"),
        ("DELETE", {b"host": b"localhost:1", b"sec-fetch-site": b"same-site"}, "other sites"),
        ("POST", {b"host": b"localhost:1", b"origin": b"http://localhost:1"}, ""),
        ("POST", {b"host": b"127.0.0.1:80", b"sec-fetch-site": b"none"}, ""),
        ("GET", {b"host": b"[::1]:80", b"origin": b"http://evil.example"}, ""),
    ],
)  # fmt: skip
def test_pages_of_others_ask_nothing_of_an_open_endpoint(method: str, headers: dict[bytes, bytes], problem: str):
    guard = Doorkeeper(None, hosts=hosts_for("127.0.0.1"))
    for path in ("/invocations", "/ping"):
        if problem:
            with pytest.raises(Denied, match=problem):
                guard(method, path, headers, "127.0.0.1")
        else:
            assert guard(method, path, headers, "127.0.0.1") == ""


def test_beyond_loopback_every_host_is_ours_until_they_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TAUT_HOSTS", raising=False)
    assert hosts_for("0.0.0.0") is None
    assert hosts_for("::1") is not None
    monkeypatch.setenv("TAUT_HOSTS", "late.example.org")
    hosts = hosts_for("0.0.0.0")
    assert hosts is not None and hosts.problem(b"late.example.org:443") == "" and hosts.problem(b"evil.example.org")


def test_a_token_of_a_file_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path):
    path = tmp_path / "token"
    for written, mode in (
        (TOKEN, 0o644),
        ("short", 0o600),
        (f"{TOKEN} {TOKEN}", 0o600),
        ("é" * 20, 0o600),
        ("", 0o600),
    ):
        path.write_text(written)
        path.chmod(mode)
        with pytest.raises(Invalid):
            read_token(path)
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o640)
    assert read_token(path) == TOKEN
    with pytest.raises(Invalid, match="cannot be read"):
        read_token(tmp_path / "missing")


def test_two_fronts_on_one_table_keep_one_rate_and_strangers_are_counted_by_address(home: Home):
    rates, rate = Rates(), Rate(0.01, 4)
    first, second = (keeper(rate=rate, rates=rates) for _ in range(2))
    with endpoint(home, guard=first) as one, endpoint(home, guard=second) as other:
        got = []
        for number in range(6):
            with (one, other)[number % 2].line() as line:
                got.append(line.ask(post(1.0, head=HEAD)))
        assert [answer.status for answer in got] == [200] * 4 + [429] * 2
        assert int(got[-1].headers["retry-after"]) > 90
        with one.line() as line:
            assert line.ask(b"GET /ping HTTP/1.1\r\nHost: here\r\n\r\n").status == 200
    anonymous = Doorkeeper(None, rate=rate, rates=rates)
    assert [_may(anonymous, "10.0.0.1") for _ in range(5)] == [True] * 4 + [False]
    assert _may(anonymous, "10.0.0.2")


def _may(guard: Doorkeeper, address: str) -> bool:
    try:
        return guard("POST", "/invocations", {}, address) == ""
    except Unavailable:
        return False


class Slow:
    """Knows nobody at once, and `right` after a while; counts how often it was asked."""

    def __init__(self) -> None:
        self.may_answer, self.asked = threading.Event(), 0

    def recall(self, authorization: str, needs: str, address: str) -> Admitted | None:
        return None

    def ask(self, authorization: str, needs: str, address: str) -> Admitted:
        self.asked += 1
        assert self.may_answer.wait(20)
        if authorization != "right":
            raise Unknown(authorization)
        return Admitted("ada", float("inf"))


async def ask(guard: Doorkeeper, shown: bytes) -> str:
    found = guard("POST", "/invocations", {b"authorization": shown}, "")
    return found if isinstance(found, str) else await found


def test_many_requests_of_one_caller_ask_once_and_a_flood_of_strangers_is_bounded():
    async def flood() -> None:
        slow = Slow()
        guard = Doorkeeper(slow)
        same = [asyncio.create_task(ask(guard, b"right")) for _ in range(200)]
        strangers = [asyncio.create_task(ask(guard, b"wrong %d" % number)) for number in range(200)]
        await asyncio.sleep(0.05)
        for task in same[100:]:
            task.cancel()  # They leave: the others are answered all the same.
        slow.may_answer.set()
        answers = await asyncio.gather(*same, *strangers, return_exceptions=True)
        assert answers[:100] == ["ada"] * 100
        refused = answers[200:]
        assert sum(isinstance(one, Unknown) for one in refused) == slow.asked - 1 == ASKING_MAX - 1
        assert sum(isinstance(one, Unavailable) for one in refused) == 200 - (ASKING_MAX - 1)
        assert await ask(guard, b"right") == "ada" and slow.asked == ASKING_MAX

    asyncio.run(flood())


def test_a_body_of_a_caller_who_may_not_is_never_read(home: Home):
    with endpoint(home, guard=keeper()) as served, served.line() as line:
        got = line.ask(request(b"", length=10_000_000, path="/v2/models/late/labels"))
        assert got.status == 401 and served.held == (0, 0)
