"""Building taut: what is written in C is compiled into wheels and editable installs, and its absence stops nobody."""

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
PLATFORM = sysconfig.get_platform().replace("-", "_").replace(".", "_")
BUILD = "import sys; from hatchling import build; print(getattr(build, sys.argv[1])(sys.argv[2]))"
PROGRAM = "taut/runs/capture/observer/observe"
MODULE = "taut/data/workspace/native/_native.abi3.so"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The sources as git has them: nothing compiled."""
    folder = tmp_path / "tree"
    ignored = shutil.ignore_patterns("__pycache__", "observe", "*.so")
    for room in ("runs", "data"):
        shutil.copytree(HERE / "src" / "taut" / room, folder / "src" / "taut" / room, ignore=ignored)
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
def test_a_wheel_holds_what_was_compiled_and_says_for_which_platform(tree: Path):
    name = build(tree, "build_wheel").stdout.strip()
    assert name.endswith(f"-cp311-abi3-{PLATFORM}.whl")
    with zipfile.ZipFile(tree / name) as wheel:
        assert stat.S_IMODE(wheel.getinfo(PROGRAM).external_attr >> 16) == 0o755
        assert MODULE in wheel.namelist()
        said = wheel.read(next(n for n in wheel.namelist() if n.endswith("WHEEL"))).decode()
    assert f"Tag: cp311-abi3-{PLATFORM}" in said


@needs_compiler
def test_an_editable_install_has_both_beside_their_sources(tree: Path):
    build(tree, "build_editable")
    assert os.access(tree / "src" / PROGRAM, os.X_OK)
    assert (tree / "src" / MODULE).exists()


def test_without_a_compiler_the_wheel_fits_all_and_says_what_is_lost(tree: Path):
    stale = [tree / "src" / name for name in (PROGRAM, MODULE)]
    for file in stale:
        file.write_text("compiled elsewhere, long ago")
    done = build(tree, "build_wheel", CC="no-such-compiler")
    assert done.stdout.strip().endswith("-py3-none-any.whl")
    assert "taut will see only what Python opens: no-such-compiler: No such file or directory" in done.stderr
    assert "taut will handle small files one by one: no-such-compiler: No such file or directory" in done.stderr
    assert not any(file.exists() for file in stale)


@needs_compiler
def test_sources_that_do_not_compile_stop_no_installation(tree: Path):
    (tree / "src/taut/data/workspace/native/md5.h").write_text("#error broken\n")
    done = build(tree, "build_wheel")
    assert done.stdout.strip().endswith(f"-py3-none-{PLATFORM}.whl")
    assert "broken" in done.stderr
    (tree / "src/taut/runs/capture/observer/calls.h").write_text("#error broken\n")
    assert build(tree, "build_wheel").stdout.strip().endswith("-py3-none-any.whl")


@needs_compiler
@pytest.mark.parametrize("source", ["runs/capture/observer/observe.c", "data/workspace/native/native.c"])
def test_what_is_compiled_gives_no_warning(tmp_path: Path, source: str):
    flags = ["-std=gnu11", "-O3", "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Werror", "-fPIC", "-pthread"]
    include = f"-I{sysconfig.get_path('include')}"
    command = ["cc", *flags, include, "-c", "-o", str(tmp_path / "made.o"), str(HERE / "src/taut" / source)]
    subprocess.run(command, check=True, capture_output=True)
