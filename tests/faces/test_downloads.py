"""Downloads: whole, in ranges, gone on with where they broke off, not sent twice; never damaged and whole at once."""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from taut.faces.http.downloads import BLOCK_BYTES
from taut.ground.objects import oid_of
from taut.ground.objects.local import LocalObjects
from taut.home import Home
from taut.runs import create_run
from tests.faces.serving import served
from tests.faces.speaking import POOL
from tests.marks import slow_on_postgresql
from tests.parts import eventually

pytestmark = slow_on_postgresql

PLACE = "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/data.bin"
SMALL, LARGE = os.urandom(1000), os.urandom(5 * BLOCK_BYTES + 321)
ETAG = f'"{oid_of(LARGE)}"'


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as address:
        create_run(home, run_id="r")
        yield address


@pytest.fixture(params=[SMALL, LARGE], ids=["small", "large"])
def data(request: pytest.FixtureRequest, url: str) -> bytes:
    body: bytes = request.param
    assert POOL.request("PUT", url + PLACE, body=body).status == 200
    return body


@pytest.fixture
def large(url: str) -> str:
    """The digest of a large file that is there."""
    assert POOL.request("PUT", url + PLACE, body=LARGE).status == 200
    return oid_of(LARGE)


def get(url: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return POOL.request(method, url + PLACE, headers=named)


def damage(home: Home, oid: str, *, at: int = 0, cut: bool = False) -> None:
    """Change a byte of a stored object, or take its last ones away."""
    assert isinstance(home.objects, LocalObjects)
    place = Path(home.objects.url.removeprefix("file://")) / oid[:2] / oid[2:]
    place.chmod(0o644)
    with place.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte[0] ^ 1]))
        if cut:
            stream.truncate(at)


def test_an_answer_says_what_it_holds_and_how_to_check_it(url, data):
    answer = get(url)
    assert (answer.status, answer.data) == (200, data)
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["etag"] == f'"{oid_of(data)}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert re.fullmatch(r"sha-256=:[\w+/]{43}=:", answer.headers["repr-digest"])
    assert answer.headers["content-type"] == "application/octet-stream"


def test_whoever_only_asks_what_is_there_gets_no_bytes(url, data):
    answer = get(url, "HEAD")
    assert (answer.status, answer.data) == (200, b"")
    assert answer.headers["content-length"] == str(len(data))
    assert get(url, "HEAD", Range="bytes=0-1").headers["content-length"] == str(len(data))
    assert get(url).data == data


RANGES = [
    "bytes=0-0",
    "bytes=10-19",
    "bytes=990-",
    "bytes=-10",
    "bytes=5-99999999999",
    "bytes=-99999999999",
    "bytes=0-",
]


@pytest.mark.parametrize("asked", RANGES)
def test_a_range_is_what_a_slice_of_the_whole_is(url, data, asked):
    first, _, last = asked.removeprefix("bytes=").partition("-")
    wanted = data[-int(last) :] if not first else data[int(first) : int(last) + 1 if last else None]
    start = len(data) - len(wanted) if not first else int(first)
    answer = get(url, Range=asked)
    assert (answer.status, answer.data) == (206, wanted)
    assert answer.headers["content-range"] == f"bytes {start}-{start + len(wanted) - 1}/{len(data)}"
    assert answer.headers["content-length"] == str(len(wanted))


@pytest.mark.parametrize("asked", ["bytes=99999999999-", "bytes=-0"])
def test_a_range_past_the_end_is_told_with_the_size(url, data, asked):
    answer = get(url, Range=asked)
    assert (answer.status, answer.data) == (416, b"")
    assert answer.headers["content-range"] == f"bytes */{len(data)}"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=a-b", "rows=0-1", "bytes=0-1,5-6", "bytes=-", "bytes", ""])
def test_a_range_that_is_none_or_many_is_answered_with_everything(url, data, asked):
    answer = get(url, Range=asked)
    assert (answer.status, answer.data) == (200, data)


def test_what_the_client_has_is_not_sent_again(url, large):
    for known in (ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"):
        answer = get(url, If_None_Match=known)
        assert (answer.status, answer.data, answer.headers["etag"]) == (304, b"", ETAG)
    assert get(url, If_None_Match='"x"').status == 200
    assert get(url, If_Match=ETAG).status == 200
    assert get(url, If_Match='"x"').status == 412
    assert get(url, If_Match=f"W/{ETAG}").status == 412


def test_a_download_that_broke_off_goes_on_only_while_the_file_is_the_same(url, large):
    have = len(LARGE) // 2
    rest = get(url, Range=f"bytes={have}-", If_Range=ETAG)
    assert (rest.status, LARGE[:have] + rest.data) == (206, LARGE)
    assert POOL.request("PUT", url + PLACE, body=SMALL).status == 200
    anew = get(url, Range=f"bytes={have}-", If_Range=ETAG)
    assert (anew.status, anew.data) == (200, SMALL)


def test_a_small_file_that_is_damaged_is_an_error_that_says_so(home, url):
    POOL.request("PUT", url + PLACE, body=SMALL)
    damage(home, oid_of(SMALL), at=500)
    answer = get(url)
    assert answer.status == 500
    assert "damaged" in answer.json()["message"] and "taut fsck" in answer.json()["message"]


@pytest.mark.parametrize(("at", "cut"), [(0, False), (len(LARGE) - 1, False), (len(LARGE) - 1, True)])
def test_a_large_file_that_is_damaged_never_arrives_whole(home, url, large, at, cut, caplog):
    damage(home, large, at=at, cut=cut)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        get(url)
    eventually(lambda: large[:12] in caplog.text, what="the damage in the log")
    assert POOL.request("GET", f"{url}/health").status == 200


def test_a_large_file_that_became_a_small_one_is_an_error_that_says_so(home, url, large):
    damage(home, large, at=BLOCK_BYTES, cut=True)
    assert get(url).status == 500


def test_a_client_that_leaves_in_the_middle_holds_no_file(home, url, large):
    host, _, port = url.removeprefix("http://").partition(":")
    for _ in range(5):
        with socket.create_connection((host, int(port))) as line:
            line.sendall(f"GET {PLACE} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert line.recv(1000)
    place = f"{large[:2]}/{large[2:]}"

    def held() -> list[str]:
        found = (os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.exists())
        return [name for name in found if name.endswith(place)]

    eventually(lambda: not held(), what="the files to be closed")


def test_objects_are_given_in_ranges_too(url, large):
    place = f"{url}/api/taut/v1/objects/{large}"
    answer = POOL.request("GET", place, headers={"Range": "bytes=7-9"})
    assert (answer.status, answer.data) == (206, LARGE[7:10])
    assert POOL.request("GET", place, headers={"If-None-Match": ETAG}).status == 304
    assert POOL.request("HEAD", place).headers["content-length"] == str(len(LARGE))
