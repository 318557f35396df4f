"""The environment of a command: asked of real interpreters, and of programs that are none."""

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

import pytest

from taut.runs.environment import Environment, ask_environment, interpreter_of


def program(path: Path, script: str) -> str:
    """A real program at that path that runs a line of shell."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_an_interpreter_lists_its_packages_with_their_versions(tmp_path):
    answer = ask_environment(sys.executable, tmp_path)
    assert isinstance(answer, Environment)
    assert f"pytest=={importlib.metadata.version('pytest')}" in answer.lock
    assert f"msgspec=={importlib.metadata.version('msgspec')}" in answer.lock


def test_an_interpreter_says_what_it_is_and_where_it_runs(tmp_path):
    answer = ask_environment(sys.executable, tmp_path)
    assert isinstance(answer, Environment)
    assert answer.python == f"{platform.python_implementation()} {platform.python_version()}"
    assert answer.platform == platform.platform()


def test_the_packages_are_in_order_and_each_is_there_once(tmp_path):
    answer = ask_environment(sys.executable, tmp_path)
    assert isinstance(answer, Environment)
    assert [line.lower() for line in answer.lock] == sorted(line.lower() for line in answer.lock)
    assert len(set(answer.lock)) == len(answer.lock)
    assert all("==" in line for line in answer.lock)


def test_a_package_in_the_folder_of_the_command_is_listed_too(tmp_path):
    about = tmp_path / "local_thing-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: local-thing\nVersion: 1.2\n")
    answer = ask_environment(sys.executable, tmp_path)
    assert isinstance(answer, Environment)
    assert "local-thing==1.2" in answer.lock


def test_a_missing_interpreter_is_said_to_have_listed_nothing(tmp_path):
    nowhere = str(tmp_path / "no-python")
    assert ask_environment(nowhere, tmp_path) == (
        f"the environment: {nowhere} did not list its packages (FileNotFoundError)"
    )


def test_a_missing_folder_is_said_and_raises_nothing(tmp_path):
    answer = ask_environment(sys.executable, tmp_path / "gone")
    assert isinstance(answer, str) and "FileNotFoundError" in answer


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "CalledProcessError"),
        ("exit 0", "IndexError"),
        ("echo hello", "did not list its packages"),
        ('echo "{}"', "did not list its packages"),
        ('echo "[1]"', "did not list its packages"),
    ],
)
def test_a_program_that_is_no_interpreter_is_said_to_have_listed_nothing(tmp_path, script, problem):
    fake = program(tmp_path / "python-fake", script)
    answer = ask_environment(fake, tmp_path)
    assert isinstance(answer, str)
    assert fake in answer and problem in answer


def test_what_an_interpreter_prints_before_its_answer_is_passed_over(tmp_path):
    chatty = program(tmp_path / "python-chatty", f'echo welcome; echo; exec "{sys.executable}" "$@"')
    assert ask_environment(chatty, tmp_path) == ask_environment(sys.executable, tmp_path)


def test_the_interpreter_that_was_seen_to_run_is_taken_before_all_others(tmp_path):
    seen = program(tmp_path / "python-seen", "exit 0")
    assert interpreter_of((sys.executable, "train.py"), seen) == seen


def test_an_interpreter_that_was_seen_and_is_gone_is_not_taken(tmp_path):
    assert interpreter_of((sys.executable, "train.py"), str(tmp_path / "gone")) == sys.executable


@pytest.mark.parametrize("name", ["python", "python3", "python3.12", "pypy3"])
def test_the_interpreter_that_the_command_names_is_taken(tmp_path, name):
    named = program(tmp_path / name, "exit 0")
    assert interpreter_of((named, "train.py"), "") == named


def test_a_bare_name_is_looked_up_as_the_shell_would(tmp_path, monkeypatch):
    named = program(tmp_path / "python3", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert interpreter_of(("python3", "train.py"), "") == named == shutil.which("python3")


@pytest.mark.parametrize("command", [(), ("make", "train"), ("sh", "-c", "python x.py"), ("python-that-is-nowhere",)])
def test_a_command_that_names_no_interpreter_means_the_one_we_run_on(command):
    assert interpreter_of(command, "") == sys.executable
