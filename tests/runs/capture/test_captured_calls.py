"""Ways that the kernel has to reach a file, one small C program each: what it touched is told, and nothing else."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.runs.capture.observing import Seen, observe

A, B = {"a.csv"}, {"sub/b.csv"}
# Name in programs.c -> what it reads of the project, what it leaves written there.
CALLS: dict[str, tuple[set[str], set[str]]] = {
    "openat2_beneath": (B, set()),
    "openat2_in_root": (B, set()),
    "openat2_refused": (set(), {"s"}),
    "path_only": (set(), set()),
    "path_reopened": (A, set()),
    "below_proc": (A, set()),
    "proc_cwd": (A, set()),
    "proc_root": (A, set()),
    "rings_refused": (A, set()),
    "sent": (A, {"o"}),
    "spliced": (A, {"o"}),
    "cut": (set(), A),
    "allocated": (set(), {"o"}),
    "node_made": (set(), {"o"}),
    "exchanged": (A, {"a.csv", "n"}),
    "folders_exchanged": (B, {"sub/o", "n/b.csv"}),
    "unnamed_linked": (set(), {"o"}),
    "folders_changed": (A | B, set()),
    "thread_in_own_folder": (A | B, set()),
    "own_users": (A, set()),
    "vforked": (A, set()),
    "files_shared": (A, set()),
    "not_executable": (set(), set()),
    "onto_full_folder": (set(), {"n/o"}),
    "to_other_device": (set(), {"o"}),
    "onto_itself": (set(), {"o", "p"}),
    "moved_then_read": (A, {"z"}),
    "moved_read_and_written": (A, {"z"}),
    "folder_moved_then_read": (B, {"s/b.csv"}),
    "read_then_folder_moved": (B, {"t/b.csv"}),
    "changed_after_folder_moved": (A, {"a.csv", "s/b.csv"}),
    "made_in_moved_folder": (set(), {"u/o"}),
    "linked_then_read": (A, {"z"}),
    "linked_then_written": (A, {"z"}),
    "folder_becomes_link": (B, {"sub", "new/n", "old/b.csv"}),
}
# The same, but only root may.
AS_ROOT: dict[str, tuple[set[str], set[str]]] = {
    "handle": (A, set()),
    "handle_written": (A, A),
    "root_changed": (B, {"sub/p"}),
    "link_in_other_root": (B, {"sub/l"}),
    "mounted_elsewhere": (B, {"sub/o"}),
    "mounted_over": (set(), set()),
    "others_file": (set(), set()),
    "others_folder": (set(), set()),
    "others_open_file": (A, set()),
    "others_writes": (set(), set()),
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs, in a folder that every user may enter."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    place = tmp_path_factory.mktemp("programs") / "programs"
    source = Path(__file__).with_name("programs.c")
    subprocess.run(["cc", "-O1", "-w", "-pthread", "-o", str(place), str(source)], check=True)
    return place


@pytest.fixture
def folder(project: Path) -> Path:
    (project / "sub").mkdir()
    for name in ("a.csv", "sub/b.csv", "decoy.csv"):
        (project / name).write_text("x,y\n1,2\n3,4\n")
    return project


def observed(folder: Path, programs: Path, name: str) -> Seen:
    seen = observe(folder, str(programs), name)
    if seen.status == 77:
        pytest.skip("this machine cannot")
    return seen


@pytest.mark.parametrize(("name", "inputs", "outputs"), [(name, *sets) for name, sets in CALLS.items()], ids=CALLS)
def test_whatever_call_reaches_a_file_it_is_told_under_its_own_name(
    folder: Path, programs: Path, name: str, inputs: set[str], outputs: set[str]
):
    seen = observed(folder, programs, name)
    assert (seen.status, seen.inputs - {str(programs)}, seen.outputs) == (0, inputs, outputs)
    assert (seen.observed.unseen, seen.files.missing) == ([], ())


@pytest.mark.parametrize(("name", "inputs", "outputs"), [(name, *sets) for name, sets in AS_ROOT.items()], ids=AS_ROOT)
def test_what_only_root_may_do_is_told_too(
    folder: Path, programs: Path, name: str, inputs: set[str], outputs: set[str]
):
    if os.getuid() != 0:
        pytest.skip("who runs this may not")
    for place in (folder, *folder.parents):
        if place.owner() == "root" and place.name.startswith(("pytest", "popen", "test_", "project")):
            place.chmod(0o755)
    seen = observed(folder, programs, name)
    assert (seen.status, seen.inputs - {str(programs)}, seen.outputs) == (0, inputs, outputs)
    assert seen.observed.unseen == []
