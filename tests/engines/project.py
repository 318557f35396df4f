"""A small real project as a team keeps it: data, training, a test, taut.yaml, all in git, its home on a real server."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taut.ground.settings import make_folder
from tests.deploy.images import home_of
from tests.parts import eventually, free_port

TRAIN = '''\
"""Is a + b above zero? Learns from data/train.csv."""

import mlflow
import pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression


def train(rows):
    return LogisticRegression().fit(rows[["a", "b"]], rows["above"])


if __name__ == "__main__":
    rows = pd.read_csv("data/train.csv")
    with mlflow.start_run():
        model = train(rows)
        mlflow.log_metric("train_accuracy", model.score(rows[["a", "b"]], rows["above"]))
        seen = rows[["a", "b"]]
        mlflow.sklearn.log_model(
            model, name="model", signature=infer_signature(seen, model.predict(seen)), pip_requirements=[]
        )
'''
TEST = """\
import pandas as pd
from train import train


def test_training_separates_what_can_be_separated():
    rows = pd.DataFrame({"a": [-1.0, -2, 1, 2], "b": [-1.0, -1, 1, 1], "above": [0, 0, 1, 1]})
    assert train(rows).score(rows[["a", "b"]], rows["above"]) == 1.0
"""
TAUT_YAML = """\
models:
  late: {gate: {data: data/holdout.csv, target: above, checks: [{measure: accuracy, at_least: 0.9}]}}
deployments:
  late: {model: late@champion}
triggers:
  late: {run: python train.py, target: above}
"""


@dataclass(frozen=True)
class Project:
    """A project in git whose home is a server's URL; `home` is the folder that the server keeps."""

    folder: Path
    home: Path
    url: str

    def taut(self, *words: str) -> str:
        """Type a command of taut in the project; it must succeed."""
        return run([sys.executable, "-m", "taut", *words], self.folder, {"TAUT_HOME": self.url})


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a command to its good end and return what it printed; else show all it said."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@contextmanager
def team_project(tmp_path: Path) -> Iterator[Project]:
    """The project, committed, with its data on the server and only pointers in git; the server ends with the block."""
    home, folder = tmp_path / "home", tmp_path / "late"
    home.mkdir()
    make_folder(home)
    home_of(home).close()
    with _server(home, tmp_path / "server.log") as url:
        project = Project(folder, home, url)
        _write(folder, tmp_path)
        for name in ("train", "holdout"):
            project.taut("data", "add", f"data/{name}.csv")
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "The project"]):
            run(["git", *words], folder, {})
        yield project


@contextmanager
def _server(home: Path, log: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "taut", "--home", str(home), "server", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(url), within=60, what=f"taut server, which said {log.read_text()!r}")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    import urllib.request

    with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
        return bool(answer.status == 200)


def _lent_environment(folder: Path) -> Path:
    """A wheel that lends the packages of these tests to whoever installs it: installing scikit-learn anew for each job
    took two minutes of three. What taut installs is proved by the images, which start from nothing.
    """
    wheel = folder / "lent-1-py3-none-any.whl"
    files = {
        "lent.pth": f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n",
        "lent-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: lent\nVersion: 1\n",
        "lent-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "lent-1.dist-info/entry_points.txt": "[console_scripts]\ntaut = taut.faces.cli:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, "lent-1.dist-info/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, "lent-1.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return wheel


def _write(folder: Path, tmp_path: Path) -> None:
    import random

    (folder / "data").mkdir(parents=True)
    chance = random.Random(0)
    for name, count in (("train", 300), ("holdout", 100)):
        rows = [(chance.gauss(0, 1), chance.gauss(0, 1)) for _ in range(count)]
        lines = [f"{a:.4f},{b:.4f},{int(a + b > 0)}" for a, b in rows]
        (folder / "data" / f"{name}.csv").write_text("\n".join(["a,b,above", *lines, ""]))
    (folder / "requirements.txt").write_text(f"--no-index\n{_lent_environment(tmp_path)}\n")
    (folder / ".gitignore").write_text(".venv/\n__pycache__/\n.taut*\nregistered\n")
    for file, text in {"train.py": TRAIN, "test_train.py": TEST, "taut.yaml": TAUT_YAML}.items():
        (folder / file).write_text(text)
