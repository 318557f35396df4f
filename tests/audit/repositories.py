"""Small real repositories to audit: files on disk, committed with git, and the pieces that they are made of."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from taut.audit import Finding, audit_path

TRAIN = """\
import pickle

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

rows = pd.read_csv("flights.csv")
X_train, X_test, y_train, y_test = train_test_split(rows[["distance"]], rows["late"])
model = LogisticRegression().fit(X_train, y_train)
print(model.score(X_test, y_test))
pickle.dump(model, open("model.pkl", "wb"))
"""

SERVE = """\
import joblib
from fastapi import FastAPI

app = FastAPI()
model = joblib.load("/srv/model.pkl")


@app.post("/predict")
def predict(body: dict):
    return {"late": model.predict([body["distance"]])}
"""

LESSON: dict[str, str | bytes] = {
    "train.py": TRAIN,
    "deploy.sh": "#!/bin/sh\nscp model.pkl ops@server:/srv/model.pkl\n",
}
"""The workflow that everyone has: trained locally without git, copied by hand, no tests, no monitoring."""

TAUT_YAML = """\
models:
  late:
    gate: {data: gate.csv, target: late, checks: [{measure: auc, at_least: 0.6}]}
deployments:
  late: {model: late@champion}
monitors:
  late: {window: 7d}
"""

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: late}
spec:
  replicas: 1
  template:
    spec:
      containers:
        - name: late
          image: registry.example/late:1.2
          ports: [{containerPort: 8080}]
"""

HARDENED = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: late}
spec:
  replicas: 2
  template:
    spec:
      securityContext: {runAsNonRoot: true}
      containers:
        - name: late
          image: registry.example/late:1.2
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /ready, port: 8080}}
          resources:
            requests: {cpu: 100m}
            limits: {memory: 1Gi}
"""

WORKFLOW = """\
on: push
permissions: {contents: read}
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - run: pip install pytest && pytest
"""


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files, by their path below the folder."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def commit(folder: Path, message: str = "Begin") -> Path:
    """Commit all that stands in the folder, whatever the machine's own git settings say."""
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    surroundings = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", message]):
        subprocess.run(["git", *settings, *command], cwd=folder, env=surroundings, check=True)
    return folder


def found(folder: Path, id: str) -> Finding:
    """The answer of one check about a folder."""
    return next(one for one in audit_path(folder).findings if one.id == id)
