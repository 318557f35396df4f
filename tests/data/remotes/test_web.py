"""A DVC remote behind a real web server: pulled, pushed and verified."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from taut.data.exchange.remote import Content
from taut.data.remotes.config import RemoteSpec
from taut.data.remotes.connect import open_remote
from taut.data.workspace.digests import md5_of
from taut.errors import Corrupt, Denied, NotFound, Unavailable
from taut.ground.progress import Silent


class Server(ThreadingHTTPServer):
    secret = ""
    takes = ""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.took: list[str] = []


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.command != self.server.takes:
            self.send_error(405)
            return
        place = Path(self.translate_path(self.path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        self.server.took.append(self.path)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT

    def do_GET(self) -> None:
        if self.server.secret and self.headers.get("Authorization") != self.server.secret:
            self.send_error(401)
            return
        super().do_GET()


@pytest.fixture
def served(tmp_path: Path):
    folder = tmp_path / "store"
    folder.mkdir()
    server = Server(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server, folder
    server.shutdown()
    thread.join()
    server.server_close()


def kept(folder: Path, data: bytes) -> str:
    md5 = md5_of(data)
    path = folder / "files" / "md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return md5


def remote_of(server, **options: str):
    return open_remote(RemoteSpec("web", f"http://127.0.0.1:{server.server_port}", options, "", True), jobs=2)


def test_contents_are_pulled_and_what_is_lost_or_damaged_is_named(served, tmp_path):
    server, folder = served
    one, bad = kept(folder, b"one"), kept(folder, b"bad")
    (folder / "files" / "md5" / bad[:2] / bad[2:]).write_bytes(b"other")
    remote = remote_of(server)
    assert remote.missing({one, "0" * 32}) == {"0" * 32}
    with pytest.raises(NotFound, match="0" * 32):
        remote.pull({one: tmp_path / "one", "0" * 32: tmp_path / "lost"}, Silent())
    with pytest.raises(Corrupt, match=bad):
        remote.pull({bad: tmp_path / "bad"}, Silent())
    assert (tmp_path / "one").read_bytes() == b"one"
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize("method", ["", "PUT"])
def test_contents_are_sent_once_by_the_method_of_the_config(served, tmp_path, method):
    server, _ = served
    server.takes = method or "POST"
    remote = remote_of(server, **({"method": method} if method else {}))
    path = tmp_path / "x"
    path.write_bytes(b"x" * 70_000)
    good, bad = Content(md5_of(path.read_bytes()), path, 70_000), Content("0" * 32, path, 70_000)
    with pytest.raises(Corrupt, match=str(path)):
        remote.push([bad, good], Silent())
    assert server.took == [f"/files/md5/{good.digest[:2]}/{good.digest[2:]}"]
    remote.push([good], Silent())
    assert len(server.took) == 1
    assert remote.missing({good.digest, bad.digest}) == {bad.digest}
    with pytest.raises(NotFound):
        remote.push([Content("1" * 32, tmp_path / "gone", 1)], Silent())


def test_a_web_server_that_takes_no_files_says_so_and_nothing_is_listed_or_removed(served, tmp_path):
    server, folder = served
    remote = remote_of(server)
    path = tmp_path / "x"
    path.write_bytes(b"x")
    for act in (
        lambda: remote.push([Content(md5_of(b"x"), path, 1)], Silent()),
        lambda: remote.delete(["0" * 32]),
        lambda: list(remote.listed()),
    ):
        with pytest.raises(Denied):
            act()
    assert list(folder.iterdir()) == []


def test_a_password_is_sent_and_a_wrong_one_is_told(served, tmp_path):
    server, folder = served
    one = kept(folder, b"one")
    server.secret = "Basic YWRhOnNlY3JldA=="
    remote_of(server, user="ada", password="secret").pull({one: tmp_path / "one"}, Silent())
    with pytest.raises(Denied):
        remote_of(server).pull({one: tmp_path / "two"}, Silent())
    assert (tmp_path / "one").read_bytes() == b"one"


def test_a_server_that_does_not_answer_says_so(free_port, tmp_path):
    remote = open_remote(RemoteSpec("web", f"http://127.0.0.1:{free_port}", {}, "", True))
    with pytest.raises(Unavailable):
        remote.pull({"0" * 32: tmp_path / "x"}, Silent())
