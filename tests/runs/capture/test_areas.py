"""Areas: whose a file is, told by its path and by what stands above it."""

import os
import sys
from pathlib import Path

import pytest

import taut
from taut.records import OutsideReads
from taut.runs.capture.areas import Surveyor, outside_reads


@pytest.mark.parametrize(
    ("path", "area"),
    [
        ("P/data.csv", "project"),
        ("P/.github/x", "project"),
        ("P/.git/index", "ours"),
        ("P/.taut/taut.db", "ours"),
        ("P/src/__pycache__/x.pyc", "ours"),
        ("P/.dvc/cache/files/md5/ab/cd", "ours"),
        ("P/.dvc/config", "project"),
        ("P/recording/opened", "ours"),
        ("P/venv/bin/activate", "packages"),
        ("P/venv/lib/python3.11/site-packages/numpy/core.py", "packages"),
        ("Pother/data.csv", "temporary"),
        ("/usr/share/dict/words", "system"),
        ("/etc/hostname", "system"),
        ("/opt/python/lib/python3.12/json/decoder.py", "system"),
        ("/opt/tool/libx.so.6", "system"),
        ("/opt/python/bin/python3.12", "system"),
        ("/usr/lib/python3/dist-packages/yaml.py", "packages"),
        ("/tmp/x", "temporary"),
        ("/dev/shm/x", "temporary"),
        ("H/.cache/huggingface/x", "cache"),
        ("H/.netrc", "settings"),
        ("H/data/x.csv", "data"),
        ("/srv/data/x.csv", "data"),
        (f"{Path(taut.__file__).parent}/runs/capture/shim/sitecustomize.py", "ours"),
    ],
)
def test_an_area_is_told_by_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, area: str):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    project = tmp_path / "P"
    (project / "venv").mkdir(parents=True)
    (project / "venv" / "pyvenv.cfg").touch()
    surveyor = Surveyor(str(project), (str(project / "recording"),))
    placed = path.replace("P", str(project), 1) if path.startswith("P") else path.replace("H", "/home/ada", 1)
    assert surveyor.area(placed) == area


def test_a_project_that_is_an_environment_or_lies_in_one_is_a_project(tmp_path: Path):
    project = tmp_path / "env" / "P"
    (project / "src").mkdir(parents=True)
    for environment in (tmp_path / "env", project):
        (environment / "pyvenv.cfg").touch()
    surveyor = Surveyor(str(project), ())
    assert surveyor.area(f"{project}/src/train.py") == "project"
    assert surveyor.area(f"{project}/lib/python3.11/site-packages/numpy/core.py") == "packages"


def test_what_lies_outside_is_counted_and_named_by_its_owner():
    packages = "/v/lib/python3.11/site-packages"
    paths = {
        f"{packages}/numpy/core.py": "packages", f"{packages}/numpy.libs/libopenblas.so": "packages",
        f"{packages}/six.py": "packages", f"{packages}/numpy-2.4.6.dist-info/METADATA": "packages",
        "/usr/lib/a": "system", "/usr/lib/b": "system", "/home/ada/.netrc": "settings", "/p/x": "project",
    }  # fmt: skip
    tops = dict.fromkeys(("numpy", "numpy.libs", "numpy-2.4.6.dist-info"), "NumPy") | {"six.py": "six"}
    assert outside_reads(paths, tops) == (  # type: ignore[arg-type]  # Literals of a dict are any text.
        OutsideReads("packages", 4, ("NumPy", "six")),
        OutsideReads("system", 2, ("/usr/lib",)),
        OutsideReads("settings", 1, ("/home/ada/.netrc",)),
    )


def test_nothing_outside_is_nothing():
    assert outside_reads({}, {}) == ()


def test_the_interpreter_that_runs_us_is_none_of_the_projects(tmp_path: Path):
    assert Surveyor(str(tmp_path), ()).area(os.path.realpath(sys.executable)) in ("system", "packages")
