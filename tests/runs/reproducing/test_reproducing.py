"""`reproduce_run` and `run_twice` on real projects: what is brought back, what is kept apart, what is said of it."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from taut.data import add_dataset
from taut.errors import Conflict, Invalid, NotFound
from taut.faces.http.embedded import embedded_server
from taut.ground.access import Actor
from taut.home import Home, open_home
from taut.records import Capture, Reproduction, Run
from taut.runs import create_run, execute_run, get_run, list_reproductions, record_capture, settings, update_run
from taut.runs.capture.sandbox import landlock_version
from taut.runs.reproducing import Asked, reproduce_run, run_twice

# Each runs programs in fresh copies, several times.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COPY = "open('out.txt', 'w').write(open('data.csv').read())\n"


@pytest.fixture
def home(project: Path) -> Iterator[Home]:
    """On SQLite alone: verdicts as rows are tested on every database beside this."""
    with open_home(project, actor=Actor("ada", "owner")) as opened:
        yield opened


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def committed(home: Home, **files: str) -> Path:
    """A repository that holds these files, committed; `train` is train.py."""
    git(home.project, "init", "-q")
    for name, text in files.items():
        (home.project / {"train": "train.py"}.get(name, name)).write_text(text)
    git(home.project, "add", "-A")
    git(home.project, "commit", "-q", "-m", "first")
    return home.project


def run(home: Home, *command: str, folder: Path | None = None, level: str = "off") -> Run:
    place = folder or home.project
    how = settings(level, {}, folder=place)  # type: ignore[arg-type]  # One of the levels.
    with embedded_server(home) as uri:
        return execute_run(
            home, command or (sys.executable, "train.py"), tracking_uri=uri, folder=place, determinism=how
        )


def reproduced(home: Home, one: Run, **asked: bool) -> Reproduction:
    wanted = Asked(here=True, **asked)
    return reproduce_run(home, one.id, serve=embedded_server, asked=wanted)


# What is brought back


def test_a_commit_is_run_again_whatever_the_files_are_now(home: Home):
    project = committed(home, train="open('out.txt', 'w').write('first')\n")
    one = run(home)
    (project / "train.py").write_text("open('out.txt', 'w').write('second')\n")
    git(project, "commit", "-aqm", "second")
    found = reproduced(home, one)
    assert (found.verdict, found.outputs, found.notes) == ("bytes", 1, ())
    assert (project / "out.txt").read_text() == "first"  # The user's own files are left alone.


def test_a_patch_and_files_that_git_did_not_know_come_along(home: Home):
    project = committed(home, train="open('out.txt', 'w').write('first')\n")
    (project / "train.py").write_text("import extra\nopen('out.txt', 'w').write(extra.WORD)\n")
    (project / "extra.py").write_text("WORD = 'patched'\n")
    one = run(home)
    for name in ("extra.py", "out.txt"):
        (project / name).unlink()
    git(project, "checkout", "-q", "--", "train.py")
    assert reproduced(home, one).verdict == "bytes"


def test_data_comes_from_the_store_at_its_recorded_digest(home: Home):
    (home.project / "data.csv").write_text("a\n1\n")
    add_dataset(home, home.project / "data.csv")
    project = committed(home, train=COPY)
    one = run(home)
    assert one.capture.inputs[0].dataset == "data@1"
    (project / "data.csv").write_text("a\n2\n")
    assert reproduced(home, one).verdict == "bytes"
    assert (project / "data.csv").read_text() == "a\n2\n"


def test_a_file_of_a_dataset_that_is_a_folder_comes_from_the_store(home: Home):
    folder = home.project / "data"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_text(name)
    add_dataset(home, folder)
    committed(home, train="open('out', 'w').write(open('data/a').read() + open('data/b').read())\n")
    one = run(home)
    shutil.rmtree(folder)
    assert reproduced(home, one).verdict == "bytes"


def test_data_that_dvc_alone_knows_comes_from_its_cache_by_the_pointer_of_the_commit(home: Home):
    data, cache = home.project / "data", home.project / ".dvc" / "cache" / "files" / "md5"
    (home.project / ".dvc").mkdir()
    (home.project / ".dvc" / "config").write_text("")
    data.mkdir()
    content = b"1\n2\n"
    listing = f'[{{"md5": "{hashlib.md5(content).hexdigest()}", "relpath": "x.csv"}}]'.encode()
    names = []
    for part, ending in ((content, ""), (listing, ".dir")):
        names.append(hashlib.md5(part).hexdigest() + ending)
        (cache / names[-1][:2]).mkdir(parents=True, exist_ok=True)
        (cache / names[-1][:2] / names[-1][2:]).write_bytes(part)
    (data / "x.csv").symlink_to(cache / names[0][:2] / names[0][2:])
    (home.project / "data.dvc").write_text(f"outs:\n- md5: {names[1]}\n  hash: md5\n  path: data\n")
    counted = "open('out', 'w').write(str(len(open('data/x.csv').read())))\n"
    project = committed(home, train=counted, **{".gitignore": "/data\n/.dvc/cache\n"})
    one = run(home)
    (data / "x.csv").unlink()
    (data / "x.csv").write_text("other")
    assert reproduced(home, one).verdict == "bytes"
    assert (project / "data" / "x.csv").read_text() == "other"
    (cache / names[0][:2] / names[0][2:]).write_bytes(b"damaged")
    assert reproduced(home, one).cause == "data"


@pytest.mark.parametrize(("text", "verdict"), [("a", "bytes"), ("b", "different")])
def test_a_file_that_one_alone_wrote_again_as_it_was_is_no_difference(home: Home, text: str, verdict: str):
    again = f"import os\nif 'TAUT_SEEN' in os.environ: open('known', 'w').write({text!r})\n"
    committed(home, train="open('out', 'w').write('x')\n" + again, known="a")
    assert reproduced(home, run(home), explain=False).verdict == verdict


def test_a_link_into_a_cache_is_never_written_through(home: Home):
    cached = home.project / ".dvc" / "cache" / "object"
    cached.parent.mkdir(parents=True)
    cached.write_text("a\n1\n")
    data = home.project / "data.csv"
    data.symlink_to(cached)
    (home.project / "train.py").write_text(COPY)
    one = run(home)  # What it wrote is in the store, and is what it read.
    data.unlink()
    other = cached.with_name("other")
    other.write_text("a\n2\n")
    data.symlink_to(other)
    assert reproduced(home, one).verdict == "bytes"
    assert other.read_text() == "a\n2\n"


def test_data_that_has_changed_and_was_never_stored_is_named_and_nothing_runs(home: Home):
    counted = "open('out.txt', 'w').write('%d bytes' % len(open('data.csv').read()))\n"
    project = committed(home, train=counted, **{".gitignore": "data.csv\n"})
    (project / "data.csv").write_text("a\n1\n")
    one = run(home)
    (project / "data.csv").write_text("a\n22\n")
    found = reproduced(home, one)
    assert (found.verdict, found.cause) == ("different", "data")
    assert "data.csv was sha256:" in found.evidence
    assert "it was not run again" in found.notes
    assert reproduced(home, one, anyway=True).verdict == "different"
    (project / "data.csv").unlink()
    assert "is not there any more" in reproduced(home, one).evidence


def test_a_commit_that_no_repository_here_holds_is_named(home: Home):
    project = committed(home, train="print(1)\n")
    one = run(home)
    shutil.rmtree(project / ".git")
    committed(home, train="print(2)\n")
    found = reproduced(home, one)
    assert (found.verdict, found.cause) == ("different", "code")
    assert "no repository here holds the commit" in found.evidence


def test_without_git_the_files_of_now_are_taken_and_that_is_said(home: Home):
    (home.project / "train.py").write_text("open('out.txt', 'w').write('x')\n")
    found = reproduced(home, run(home))
    assert found.verdict == "bytes"
    assert any(note.startswith("code: no commit was recorded") for note in found.notes)


def test_a_command_in_a_folder_below_runs_there(home: Home):
    project = committed(home, train="")
    (project / "deep").mkdir()
    (project / "deep" / "train.py").write_text(
        "import os\nopen('../out.txt', 'w').write(os.path.basename(os.getcwd()))\n"
    )
    (project / "data.csv").write_text("x")
    one = run(home, folder=project / "deep")
    assert [written.path for written in one.capture.outputs] == ["out.txt"]
    assert reproduced(home, one).verdict == "bytes"


def test_a_repository_above_the_project_is_found(tmp_path: Path, migrated_sqlite: Path):
    from taut.ground.settings import make_folder

    inner = tmp_path / "repository" / "inner"
    inner.mkdir(parents=True)
    git(inner.parent, "init", "-q")
    (inner.parent / "shared.py").write_text("WORD = 'above'\n")
    (inner / "train.py").write_text(
        "import sys; sys.path.insert(0, '..')\nimport shared\nopen('out', 'w').write(shared.WORD)\n"
    )
    git(inner.parent, "add", "-A")
    git(inner.parent, "commit", "-qm", "first")
    shutil.copy(migrated_sqlite, make_folder(inner))
    with open_home(inner, actor=Actor("ada", "owner")) as home:
        one = run(home)
        (inner.parent / "shared.py").write_text("WORD = 'changed'\n")
        assert reproduced(home, one).verdict == "bytes"


def test_an_absolute_path_into_the_project_leads_into_the_copy(home: Home):
    project = committed(home, train="open('out.txt', 'w').write(__file__)\n")
    one = run(home, sys.executable, str(project / "train.py"))
    found = reproduced(home, one)
    assert (found.verdict, found.cause) == ("content", "name of the run or its folder")


def test_an_environment_within_the_project_is_used_from_where_it_is(home: Home):
    project = committed(home, train="open('out.txt', 'w').write('x')\n", **{".gitignore": "env\n"})
    (project / "env" / "bin").mkdir(parents=True)
    (project / "env" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (project / "env" / "bin" / "train").write_text(f"#!/bin/sh\nexec {sys.executable} train.py\n")
    (project / "env" / "bin" / "train").chmod(0o755)
    assert reproduced(home, run(home, "env/bin/train")).verdict == "bytes"


# What a run had is had again


def test_settings_of_the_run_are_those_of_its_repetition(home: Home, monkeypatch: pytest.MonkeyPatch):
    committed(home, train="import os\nopen('out', 'w').write(os.environ.get('OMP_NUM_THREADS', 'none'))\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with embedded_server(home) as uri:
        one = execute_run(home, [sys.executable, "train.py"], tracking_uri=uri, folder=home.project)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert reproduced(home, one).verdict == "bytes"


def test_a_run_that_was_seeded_repeats_to_the_byte(home: Home):
    committed(home, train="import random\nopen('out', 'w').write(str(random.random()))\n")
    assert reproduced(home, run(home, level="seeded")).verdict == "bytes"
    found = reproduced(home, run(home))
    assert (found.verdict, found.cause) == ("different", "seed missing")


def test_a_run_that_failed_fails_again(home: Home):
    committed(home, train="open('out', 'w').write('x')\nraise SystemExit(4)\n")
    assert reproduced(home, run(home)).verdict == "bytes"


def test_a_run_that_only_printed_is_judged_by_what_it_printed(home: Home):
    committed(home, train="import os\nprint('same')\n")
    assert reproduced(home, run(home)).outputs == 1


# What is kept apart


@pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock")
def test_a_repetition_writes_nothing_among_the_users_files(home: Home, tmp_path: Path):
    mark = tmp_path / "mark"
    committed(home, train=f"open({str(mark)!r}, 'a').write('x')\nopen('out', 'w').write('x')\n")
    one = run(home)
    assert mark.read_text() == "x"
    found = reproduced(home, one, explain=False)
    assert mark.read_text() == "x"
    assert found.verdict == "different"  # It could not write there, so it ended otherwise.


@pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock")
def test_an_absolute_path_is_read_where_it_lies_while_it_holds_what_the_run_read(home: Home):
    data = home.project / "data.csv"
    data.write_text("a\n1\n")
    add_dataset(home, data)
    committed(home, train=f"open('n', 'w').write(str(len(open({str(data)!r}).read())))\n")
    one = run(home)
    assert reproduced(home, one).verdict == "bytes"
    data.write_text("a\n22\n")
    found = reproduced(home, one)  # What lies there now is not what the run read, so it is refused.
    assert (found.verdict, found.cause) == ("different", "it ends otherwise")
    assert "Permission denied" in found.evidence


@pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock")
def test_a_script_of_the_project_lets_nothing_else_of_it_be_read(home: Home, monkeypatch: pytest.MonkeyPatch):
    secret = home.project / "secret"
    committed(
        home,
        train="",
        **{"train.sh": f'#!/bin/sh\necho done > out\n[ -z "$TAUT_SEEN" ] || cat {secret} >> out\ntrue\n'},
    )
    (home.project / "train.sh").chmod(0o755)
    git(home.project, "commit", "-qam", "executable")
    one = run(home, "./train.sh")
    secret.write_text("secret")
    monkeypatch.chdir(home.project)
    assert reproduced(home, one).verdict == "bytes"  # What it could read would be in its output.


@pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock")
def test_a_repetition_reads_what_its_run_read_elsewhere_and_nothing_more(home: Home, tmp_path: Path):
    shared, private = tmp_path / "shared", tmp_path / "private"
    shared.write_text("x")
    private.write_text("x")
    again = "'TAUT_SEEN' in os.environ"  # Only the repetition tries.
    tried = f"import os\ntry: {again} and open({str(private)!r}) and out.write('read')\nexcept PermissionError: pass\n"
    committed(home, train=f"out = open('out', 'w')\nout.write(open({str(shared)!r}).read())\n" + tried)
    one = run(home)
    assert [read.path for read in one.capture.data] == [str(shared)]
    assert reproduced(home, one).verdict == "bytes"


def test_progress_says_what_is_done_and_each_experiment(home: Home):
    committed(home, train="import random\nopen('out', 'w').write(str(random.random()))\n")
    told: list[str] = []
    reproduce_run(home, run(home).id, serve=embedded_server, asked=Asked(here=True), tell=told.append)
    assert told[:3] == [
        "making a fresh copy of its code and data", "running it again in a fresh copy",
        "it differs: running it again with one cause less at a time",
    ]  # fmt: skip
    assert told[3:5] == ["  1: as before", "  2: with every library seeded"]


def test_a_variable_that_the_program_reads_is_named(home: Home, monkeypatch: pytest.MonkeyPatch):
    committed(home, train="import os\nopen('out', 'w').write(os.environ.get('ALPHA', '1'))\n")
    monkeypatch.setenv("ALPHA", "2")
    one = run(home)
    monkeypatch.delenv("ALPHA")
    found = reproduced(home, one)
    assert (found.verdict, found.cause) == ("different", "environment variable")
    assert "train.py:2 reads ALPHA" in found.evidence


def test_a_repetition_has_a_home_of_its_own(home: Home):
    committed(
        home,
        train="import os, tempfile\nopen('out', 'w').write(str(os.path.exists(os.path.expanduser('~/.profile'))))\n",
    )
    one = run(home)
    before = sorted(Path.home().iterdir())
    reproduced(home, one, explain=False)
    assert sorted(Path.home().iterdir()) == before


def test_nothing_is_left_behind(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    committed(
        home, train="import os\nos.mkdir('locked')\nopen('locked/x', 'w').write('x')\nos.chmod('locked', 0o500)\n"
    )
    reproduced(home, run(home))
    assert list(scratch.iterdir()) == []
    os.chmod(home.project / "locked", 0o700)


class Answers(BaseHTTPRequestHandler):
    """Gives another number each time."""

    count = 0

    def do_GET(self) -> None:
        type(self).count += 1
        body = str(self.count).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def answers() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_answer_of_the_network_is_named(home: Home, answers: str):
    committed(home, train=f"import urllib.request\nopen('n', 'wb').write(urllib.request.urlopen({answers!r}).read())\n")
    found = reproduced(home, run(home))
    assert (found.verdict, found.cause) == ("different", "network input")
    assert answers.removeprefix("http://").rstrip("/") in found.evidence


@pytest.mark.skipif(landlock_version() < 4, reason="this kernel's Landlock does not know TCP")
def test_without_the_network_a_program_that_needs_it_ends_otherwise(home: Home, answers: str):
    committed(
        home, train=f"import urllib.request\nopen('n', 'wb').write(urllib.request.urlopen({answers!r}).read()[:0])\n"
    )
    one = run(home)
    assert reproduced(home, one).verdict == "bytes"
    found = reproduced(home, one, offline=True, explain=False)
    assert any("ended with 1 and had ended with 0" in note for note in found.notes)


# What MLflow logged

TRAINED = """
import mlflow, numpy as np
from sklearn.linear_model import LogisticRegression
chance = np.random.default_rng({seed})
X = chance.normal(size=(200, 3)); y = (X[:, 0] > 0).astype(int)
model = LogisticRegression().fit(X[:150], y[:150])
{change}
with mlflow.start_run():
    mlflow.log_param("seed", 1)
    mlflow.log_metric("accuracy", model.score(X, y) + {noise})
    mlflow.sklearn.log_model(model, name="model", input_example=X[:5], serialization_format="pickle")
"""


def test_a_model_and_metrics_that_were_logged_are_compared(home: Home):
    committed(home, train=TRAINED.format(seed=0, change="", noise=0))
    one = run(home)
    assert one.metrics.keys() == {"accuracy"}
    found = reproduced(home, one)
    assert found.verdict == "content", found
    assert found.outputs >= 3


def test_a_model_that_says_nearly_the_same_of_its_sample_is_told_by_how_much(home: Home):
    noisy = "import os; model.coef_ = model.coef_ + int.from_bytes(os.urandom(2), 'big') * 1e-12"
    committed(home, train=TRAINED.format(seed=0, change=noisy, noise=0))
    found = reproduced(home, run(home), explain=False)
    assert found.verdict == "predictions", found
    assert found.gap is not None and 0 <= found.gap < 1e-6
    assert any("predictions of models/model on 5 rows" in note for note in found.notes)


def test_metrics_alone_that_agree_within_tolerance_are_told_as_such(home: Home):
    noise = "int.from_bytes(__import__('os').urandom(2), 'big') * 1e-12"
    text = TRAINED.format(seed=0, change="open('salt', 'wb').write(__import__('os').urandom(8))", noise=noise)
    committed(home, train=text)
    found = reproduced(home, run(home), explain=False)
    assert (found.verdict, found.cause) == ("metrics", "uuid/urandom"), found


# Twice


def twice(home: Home, text: str) -> tuple[Run, Reproduction]:
    (home.project / "train.py").write_text(text)
    return run_twice(home, [sys.executable, "train.py"], serve=embedded_server, folder=home.project)


def test_a_command_that_is_run_twice_is_recorded_once_with_its_verdict(home: Home):
    one, found = twice(home, "open('out', 'w').write('x')\n")
    assert (one.status, found.verdict, found.run_id) == ("FINISHED", "bytes", one.id)
    assert get_run(home, one.id).tags["taut.reproduced"] == "bytes"
    assert list_reproductions(home, one.id) == [found]
    assert (home.project / "out").read_text() == "x"


def test_the_second_time_finds_what_the_first_one_found(home: Home):
    text = "import os\nold = os.path.getsize('log') if os.path.exists('log') else 0\nopen('log', 'a').write(f'{old}')\n"
    assert twice(home, text)[1].verdict == "bytes"
    assert (home.project / "log").read_text() == "0"


def test_data_that_the_first_time_changes_is_as_it_was_for_the_second(home: Home):
    (home.project / "data.csv").write_text("1")
    text = "n = int(open('data.csv').read())\nopen('data.csv', 'w').write(str(n + 1))\nopen('out', 'w').write(str(n))\n"
    assert twice(home, text)[1].verdict == "bytes"
    assert (home.project / "data.csv").read_text() == "2"


# What cannot be run again


def test_a_run_that_a_client_logged_has_no_command(home: Home):
    logged = create_run(home)
    update_run(home, logged.id, status="FINISHED")
    with pytest.raises(Invalid, match="logged by a client"):
        reproduce_run(home, logged.id, serve=embedded_server)
    with pytest.raises(NotFound):
        reproduce_run(home, "b" * 32, serve=embedded_server)


def test_a_run_that_goes_on_is_left_alone(home: Home):
    going = create_run(home)
    record_capture(home, going.id, Capture(("true",), folder=str(home.project)))
    with pytest.raises(Conflict, match="still running"):
        reproduce_run(home, going.id, serve=embedded_server)
