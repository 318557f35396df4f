"""Finding container engines and telling their refusals: scripts of the shell take the place of what is not here."""

import os
from pathlib import Path

import pytest

from taut.deploy.engines import Engine, find_engine, pip_secret, require_engine, run_program
from taut.deploy.quantities import bytes_of, cores_of
from taut.errors import Invalid, Unavailable, UsageError


def put_program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH; nothing in it yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_a_program_that_fails_is_told_in_its_own_words():
    with pytest.raises(Unavailable, match="`sh -c` failed: no space left") as told:
        run_program(["sh", "-c", "echo no space left >&2; exit 3"])
    assert told.value.hint.startswith("sh -c ")


def test_a_program_that_fails_without_a_word_is_told_by_its_status():
    with pytest.raises(Unavailable, match="exit status 7"):
        run_program(["sh", "-c", "exit 7"])


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="the program no-such-engine is not installed"):
        run_program(["no-such-engine"])


def test_a_program_that_hangs_is_ended():
    with pytest.raises(Unavailable, match="took longer than 0 s"):
        run_program(["sleep", "60"], within_s=0.1)


def test_both_outputs_are_read_where_asked_for():
    assert run_program(["sh", "-c", "echo a; echo b >&2"], errors=True) == "a\nb\n"
    assert run_program(["sh", "-c", "echo a; echo b >&2"]) == "a\n"


def test_an_engine_whose_daemon_is_down_is_passed_over(programs: Path):
    put_program(programs, "docker", "echo cannot connect >&2; exit 1")
    put_program(programs, "podman", "exit 0")
    assert find_engine() == Engine("podman")


def test_without_any_engine_the_process_target_is_offered(programs: Path):
    assert find_engine() is None
    with pytest.raises(UsageError, match="no container engine answers") as told:
        require_engine()
    assert "process" in told.value.hint


def test_a_named_engine_is_taken(programs: Path, monkeypatch: pytest.MonkeyPatch):
    put_program(programs, "docker", "exit 0")
    put_program(programs, "podman", "exit 0")
    monkeypatch.setenv("TAUT_ENGINE", "podman")
    assert find_engine() == Engine("podman")


def test_a_named_engine_that_does_not_answer_is_not_replaced(programs: Path, monkeypatch: pytest.MonkeyPatch):
    put_program(programs, "docker", "exit 0")
    put_program(programs, "podman", "echo broken >&2; exit 1")
    monkeypatch.setenv("TAUT_ENGINE", "podman")
    with pytest.raises(Unavailable, match="broken"):
        find_engine()


def test_an_engine_that_cannot_do_it_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAUT_ENGINE", "buildah")
    with pytest.raises(UsageError, match="TAUT_ENGINE is 'buildah'; here it may be docker, podman"):
        require_engine()


def test_the_settings_of_pip_are_lent_only_to_a_build_that_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    (tmp_path / "Dockerfile").write_text("RUN --mount=type=secret,id=pip,target=/etc/pip.conf true\n")
    assert pip_secret(tmp_path) == ["--secret", f"id=pip,src={settings}"]
    (tmp_path / "Dockerfile").write_text("RUN true\n")
    assert pip_secret(tmp_path) == []


def test_an_engine_gets_the_environment_beside_ours(programs: Path, monkeypatch: pytest.MonkeyPatch):
    put_program(programs, "docker", f"PATH={os.defpath}; echo $TAUT_TOKEN $HERE $1")
    monkeypatch.setenv("HERE", "here")
    assert Engine("docker").run("info", environment={"TAUT_TOKEN": "t"}) == "t here info\n"


@pytest.mark.parametrize("written", ["", "0", "-1Gi", "1.5Gi", "1gi", "many", "1 Gi", "9" * 5000])
def test_memory_that_means_nothing_is_refused(written: str):
    with pytest.raises(Invalid, match="no amount of memory"):
        bytes_of(written)


@pytest.mark.parametrize("written", ["", "0", "0m", "-1", "1e3", "500 m", "nan", "9" * 5000, "0." + "9" * 5000])
def test_cores_that_mean_nothing_are_refused(written: str):
    with pytest.raises(Invalid, match="no amount of cores"):
        cores_of(written)
