"""How long an audit of 300 files takes, beside what nobody can save: listing them and parsing them.

    python bench/audit.py [--folder PATH] [--times 5] [--json]

Each measurement is a fresh process, and counts the CPU seconds of it and of the processes that it starts (git); wall
time is told beside. `floor` is `git ls-files` and Python's own `ast.parse` of every source. The folder is made here, of
modules, tests, notebooks, manifests and prose as projects hold them, unless another is given.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES = 300
"""So many files the folder holds: a project that several people work on."""

MODULE = """\
import logging

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

log = logging.getLogger(__name__)


class Step{n}:
    \"\"\"One step of the pipeline.\"\"\"

    def __init__(self, rate: float = 0.1) -> None:
        self.rate = rate

    def clean(self, rows: pd.DataFrame) -> pd.DataFrame:
        kept = rows[rows["amount"] > 0].copy()
        kept["log_amount"] = np.log1p(kept["amount"]) * self.rate
        for name in ("city", "carrier"):
            if name in kept.columns and kept[name].isna().any():
                kept[name] = kept[name].fillna("none")
                log.info("filled %s of step %d", name, {n})
        return kept


def train(rows: pd.DataFrame) -> float:
    X_train, X_test, y_train, y_test = train_test_split(rows[["log_amount"]], rows["late"], random_state={n})
    model = RandomForestClassifier(random_state={n}).fit(X_train, y_train)
    return float(model.score(X_test, y_test))


if __name__ == "__main__":
    print(train(Step{n}().clean(pd.read_csv("data/part{n}.csv"))))
"""
TEST = """\
from late.m{n} import Step{n}


def test_rows_without_an_amount_are_left_out(rows):
    assert (Step{n}().clean(rows)["amount"] > 0).all()
"""
MANIFEST = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: late{n}}}\nspec: {{replicas: {n}}}\n"

AUDIT = "from pathlib import Path; from taut.audit import audit_path; audit_path(Path('.'))"
START = "import taut.audit.folder"
FLOOR = """\
import ast, subprocess
listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout.decode().split("\\0")
for path in listed:
    if path.endswith(".py"):
        with open(path, encoding="utf-8") as opened:
            ast.parse(opened.read())
"""


def main() -> None:
    """Make the folder, measure, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="audit this repository instead")
    parser.add_argument("--times", type=int, default=5, help="processes of which the median is told")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or made(Path(scratch))
        figures = {
            name: measured(code, folder, given.times)
            for name, code in (("floor", FLOOR), ("start", START), ("audit", AUDIT))
        }
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; medians of {given.times} processes")
    for name, (cpu_s, wall_s) in figures.items():
        print(f"{name:<6} {cpu_s:6.2f} s of CPU  {wall_s:6.2f} s of wall time")


def made(folder: Path) -> Path:
    """A committed repository of FILES files: modules, a test for every second, a manifest for every tenth."""
    texts = {"README.md": "pip install -r requirements.txt\n", "requirements.txt": "pandas\nscikit-learn\n"}
    number = 0
    while len(texts) < FILES:
        texts[f"src/late/m{number}.py"] = MODULE.replace("{n}", str(number))
        if number % 2 == 0:
            texts[f"tests/test_m{number}.py"] = TEST.replace("{n}", str(number))
        if number % 10 == 0:
            texts[f"deploy/late{number}.yaml"] = MANIFEST.format(n=number)
        number += 1
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *words], cwd=folder, check=True)
    return folder


def measured(code: str, folder: Path, times: int) -> tuple[float, float]:
    """The median CPU and wall seconds of fresh processes that run the code in the folder."""
    cpu: list[float] = []
    wall: list[float] = []
    for _ in range(times):
        before, begun = os.times(), time.monotonic()
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=folder, check=True)
        after = os.times()
        wall.append(time.monotonic() - begun)
        cpu.append(after.children_user - before.children_user + after.children_system - before.children_system)
    return statistics.median(cpu), statistics.median(wall)


if __name__ == "__main__":
    main()
