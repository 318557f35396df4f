"""What the kernel keeps from a command: reading, writing and the network beyond what it was given."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from taut.runs.capture.sandbox import MACHINES, Sandbox, landlock_version, make_sandbox

LAUNCHER = Path(__file__).parents[3] / "src" / "taut" / "runs" / "capture" / "shim" / "launch.py"
PREFIXES = (sys.base_prefix, sys.prefix)

needs_landlock = pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock")
needs_cut = pytest.mark.skipif(
    landlock_version() < 4 or os.uname().machine not in MACHINES, reason="this kernel's Landlock does not know TCP"
)


def said(sandbox: Sandbox, code: str) -> str:
    """What a program prints in a sandbox; the name of the error where it fails."""
    text = f"try:\n    {code}\nexcept OSError as problem:\n    print(type(problem).__name__)\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), json.dumps(sandbox.bounds()), sys.executable,
         sys.executable, "-I", "-c", text],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bounded(scratch: Path, *readable: str, offline: bool = False, uri: str = "http://127.0.0.1:9") -> Sandbox:
    scratch.mkdir(exist_ok=True)
    sandbox, missing = make_sandbox(scratch, tracking_uri=uri, offline=offline, readable=[*PREFIXES, *readable])
    assert missing == ()
    return sandbox


@needs_landlock
def test_a_command_reads_its_own_what_it_was_given_and_the_system(tmp_path: Path):
    own, given, other = tmp_path / "own", tmp_path / "given", tmp_path / "other"
    for folder in (own, given, other):
        folder.mkdir()
        (folder / "x").write_text(folder.name)
    sandbox = bounded(own, str(given))
    assert said(sandbox, f"print(open({str(own / 'x')!r}).read())") == "own"
    assert said(sandbox, f"print(open({str(given / 'x')!r}).read())") == "given"
    assert said(sandbox, f"print(open({str(other / 'x')!r}).read())") == "PermissionError"
    assert said(sandbox, f"import os; print(os.listdir({str(other)!r}))") == "PermissionError"
    assert said(sandbox, "print(len(open('/etc/passwd').read()) > 0)") == "True"
    assert said(sandbox, f"open({str(own / 'y')!r}, 'w'); print('written')") == "written"
    assert said(sandbox, f"open({str(given / 'y')!r}, 'w')") == "PermissionError"


@needs_landlock
def test_a_file_alone_can_be_given(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    sandbox = bounded(tmp_path / "own", str(tmp_path / "a"), str(tmp_path / "missing"))
    assert said(sandbox, f"print(open({str(tmp_path / 'a')!r}).read())") == "a"
    assert said(sandbox, f"print(open({str(tmp_path / 'b')!r}).read())") == "PermissionError"


@needs_landlock
def test_without_a_bound_on_reading_everything_can_be_read(tmp_path: Path):
    (tmp_path / "x").write_text("x")
    (tmp_path / "own").mkdir()
    sandbox, _ = make_sandbox(tmp_path / "own", tracking_uri="", offline=False)
    assert said(sandbox, f"print(open({str(tmp_path / 'x')!r}).read())") == "x"


@needs_cut
def test_of_the_network_only_the_tracking_server_is_left(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as wanted, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [one.getsockname()[1] for one in (wanted, other)]
        sandbox = bounded(tmp_path / "own", offline=True, uri=f"http://127.0.0.1:{ports[0]}")
        reach = "import socket; socket.create_connection(('127.0.0.1', {}), 5); print('reached')"
        assert [said(sandbox, reach.format(port)) for port in ports] == ["reached", "PermissionError"]
    make = "import socket; socket.socket({}).close(); print('made')"
    refused = (
        "socket.AF_INET, socket.SOCK_DGRAM",
        "socket.AF_INET6, socket.SOCK_DGRAM",
        "socket.AF_INET, 1, 262",
        "17, 3",
    )
    assert [said(sandbox, make.format(kind)) for kind in refused] == ["PermissionError"] * len(refused)
    assert said(sandbox, make.format("socket.AF_UNIX")) == "made"
    assert said(sandbox, "import socket; socket.getaddrinfo('example.org', 80)") == "gaierror"
    ring = "import ctypes, os; c = ctypes.CDLL(None, use_errno=True); c.syscall(425, 1, 0); print(ctypes.get_errno())"
    assert said(sandbox, ring) == "38"  # ENOSYS


def test_an_environment_is_cleared_before_it_is_set():
    sandbox = Sandbox({"TZ": "UTC"}, cleared=frozenset({"OMP_NUM_THREADS"}))
    assert sandbox.around({"OMP_NUM_THREADS": "2", "PATH": "/bin"}) == {"TZ": "UTC", "PATH": "/bin"}


def test_what_a_kernel_cannot_do_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("taut.runs.capture.sandbox.landlock_version", lambda: 0)
    sandbox, missing = make_sandbox(tmp_path, tracking_uri="http://127.0.0.1:9", offline=True, readable=[])
    assert sandbox.bounds() == {}
    assert [line.partition(":")[0] for line in missing] == [
        "it was not kept from reading and writing elsewhere", "the network was not cut off",
    ]  # fmt: skip
