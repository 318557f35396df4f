"""A capture told to people: each fact on a line with its heading, many files cut short."""

from dataclasses import replace

import pytest

from taut.faces.cli.captured import LISTED_MAX, captured_lines
from taut.faces.cli.runs import told_briefly
from taut.records import (
    Capture,
    InputRead,
    Library,
    OutputWritten,
    OutsideReads,
    RemoteRead,
    Run,
    Seeding,
    Surroundings,
)

OID = "abcdef123456" + "0" * 52
ON = Surroundings(
    interpreter="/v/bin/python", origin="venv of system", build="main", lock=OID, unlocked=("numpy", "pandas"),
    libraries=(
        Library("blas", "libopenblas.so", "0.3.31", threads=2, kernel="Haswell"), Library("libc", "glibc", "2.36"),
    ),
    cpu="EPYC", cores=2, cpu_flags=("avx", "avx2"), locale="C.UTF-8", encoding="utf-8", timezone="UTC/UTC",
    variables={"OMP_NUM_THREADS": "2"}, seeds=(Seeding("random.seed", "7"), Seeding("numpy.random.seed", "")),
)  # fmt: skip


@pytest.mark.parametrize(
    ("capture", "line"),
    [
        (Capture(inputs=(InputRead("x", OID, 1, "x@1"),)), "data         x sha256:abcdef123456 x@1"),
        (Capture(inputs=(InputRead("l", OID, 1, "", link="x"),)), "data         l -> x sha256:abcdef123456"),
        (Capture(inputs=(InputRead("x", "", 7, "", changed=True),)), "data         x 7 bytes changed during the run"),
        (Capture(inputs=(InputRead("t.py", OID, 1, "", "code"),)), "code file    t.py sha256:abcdef123456"),
        (Capture(outputs=(OutputWritten("m", OID, 1),)), "output       m sha256:abcdef123456"),
        (Capture(outputs=(OutputWritten("l", "", 1, link="m"),)), "output       l -> m"),
        (Capture(outside=(OutsideReads("packages", 3, ("numpy",)),)), "packages     3 files of numpy"),
        (
            Capture(outside=(OutsideReads("system", 99, tuple("abcdefghijklmn")),)),
            "system       99 files of a, b, c, d, e, f, g, h, i, j, k, l and 2 more",
        ),
        (Capture(remote=(RemoteRead("connection", "10.0.0.1:443"),)), "connection   10.0.0.1:443"),
        (Capture(coverage="full"), "coverage     full"),
        (Capture(coverage="partial", coverage_reason="no cc"), "coverage     partial: no cc"),
        (Capture(surroundings=ON), "interpreter  /v/bin/python (venv of system; main)"),
        (Capture(surroundings=ON), "lock         sha256:abcdef123456; 2 packages by version and RECORD digest alone"),
        (Capture(surroundings=ON), "library      blas libopenblas.so 0.3.31 Haswell, 2 threads"),
        (Capture(surroundings=ON), "library      libc glibc 2.36"),
        (Capture(surroundings=ON), "cpu          EPYC, 2 cores, 2 features"),
        (Capture(surroundings=ON), "locale       C.UTF-8, utf-8, UTC/UTC"),
        (Capture(surroundings=ON), "variable     OMP_NUM_THREADS=2"),
        (Capture(surroundings=ON), "seed         random.seed 7"),
        (Capture(surroundings=ON), "seed         numpy.random.seed drawn anew"),
    ],
)
def test_a_fact_is_a_line(capture: Capture, line: str):
    assert line in list(captured_lines(capture))


@pytest.mark.parametrize("capture", [Capture(), Capture(surroundings=Surroundings())])
def test_what_is_not_known_takes_no_line(capture: Capture):
    assert list(captured_lines(capture)) == []


def test_very_many_files_are_cut_and_the_rest_counted():
    reads = tuple(InputRead(str(number), OID, 1, "") for number in range(LISTED_MAX + 5))
    lines = list(captured_lines(Capture(inputs=reads)))
    assert len(lines) == LISTED_MAX + 1
    assert lines[-1].strip() == "and 5 more; --json shows all"


def test_the_end_of_a_run_names_some_of_what_was_read_and_all_that_changed():
    reads = tuple(InputRead(f"{number:02}", OID, 1, "") for number in range(12))
    capture = Capture(inputs=(*reads, InputRead("t.py", OID, 1, "", "code")))
    run = Run("a" * 32, "0", "Default", "first", "FINISHED", "ada", 1, 2, "active", "manual", capture)
    assert told_briefly(run).endswith("data read: 00, 01, 02, 03, 04, 05, 06, 07, 08, 09 and 2 more")
    changed = replace(capture, inputs=(replace(reads[0], changed=True),))
    assert told_briefly(replace(run, capture=changed)).splitlines()[1] == "  changed during the run: 00"
