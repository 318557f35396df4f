"""Digests from a project's own locks: of the version that is installed, whichever tool wrote the lock."""

import hashlib
import os
import subprocess
import sys
import threading
import tomllib
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from taut.runs.capture.environment import Environment, Package
from taut.runs.capture.hashes import Locked, hashes_around
from taut.runs.capture.locks import hashes_in, lock_of

WHEEL, SOURCE = "six-1.17.0-py3-none-any.whl", "six-1.17.0.tar.gz"
AT = "https://files.example/"
LOCKS = {
    "uv": (
        "uv.lock",
        (f'[[package]]\nname = "six"\nversion = "1.17.0"\nsdist = {{ url = "{AT}{SOURCE}", hash = "sha256:bb" }}\n'
        f'wheels = [{{ url = "{AT}{WHEEL}", hash = "sha256:aa", size = 9 }}]\n[[package]]\nname = "mine"\n'),
        (Locked("sha256:aa", WHEEL, AT + WHEEL), Locked("sha256:bb", SOURCE, AT + SOURCE)),
    ),
    "poetry": (
        "poetry.lock",
        f'[[package]]\nname = "Six"\nversion = "1.17.0"\nfiles = [{{file = "{WHEEL}", hash = "sha256:aa"}}]\n',
        (Locked("sha256:aa", WHEEL),),
    ),
    "poetry before 1.3": (
        "poetry.lock",
        ('[[package]]\nname = "six"\nversion = "1.17.0"\n[metadata.files]\n'
        f'six = [{{file = "{WHEEL}", hash = "sha256:aa"}}]\n'),
        (Locked("sha256:aa", WHEEL),),
    ),
    "pdm": (
        "pdm.lock",
        f'[[package]]\nname = "six"\nversion = "1.17.0"\nfiles = [{{url = "{AT}{WHEEL}", hash = "sha256:aa"}}]\n',
        (Locked("sha256:aa", WHEEL, AT + WHEEL),),
    ),
    "pylock": (
        "pylock.dev.toml",
        (f'[[packages]]\nname = "six"\nversion = "1.17.0"\n[[packages.wheels]]\nname = "{WHEEL}"\n'
        f'url = "{AT}{WHEEL}"\nhashes = {{ md5 = "cc", sha256 = "aa" }}\n[[packages]]\nname = "local"\n'),
        (Locked("sha256:aa", WHEEL, AT + WHEEL),),
    ),
    "Pipenv": (
        "Pipfile.lock",
        ('{"_meta": {"hash": {"sha256": "x"}}, "default": {"six": {"hashes": ["sha256:aa"], "version": "==1.17.0"},'
        ' "own": {"path": "."}}}'),
        (Locked("sha256:aa"),),
    ),
    "pip": (
        "requirements/dev.txt",
        ("# made by pip-compile\n-i https://index.example\nsix[x]==1.17.0 ; python_version > '3' \\\n"
        "    --hash=sha256:aa \\\n    --hash=sha256:bb  # via x\nother==1\n"),
        (Locked("sha256:aa"), Locked("sha256:bb")),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "files"), LOCKS.values(), ids=LOCKS)
def test_every_kind_of_lock_names_the_files_of_a_version(
    tmp_path: Path, name: str, text: str, files: tuple[Locked, ...]
):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert hashes_around(tmp_path, tmp_path) == ({("six", "1.17.0"): files}, ())
    assert lock_of(with_six("1.17.0"), {("six", "1.17.0"): files})[1] == ()
    assert {file.digest for file in hashes_in(lock_of(with_six("1.17.0"), {("six", "1.17.0"): files})[0])[
        ("six", "1.17.0")
    ]} == {file.digest for file in files}  # fmt: skip


def with_six(version: str, origin: str = "") -> Environment:
    return Environment("CPython 3.11.2", "Linux", (Package("Six", version, "cd", origin),), version="3.11.2")


def test_a_version_that_is_locked_but_not_installed_tells_nothing():
    text, unlocked = lock_of(with_six("1.16.0"), {("six", "1.17.0"): (Locked("sha256:aa"),)})
    assert (unlocked, hashes_in(text)) == (("Six",), {})


def test_what_pip_was_given_by_address_counts_more_than_a_lock():
    origin = '{"url": "https://h/six.whl", "archive_info": {"hashes": {"sha256": "ee"}}}'
    text, unlocked = lock_of(with_six("1.17.0", origin), {("six", "1.17.0"): (Locked("sha256:aa"),)})
    assert unlocked == ()
    assert hashes_in(text) == {("six", "1.17.0"): (Locked("sha256:ee", "", "https://h/six.whl"),)}


def test_files_with_an_address_stand_as_the_standard_has_them_and_without_secrets(tmp_path: Path):
    (tmp_path / "uv.lock").write_text(LOCKS["uv"][1].replace("https://", "https://ada:pw@"))
    hashes, _ = hashes_around(tmp_path, tmp_path)
    (package,) = tomllib.loads(lock_of(with_six("1.17.0"), hashes)[0])["packages"]
    assert package == {
        "name": "six", "version": "1.17.0",
        "sdist": {"name": SOURCE, "url": f"https://ada:***@files.example/{SOURCE}", "hashes": {"sha256": "bb"}},
        "wheels": [{"name": WHEEL, "url": f"https://ada:***@files.example/{WHEEL}", "hashes": {"sha256": "aa"}}],
        "tool": {"taut": {"record-sha256": "cd"}},
    }  # fmt: skip


def test_locks_above_count_up_to_the_project_and_no_further(tmp_path: Path):
    project, folder = tmp_path / "project", tmp_path / "project" / "a" / "b"
    folder.mkdir(parents=True)
    for place, digest in ((tmp_path, "no"), (project, "aa"), (folder, "bb")):
        (place / "requirements.txt").write_text(f"six==1 --hash=sha256:{digest}\n")
    found, _ = hashes_around(folder, project)
    assert found == {("six", "1"): (Locked("sha256:aa"), Locked("sha256:bb"))}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", "package = 3"),
        ("uv.lock", "[[package"),
        ("poetry.lock", "[[package]]\nname = 'x'"),
        ("Pipfile.lock", "[]"),
        ("Pipfile.lock", "{"),
        ("requirements.txt", 'six==1 --hash="'),
        ("requirements.txt", "\udcff"),
    ],
)
def test_a_lock_that_is_none_is_named_and_hinders_no_run(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_bytes(os.fsencode(text))
    found, problems = hashes_around(tmp_path, tmp_path)
    assert found == {}
    assert [problem.partition(":")[0] for problem in problems] == [f"the digests in {name}"]


def test_what_uv_itself_locks_is_understood(tmp_path: Path):
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed")
    index, project = tmp_path / "simple" / "six", tmp_path / "project"
    index.mkdir(parents=True)
    project.mkdir()
    with zipfile.ZipFile(index / WHEEL, "w") as wheel:
        about = "six-1.17.0.dist-info/"
        wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\nName: six\nVersion: 1.17.0\n")
        wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(about + "RECORD", "")
    digest = hashlib.sha256((index / WHEEL).read_bytes()).hexdigest()
    (index / "index.html").write_text(f'<a href="{WHEEL}#sha256={digest}">{WHEEL}</a>')
    (project / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["six"]\n'
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    environment = {**kept, "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_NO_CONFIG": "1"}
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        from_index = ("--python", sys.executable, "--default-index", f"http://127.0.0.1:{server.server_port}/simple")
        compiled = ("pip", "compile", "-q", "--generate-hashes", "-o", "requirements.txt", "pyproject.toml")
        for command in (("lock", "-q"), compiled):
            subprocess.run([str(uv), *command, *from_index], cwd=project, env=environment, check=True)
        address = f"http://127.0.0.1:{server.server_port}/simple/six/{WHEEL}"
        server.shutdown()
    wanted = Locked(f"sha256:{digest}", WHEEL, address)
    assert hashes_around(project, project) == ({("six", "1.17.0"): (wanted,)}, ())
    (project / "uv.lock").unlink()
    assert hashes_around(project, project) == ({("six", "1.17.0"): (Locked(f"sha256:{digest}"),)}, ())


class QuietFiles(SimpleHTTPRequestHandler):
    """Files of a folder, without a log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""
