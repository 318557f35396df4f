"""The wheel of the installed taut: whole, true to its RECORD, the same bytes each time, and installable."""

import base64
import csv
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import taut
from taut.deploy.wheel import write_wheel
from tests.runs.capture.observing import observer


def test_two_wheels_of_one_installation_are_the_same_bytes(tmp_path: Path):
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(write_wheel(tmp_path / name))
    assert made[0].read_bytes() == made[1].read_bytes()
    assert made[0].name == f"taut-{taut.__version__}-py3-none-any.whl"


def test_the_record_names_every_file_with_its_digest(tmp_path: Path):
    with zipfile.ZipFile(write_wheel(tmp_path)) as wheel:
        names = wheel.namelist()
        record = next(name for name in names if name.endswith(".dist-info/RECORD"))
        rows = {path: (digest, size) for path, digest, size in csv.reader(wheel.read(record).decode().splitlines())}
        assert sorted(rows) == sorted(names)
        assert rows.pop(record) == ("", "")
        for path, (digest, size) in rows.items():
            data = wheel.read(path)
            found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={found}", str(len(data))), path


def test_the_wheel_holds_the_migrations_and_no_caches(tmp_path: Path):
    with zipfile.ZipFile(write_wheel(tmp_path)) as wheel:
        names = wheel.namelist()
    assert "taut/ground/meta/migrations/0001_line.sql" in names
    assert "taut/py.typed" in names
    assert [name for name in names if "__pycache__" in name] == []


def test_the_wheel_fits_every_machine_for_what_was_compiled_stays_out(tmp_path: Path):
    observer()
    wheel = write_wheel(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "taut/runs/capture/observer/observe.c" in names
    assert "taut/runs/capture/observer/observe" not in names
    assert "taut/data/workspace/native/native.c" in names
    assert [name for name in names if name.endswith(".so")] == []


def test_pip_installs_the_wheel_and_what_it_installed_runs(tmp_path: Path):
    wheel = write_wheel(tmp_path)
    place = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(place)]
    subprocess.run([*pip, str(wheel)], check=True)
    program = "import taut, sys; print(taut.__file__, taut.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(place)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(place / "taut" / "__init__.py"), taut.__version__]
    assert (place / "bin" / "taut").exists()
