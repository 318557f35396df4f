"""The mistakes that everybody makes: two lines each, no traceback, the status that says which kind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from taut.ground.settings import make_folder
from taut.home import open_home
from tests.faces.shell import is_two_lines, taut
from tests.parts import eventually


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_folder(tmp_path)
    open_home(tmp_path).close()
    return tmp_path


def test_no_project_here(tmp_path):
    said = taut(tmp_path, "status")
    assert said.status == 10
    assert is_two_lines(said)
    assert "taut init" in said.err
    assert list(tmp_path.iterdir()) == []


def test_wrong_server_url(folder, free_port):
    said = taut(folder, "--home", f"http://127.0.0.1:{free_port}", "model", "list")
    assert (said.status, is_two_lines(said)) == (15, True)
    assert f"127.0.0.1:{free_port}" in said.lines[0]


def test_a_url_of_something_else(folder, free_port):
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", str(free_port), "--bind", "127.0.0.1"],
        cwd=folder,
        stderr=subprocess.DEVNULL,
    ) as other:
        eventually(lambda: socket.create_connection(("127.0.0.1", free_port)).close() or True, what="the other server")
        said = taut(folder, "--home", f"http://127.0.0.1:{free_port}", "model", "list")
        other.terminate()
    assert (said.status, is_two_lines(said)) == (15, True)
    assert "not as a taut server does" in said.err


def test_port_in_use(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = taut(folder, "server", "--port", str(port))
    assert said.status in (11, 15)
    assert is_two_lines(said)
    assert str(port) in said.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_on_the_folder(tmp_path):
    tmp_path.chmod(0o555)
    said = taut(tmp_path, "init")
    tmp_path.chmod(0o755)
    assert (said.status, is_two_lines(said)) == (12, True)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    said = taut(tmp_path, "init", "file/project")
    assert (said.status, is_two_lines(said)) == (12, True)


def test_missing_file(folder):
    for words in (("data", "add", "nowhere.csv"), ("audit", "nowhere"), ("predict", "late", "--input", "nowhere.csv")):
        said = taut(folder, *words)
        assert (said.status, is_two_lines(said)) == (10, True), (words, said)
        assert "nowhere" in said.lines[0]


def test_corrupted_object(folder):
    (folder / "rows.csv").write_text("a,b\n1,2\n")
    assert taut(folder, "data", "add", "rows.csv").status == 0
    (folder / "rows.csv").unlink()
    for path in (folder / ".taut" / "objects").rglob("*"):
        if path.is_file() and path.read_bytes().startswith(b"a,b"):
            path.chmod(0o644)
            path.write_bytes(b"a,b\n1,3\n")
    said = taut(folder, "data", "checkout", "rows@1")
    assert (said.status, is_two_lines(said)) == (14, True)
    assert not (folder / "rows.csv").exists()
    checked = taut(folder, "fsck", "--json")
    assert checked.status == 14
    assert [problem["kind"] for problem in checked.json["problems"]] == ["damaged"]


def test_corrupted_database(folder):
    (folder / ".taut" / "meta.db").write_bytes(b"no database at all " * 400)
    said = taut(folder, "status")
    assert (said.status, is_two_lines(said)) == (14, True)


def test_misspelt_command_and_option(folder):
    said = taut(folder, "modle", "list")
    assert (said.status, is_two_lines(said)) == (2, True)
    assert "did you mean 'model'" in said.err
    said = taut(folder, "model", "list", "--jsn")
    assert (said.status, is_two_lines(said)) == (2, True)


def test_bad_yaml_names_line_and_column(folder):
    (folder / "taut.yaml").write_text("models:\n  late:\n    gate: [\n")
    for words in (("plan",), ("apply",), ("up", "--once")):
        said = taut(folder, *words)
        assert said.status == 13
        assert said.lines[0].startswith("taut: taut.yaml:")
    (folder / "taut.yaml").write_text("monitors:\n  late: {windw: 7d}\n")
    said = taut(folder, "plan")
    assert said.lines[0].startswith("taut: taut.yaml:2:10:")
    assert "windw" in said.lines[0]


def test_a_broken_pipe_is_no_mistake(folder):
    command = f"{sys.executable} -m taut --help | head -1"
    ended = subprocess.run(["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    assert ended.stderr == ""


def test_ctrl_c_is_two_words_and_status_130(folder):
    (folder / "taut.yaml").write_text("{}\n")
    running = subprocess.Popen(
        [sys.executable, "-m", "taut", "up", "--every", "60"], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    mapped = Path(f"/proc/{running.pid}/maps")
    eventually(lambda: "meta.db" in mapped.read_text(), what="the loop to have opened its home")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert err.startswith("taut: interrupted")
    assert "Traceback" not in err


def test_debug_shows_the_traceback(tmp_path):
    said = taut(tmp_path, "--debug", "status")
    assert "Traceback" in said.err
    assert said.lines[-1] == "  try: taut init"
