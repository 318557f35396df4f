"""A run's packages are had again: rebuilt through uv from its lock, kept by digest, and what cannot be had is named."""

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from taut.errors import NotFound
from taut.faces.http.embedded import embedded_server
from taut.ground.access import Actor
from taut.ground.objects import read_object
from taut.home import Home, open_home
from taut.records import Reproduction, Run
from taut.runs import execute_run, get_run, record_capture
from taut.runs.reproducing import Asked, reproduce_run
from taut.runs.reproducing.environments import COMPLETE, _requirement

# Each makes an environment and runs programs in it.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PROGRAM = "import leaflet\nopen('out', 'w').write(leaflet.VALUE)\n"


def wheel(folder: Path, name: str, version: str, value: str) -> Path:
    """A wheel of one module, as the packaging standard has it."""
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VALUE = {value!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{about}/RECORD"))
    target = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for path, text in {**files, f"{about}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return target


@dataclass(frozen=True)
class Place:
    """A project, an environment beside it, and a folder of wheels that stands for an index."""

    home: Home
    environment: Path
    wheels: Path
    cache: Path

    @property
    def python(self) -> str:
        return str(self.environment / "bin" / "python")

    def install(self, *words: str) -> None:
        subprocess.run(["uv", "pip", "install", "-q", "--python", self.python, *words], check=True, capture_output=True)

    def run(self, text: str = PROGRAM, *command: str) -> Run:
        (self.home.project / "train.py").write_text(text)
        with embedded_server(self.home) as uri:
            return execute_run(
                self.home, command or (self.python, "train.py"), tracking_uri=uri, folder=self.home.project
            )

    def locked(self, one: Run, before: str, after: str) -> None:
        """Change the lock that was recorded for a run."""
        around = one.capture.surroundings
        assert around is not None
        text = read_object(self.home.objects, around.lock).decode()
        assert before in text
        lock = self.home.objects.put(io.BytesIO(text.replace(before, after).encode()))
        record_capture(self.home, one.id, replace(one.capture, surroundings=replace(around, lock=lock)))

    def reproduced(self, one: Run, **asked: bool) -> Reproduction:
        return reproduce_run(self.home, one.id, serve=embedded_server, asked=Asked(**asked))

    def built(self) -> list[Path]:
        folder = self.cache / "taut" / "environments"
        return sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []


@pytest.fixture
def place(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An environment with the first of two versions of a package; nothing but the folder of wheels is asked."""
    uv = pytest.importorskip("uv")
    wheels, cache = tmp_path / "wheels", tmp_path / "cache"
    wheels.mkdir()
    for version in ("1.0", "2.0"):
        wheel(wheels, "leaflet", version, f"version {version}")
    for name, value in {
        "UV_FIND_LINKS": str(wheels), "UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "uv"),
        "UV_PYTHON_DOWNLOADS": "never", "XDG_CACHE_HOME": str(cache),
        "PATH": f"{Path(uv.find_uv_bin()).parent}{os.pathsep}{os.environ['PATH']}",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    environment = tmp_path / "environment"
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(environment)], check=True, capture_output=True)
    with open_home(project, actor=Actor("ada", "owner")) as home:
        one = Place(home, environment, wheels, cache)
        one.install("leaflet==1.0")
        yield one


def test_packages_that_have_changed_are_rebuilt_once_and_kept(place: Place):
    one = place.run()
    assert (place.home.project / "out").read_text() == "version 1.0"
    place.install("leaflet==2.0")
    found = place.reproduced(one)
    assert (found.verdict, [note for note in found.notes if note.startswith("package")]) == ("bytes", [])
    (built,) = place.built()
    module = next(built.glob("lib*/python*/site-packages/leaflet.py"))
    assert "1.0" in module.read_text()
    assert module.stat().st_nlink > 1  # A hard link into uv's cache.
    made = (built / COMPLETE).stat().st_mtime_ns
    assert place.reproduced(one).verdict == "bytes"
    assert place.built() == [built]
    assert (built / COMPLETE).stat().st_mtime_ns == made
    here = place.reproduced(one, here=True, explain=True)
    assert (here.verdict, here.cause) == ("different", "package")
    assert "leaflet was 1.0 and is 2.0" in here.evidence


def test_an_environment_that_is_still_as_it_was_is_not_rebuilt(place: Place):
    one = place.run(PROGRAM, "env", f"PATH={place.environment / 'bin'}:{os.environ['PATH']}", "python", "train.py")
    assert place.reproduced(one).verdict == "bytes"
    assert place.built() == []


def test_a_rebuilding_that_was_killed_is_begun_again(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    one = place.run()
    place.install("leaflet==2.0")
    deadly = tmp_path / "deadly"
    deadly.mkdir()
    uv, ended = shutil.which("uv"), tmp_path / "ended"
    (deadly / "uv").write_text(f'#!/bin/sh\n[ "$1" = pip ] && kill -9 $PPID && sleep 4\n{uv} "$@"\ntouch {ended}-$1\n')
    (deadly / "uv").chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from taut.home import open_home; from taut.ground.access import Actor\n"
        "from taut.faces.http.embedded import embedded_server; from taut.runs.reproducing import reproduce_run\n"
        "with open_home(Path(sys.argv[1]), actor=Actor('ada', 'owner')) as home:\n"
        "    reproduce_run(home, sys.argv[2], serve=embedded_server)\n"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    around = {**os.environ, "PATH": f"{deadly}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(scratch)}
    done = subprocess.run([sys.executable, "-c", code, str(place.home.project), one.id], env=around, check=False)
    assert done.returncode == -signal.SIGKILL
    (half,) = place.built()
    assert not (half / COMPLETE).exists()
    assert len(list(scratch.iterdir())) == 1
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    assert place.reproduced(one).verdict == "bytes"
    assert place.built() == [half]
    assert Path(f"{ended}-pip").stat().st_mtime_ns < (half / COMPLETE).stat().st_mtime_ns  # The uv that was left.
    assert list(scratch.iterdir()) == []  # What the killed one left is gone with the next.


def test_a_digest_of_the_lock_is_verified(place: Place):
    one = place.run()
    place.install("leaflet==2.0")
    right = hashlib.sha256((place.wheels / "leaflet-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    files = 'wheels = [{{ name = "leaflet-1.0-py3-none-any.whl", hashes = {{ sha256 = "{}" }} }}]'
    place.locked(one, 'name = "leaflet"', 'name = "leaflet"\n' + files.format("0" * 64))
    found = place.reproduced(one)
    assert (found.verdict, found.cause) == ("different", "package")
    assert "hash" in found.evidence.lower()
    place.locked(get_run(place.home, one.id), "0" * 64, right)
    assert place.reproduced(one).verdict == "bytes"


def test_a_package_that_cannot_be_had_is_named_with_what_to_try(place: Place):
    one = place.run()
    place.install("leaflet==2.0")
    (place.wheels / "leaflet-1.0-py3-none-any.whl").unlink()
    shutil.rmtree(os.environ["UV_CACHE_DIR"])
    found = place.reproduced(one)
    assert (found.verdict, found.cause) == ("different", "package")
    assert "leaflet" in found.evidence
    assert any(note.startswith("try: ") and "--here" in note for note in found.notes)
    assert "it was not run again" in found.notes
    assert place.reproduced(one, here=True, explain=False).verdict == "different"  # Only when asked: it was run.


def test_a_python_that_is_not_here_is_named(place: Place):
    one = place.run()
    record_capture(place.home, one.id, replace(one.capture, python="CPython 3.11.99"))
    found = place.reproduced(one)
    assert (found.verdict, found.cause) == ("different", "package")
    assert "Python 3.11.99, which the run had, is not here" in found.evidence
    assert any("uv python install 3.11.99" in note for note in found.notes)


def test_a_version_whose_files_are_others_is_told(place: Place):
    one = place.run()
    place.install("leaflet==2.0")
    place.locked(one, 'record-sha256 = "', 'record-sha256 = "00')
    found = place.reproduced(one)
    assert found.verdict == "bytes"
    assert "package: leaflet 1.0 has other files than that of the run" in found.notes


def test_a_project_that_is_installed_as_editable_is_imported_from_the_copy(place: Place):
    project = place.home.project
    (project / "src").mkdir()
    (project / "src" / "mine.py").write_text("VALUE = 'committed'\n")
    (packages,) = place.environment.glob("lib/python*/site-packages")
    (packages / "mine.pth").write_text(f"{project / 'src'}\n")
    about = packages / "mine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "direct_url.json").write_text(f'{{"url": "{project.as_uri()}", "dir_info": {{"editable": true}}}}')
    text = PROGRAM + "import mine\nopen('out', 'a').write(mine.VALUE)\n"
    (project / "train.py").write_text(text)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=project, check=True, capture_output=True)
    one = place.run(text)
    (project / "src" / "mine.py").write_text("VALUE = 'changed'\n")
    assert place.reproduced(one).verdict == "bytes"
    place.install("leaflet==2.0")  # Now it is rebuilt, without the project.
    found = place.reproduced(one)
    assert found.verdict == "bytes", found
    assert any("mine is the project itself" in note for note in found.notes)


def test_a_package_from_a_folder_is_taken_from_there_and_told_of(place: Place, tmp_path: Path):
    one = place.run()
    place.locked(one, 'name = "leaflet"\nversion = "1.0"\n', (
        f'name = "leaflet"\nversion = "1.0"\n[packages.directory]\npath = "{tmp_path / "gone"}"\n'
    ))  # fmt: skip
    place.install("leaflet==2.0")
    found = place.reproduced(one)
    assert (found.verdict, found.cause) == ("different", "package")
    assert f"installed from {tmp_path / 'gone'}, which is not there any more" in found.evidence


def test_each_kind_of_origin_is_asked_of_uv_in_its_words(tmp_path: Path):
    file = wheel(tmp_path, "leaflet", "1.0", "x")
    assert _requirement({"name": "a", "version": "1"}) == "a==1"
    assert _requirement({"name": "a", "archive": {"url": file.as_uri(), "hashes": {"sha256": "ab"}}}) == (
        f"a @ {file.as_uri()} --hash=sha256:ab"
    )
    vcs = {"type": "git", "url": "https://example.org/a", "commit-id": "c0ffee"}
    assert _requirement({"name": "a", "vcs": vcs}) == "a @ git+https://example.org/a@c0ffee"
    sdist = {"name": "a", "version": "1", "sdist": {"hashes": {"sha256": "cd"}}}
    assert _requirement(sdist) == "a==1 --hash=sha256:cd"
    file.unlink()
    with pytest.raises(NotFound, match="not there any more"):
        _requirement({"name": "a", "archive": {"url": file.as_uri()}})
