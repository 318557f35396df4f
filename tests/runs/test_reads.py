"""Reads: what the Python processes of a command open is noted once, in order, and the program never notices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taut.data import add_dataset
from taut.home import Home
from taut.runs.reads import NATIVE, UNSEEN, Notes, inputs_of, read_notes, watched


def noted(folder: Path, program: str, *, more: dict[str, str] | None = None, python: tuple[str, ...] = ()) -> Notes:
    """What the shim notes of a program run in the folder."""
    (folder / "notes").mkdir(exist_ok=True)
    environment = {**os.environ, **watched(folder / "notes" / "reads"), **(more or {})}
    command = [*(python or (sys.executable,)), "-c", program]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return read_notes(folder / "notes" / "reads")


def names(notes: Notes) -> list[str]:
    return [path.name for path in notes.reads]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    "program",
    [
        "open('a').read(); open('a').read()",
        "import os; os.close(os.open('a', os.O_RDONLY))",
        "import pathlib; pathlib.Path('a').read_bytes()",
        "open(b'a').close()",
        "open('a', 'r+').close()",
        "import gzip, contextlib\nwith contextlib.suppress(OSError): gzip.open('a').read()",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', \"open('a')\"], check=True)",
        "import os\nif os.fork() == 0:\n    open('a').close(); os._exit(0)\nos.wait()",
        "import multiprocessing as m; m.get_context('fork').Process(target=open, args=('a',)).run()",
        "import threading; t = threading.Thread(target=lambda: open('a').close()); t.start(); t.join()",
        "import os; os.chdir('/'); import sys; open(os.environ['PWD_'] + '/a').close()",
    ],
)
def test_a_file_that_python_opens_is_noted_once(folder: Path, program: str):
    notes = noted(folder, program, more={"PWD_": str(folder)})
    assert names(notes) == ["a"]
    assert notes.interpreter == sys.executable


def test_what_the_run_makes_is_not_what_it_reads(folder: Path):
    program = "open('new', 'w').close(); open('new').close(); open('a', 'w').close(); open('b').close(); open('b', 'w')"
    assert names(noted(folder, program.replace("open('b', 'w')", "open('b', 'w').close()"))) == ["b"]


def test_after_chdir_the_same_relative_path_is_another_file(folder: Path):
    (folder / "sub").mkdir()
    (folder / "sub" / "a").write_text("sub")
    notes = noted(folder, "import os; open('a').close(); os.chdir('sub'); open('a').close()")
    assert notes.reads == (folder / "a", folder / "sub" / "a")


def test_code_packages_and_the_system_are_no_data(folder: Path):
    (folder / "own.py").write_text("x = 1\n")
    assert names(noted(folder, "import own, json, email, msgspec; open('/etc/hostname').close(); open('c')")) in (
        ["c"],
    )


def test_a_sitecustomize_that_was_there_before_still_runs(folder: Path):
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text("import builtins; builtins.was_here = True\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder / "site"))
        program = "import sys; assert was_here; assert not any(p.endswith('shim') for p in sys.path); open('a').close()"
        assert names(noted(folder, program)) == ["a"]


def test_a_program_that_closes_every_descriptor_is_not_harmed(folder: Path):
    program = "import os; os.closerange(3, 64); out = open('out', 'w'); open('a').close(); out.write('x'); out.close()"
    assert names(noted(folder, program)) == ["a"]
    assert (folder / "out").read_text() == "x"


def test_notes_that_cannot_be_written_cost_nothing_but_the_notes(folder: Path):
    environment = {**os.environ, **watched(folder / "no such folder" / "reads")}
    done = subprocess.run(
        [sys.executable, "-c", "print(open('a').read())"], cwd=folder, env=environment, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\n", b"")


def test_half_a_note_is_no_note(folder: Path):
    (folder / "reads").write_bytes(b"p /usr/bin/python3\0r /a\0r /hal")
    assert read_notes(folder / "reads") == Notes("/usr/bin/python3", (Path("/a"),))
    assert read_notes(folder / "never written") == Notes("", ())


# From notes to inputs


def inputs(home: Home, *paths: Path, started_ns: int = 1 << 62):
    return inputs_of(home, home.project, Notes("python", paths), started_ns)


def test_inputs_carry_digest_size_and_the_version_they_belong_to(home: Home):
    (home.project / "tree").mkdir()
    (home.project / "tree" / "x.csv").write_text("a\n1\n")
    (home.project / "params.yaml").write_text("depth: 4\n")
    add_dataset(home, home.project / "tree")
    found, missing = inputs(home, home.project / "tree" / "x.csv", home.project / "params.yaml")
    assert [(read.path, read.size_bytes, read.dataset) for read in found] == [
        ("params.yaml", 9, ""),
        ("tree/x.csv", 4, "tree@1"),
    ]
    assert missing == (NATIVE,)


def test_of_several_versions_with_the_content_the_pointers_is_named(home: Home):
    (home.project / "tree").mkdir()
    (home.project / "tree" / "same").write_text("same")
    for text in ("1", "2"):
        (home.project / "tree" / "other").write_text(text)
        add_dataset(home, home.project / "tree")
    (home.project / "copy").write_text("same")
    add_dataset(home, home.project / "copy")
    (read,), _ = inputs(home, home.project / "tree" / "same")
    assert read.dataset == "tree@2"
    (read,), _ = inputs(home, home.project / "copy")
    assert read.dataset == "copy@1"


def test_changed_data_is_no_version(home: Home):
    (home.project / "x").write_text("1")
    add_dataset(home, home.project / "x")
    (home.project / "x").write_text("2")
    (read,), _ = inputs(home, home.project / "x")
    assert read.dataset == ""


def test_outside_the_project_only_known_content_counts(home: Home, tmp_path: Path):
    (home.project / "x").write_text("known")
    add_dataset(home, home.project / "x")
    (tmp_path / "copy").write_text("known")
    (tmp_path / "other").write_text("unknown")
    found, _ = inputs(home, tmp_path / "copy", tmp_path / "other")
    assert [(read.path, read.dataset) for read in found] == [(str(tmp_path / "copy"), "x@1")]


def test_what_went_or_belongs_to_tools_is_left_out_and_what_changed_is_said(home: Home):
    (home.project / ".git").mkdir()
    (home.project / ".git" / "index").touch()
    (home.project / "x").write_text("x")
    gone, tools, changed = home.project / "gone", home.project / ".git" / "index", home.project / "x"
    found, missing = inputs(home, gone, tools, changed, started_ns=0)
    assert [read.path for read in found] == ["x"]
    assert missing[1:] == ("what x held when it was read: it changed during the run",)


def test_where_no_python_ran_it_says_that_nothing_could_be_seen(home: Home):
    assert inputs_of(home, home.project, Notes("", ()), 0) == ((), (UNSEEN,))
