"""`taut audit` as a user types it: two-line errors for what is no description, progress on a terminal alone."""

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.faces.shell import is_two_lines, taut

PROSE = "1. The model is trained with no version control.\n2. It is copied to the server by hand.\n"


def test_a_description_is_read_from_a_file_with_or_without_a_byte_order_mark(tmp_path: Path):
    (tmp_path / "a.txt").write_text(PROSE, encoding="utf-8")
    (tmp_path / "b.txt").write_text(PROSE, encoding="utf-8-sig")
    one, two = (taut(tmp_path, "audit", "--text", name, "--json").json for name in ("a.txt", "b.txt"))
    assert one == two and one["lowest"] is not None


@pytest.mark.parametrize(
    ("name", "status", "words", "hint"),
    [
        ("absent.txt", 10, "there is no file absent.txt", "taut audit --text -"),
        ("folder", 13, "folder is a folder", "taut audit folder"),
        ("latin.txt", 13, "latin.txt is not UTF-8 text at byte 3", "file latin.txt"),
        ("empty.txt", 13, "the description is empty", "taut audit --text -"),
        ("long.txt", 13, "the description has", "taut audit --text WORKFLOW.txt"),
    ],
)
def test_what_is_no_description_is_told_in_two_lines(tmp_path: Path, name: str, status: int, words: str, hint: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "long.txt").write_text("We train. " * 3_000)
    said = taut(tmp_path, "audit", "--text", name)
    assert said.status == status and is_two_lines(said), said
    assert words in said.err and hint in said.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_told_in_two_lines(tmp_path: Path):
    (tmp_path / "shut.txt").write_text(PROSE)
    (tmp_path / "shut.txt").chmod(0)
    said = taut(tmp_path, "audit", "--text", "shut.txt")
    assert said.status == 13 and is_two_lines(said) and "permission denied" in said.err


def test_words_on_stdin_that_are_no_utf_8_are_told_in_two_lines(tmp_path: Path):
    words = [sys.executable, "-m", "taut", "audit", "--text", "-"]
    ended = subprocess.run(words, cwd=tmp_path, input=b"caf\xe9", capture_output=True, timeout=60, check=False)
    assert ended.returncode == 13
    assert ended.stderr.decode().splitlines()[0] == "taut: what came in on stdin is not UTF-8 text at byte 3"


def test_progress_is_shown_on_a_terminal_and_leaves_stdout_alone(tmp_path: Path):
    (tmp_path / "train.py").write_text("x = 1\n")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    words = [sys.executable, "-m", "taut", "audit", ".", "--json"]
    ended = subprocess.run(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=False)
    os.set_blocking(ours, False)
    shown = os.read(ours, 100_000).decode()
    os.close(theirs)
    os.close(ours)
    assert ended.returncode == 0 and ended.stdout.startswith(b"{")
    assert "audit" in shown


def test_nothing_but_the_answer_is_said_where_nobody_looks(tmp_path: Path):
    (tmp_path / "train.py").write_text("x = 1\n")
    assert taut(tmp_path, "audit", ".").err == ""
