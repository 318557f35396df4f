"""Remotes however the config names them, and how far push, fetch, pull and gc reach: the same objects by both tools."""

import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.faces.shell import taut
from tests.marks import some
from tests.peers.repositories import DVC, clone, commit, contents, dvc, fill, git, make_repository

pytestmark = [pytest.mark.skipif(DVC is None, reason="no dvc program on PATH or in DVC_PROGRAM"), pytest.mark.slow]

WORDS = {"endpoint": "endpointurl"}
HERE, LOCAL, GLOBAL, SYSTEM = ".dvc/config", ".dvc/config.local", "GLOBAL_CONFIG/config", "SYSTEM_CONFIG/config"
DEFAULT = "[core]\n    remote = store\n"
STORE = "['remote \"store\"']\n    url = {url}\n"
# What stands in which file of the config; a URL is a place in the folder beside the repository.
CONFIGS: dict[str, dict[str, str]] = {
    "relative": {HERE: DEFAULT + STORE.format(url="../../store")},
    "absolute": {HERE: DEFAULT + STORE.format(url="{top}/store")},
    "in config.local": {LOCAL: DEFAULT + STORE.format(url="{top}/store")},
    "of the user": {GLOBAL: DEFAULT + STORE.format(url="{top}/store")},
    "of the system": {SYSTEM: DEFAULT + STORE.format(url="../store")},
    "the user's default": {GLOBAL: DEFAULT, HERE: STORE.format(url="../../store")},
    "another locally": {
        HERE: DEFAULT.replace("store", "old") + STORE.replace("store", "old").format(url="/nowhere"),
        LOCAL: DEFAULT + STORE.format(url="{top}/store"),
    },
    "the place changed locally": {HERE: DEFAULT + STORE.format(url="/nowhere"), LOCAL: STORE.format(url="../../store")},
    "capital letters": {HERE: "[core]\nRemote = Store\n['remote \"STORE\"']\nURL = ../../store\n"},
    "comments and quotes": {
        HERE: "# ours\n[core] # c\nremote = store # d\n[ 'remote \"store\"' ]\nurl = '../../store' # e\n"
    },
    "below another": {HERE: DEFAULT + STORE.format(url="remote://base/store") + "['remote \"base\"']\nurl = ../..\n"},
    "verified, with jobs": {HERE: DEFAULT + STORE.format(url="../../store") + "    verify = true\n    jobs = 2\n"},
    "with options of caches": {
        HERE: DEFAULT + STORE.format(url="../../store") + "    shared = group\n    type = copy\n"
    },
    "a name with a comma": {HERE: DEFAULT + STORE.format(url='"../../store, of us #1"')},
    "links in the cache": {HERE: DEFAULT + STORE.format(url="../../store") + "[cache]\n    type = hardlink, symlink\n"},
    "a cache elsewhere": {
        HERE: DEFAULT + STORE.format(url="../../store") + "[cache]\n    dir = ../../cache-of-{name}\n"
    },
}
FILES: dict[str, str | bytes] = {
    "one.csv": "a\n1\n",
    "tree/b.txt": "b",
    "tree/deep/c d.bin": bytes(range(256)),
    "tree/e": "",
}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG"):
        monkeypatch.setenv(f"DVC_{name}_DIR", str(tmp_path / name))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with data and no remote, to be copied."""
    folder = make_repository(tmp_path_factory.mktemp("begun") / "repository")
    fill(folder, FILES)
    dvc(folder, "add", "--quiet", "one.csv", "tree")
    commit(folder)
    return folder


def configured(folder: Path, files: dict[str, str]) -> None:
    top = folder.parent
    for name, text in files.items():
        place = folder if name.startswith(".dvc") else top
        fill(place, {name: text.replace("{top}", str(top)).replace("{name}", folder.name)})


def both_ways(begun: Path, top: Path, files: dict[str, str]) -> None:
    """What taut pushes DVC pulls and calls in sync, and the reverse; each tool finds all there that the other sent."""
    ours = top / "ours"
    shutil.copytree(begun, ours)
    configured(ours, files)
    where = ours / "moved" if "cache-of" in str(files) else ours
    if where != ours:
        shutil.copytree(ours / ".dvc" / "cache", top / "cache-of-ours")
    said = taut(ours, "data", "push", "--json")
    assert (said.status, said.json["files"]) == (0, 5), said.err
    assert dvc(ours, "status", "--cloud").strip().endswith("are in sync.")
    assert dvc(ours, "push").strip() == "Everything is up to date."
    theirs, third = clone(ours, top / "theirs"), clone(ours, top / "third")
    for folder in (theirs, third):
        configured(folder, files)
    dvc(theirs, "pull", "--quiet")
    assert contents(theirs / "tree") == contents(ours / "tree")
    fill(theirs, {"tree/new.txt": "n"})
    dvc(theirs, "add", "--quiet", "tree")
    dvc(theirs, "push", "--quiet")
    shutil.copy(theirs / "tree.dvc", third / "tree.dvc")
    assert taut(theirs, "data", "push", "--json").json["files"] == 0
    pulled = taut(third, "data", "pull", "--json")
    assert (pulled.status, pulled.json["files"]) == (0, 6), pulled.err
    assert contents(third / "tree") == contents(theirs / "tree")
    assert contents(third / "one.csv") == contents(ours / "one.csv")


@pytest.mark.parametrize("kind", some(CONFIGS, 3))
def test_both_find_the_remote_however_it_is_named(begun, tmp_path, kind):
    both_ways(begun, tmp_path, CONFIGS[kind])


class Taking(http.server.SimpleHTTPRequestHandler):
    """A folder that files may be sent to, as DVC sends them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        place = Path(self.translate_path(self.path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"".join(self._pieces()))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_POST

    def _pieces(self) -> Iterator[bytes]:
        if "Content-Length" in self.headers:
            yield self.rfile.read(int(self.headers["Content-Length"]))
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' screen."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "shown").mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Taking, directory=str(tmp_path / "shown"))
    ) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("options", ["", "    method = put\n    jobs = 1\n"])
def test_both_push_to_and_pull_from_a_web_server(begun, tmp_path, web, options):
    both_ways(begun, tmp_path, {HERE: DEFAULT + STORE.format(url=f"{web}/data") + options})


def speaks_s3() -> bool:
    assert DVC is not None
    return "s3" in subprocess.run([DVC, "version"], capture_output=True, text=True).stdout


def test_both_push_to_and_pull_from_a_bucket(begun, tmp_path, s3_url):
    if not speaks_s3():
        pytest.skip("this dvc has no driver for S3")
    parts = urlsplit(s3_url)
    secrets = "".join(f"    {WORDS.get(name, name)} = {value}\n" for name, value in parse_qsl(parts.query))
    url = f"s3://{parts.netloc}{parts.path}"
    both_ways(begun, tmp_path, {HERE: DEFAULT + STORE.format(url=url), LOCAL: "['remote \"store\"']\n" + secrets})


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a past: a branch, a tag, commits, stages, an out with a remote of its own, and a run cache."""
    folder = make_repository(tmp_path_factory.mktemp("grown") / "repository")
    configured(folder, {HERE: "", LOCAL: REMOTES})
    fill(folder, {"raw.txt": "1\n", "own.txt": "own 1\n", "data/a": "a", "data/b": "1", "sub/in.txt": "in"})
    dvc(folder, "add", "--quiet", "raw.txt", "own.txt", "data", "sub/in.txt")
    with (folder / "own.txt.dvc").open("a") as stream:
        stream.write("  remote: own\n")
    made = "cp raw.txt made.txt && cp raw.txt plain.txt"
    dvc(folder, "stage", "add", "--quiet", "-n", "one", "-d", "raw.txt", "-o", "made.txt", "-O", "plain.txt", made)
    dvc(
        folder,
        "stage",
        "add",
        "--quiet",
        "-n",
        "two",
        "-d",
        "made.txt",
        "-o",
        "fan",
        "mkdir -p fan && cp made.txt fan/x",
    )
    dvc(folder, "repro", "--quiet")
    commit(folder)
    git(folder, "branch", "old")
    for number in ("2", "3", "4"):
        fill(folder, {"data/b": number, "own.txt": f"own {number}\n", "raw.txt": f"{number}\n"})
        dvc(folder, "add", "--quiet", "data", "own.txt", "raw.txt")
        dvc(folder, "repro", "--quiet")
        commit(folder)
        if number == "2":
            git(folder, "tag", "v2")
    fill(folder, {"data/b": "never committed"})
    dvc(folder, "add", "--quiet", "data")
    return folder


# DVC takes a relative path in the config of another commit for one from the root of the disk.
REMOTES = DEFAULT + STORE.format(url="{top}/store") + "['remote \"own\"']\n    url = {top}/own\n"


def objects(folder: Path) -> set[str]:
    """What lies in a cache or a remote: contents, and entries of the run cache."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if str(path).startswith(("files/md5/", "runs/")) and ".tmp" not in path.name}


def twins(grown: Path, top: Path) -> tuple[Path, Path]:
    """The repository twice, each with a folder and remotes of its own."""
    for name in ("theirs", "ours"):
        shutil.copytree(grown, top / name / "repository", symlinks=True)
        configured(top / name / "repository", {LOCAL: REMOTES})
    return top / "theirs" / "repository", top / "ours" / "repository"


REACH = {
    "all": [],
    "branches": ["--all-branches"],
    "tags": ["-T"],
    "commits": ["-A"],
    "branches and tags": ["-a", "-T"],
    "a stage": ["two"],
    "a stage and what it is from": ["--with-deps", "two"],
    "an out of a stage": ["made.txt"],
    "a pointer": ["data.dvc"],
    "data": ["data"],
    "a file inside": ["data/b"],
    "a file inside in every commit": ["-A", "data/b"],
    "a pipeline": ["dvc.yaml"],
    "below a folder": ["-R", "sub"],
    "a pattern": ["--glob", "*.dvc"],
    "the run cache": ["--run-cache"],
    "some jobs": ["--jobs", "1", "raw.txt"],
    "another remote": ["--remote", "own"],
    "a remote and a target": ["-r", "store", "raw.txt.dvc"],
}


@pytest.mark.parametrize("kind", some(REACH, 3))
def test_both_send_the_same_and_bring_it_back(grown, tmp_path, kind):
    theirs, ours = twins(grown, tmp_path)
    dvc(theirs, "push", "--quiet", *REACH[kind])
    said = taut(ours, "data", "push", *REACH[kind])
    assert said.status == 0, said.err
    for name in ("store", "own"):
        assert objects(ours.parent / name) == objects(theirs.parent / name), name
    assert objects(ours.parent / "store") | objects(ours.parent / "own")
    words = REACH[kind]
    if "--glob" in words:  # DVC's fetch has no patterns.
        return
    for folder in (theirs, ours):
        shutil.rmtree(folder / ".dvc" / "cache")
    dvc(theirs, "fetch", "--quiet", *words)
    said = taut(ours, "data", "fetch", *words)
    assert said.status == 0, said.err
    assert objects(ours / ".dvc" / "cache") == objects(theirs / ".dvc" / "cache")


GC = {
    "workspace": ["-w"],
    "branches": ["-a"],
    "tags": ["-T"],
    "commits": ["-A"],
    "branches and tags": ["-a", "-T"],
    "the remotes, too": ["-w", "-c"],
    "the remotes by branches": ["-a", "-c"],
    "a remote by its name": ["-T", "-c", "-r", "store"],
}


@pytest.mark.parametrize("kind", some(GC, 3))
def test_both_leave_the_same_objects(grown, tmp_path, kind):
    theirs, ours = twins(grown, tmp_path)
    dvc(theirs, "push", "--quiet", "-A")
    for name in ("store", "own"):
        shutil.copytree(theirs.parent / name, ours.parent / name)
    # What the list of a folder in a remote means is known where the list is here.
    dvc(theirs, "gc", "--quiet", "--force", *GC[kind])
    said = taut(ours, "data", "gc", "--yes", *GC[kind])
    assert said.status == 0, said.err
    assert objects(ours / ".dvc" / "cache") == objects(theirs / ".dvc" / "cache")
    for name in ("store", "own"):
        assert objects(ours.parent / name) == objects(theirs.parent / name), name
    assert dvc(ours, "status") == dvc(theirs, "status")


def test_what_dvc_repro_ran_elsewhere_is_not_run_here(grown, tmp_path):
    """The run cache that taut carries: DVC finds in it what a stage made, and does not run it."""
    _, ours = twins(grown, tmp_path)
    assert taut(ours, "data", "push", "--run-cache", "--all-commits").status == 0
    other = clone(ours, ours.parent / "other")
    configured(other, {LOCAL: REMOTES})
    git(other, "checkout", "--quiet", "v2")
    os.unlink(other / "dvc.lock")
    assert taut(other, "data", "pull", "raw.txt.dvc").status == 0
    assert taut(other, "data", "fetch", "--run-cache", "--all-commits").status == 0
    said = dvc(other, "repro")
    assert "Stage 'two' is cached - skipping run" in said
