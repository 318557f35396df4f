"""Building taut: the observer is compiled into wheels and editable installs, and its absence stops nobody."""

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
BUILD = "import sys; from hatchling import build; print(getattr(build, sys.argv[1])(sys.argv[2]))"
PROGRAM = "taut/runs/capture/observer/observe"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The sources as git has them: nothing compiled."""
    folder = tmp_path / "tree"
    ignored = shutil.ignore_patterns("__pycache__", "observe")
    shutil.copytree(HERE / "src" / "taut" / "runs", folder / "src" / "taut" / "runs", ignore=ignored)
    for name in ("pyproject.toml", "hatch_build.py", "LICENSE", "README.md", ".gitignore"):
        shutil.copy(HERE / name, folder)
    (folder / "src" / "taut" / "__init__.py").touch()
    return folder


def build(tree: Path, what: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BUILD, what, str(tree)]
    return subprocess.run(
        command, cwd=tree, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )


needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="compiles only on Linux with cc"
)


@needs_compiler
def test_a_wheel_holds_the_observer_and_says_for_which_platform(tree: Path):
    name = build(tree, "build_wheel").stdout.strip()
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert name.endswith(f"-py3-none-{platform}.whl")
    with zipfile.ZipFile(tree / name) as wheel:
        assert stat.S_IMODE(wheel.getinfo(PROGRAM).external_attr >> 16) == 0o755
        assert (
            f"Tag: py3-none-{platform}" in wheel.read(next(n for n in wheel.namelist() if n.endswith("WHEEL"))).decode()
        )


@needs_compiler
def test_an_editable_install_has_it_beside_its_source(tree: Path):
    build(tree, "build_editable")
    assert os.access(tree / "src" / PROGRAM, os.X_OK)


def test_without_a_compiler_the_wheel_fits_all_and_says_what_is_lost(tree: Path):
    stale = tree / "src" / PROGRAM
    stale.write_text("compiled elsewhere, long ago")
    done = build(tree, "build_wheel", CC="no-such-compiler")
    assert done.stdout.strip().endswith("-py3-none-any.whl")
    assert "taut will see only what Python opens: no-such-compiler: No such file or directory" in done.stderr
    assert not stale.exists()


@needs_compiler
def test_sources_that_do_not_compile_stop_no_installation(tree: Path):
    (tree / "src/taut/runs/capture/observer/calls.h").write_text("#error broken\n")
    done = build(tree, "build_wheel")
    assert done.stdout.strip().endswith("-py3-none-any.whl")
    assert "broken" in done.stderr


@needs_compiler
def test_the_observer_compiles_without_a_warning(tmp_path: Path):
    source = HERE / "src/taut/runs/capture/observer/observe.c"
    flags = ["-std=gnu11", "-O3", "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
    subprocess.run(["cc", *flags, "-o", str(tmp_path / "observe"), str(source)], check=True, capture_output=True)
