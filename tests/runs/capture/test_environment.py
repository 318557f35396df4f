"""The environment of a command: asked of real interpreters, and of programs that are none."""

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

import pytest

from taut.runs.capture.environment import (
    Environment,
    ask_environment,
    interpreter_of,
    surroundings_here,
    variables_that_matter,
)


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


# What more an interpreter and the machine tell


def test_each_package_carries_a_digest_that_a_place_does_not_change(tmp_path):
    """Two environments with the same package differ in scripts, caches and who installed it, and not in this."""
    digests = set()
    added = {"one": "../../bin/x,sha256=aa,1\nx/__pycache__/a.pyc,,\n", "two": "x-1.dist-info/INSTALLER,,\n"}
    for place, more in added.items():
        about = tmp_path / place / "x-1.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: x\nVersion: 1\n")
        (about / "RECORD").write_text(f"x/a.py,sha256=ab,1\n{more}x-1.dist-info/RECORD,,\n")
        answer = ask_environment(sys.executable, tmp_path / place)
        assert isinstance(answer, Environment)
        (package,) = [one for one in answer.packages if one.name == "x"]
        digests.add(package.record)
        assert answer.distributions["x"] == "x"
    assert len(digests) == 1
    assert digests != {""}


def test_a_library_that_the_command_loaded_is_asked_for_its_version_and_threads(tmp_path, monkeypatch):
    numpy = pytest.importorskip("numpy")
    found = list(Path(numpy.__file__).parent.parent.glob("numpy.libs/*openblas*"))
    if not found:
        pytest.skip("this numpy brings no OpenBLAS along")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    answer = ask_environment(sys.executable, tmp_path, [str(found[0]), str(tmp_path / "libgomp.so.1"), "/data/x.csv"])
    assert isinstance(answer, Environment)
    (blas,) = [library for library in answer.libraries if library.kind == "blas"]
    assert (blas.path, blas.threads) == (str(found[0]), 1)
    assert blas.version.startswith("0.")
    assert blas.kernel
    (openmp,) = [library for library in answer.libraries if library.kind == "openmp"]
    assert (openmp.name, openmp.threads) == ("libgomp.so.1", 0)  # It is not there any more.


def test_the_driver_that_a_command_loaded_is_told_by_its_version(tmp_path):
    answer = ask_environment(sys.executable, tmp_path, ["/usr/lib/x86_64-linux-gnu/libcuda.so.535.129.03"])
    assert isinstance(answer, Environment)
    assert [one.version for one in answer.libraries if one.name.startswith("libcuda")] == ["535.129.03"]


def test_an_interpreter_says_how_it_came_here(tmp_path):
    answer = ask_environment(sys.executable, tmp_path)
    assert isinstance(answer, Environment)
    assert answer.interpreter == sys.executable
    assert answer.version == platform.python_version()
    assert answer.origin.startswith("venv of ") == (sys.prefix != sys.base_prefix)
    assert platform.python_compiler() in answer.build
    assert any(library.kind == "libc" for library in answer.libraries)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("OMP_NUM_THREADS", "2", "2"),
        ("PYTHONDONTWRITEBYTECODE", "1", "1"),
        ("HF_TOKEN", "x", "***"),
        ("TORCH_HOME", "hf_0123456789abcdef", "***"),
        ("HF_ENDPOINT", "https://ada:pw@h/x", "https://ada:***@h/x"),
        ("TZ", "Europe/Berlin", "Europe/Berlin"),
        ("LC_ALL", os.fsdecode(b"\xff"), "\\xff"),
    ],
)
def test_a_variable_that_matters_is_kept_without_its_secret(name, value, shown):
    assert variables_that_matter({name: value}) == {name: shown}


@pytest.mark.parametrize("name", ["HOME", "PATH", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "TAUT_TOKEN"])
def test_a_variable_that_does_not_change_what_is_computed_is_not_kept(name):
    assert variables_that_matter({name: "x"}) == {}


def test_the_machine_tells_of_its_cpu_and_of_seeds_that_are_variables():
    on = surroundings_here({"PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": "1"})
    assert on.cores >= 1
    assert [(seed.by, seed.value) for seed in on.seeds] == [("PYTHONHASHSEED", "0"), ("SOURCE_DATE_EPOCH", "1")]
    if sys.platform == "linux" and platform.machine() == "x86_64":
        assert on.cpu
        assert "sse2" in on.cpu_flags
