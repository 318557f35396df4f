"""Attacks on a running server, black-box, raw bytes over real sockets: what must not work, and how soon it is told."""

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from taut.faces.http import strict
from taut.faces.mlflow.routes import ROUTES
from taut.govern import create_token
from taut.ground.objects import oid_of
from taut.home import Home
from taut.runs import create_logged_model, create_run, put_artifact
from tests.faces.serving import served
from tests.faces.speaking import POOL, Speaker
from tests.parts import eventually

SEARCH = b"POST /api/2.0/mlflow/experiments/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
BODY = b'{"max_results": 1}'
SAID = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
IN_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
CANARY = b"canary-7f3a"
SQL = re.compile(rb"\b(SELECT|INSERT INTO|UPDATE \w+ SET|UNIQUE constraint|sqlite3|psycopg|syntax error)\b|Traceback")


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    (home.project / "canary.txt").write_bytes(CANARY)
    with served(home) as address:
        yield address


def sent(url: str, request: bytes, *, within: float = 3.0) -> bytes:
    """What a server answers until it closes, or has been silent for `within` seconds after the request."""
    host, _, port = url.removeprefix("http://").partition(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=within) as line:
        with contextlib.suppress(ConnectionError):  # Whoever refuses a large request closes before it is sent.
            line.sendall(request)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while part := line.recv(65536):
                answer += part
                if is_whole(answer):
                    break
    return answer


def is_whole(answer: bytes) -> bool:
    head, gap, body = answer.partition(b"\r\n\r\n")
    said = re.search(rb"\r\ncontent-length: (\d+)", head)
    return bool(gap) and said is not None and len(body) >= int(said[1])


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


# One way to read a request

AMBIGUOUS = {
    "length and chunks": SEARCH + SAID + CHUNKED + b"\r\n" + IN_CHUNKS,
    "chunks and length": SEARCH + CHUNKED + SAID + b"\r\n" + IN_CHUNKS,
    "two lengths": SEARCH + SAID + b"Content-Length: 3\r\n\r\n" + BODY,
    "one length twice": SEARCH + SAID + SAID + b"\r\n" + BODY,
    "a list of lengths": SEARCH + b"Content-Length: 18, 18\r\n\r\n" + BODY,
    "a length with a sign": SEARCH + b"Content-Length: +18\r\n\r\n" + BODY,
    "a negative length": SEARCH + b"Content-Length: -1\r\n\r\n" + BODY,
    "a length past all numbers": SEARCH + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY,
    "space before the colon": SEARCH + b"Content-Length : 18\r\n\r\n" + BODY,
    "identity": SEARCH + b"Transfer-Encoding: identity\r\n" + SAID + b"\r\n" + BODY,
    "chunked twice": SEARCH + CHUNKED + CHUNKED + b"\r\n" + IN_CHUNKS,
    "gzip and chunked": SEARCH + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + IN_CHUNKS,
    "nearly chunked": SEARCH + b"Transfer-Encoding: xchunked\r\n\r\n" + IN_CHUNKS,
    "chunked behind a tab": SEARCH + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + IN_CHUNKS,
    "no chunk size": SEARCH + CHUNKED + b"\r\nzz\r\n" + BODY,
    "a chunk size in C": SEARCH + CHUNKED + b"\r\n0x12\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk size past all numbers": SEARCH + CHUNKED + b"\r\nffffffffffffffffff\r\n" + BODY,
    "a negative chunk": SEARCH + CHUNKED + b"\r\n-1\r\n" + BODY,
    "a chunk behind a bare line feed": SEARCH + CHUNKED + b"\r\n12\n" + BODY + b"\r\n0\r\n\r\n",
    "a folded header": HEALTH + b"X-A: a\r\n b\r\n\r\n",
    "NUL in a value": HEALTH + b"X-A: a\0b\r\n\r\n",
    "NUL in a name": HEALTH + b"X\0A: ab\r\n\r\n",
    "a bare carriage return": HEALTH + b"X-A: a\rb\r\n\r\n",
    "bare line feeds": b"GET /health HTTP/1.1\nHost: 127.0.0.1\n\n",
    "two hosts": HEALTH + b"Host: 127.0.0.1\r\n\r\n",
    "a host in the target": b"GET http://evil.example/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "our host in the target": b"GET http://127.0.0.1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "CONNECT": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "bytes in the target": b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_two_servers_could_read_differently_is_refused_and_ends_its_connection(url: str, request_bytes: bytes):
    hidden = b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    host, _, port = url.removeprefix("http://").partition(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(request_bytes + hidden)
        with contextlib.suppress(ConnectionError):
            while part := line.recv(65536):
                answer += part
    assert (status_of(answer), answer.count(b"HTTP/1.1")) == (400, 1)
    assert b"connection: close" in answer


def test_what_comes_behind_a_body_is_no_header(url: str):
    trailer = (
        SEARCH + CHUNKED + b"\r\n12\r\n" + BODY + b"\r\n0\r\nHost: evil.example\r\nAuthorization: Bearer x\r\n\r\n"
    )
    assert status_of(sent(url, trailer)) == 200


def test_an_upgrade_is_not_made_and_hides_no_second_request(url: str):
    for said in (b"websocket", b"h2c"):
        asked = HEALTH + b"Connection: Upgrade\r\nUpgrade: " + said + b"\r\n\r\n"
        answer = sent(url, asked + HEALTH + b"\r\n")
        assert (status_of(answer), answer.count(b"HTTP/1.1")) == (200, 1)


# Sizes

TOO_LARGE_HEADS = {
    "many headers": HEALTH + b"".join(b"X-%d: a\r\n" % number for number in range(200)) + b"\r\n",
    "a large header": HEALTH + b"X-A: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "a header without an end": HEALTH + b"X-A: " + b"a" * 3_000_000,
    "a long target": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", TOO_LARGE_HEADS.values(), ids=TOO_LARGE_HEADS)
def test_a_head_has_a_limit(url: str, request_bytes: bytes):
    assert status_of(sent(url, request_bytes)) in (400, 431)
    assert POOL.request("GET", f"{url}/health").status == 200


@pytest.mark.parametrize("expecting", [b"", b"Expect: 100-continue\r\n"])
@pytest.mark.parametrize("place", ["/api/2.0/mlflow/runs/log-batch", "/api/taut/v1/verbs/model.list", "/v1/traces"])
def test_a_declared_body_of_100_gb_is_refused_at_once(url: str, place: str, expecting: bytes):
    head = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 107374182400\r\n" % place.encode()
    began = time.monotonic()
    kind = b"Content-Type: application/x-protobuf\r\n" if place == "/v1/traces" else b""
    answer = sent(url, head + kind + expecting + b"\r\n")
    assert status_of(answer) == 413
    assert b"connection: close" in answer
    assert time.monotonic() - began < 5  # Nobody waited for it to come.


def test_a_body_in_chunks_without_an_end_is_cut_off_and_memory_stays(home: Home):
    server = subprocess.Popen(
        [sys.executable, "-m", "taut", "server", "--port", "0", "--json"],
        cwd=home.project, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        eventually(lambda: POOL.request("GET", f"{url}/health").status == 200, what="the server")
        before = memory_of(url)
        piece = b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20))
        answer = sent(url, SEARCH + CHUNKED + b"\r\n" + piece * 100)
        assert status_of(answer) in (413, 0)  # Closed while we still sent: the kernel may drop the answer.
        assert memory_of(url) - before < 250 << 20
        assert POOL.request("GET", f"{url}/health").status == 200
    finally:
        server.terminate()
        server.communicate(timeout=30)


def memory_of(url: str) -> float:
    told = POOL.request("GET", f"{url}/metrics").data.decode()
    return float(told.partition("\nprocess_resident_memory_bytes ")[2].partition("\n")[0])


NESTED = {
    "lists": b"[" * 200_000,
    "closed lists": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "in a field": b'{"experiment_ids": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a number": b'{"max_results": ' + b"9" * 100_000 + b"}",
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "half a character": b'{"name": "\\ud800"}',
    "NUL": b'{"name": "\\u0000"}',
    "not an object": b"[1, 2]",
    "NaN": b'{"max_results": NaN}',
}


@pytest.mark.parametrize("body", NESTED.values(), ids=NESTED)
def test_deep_or_odd_json_is_a_400_wherever_it_is_sent(url: str, body: bytes):
    for route in ROUTES:
        if route.method in ("POST", "PATCH") and route.takes is not None and route.path != "/graphql":
            place = re.sub(r"\{[^}]+\}", "x", route.places[0])
            answer = POOL.request(route.method, url + place, body=body, headers={"content-type": "application/json"})
            assert 400 <= answer.status < 500 or (answer.status, body) == (200, NESTED["no UTF-8"]), (
                place,
                answer.data,
            )
            assert not SQL.search(answer.data), answer.data
    assert POOL.request("POST", f"{url}/api/taut/v1/verbs/model.create", body=body).status == 400


# Time


def test_who_asks_too_slowly_waits_for_nothing(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(strict, "WATCHED_S", 0.2)
    slow = {
        "nothing": b"",
        "half a head": HEALTH + b"X-A: ",
        "half a body": SEARCH + SAID + b"\r\n{",
        "half a chunk": SEARCH + CHUNKED + b"\r\n12\r\n{",
        "half an upload": b"PUT /api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/x HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Length: 100000\r\n\r\nabc",
    }
    for name, beginning in slow.items():
        assert trickled(url, beginning) == 408, name


def trickled(url: str, beginning: bytes) -> int:
    """Send a beginning, then a byte now and then; the status that ends it."""
    host, _, port = url.removeprefix("http://").partition(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=0.05) as line:
        line.sendall(beginning)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                part = line.recv(65536)
            except TimeoutError:
                with contextlib.suppress(OSError):
                    line.sendall(b"a" if beginning else b"")
                continue
            except ConnectionError:
                break
            if not part:
                break
            answer += part
    return status_of(answer)


def test_a_large_upload_may_take_its_time_but_not_all_of_it(home: Home, url: str, monkeypatch: pytest.MonkeyPatch):
    """Past some MiB the body is received around uvicorn, which must not hide a sender who has stopped."""
    create_run(home, run_id="r")
    monkeypatch.setattr(strict, "WATCHED_S", 0.2)
    place = b"PUT /api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/x HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    size = 16 << 20
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(place + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(8):  # 2 MiB at a time, with pauses in which too little comes for a wake of the loop.
            line.sendall(b"a" * (1 << 20))
            for _ in range(3):
                time.sleep(0.1)
                line.sendall(b"a" * 100_000)
            line.sendall(b"a" * ((1 << 20) - 300_000))
        assert status_of(line.recv(65536)) == 200
    assert trickled(url, place + b"Content-Length: %d\r\n\r\n" % size + b"a" * (9 << 20)) == 408


def test_who_does_not_read_the_answer_loses_the_connection(home: Home, url: str, monkeypatch: pytest.MonkeyPatch):
    create_run(home, run_id="r")
    data = os.urandom(1 << 20) * 32
    assert POOL.request("PUT", f"{url}/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/x", body=data).status == 200
    monkeypatch.setattr(strict, "WATCHED_S", 0.2)
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(b"GET /api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        time.sleep(1.5)
        got = 0
        with contextlib.suppress(ConnectionError):
            while part := line.recv(1 << 20):
                got += len(part)
    assert got < len(data)


# Hosts and pages

HOSTS = [
    "", "evil.example", "127.0.0.1.evil.example", "evil.example:5000", "evil@127.0.0.1", "127.0.0.1@evil.example",
    "127.0.0.1:evil", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "localhost.", "localhost.evil", "[::1", "::1]",
    "[::ffff:127.0.0.1]", "127.0.0.1/", "127.0.0.1,evil.example", "localhost evil",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_only_the_names_we_have_are_answered_to(url: str, host: str):
    for place in ("/health", "/version", "/api/2.0/mlflow/experiments/search", "/nowhere"):
        answer = sent(url, f"GET {place} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert status_of(answer) in (400, 403), (place, answer)
    assert status_of(sent(url, b"GET /health HTTP/1.0\r\n\r\n")) == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST", "localhost:1", "[::1]", "[::1]:65535"])
def test_our_own_names_are_answered_to_at_any_port(url: str, host: str):
    assert status_of(sent(url, f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())) == 200


def changes() -> list[tuple[str, str]]:
    found = [(route.method, re.sub(r"\{[^}]+\}", "x", place)) for route in ROUTES for place in route.places]
    own = [("POST", "/api/taut/v1/verbs/model.list"), ("POST", "/api/taut/v1/objects"), ("POST", "/nowhere")]
    return [(method, place) for method, place in [*found, *own] if method != "GET"]


def test_no_change_is_made_on_behalf_of_another_page(url: str):
    same = url.removeprefix("http://")
    foreign = [
        {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:1"},
        {"origin": f"http://{same}.evil.example"}, {"origin": f"ftp://{same}"}, {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "cross-site", "origin": url},
    ]  # fmt: skip
    for method, place in changes():
        for headers in foreign:
            answer = POOL.request(method, url + place, body=b"{}", headers=headers)
            assert answer.status == 403, (method, place, headers)
            assert "access-control-allow-origin" not in answer.headers


def test_our_own_pages_and_programs_may_change_things(url: str):
    for headers in ({"origin": url, "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {}):
        answer = POOL.request("POST", f"{url}/api/2.0/mlflow/experiments/search", body=BODY, headers=headers)
        assert answer.status == 200, headers


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain; a=b"]
)
def test_what_a_form_could_send_is_not_read_as_json(url: str, kind: str):
    places = [place for method, place in changes() if method == "POST"]
    for place in places:
        if place in ("/api/taut/v1/objects", "/nowhere", "/ajax-api/2.0/mlflow/upload-artifact"):
            continue
        answer = POOL.request("POST", url + place, body=b'{"name": "x"}', headers={"content-type": kind})
        assert answer.status in (400, 404, 415), (place, answer.status)
    made = json.loads(POOL.request("POST", f"{url}/api/2.0/mlflow/experiments/search", body=BODY).data)
    assert [one["name"] for one in made["experiments"]] == ["Default"]


def test_nothing_is_said_to_other_origins(url: str):
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for method, place in [*changes(), ("GET", "/health"), ("GET", "/metrics")]:
        for how in ("OPTIONS", "HEAD"):
            answer = POOL.request(how, url + place, headers=asked)
            assert not [name for name in answer.headers if name.lower().startswith("access-control")], (method, place)
            assert answer.status != 500


def test_every_answer_tells_a_browser_to_do_nothing_with_it(home: Home, url: str):
    create_run(home, run_id="r")
    for name in ("page.html", "picture.svg", "MLmodel", "code.js"):
        put_artifact(home, "0/r/artifacts", name, home.objects.put(_file(b"<script>1</script>")), 18)
    file = f"{url}/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts"
    pages = [f"{file}/{name}" for name in ("page.html", "picture.svg", "MLmodel", "code.js")]
    pages += [f"{url}/get-artifact?run_id=r&path=page.html", f"{url}/health", f"{url}/nowhere", f"{file}/nothing"]
    for page in pages:
        headers = POOL.request("GET", page).headers
        assert headers["x-content-type-options"] == "nosniff", page
        assert headers["referrer-policy"] == "no-referrer", page
        assert headers["cross-origin-resource-policy"] == "same-origin", page
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy, page
        assert "unsafe" not in policy and "*" not in policy, page
        if page in pages[:5]:
            assert headers["content-disposition"].startswith("attachment"), page


def _file(data: bytes) -> io.BytesIO:
    return io.BytesIO(data)


# Methods and places


def test_no_header_makes_another_method_of_a_request(home: Home, url: str):
    create_run(home, run_id="r")
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"):
        for method in ("GET", "POST"):
            POOL.request(method, f"{url}/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts", headers={header: "DELETE"})
        place = f"{url}/api/2.0/mlflow/experiments/search?max_results=1&_method=DELETE"
        assert POOL.request("GET", place, headers={header: "DELETE"}).status == 200
    for header in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Host", "Forwarded"):
        answer = POOL.request("GET", f"{url}/health", headers={header: "/metrics"})
        assert answer.data == b"OK"


def test_another_spelling_of_a_place_asks_who_calls_as_well(home: Home, url: str):
    create_token(home, "ci", "viewer")
    for place in ("/api/2.0/mlflow/experiments/search", "/metrics", "/api/taut/v1/objects", "/graphql"):
        first, _, rest = place[1:].partition("/")
        spellings = [
            f"/{place}", f"{place}/", f"{place}//", f"/.{place}", f"/x/..{place}", f"/x/..;{place}", f"{place};x=y",
            f"{place}%00", f"{place}%2f", f"{place}.json", f"/%2e{place}", f"{place}%20", place.replace("/", "%2f"),
            place.upper(), f"/{quote(quote(first))}/{rest}", f"/%{ord(first[0]):x}{place[2:]}",
            place.replace("/", "\\"),
            f"{place}?", f"{place}#", f"/health{place}", f"/health/..{place}", f"/health/..;{place}",
            f"/health%2f..{place}", f"/version/../..{place}",
        ]  # fmt: skip
        for spelling in spellings:
            for method in ("GET", "POST", "HEAD"):
                asked = f"{method} {spelling} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
                answer = sent(url, asked.encode())
                assert status_of(answer) in (400, 401, 404, 405), (method, spelling, answer)


def test_every_route_asks_who_calls_by_every_method_and_prefix(home: Home, url: str):
    create_token(home, "ci", "viewer")
    routes = [(route.method, re.sub(r"\{[^}]+\}", "x", place)) for route in ROUTES for place in route.places]
    routes += [(method, place.replace("/2.0/mlflow/", "/2.0/preview/mlflow/")) for method, place in routes]
    routes += [("POST", "/api/taut/v1/verbs/model.list"), ("GET", "/api/taut/v1/objects"), ("GET", "/metrics")]
    routes += [("POST", "/api/taut/v1/objects"), ("POST", "/api/taut/v1/objects/missing")]
    for method, place in routes:
        for how in {method, "HEAD" if method == "GET" else method}:
            answer = POOL.request(how, url + place, headers={"content-type": "application/json"})
            allowed = (401, 404) if "/preview/" in place else (401,)  # Not all are where the oldest clients look.
            assert answer.status in allowed, (how, place, answer.status)
        for how in ("OPTIONS", "TRACE", "PROPFIND"):
            assert POOL.request(how, url + place).status in (400, 401, 404, 405), (how, place)


# Files

OUTSIDE = [
    "../canary.txt", "../../canary.txt", "../../../../../../../../etc/passwd", "/etc/passwd", "//etc/passwd",
    "..\\..\\canary.txt", "..%2f..%2fcanary.txt", "%2e%2e/%2e%2e/canary.txt", "%2e%2e%2f%2e%2e%2fcanary.txt",
    "%252e%252e%252f%252e%252e%252fcanary.txt", "..%252f..%252fcanary.txt", "..%5c..%5ccanary.txt",
    "..%c0%af..%c0%afcanary.txt", "....//....//canary.txt", "..;/..;/canary.txt", ";/../../canary.txt",
    "a/../../canary.txt", "a/%2e%2e/%2e%2e/canary.txt", "canary.txt%00.png", "%00", "..%00/canary.txt",
    "#/../canary.txt",
    "%23/../canary.txt", "?/../canary.txt", "file:///etc/passwd", "file:%2f%2f%2fetc%2fpasswd", "C:\\canary.txt",
    ".", "..",
    "%2e", "./canary.txt", "~/canary.txt", "meta.db", "../meta.db", "../../meta.db", "0/r/artifacts/../../../meta.db",
    "\u2025/canary.txt", "a" * 5000, "a/" * 600 + "b",
]  # fmt: skip


@pytest.fixture
def places(home: Home, url: str) -> list[tuple[str, str]]:
    """Every route that takes a path of a file, with one {} for it."""
    create_run(home, run_id="r")
    model = create_logged_model(home, "0", name="late")
    files = "/api/2.0/mlflow-artifacts/artifacts"
    return [
        ("GET", files + "/0/r/artifacts/{}"), ("PUT", files + "/0/r/artifacts/{}"),
        ("DELETE", files + "/0/r/artifacts/{}"), ("GET", files + "/{}"), ("PUT", files + "/{}"),
        ("DELETE", files + "/{}"), ("GET", files + "?path={}"), ("GET", files + "?path=0/r/artifacts/{}"),
        ("GET", "/api/2.0/mlflow/artifacts/list?run_id=r&path={}"), ("GET", "/get-artifact?run_id=r&path={}"),
        ("GET", "/model-versions/get-artifact?name=late&version=1&path={}"),
        ("GET", f"/ajax-api/2.0/mlflow/logged-models/{model.id}/artifacts/files?artifact_file_path={{}}"),
        ("GET", f"/api/2.0/mlflow/logged-models/{model.id}/artifacts/directories?artifact_directory_path={{}}"),
        ("GET", "/ajax-api/2.0/mlflow/get-trace-artifact?request_id=tr-1&path={}"),
        ("POST", "/ajax-api/2.0/mlflow/upload-artifact?run_id=r&path={}"), ("GET", "/api/taut/v1/objects/{}"),
    ]  # fmt: skip


def test_no_path_reaches_a_file_outside_and_none_is_a_500(home: Home, url: str, places: list[tuple[str, str]]):
    before = tree_of(home.project)
    for method, place in places:
        for path in OUTSIDE:
            target = place.format(path).encode()
            if b" " in target:
                target = target.replace(b" ", b"%20")
            asked = b"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nConnection: close\r\n\r\nevil"
            answer = sent(url, asked % (method.encode(), target))
            assert 200 <= status_of(answer) < 500, (method, place, path, answer)
            assert not re.search(rb"canary-7f3a|root:x:|SQLite format", answer), (method, place, path)
            assert str(home.project).encode() not in answer, (method, place, path)
    assert {path: data for path, data in tree_of(home.project).items() if "objects" not in path.parts} == before


def tree_of(folder: Path) -> dict[Path, bytes]:
    """Every file of a project but the database and the objects, which change."""
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".taut" not in path.relative_to(folder).parts
    }


SOURCES = [
    "file:///etc", "/etc", "file://{}", "{}", "../../", "runs:/r/../../..", "mlflow-artifacts:/0/r/artifacts/../../..",
    "mlflow-artifacts:/../..", "s3://bucket/../x", "http://127.0.0.1/", "file:///{}#/", "runs:/r/%2e%2e/%2e%2e",
    "models:/late/1/../../..", "mlflow-artifacts:/0/s/artifacts",
]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_no_source_of_a_version_or_place_of_an_experiment_opens_the_machine(home: Home, url: str, source: str):
    create_run(home, run_id="r")
    ask = Speaker(url)
    ask.post("mlflow/registered-models/create", name="late")
    written = source.format(home.project)
    said = ask.post("mlflow/model-versions/create", name="late", source=written, run_id="r")
    assert said.status < 500, said
    made = ask.post("mlflow/experiments/create", name="e", artifact_location=written)
    assert made.status < 500, made
    for path in ("passwd", "canary.txt", "etc/passwd", "../canary.txt", ".taut/meta.db"):
        answer = POOL.request("GET", f"{url}/model-versions/get-artifact?name=late&version=1&path={quote(path)}")
        assert 400 <= answer.status < 500, (path, answer.status)
        assert CANARY not in answer.data


def test_a_link_inside_the_store_is_followed_nowhere(home: Home, url: str):
    """Whoever can write into the store's folder may put a link there; its bytes have another digest and stay ours."""
    place = Path(home.objects.url.removeprefix("file://"))
    oid = oid_of(b"nothing of the kind")
    (place / oid[:2]).mkdir(exist_ok=True)
    (place / oid[:2] / oid[2:]).symlink_to(home.project / "canary.txt")
    create_run(home, run_id="r")
    put_artifact(home, "0/r/artifacts", "x", oid, 11)
    for page in (f"/api/taut/v1/objects/{oid}", "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/x"):
        answer = POOL.request("GET", url + page)
        assert answer.status >= 400 and CANARY not in answer.data
        assert str(home.project).encode() not in answer.data


# What answers cost and tell


def test_hostile_questions_are_answered_within_a_second(home: Home, url: str):
    create_run(home, run_id="r", name="a" * 200)
    ask = Speaker(url)
    like = "%a" * 2000
    aliases = " ".join(f"a{number}: mlflowGetExperiment(input: {{experimentId: \"0\"}}) {{ experiment {{ name }} }}"
                       for number in range(2000))  # fmt: skip
    deep = "{ a " * 5000 + "}" * 5000
    questions = [
        lambda: ask.post("mlflow/experiments/search", max_results=2**31),
        lambda: ask.post("mlflow/experiments/search", max_results=2**80),
        lambda: ask.post("mlflow/experiments/search", max_results=-1),
        lambda: ask.post("mlflow/runs/search", experiment_ids=["0"], max_results=10**9),
        lambda: ask.post("mlflow/runs/search", experiment_ids=["0"], filter=f"attributes.run_name LIKE '{like}b'"),
        lambda: ask.post("mlflow/runs/search", experiment_ids=["0"], filter=f"attributes.run_name ILIKE '{like}b'"),
        lambda: ask.post("mlflow/runs/search", experiment_ids=["0"], filter=" AND ".join(["params.a = 'b'"] * 5000)),
        lambda: ask.post("mlflow/runs/search", experiment_ids=["0"], filter="(" * 20_000),
        lambda: ask.post("mlflow/runs/search", experiment_ids=["0"] * 100_000),
        lambda: ask.post("mlflow/runs/search", experiment_ids=["0"], order_by=["params.a"] * 10_000),
        lambda: ask.post("mlflow/runs/search", experiment_ids=["0"], page_token="x" * 100_000),
        lambda: ask.get("mlflow/registered-models/search", filter=f"name LIKE '{like}b'"),
        lambda: ask.get("mlflow/metrics/get-history", run_id="r", metric_key="m", max_results=10**12),
        lambda: Speaker(url, "/").post("graphql", query=f"{{ {aliases} }}"),
        lambda: Speaker(url, "/").post("graphql", query=deep),
        lambda: Speaker(url, "/").post("graphql", query="{ ...a } fragment a on Query { ...a }"),
        lambda: ask.post("mlflow/runs/log-batch", run_id="r", tags=[{"key": "k", "value": "v"}] * 100_000),
    ]  # fmt: skip
    for number, question in enumerate(questions):
        began, began_cpu = time.monotonic(), time.process_time()  # Of this process, in which the server runs too.
        said = question()
        assert said.status < 500 or said.status == 503, (number, said)
        assert time.process_time() - began_cpu < 1, number
        assert time.monotonic() - began < 10, number  # Whatever else this machine does.


def test_no_error_shows_sql_a_stack_or_a_place_of_the_server(home: Home, url: str):
    create_run(home, run_id="r")
    ask, odd = (
        Speaker(url),
        ["'", '"', "\\", "%", "\0", "'; DROP TABLE run; --", "1 OR 1=1", "\ud800", "😀" * 300, "-1", "NaN"],
    )
    shown: list[tuple[str, str, int, bytes]] = []
    for route in ROUTES:
        if route.takes is None:
            continue
        fields = route.takes.__struct_fields__
        for value in odd:
            place = re.sub(r"\{[^}]+\}", quote(value.encode("utf-8", "surrogatepass")), route.places[0])
            body = dict.fromkeys(fields, value)
            said = POOL.request(route.method, url + place, body=json.dumps(body).encode())
            shown.append((place, value, said.status, said.data))
    long = ask.post("mlflow/runs/create", experiment_id="0", run_name="x" * 10**6)
    shown.append(("mlflow/runs/create", "", long.status, json.dumps(long.body).encode()))
    for place, value, status, data in shown:
        assert status != 500, (place, value, data)
        assert not SQL.search(data) or value.encode("unicode_escape") in data, (place, value, data)
        assert str(home.project).encode() not in data, (place, value, data)


def test_a_store_that_fails_is_told_without_its_place(home: Home, url: str):
    create_run(home, run_id="r")
    put_artifact(home, "0/r/artifacts", "x", home.objects.put(_file(b"data")), 4)
    place = Path(home.objects.url.removeprefix("file://"))
    oid = oid_of(b"data")
    (place / oid[:2] / oid[2:]).unlink()
    answers = [POOL.request("GET", f"{url}/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/x")]
    answers.append(POOL.request("GET", f"{url}/api/taut/v1/objects/{oid}"))
    for answer in answers:
        assert answer.status >= 400
        assert str(home.project).encode() not in answer.data, answer.data
        assert b"postgres@" not in answer.data and not SQL.search(answer.data), answer.data
