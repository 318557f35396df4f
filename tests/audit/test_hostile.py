"""What a hostile or broken folder holds is read within bounds, never run, and named when it cannot be read."""

import json
import os
import time
from pathlib import Path

import pytest

from taut.audit import audit_path
from taut.audit.code import read_source
from taut.audit.files import File, Unread
from taut.audit.tree import Unreadable, mappings_of, read_yaml
from taut.errors import Invalid, NotFound
from tests.audit.repositories import LESSON, TRAIN, commit, found, write


def test_a_missing_path_is_not_found(tmp_path: Path):
    with pytest.raises(NotFound, match="no folder"):
        audit_path(tmp_path / "absent")


def test_a_file_is_no_folder_and_the_hint_names_one(tmp_path: Path):
    with pytest.raises(Invalid) as caught:
        audit_path(write(tmp_path, {"train.py": TRAIN}) / "train.py")
    assert caught.value.hint == f"taut audit {tmp_path}"


def test_a_path_with_a_null_byte_is_invalid():
    with pytest.raises(Invalid):
        audit_path(Path("a\0b"))


def test_an_empty_folder_has_a_report(tmp_path: Path):
    assert found(tmp_path, "RE09").answer == "na"


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("a.py", b"x = 1\0", "null bytes"),
        ("a.py", b"x = '\xff\xfe'", "not UTF-8"),
        ("a.py", b"#" * 1_000_001, "larger than"),
        ("a.ipynb", b"[]", "no notebook"),
        ("a.ipynb", b'{"cells": 3}', "no notebook"),
        ("a.yaml", b"a: [1", "no readable YAML"),
        ("a.yaml", b"[" * 5_000, "no readable YAML"),
        ("a.yaml", b"- " * 5_000 + b"a", "no readable YAML"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, path: str, content: bytes, reason: str):
    [unread] = audit_path(write(tmp_path, {path: content})).unread
    assert unread.startswith(f"{path}: ") and reason in unread


def test_an_absence_is_unknown_while_code_could_not_be_read(tmp_path: Path):
    write(tmp_path, {"train.py": TRAIN, "other.py": b"\xff"})
    finding = found(tmp_path, "RE09")
    assert (finding.answer, finding.evidence) == ("unknown", ("other.py:1",))


def test_code_that_does_not_parse_can_still_show_that_something_is_there(tmp_path: Path):
    write(tmp_path, {"train.py": TRAIN, "old.py": "import mlflow\nprint 'python 2'\n"})
    assert found(tmp_path, "RE09").answer == "pass"


@pytest.mark.parametrize(
    "text", ["(" * 5_000, "-" * 100_000 + "1", "1+" * 50_000 + "1", "a" + ".b" * 50_000, "x = 1\n" * 50_000]
)
def test_code_of_any_depth_is_read_within_bounds(text: str):
    begun = time.process_time()
    assert not isinstance(read_source(File("a.py", len(text), False, text)), Unread)
    assert time.process_time() - begun < 10


def test_links_are_not_followed_out_of_the_folder(tmp_path: Path):
    outside = write(tmp_path / "outside", {"secret.py": 'password = "hunter22"\n'})
    inside = write(tmp_path / "inside", {"a.py": "x = 1\n"})
    (inside / "file.py").symlink_to(outside / "secret.py")
    (inside / "folder").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    assert found(inside, "SG01").answer == "pass"


def test_a_tracked_folder_that_became_a_link_is_not_followed(tmp_path: Path):
    outside = write(tmp_path / "outside", {"a.py": 'password = "hunter22"\n'})
    inside = commit(write(tmp_path / "inside", {"lib/a.py": "x = 1\n", "b.py": "y = 1\n"}))
    (inside / "lib/a.py").unlink()
    (inside / "lib").rmdir()
    (inside / "lib").symlink_to(outside)
    assert found(inside, "SG01").answer == "pass"


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path):
    commit(write(tmp_path, LESSON))
    (tmp_path / "deploy.sh").unlink()
    os.mkfifo(tmp_path / "deploy.sh")
    assert found(tmp_path, "AU07").answer == "na"


def test_nothing_that_the_repository_configures_is_run(tmp_path: Path):
    commit(write(tmp_path, LESSON))
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    settings = (
        f"[core]\n\tfsmonitor = {trap}\n\tpager = {trap}\n\thooksPath = {tmp_path}\n[diff]\n\texternal = {trap}\n"
    )
    with (tmp_path / ".git/config").open("a") as config:
        config.write(settings + f"[log]\n\tshowSignature = true\n[gpg]\n\tprogram = {trap}\n")
    assert found(tmp_path, "RE01").answer == "pass"
    assert not (tmp_path / "sprung").exists()


def test_audited_code_is_never_imported(tmp_path: Path):
    write(tmp_path, {"setup.py": f"open({str(tmp_path / 'ran')!r}, 'w')\n", "conftest.py": "raise SystemExit(9)\n"})
    audit_path(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_broken_repository_leaves_the_history_unknown(tmp_path: Path):
    commit(write(tmp_path, LESSON))
    (tmp_path / ".git/index").write_bytes(b"no index")
    assert found(tmp_path, "RE01").answer == "unknown"
    assert found(tmp_path, "AU07").answer == "fail"


def test_a_repository_above_that_tracks_nothing_of_the_folder_is_no_history(tmp_path: Path):
    commit(write(tmp_path, {"a.py": ""}))
    assert found(write(tmp_path / "below", LESSON), "RE01").answer == "fail"


def test_names_of_files_do_not_steer_the_terminal(tmp_path: Path):
    from taut.audit import render_report

    write(tmp_path, {"a\x1b[2J.py": TRAIN})
    assert "\x1b" not in render_report(audit_path(tmp_path))


def test_an_enormous_output_of_a_notebook_costs_little(tmp_path: Path):
    cell = {"cell_type": "code", "source": ["import mlflow\n"], "outputs": [{"data": "x" * 20_000_000}]}
    write(tmp_path, {"train.py": TRAIN, "a.ipynb": json.dumps({"cells": [cell]})})
    begun = time.process_time()
    assert found(tmp_path, "RE09").answer == "pass"
    assert time.process_time() - begun < 10


def test_aliases_of_yaml_are_shared_and_walked_once():
    bomb = "a: &a [x, x]\n" + "".join(
        f"{new}: &{new} [*{old}, *{old}, *{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    [tree] = read_yaml(bomb)
    assert len(list(mappings_of(tree))) == 1


def test_an_alias_of_yaml_that_holds_itself_ends():
    [tree] = read_yaml("a: &a\n  b: *a\n")
    assert len(list(mappings_of(tree))) == 2


def test_tags_of_yaml_build_nothing(tmp_path: Path):
    assert read_yaml(f"!!python/object/apply:os.mkdir ['{tmp_path}/made']") == [[f"{tmp_path}/made"]]
    assert not (tmp_path / "made").exists()


def test_yaml_that_is_none_is_unreadable():
    with pytest.raises(Unreadable):
        read_yaml("a: b: c: [")


def test_some_hundred_files_are_audited_in_about_a_second(tmp_path: Path):
    commit(write(tmp_path, {f"src/m{number}.py": TRAIN * 3 for number in range(300)}))
    begun = time.process_time()
    audit_path(tmp_path)
    assert time.process_time() - begun < 5, "room for a busy machine; bench/audit.py measured 0.9 s with its start"


@pytest.mark.parametrize(
    "path", ["a.py", "a.sh", "README.md", "a.yaml", "Dockerfile", ".env", "Makefile", "requirements.txt"]
)
@pytest.mark.parametrize(
    "line",
    ["a" * 200_000, "{{" * 100_000, " " * 200_000, "\n" * 200_000, "scp a:" * 30_000, "x = '" + "a" * 200_000 + "'"],
)
def test_a_line_of_any_length_is_searched_within_bounds(tmp_path: Path, path: str, line: str):
    begun = time.process_time()
    audit_path(write(tmp_path, {path: line}))
    assert time.process_time() - begun < 5
