"""Imports from paths, web servers and buckets: the pointers of both tools are the same, byte for byte."""

import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from tests.faces.shell import taut
from tests.marks import some
from tests.peers.repositories import DVC, clone, commit, contents, dvc, fill, make_repository

pytestmark = [pytest.mark.skipif(DVC is None, reason="no dvc program on PATH or in DVC_PROGRAM"), pytest.mark.slow]

TREE: dict[str, str | bytes] = {
    "tree/a.txt": "a",
    "tree/deep/b c.bin": bytes(range(256)),
    "tree/ü.txt": "u",
    "tree/same.txt": "a",
}
KINDS = {
    "a relative path": ("../source/table.csv",),
    "a relative folder": ("../source/tree",),
    "a place of its own": ("../source/table.csv", "data/in.csv"),
    "a folder of its own": ("../source/tree", "data/sub/tree"),
    "into a folder": ("../source/table.csv", "inside"),
    "a file of the repository": ("inside/own.txt", "copied.txt"),
    "a folder of the repository": ("inside", "copied"),
    "an absolute path": ("{source}/table.csv",),
    "an absolute folder": ("{source}/tree",),
    "an empty file": ("../source/empty",),
    "line ends": ("../source/dos.txt",),
    "no download of a file": ("--no-download", "../source/table.csv"),
    "no download of a folder": ("--no-download", "../source/tree"),
    "nothing looked at": ("--no-exec", "../source/table.csv"),
    "a file to the remote": ("--to-remote", "../source/table.csv"),
    "a folder to the remote": ("--to-remote", "../source/tree"),
    "a folder to another remote": ("--to-remote", "--remote", "other", "../source/tree"),
    "a web server": ("{web}/table.csv",),
    "a web server with ETags": ("{web}/tree/a.txt?etag", "etag.txt"),
    "no download from the web": ("--no-download", "{web}/table.csv"),
    "from the web to the remote": ("--to-remote", "{web}/table.csv"),
    "below a remote": ("remote://files/table.csv",),
    "below a web remote": ("remote://web/tree/a.txt",),
}


ELSEWHERE = {"a place of its own": "data", "a folder of its own": "data/sub", "into a folder": "inside"}


class Files(http.server.SimpleHTTPRequestHandler):
    """A folder, with an ETag where the query asks for one."""

    def end_headers(self) -> None:
        if self.path.endswith("?etag"):
            self.send_header("ETag", f'"{sha256(Path(self.translate_path(self.path)).read_bytes()).hexdigest()[:12]}"')
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' screen."""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG"):
        monkeypatch.setenv(f"DVC_{name}_DIR", str(tmp_path / name))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    fill(tmp_path / "source", {"table.csv": "a,b\n1,2\n", "empty": "", "dos.txt": "a\r\nb\r\n", **TREE})
    return tmp_path / "source"


@pytest.fixture
def web(source: Path) -> Iterator[str]:
    """The address of a web server that shows the source."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(source))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


WORDS = {"endpoint": "endpointurl"}
CONFIG = """
[core]
    remote = store
['remote "store"']
    url = ../../{name}-store
['remote "other"']
    url = ../../{name}-other
['remote "files"']
    url = {source}
['remote "web"']
    url = {web}
"""


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty repository, to be copied."""
    return make_repository(tmp_path_factory.mktemp("begun") / "repository")


@pytest.fixture
def both(begun: Path, tmp_path: Path, source: Path, web: str) -> tuple[Path, Path]:
    """Two repositories that are the same: DVC works in the first, taut in the second."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        shutil.copytree(begun, folder)
        fill(folder, {".dvc/config": CONFIG.format(name=folder.name, source=source, web=web)})
        fill(folder, {"inside/own.txt": "mine\n", "data/.keep": "", "data/sub/.keep": ""})
    return theirs, ours


def pointers(folder: Path) -> dict[str, str]:
    found = (*folder.rglob("*.dvc"), *folder.rglob(".gitignore"))
    return {
        str(path.relative_to(folder)): path.read_text() for path in found if path.is_file() and ".dvc" not in path.parts
    }


def data(folder: Path) -> dict[str, bytes]:
    return {
        name: text
        for name, text in contents(folder).items()
        if not name.startswith((".git/", ".dvc/")) and not name.endswith(".dvc")
    }


def cached(folder: Path) -> set[str]:
    return {path.parent.name + path.name for path in folder.rglob("files/md5/??/*")}


def said_by(folder: Path) -> dict[str, Any]:
    """What the pointers say, in whatever order; DVC's digest over itself it forgets to take anew after some updates."""
    found = {name: yaml.safe_load(text) for name, text in pointers(folder).items() if name.endswith(".dvc")}
    return {name: {key: value for key, value in said.items() if key != "md5"} for name, said in found.items()}


def same(theirs: Path, ours: Path) -> None:
    assert said_by(ours) == said_by(theirs)
    assert data(ours) == data(theirs)
    # DVC leaves a list of marks there, which nothing names.
    assert cached(ours / ".dvc" / "cache") <= cached(theirs / ".dvc" / "cache")
    for name in ("store", "other"):
        there = cached(theirs.with_name(f"theirs-{name}"))
        assert cached(ours.with_name(f"ours-{name}")) == there, name


@pytest.mark.parametrize("kind", some(KINDS, 3))
def test_both_import_the_same_and_update_the_same(both, source, web, kind):
    theirs, ours = both
    words = [word.format(source=source, web=web) for word in KINDS[kind]]
    typed = list(words)
    if kind in ELSEWHERE:  # DVC reads a relative path from where the data is put, taut from where it is typed.
        typed[0] = os.path.relpath(words[0], ELSEWHERE[kind])
    dvc(theirs, "import-url", "--quiet", *typed)
    said = taut(ours, "data", "import-url", *words)
    assert said.status == 0, said.err
    if str(source) not in str(words):  # A long line is folded by DVC.
        assert pointers(ours) == pointers(theirs)
    same(theirs, ours)
    pointer = next(name for name in pointers(ours) if name.endswith(".dvc"))
    if "own" in str(words) or "inside" in words[0]:
        for folder in both:
            fill(folder, {"inside/own.txt": "mine, changed\n"})
    fill(
        source,
        {"table.csv": "a,b\n3,4\n", "tree/new.txt": "n", "tree/a.txt": "another", "empty": "1", "dos.txt": "\r\n"},
    )
    more = ["--to-remote"] if "--to-remote" in words else []
    more += ["--remote", "other"] if "other" in words else []
    dvc(theirs, "update", "--quiet", pointer, *more)
    said = taut(ours, "data", "update", pointer, *more)
    assert said.status == 0, said.err
    same(theirs, ours)
    fill(source, {"table.csv": "a,b\n5,6\n", "tree/a.txt": "a third", "empty": "2", "dos.txt": "\r\n\r\n"})
    dvc(theirs, "update", "--quiet", "--no-download", pointer)
    said = taut(ours, "data", "update", "--no-download", pointer)
    assert said.status == 0, said.err
    assert said_by(ours) == said_by(theirs)
    assert "changed checksum" not in dvc(ours, "status")


@pytest.mark.parametrize("kind", ["no download of a file", "no download of a folder", "no download from the web"])
def test_what_was_not_downloaded_is_pulled_and_the_pointer_stays(both, source, web, kind):
    theirs, ours = both
    words = [word.format(source=source, web=web) for word in KINDS[kind]]
    dvc(ours, "import-url", "--quiet", *words)
    before = pointers(ours)
    assert taut(ours, "data", "pull").status == 0
    assert pointers(ours) == before
    name = words[-1].rpartition("/")[2]
    assert contents(ours / name) == contents(source / name)
    if kind == "no download of a file":  # The others DVC says of that they are nowhere.
        dvc(theirs, "import-url", "--quiet", *words)
        dvc(theirs, "pull", "--quiet")
        assert data(ours) == data(theirs)
        assert dvc(ours, "status", "--json") == dvc(theirs, "status", "--json")
    fill(source, {"table.csv": "changed\n", "tree/a.txt": "changed"})
    shutil.rmtree(ours / ".dvc" / "cache")
    refused = taut(ours, "data", "pull", "--force")
    assert (refused.status, "not what was imported" in refused.err) == (11, True)


def test_what_was_imported_is_pushed_and_pulled_and_updated_by_the_other_tool(both, web, source, tmp_path):
    theirs, ours = both
    for name, words in (
        ("table.csv", ["../source/table.csv"]),
        ("tree", ["../source/tree"]),
        ("a.txt", [f"{web}/tree/a.txt"]),
    ):
        dvc(theirs, "import-url", "--quiet", *words, name)
        assert taut(ours, "data", "import-url", *words, name).status == 0
    commit(ours)
    assert taut(ours, "data", "push", "--json").json["files"] == 5
    assert dvc(ours, "status", "--cloud").strip().endswith("are in sync.")
    colleague = clone(ours, tmp_path / "colleague")
    dvc(colleague, "pull", "--quiet", "--remote", "store")
    assert data(colleague)["table.csv"] == b"a,b\n1,2\n"
    fill(source, {"table.csv": "new\n"})
    assert taut(theirs, "data", "update", "table.csv.dvc", "tree", "a.txt.dvc").status == 0
    dvc(ours, "update", "--quiet", "table.csv.dvc", "tree.dvc", "a.txt.dvc")
    assert pointers(ours) == pointers(theirs)
    assert taut(theirs, "data", "update", "--recursive", ".", "--json").json["pointers"] == [
        str(theirs / f"{name}.dvc") for name in ("a.txt", "table.csv", "tree")
    ]
    assert dvc(theirs, "status").strip().endswith("up to date.")


def test_an_update_keeps_what_others_wrote_into_the_pointer(both, source):
    theirs, ours = both
    for folder in both:
        dvc(folder, "import-url", "--quiet", "../source/table.csv")
        file = folder / "table.csv.dvc"
        text = file.read_text().replace("frozen: true\n", "").replace("outs:\n", "outs:  # ours\n")
        file.write_text(f"{text}  desc: of the team\n  remote: other\nmeta:\n  owner: ada\n")
    fill(source, {"table.csv": "new\n"})
    dvc(theirs, "update", "--quiet", "table.csv.dvc")
    assert taut(ours, "data", "update", "table.csv").status == 0
    told = [sorted(line.strip(" -") for line in pointers(one)["table.csv.dvc"].splitlines()) for one in both]
    assert [line.removesuffix("  # ours") for line in told[1]] == [line.removesuffix("  # ours") for line in told[0]]
    assert "# ours" in pointers(ours)["table.csv.dvc"]
    assert dvc(ours, "status").strip().endswith("up to date.")


def test_what_contradicts_itself_or_has_no_place_is_refused_by_both(both, source):
    _, ours = both
    fill(ours, {"table.csv": "there already"})
    for words, status_ in (
        (("../source/table.csv",), 11),
        (("../source/nothing",), 10),
        (("--to-remote", "--no-download", "../source/tree"), 2),
        (("--no-exec", "--no-download", "../source/tree"), 2),
        (("--remote", "store", "../source/tree"), 2),
        (("--version-aware", "s3://bucket/x"), 2),
        (("ftp://host/x",), 13),
        (("remote://nowhere/x",), 10),
        (("http://127.0.0.1:1/x",), 15),
    ):
        said = taut(ours, "data", "import-url", *words)
        assert said.status == status_, (words, said.err)
    assert taut(ours, "data", "import-url", "--force", "../source/table.csv").status == 0
    assert taut(ours, "data", "update", "table.csv", "--rev", "v1").status == 2


@pytest.fixture
def bucket(both, s3_url) -> str:
    """A remote `bucket` in both repositories, with the same files as the source."""
    assert DVC is not None
    if "s3" not in subprocess.run([DVC, "version"], capture_output=True, text=True).stdout:
        pytest.skip("this dvc has no driver for S3")
    parts = urlsplit(s3_url)
    options = "".join(f"    {WORDS.get(name, name)} = {value}\n" for name, value in parse_qsl(parts.query))
    for folder in both:
        with (folder / ".dvc" / "config").open("a") as stream:
            stream.write(f"['remote \"bucket\"']\n    url = s3://{parts.netloc}{parts.path}\n{options}")
    put(s3_url, {"table.csv": b"a,b\n1,2\n", "tree/a.txt": b"a", "tree/deep/b.bin": bytes(9), "large": bytes(9 << 20)})
    return s3_url


def put(url: str, files: dict[str, bytes]) -> None:
    import obstore
    from obstore.store import S3Store

    parts = urlsplit(url)
    config = dict(parse_qsl(parts.query))
    store = S3Store(parts.netloc, prefix=parts.path.strip("/"), config=config, client_options={"allow_http": True})  # type: ignore[arg-type]  # Its options are those of the URL.
    for name, text in files.items():
        obstore.put(store, name, text)


@pytest.mark.parametrize(
    "words", [["table.csv"], ["tree"], ["--no-download", "tree"], ["--to-remote", "tree"], ["large"]]
)
def test_both_import_the_same_from_a_bucket(both, bucket, words):
    theirs, ours = both
    typed = [*words[:-1], f"remote://bucket/{words[-1]}"]
    dvc(theirs, "import-url", "--quiet", *typed)
    said = taut(ours, "data", "import-url", *typed)
    assert said.status == 0, said.err
    same(theirs, ours)
    put(bucket, {"table.csv": b"new", "tree/deep/b.bin": b"new", "large": b"less"})
    dvc(theirs, "update", "--quiet", f"{words[-1]}.dvc")
    assert taut(ours, "data", "update", f"{words[-1]}.dvc").status == 0
    same(theirs, ours)
