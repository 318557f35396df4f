"""The mistakes that everybody makes: two lines each, no traceback, the status that says which kind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taut.ground.settings import make_folder
from taut.home import open_home
from tests.faces.shell import Said, as_typed, is_two_lines, taut
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
    assert said.lines[0] == f"taut: no taut server answers at http://127.0.0.1:{free_port}: Connection refused"


def test_a_url_of_something_else(folder, free_port):
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", str(free_port), "--bind", "127.0.0.1"],
        cwd=folder,
        stderr=subprocess.DEVNULL,
    ) as other:
        eventually(lambda: _answers(free_port), what="the other server")
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
    assert (said.status, is_two_lines(said)) == (11, True)
    assert f"port {port} of 127.0.0.1 is in use" in said.lines[0]


def test_a_port_that_is_none_and_a_host_that_is_not_here(folder):
    for words, status in (
        (("--port", "65536"), 2),
        (("--port", "-1"), 2),
        (("--host", "no.such.host.invalid"), 12),
        (("--host", "127.0.0.300"), 12),
    ):
        said = taut(folder, "server", *words)
        assert (said.status, is_two_lines(said)) == (status, True), (words, said)
    assert taut(folder, "token", "create", "ada", "--role", "owner").status == 0
    for host in ("no.such.host.invalid", "127.0.0.300", "192.0.2.1"):
        said = taut(folder, "server", "--host", host, "--port", "0")
        assert (said.status, is_two_lines(said)) == (13, True), (host, said)
        assert host in said.lines[0]


@contextmanager
def closed(path: Path, mode: int) -> Iterator[None]:
    """A file or folder with fewer permissions for a while."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def plainly(folder: Path, *words: str) -> Said:
    """Type `taut WORDS…` as somebody whom permissions bind, which root is only without two of its capabilities."""
    command = [sys.executable, "-m", "taut", *words]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and there is no setpriv to bind it")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    return Said(ended.returncode, ended.stdout, ended.stderr)


def test_no_permission_on_the_folder(tmp_path):
    with closed(tmp_path, 0o555):
        said = plainly(tmp_path, "init")
    assert (said.status, is_two_lines(said)) == (12, True)


@pytest.mark.parametrize(
    ("closes", "mode", "words", "status"),
    [
        (".taut", 0o000, ("status",), 12),
        (".taut/meta.db", 0o444, ("data", "add", "rows.csv"), 12),
        (".taut/meta.db", 0o000, ("fsck",), 12),
        (".taut/settings.toml", 0o000, ("model", "list"), 12),
        (".taut/objects", 0o555, ("data", "add", "rows.csv"), 12),
        (".taut/objects", 0o555, ("run", "--", "true"), 12),
        ("taut.yaml", 0o000, ("plan",), 12),
        ("taut.yaml", 0o000, ("up", "--once"), 12),
        ("rows.csv", 0o000, ("predict", "late", "--input", "rows.csv"), 12),
        ("rows.csv", 0o000, ("data", "add", "rows.csv"), 2),
        (".", 0o555, ("ci", "github"), 12),
        (".", 0o555, ("data", "add", "rows.csv"), 12),
    ],
    ids=as_typed,
)
def test_what_may_not_be_read_or_written_is_told_by_its_name(folder, closes, mode, words, status):
    (folder / "rows.csv").write_text("a\n1\n")
    (folder / "taut.yaml").write_text("{}\n")
    (folder / ".taut" / "objects").mkdir(exist_ok=True)
    (folder / ".taut" / "settings.toml").touch()
    for left in folder.glob(".taut/meta.db-*"):
        left.unlink()
    with closed(folder / closes, mode):
        said = plainly(folder, *words)
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert (folder / closes).name in said.err
    assert "//" not in said.err


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
    for path in (folder / ".taut" / "cache").rglob("*"):
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


@pytest.mark.parametrize(
    ("words", "meant", "helps"),
    [
        (("modle", "list"), "model", "taut"),
        (("model", "lst"), "list", "taut model"),
        (("data", "ad", "rows.csv"), "add", "taut data"),
        (("token", "creat", "ci"), "create", "taut token"),
        (("watch", "stauts", "late"), "status", "taut watch"),
        (("ci", "githb"), "github", "taut ci"),
        (("runs", "lst"), "list", "taut runs"),
        (("model", "list", "--jsn"), "--json", "taut model list"),
        (("deploy", "late", "--modle", "late@1"), "--model", "taut deploy"),
        (("run", "--nam", "first", "--", "true"), "--name", "taut run"),
        (("run", "--nme=first", "true"), "--name", "taut run"),
    ],
    ids=as_typed,
)
def test_misspelt_command_and_option(folder, words, meant, helps):
    said = taut(folder, *words)
    assert (said.status, is_two_lines(said)) == (2, True), said
    assert f"did you mean '{meant}'?" in said.lines[0]
    assert said.lines[1] == f"  try: {helps} --help"


def test_an_option_without_its_value_leads_to_the_help_of_its_command(folder):
    said = taut(folder, "predict", "late", "--input")
    assert (said.status, said.lines[1]) == (2, "  try: taut predict --help")


@pytest.mark.parametrize("place", ["ftp://host/x", "postgresql://host/x", "s3://bucket"])
def test_a_home_is_a_folder_or_the_url_of_a_server(folder, place):
    said = taut(folder, "--home", place, "status")
    assert (said.status, is_two_lines(said)) == (2, True)
    assert place in said.lines[0]


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
    assert err.lstrip().startswith("taut: interrupted")  # A new line ends the one where a terminal shows ^C.
    assert "Traceback" not in err


def interrupted(folder: Path, words: tuple[str, ...], begun: Callable[[int], object]) -> tuple[int, str]:
    """Type a command, press Ctrl-C when it has begun, and return how it ended and what it said on stderr."""
    running = subprocess.Popen(
        [sys.executable, "-m", "taut", *words],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        eventually(lambda: begun(running.pid), what=f"taut {' '.join(words)} to have begun", within=60)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    return running.returncode, err


def has_open(pid: int, file: Path) -> bool:
    return any(place.readlink() == file for place in Path(f"/proc/{pid}/fd").iterdir())


def test_ctrl_c_while_data_is_added_leaves_no_version_and_the_same_command_finishes(folder):
    large = folder / "large.bin"
    with large.open("wb") as sparse:
        sparse.truncate(1 << 30)
    status, err = interrupted(folder, ("data", "add", "large.bin"), lambda pid: has_open(pid, large))
    assert (status, err.strip()) == (130, "taut: interrupted; nothing is half done")
    assert taut(folder, "data", "log", "--json").json == []
    assert not (folder / "large.bin.dvc").exists()
    with large.open("wb") as shorter:
        shorter.write(b"all of it")
    assert taut(folder, "data", "add", "large.bin", "--json").json["size_bytes"] == len(b"all of it")
    assert taut(folder, "fsck", "--json").json["problems"] == []


def test_ctrl_c_while_a_command_runs_is_no_traceback_of_ours(folder):
    script = (
        "import pathlib, signal, time; signal.signal(2, signal.SIG_DFL)\npathlib.Path('begun').touch(); time.sleep(99)"
    )
    words = ("run", "--", sys.executable, "-c", script)
    status, err = interrupted(folder, words, lambda _: (folder / "begun").exists())
    assert status not in {0, 2}
    assert "Traceback" not in err
    assert [run["status"] for run in taut(folder, "runs", "list", "--json").json] == ["KILLED"]


def test_a_run_outside_of_git_works_and_says_what_it_could_not_record(folder):
    run = taut(folder, "run", "--json", "--", sys.executable, "-c", "pass").json
    assert run["status"] == "FINISHED"
    assert any("git" in what for what in run["capture"]["missing"])


def test_bytes_that_are_no_text_are_told_and_not_half_kept(folder):
    other = os.fsdecode(b"caf\xe9")
    for words in (("run", "--", "echo", other), ("run", "--name", other, "--", "true")):
        said = taut(folder, *words)
        assert (said.status, is_two_lines(said)) == (13, True), (words, said)
    assert taut(folder, "runs", "list", "--json").json == []
    assert taut(folder, "fsck").status == 0


def test_misspelt_names_are_told_with_the_nearest(folder):
    (folder / "trips.csv").write_text("a\n1\n")
    taut(folder, "data", "add", "trips.csv")
    (folder / "saved").mkdir()
    (folder / "saved" / "MLmodel").write_text("flavors: {}\n")
    assert taut(folder, "model", "register", "churn", "--folder", "saved").status == 0
    for words, meant in (
        (("model", "show", "chrun"), "churn"),
        (("model", "list", "chrun"), "churn"),
        (("model", "promote", "churm@1"), "churn"),
        (("deploy", "c", "--model", "chrun@1"), "churn"),
        (("serve", "chrun"), "churn"),
        (("image", "chrun", "--no-build"), "churn"),
        (("gate", "chrun@1"), "churn"),
        (("data", "log", "tirps"), "trips"),
    ):
        said = taut(folder, *words)
        assert said.status == 10, (words, said)
        assert f"did you mean '{meant}'?" in said.err, (words, said)
        assert "Traceback" not in said.err


def test_a_folder_where_a_file_should_be_and_the_other_way_round(folder):
    (folder / "rows").mkdir()
    (folder / "file").write_text("x")
    for words in (
        ("predict", "late", "--input", "rows"),
        ("model", "register", "late", "--folder", "file"),
        ("init", "file"),
    ):
        said = taut(folder, *words)
        assert said.status in {2, 10, 11, 12, 13}, (words, said)
        assert is_two_lines(said), (words, said)


def test_debug_shows_the_traceback(tmp_path):
    said = taut(tmp_path, "--debug", "status")
    assert "Traceback" in said.err
    assert said.lines[-1] == "  try: taut init"


def _answers(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port)):
        return True
