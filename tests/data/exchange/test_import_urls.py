"""`taut data import-url` without DVC beside it: what is taken, what is remembered, and what stays whole on the way."""

import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from taut.data.exchange.importing import update_import
from taut.data.exchange.transfer import pull
from taut.data.exchange.urls import import_url
from taut.data.remotes import sources
from taut.data.remotes.config import add_remote, places_of
from taut.errors import Conflict, Denied, Invalid, NotFound, Unavailable, UsageError
from tests.faces.shell import taut


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for level in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(tmp_path / level))
    folder = tmp_path / "repository"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("[cache]\n    type = hardlink\n")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    add_remote(places_of(str(folder), ""), "store", str(tmp_path / "store"), default=True)
    (tmp_path / "source" / "deep").mkdir(parents=True)
    (tmp_path / "source" / "a.txt").write_text("a")
    (tmp_path / "source" / "deep" / "b.txt").write_text("b")
    return folder


def said(pointer: Path) -> Any:
    return yaml.safe_load(pointer.read_text())


def test_the_source_stays_its_owners_whatever_the_links_of_the_cache(repository, tmp_path):
    source = tmp_path / "source" / "a.txt"
    pointer = import_url(repository, "../source/a.txt")
    assert source.stat().st_nlink == 1
    assert source.stat().st_mode & 0o200
    assert (repository / "a.txt").stat().st_nlink == 2
    assert said(pointer)["deps"] == [
        {"md5": "0cc175b9c0f1b6a831c399e269772661", "size": 1, "hash": "md5", "path": "../source/a.txt"}
    ]
    assert (repository / ".gitignore").read_text() == "/a.txt\n"


def test_a_project_without_dvc_imports_and_updates_and_pulls(project, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_text("1")
    pointer = import_url(project, str(tmp_path / "in"), to="data")
    assert (project / "data" / "x").read_text() == "1"
    (tmp_path / "in" / "x").write_text("2")
    assert update_import(project, "data") == pointer
    assert (project / "data" / "x").read_text() == "2"
    import_url(project, str(tmp_path / "in"), to="later", no_download=True)
    assert not (project / "later").exists()
    assert str(project / "later") in pull(project, ["later.dvc"]).paths
    assert (project / "later" / "x").read_text() == "2"


def test_what_lies_in_the_way_or_in_itself_is_refused(repository, tmp_path):
    (repository / "a.txt").write_text("mine")
    with pytest.raises(Conflict):
        import_url(repository, "../source/a.txt")
    for url, to in (("../source", "../source/deep"), (".", "inside"), ("a.txt", "a.txt")):
        with pytest.raises((Invalid, Conflict)):
            import_url(repository, url, to=to, force=to == "a.txt")
    with pytest.raises(NotFound):
        import_url(repository, "../nothing")
    with pytest.raises(UsageError):
        import_url(repository, "../source", to_remote=True, no_exec=True)
    assert (repository / "a.txt").read_text() == "mine"
    with pytest.raises(Conflict):  # Forced over data that is nowhere else only where that is asked for.
        import_url(repository, "../source/a.txt", to="a.txt")
    import_url(repository, "../source/a.txt", force=True)
    assert (repository / "a.txt").read_text() == "a"


def test_a_folder_goes_to_the_remote_in_parts_and_nothing_of_it_stays(repository, tmp_path, monkeypatch):
    monkeypatch.setattr("taut.data.exchange.urls.BATCH_FILES", 1)
    pointer = import_url(repository, "../source", to_remote=True)
    assert not (repository / "source").exists()
    assert not (repository / ".dvc" / "cache").exists()
    assert list((repository / ".dvc" / "tmp" / "taut").iterdir()) == []
    assert said(pointer)["outs"][0]["nfiles"] == 2
    pull(repository)
    assert (repository / "source" / "deep" / "b.txt").read_text() == "b"


class Handler(SimpleHTTPRequestHandler):
    """A folder; what the test wants to happen with a request happens in `server.answers`."""

    def do_GET(self) -> None:
        status = self.server.answers(self.path)  # type: ignore[attr-defined]  # The fixture sets it.
        if status:
            self.send_error(status)
        else:
            super().do_GET()

    do_HEAD = do_GET

    def send_head(self) -> Any:
        return super().send_head() if self.command == "GET" else self._head()

    def _head(self) -> None:
        if (stream := super().send_head()) is not None:
            stream.close()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if self.command == "GET":
            super().copyfile(source, outputfile)

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' screen."""


@pytest.fixture
def served(tmp_path: Path):
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "source")))
    server.answers = lambda path: 0
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_web_server_is_asked_with_the_credentials_of_a_remote_and_its_refusals_are_told(repository, served):
    url = f"http://127.0.0.1:{served.server_port}"
    for status, kind in ((401, Denied), (404, NotFound), (500, Unavailable)):
        served.answers = lambda path, status=status: status
        with pytest.raises(kind, match="txt"):
            import_url(repository, f"{url}/a.txt")
    served.answers = lambda path: 0
    pointer = import_url(repository, f"{url}/a.txt")
    assert (repository / "a.txt").read_text() == "a"
    assert set(said(pointer)["deps"][0]) == {"checksum", "size", "hash", "path"}


def test_a_source_that_changes_while_it_is_read_is_not_imported(repository, served, tmp_path):
    """The server's file becomes another between the first question and the last."""
    asked: list[str] = []

    def answers(path: str) -> int:
        asked.append(path)
        if len(asked) == 2:
            (tmp_path / "source" / "a.txt").write_text("another")
        return 0

    served.answers = answers
    with pytest.raises(Conflict, match="changed"):
        import_url(repository, f"http://127.0.0.1:{served.server_port}/a.txt")
    assert not (repository / "a.txt").exists()
    assert not (repository / "a.txt.dvc").exists()


@pytest.mark.slow
def test_status_asks_the_url_of_what_is_not_frozen_and_of_nothing_else(repository, served, tmp_path):
    url = f"http://127.0.0.1:{served.server_port}/a.txt"
    pointer = import_url(repository, url)
    (tmp_path / "source" / "a.txt").write_text("changed")
    assert taut(repository, "data", "status", "--json").json == {}
    pointer.write_text(pointer.read_text().replace("frozen: true\n", ""))
    assert taut(repository, "data", "status", "--json").json == {"a.txt.dvc": [{"changed deps": {url: "modified"}}]}
    assert f"{url}" in taut(repository, "data", "status").out
    served.answers = lambda path: 404
    assert taut(repository, "data", "status", "--json").json == {"a.txt.dvc": [{"changed deps": {url: "deleted"}}]}
    served.answers = lambda path: 503
    assert taut(repository, "data", "status").status == 15
    served.answers = lambda path: 0
    update_import(repository, "a.txt")
    assert taut(repository, "data", "status", "--json").json == {}


def test_kinds_that_are_not_reached_are_named(repository):
    places = places_of(str(repository), "")
    for url in ("ftp://host/x", "hdfs://host/x", "gdrive://x/y"):
        with pytest.raises(Invalid, match="does not reach"):
            sources.source_of(url, repository, places)
    with pytest.raises(NotFound):
        sources.source_of("remote://nowhere/x", repository, places)


def test_an_object_and_a_prefix_of_a_bucket_are_known_by_their_etags(repository, s3_url, tmp_path):
    from tests.data.remotes.test_remotes import put_raw, spec_for

    spec = spec_for(s3_url)
    places = places_of(str(repository), "")
    add_remote(places, "bucket", spec.url)
    config = repository / ".dvc" / "config"
    options = "".join(f"    {name} = {value}\n" for name, value in spec.options.items())
    config.write_text(config.read_text().replace(f"url = {spec.url}\n", f"url = {spec.url}\n{options}"))
    for name, data in (("d/a", b"1\n"), ("d/e/b", b"2\n")):
        put_raw(spec, name, data)
    pointer = import_url(repository, "remote://bucket/d")
    assert said(pointer)["deps"][0] == {
        "md5": "e8ef165e994c9db55b8e9fd8d8a31e03.dir", "size": 4, "nfiles": 2, "hash": "md5", "path": "remote://bucket/d",
    }  # fmt: skip
    assert (repository / "d" / "e" / "b").read_bytes() == b"2\n"
    put_raw(spec, "d/a", b"3\n")
    update_import(repository, "d")
    assert (repository / "d" / "a").read_bytes() == b"3\n"
    with pytest.raises(NotFound):
        import_url(repository, "remote://bucket/nothing")
