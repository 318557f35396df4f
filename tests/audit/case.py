"""What a case is: one small workflow and the answer that it deserves; and the pieces that cases exchange."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.audit.repositories import SERVE, TRAIN


@dataclass(frozen=True, eq=False)
class Case:
    """One small workflow: the check it is for, why it is told, the answer, and a place that the evidence must name."""

    id: str
    why: str
    answer: str
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    committed: bool = True
    evidence: str = ""

    def __str__(self) -> str:
        return f"{self.id}-{self.answer}-{self.why.replace(' ', '-')}"


def trained(before: str, after: str) -> dict[str, str | bytes]:
    """The training script with one piece exchanged; the piece must be there."""
    assert before in TRAIN, before
    return {"train.py": TRAIN.replace(before, after)}


def served(before: str, after: str) -> dict[str, str | bytes]:
    """The service with one piece exchanged; the piece must be there."""
    assert before in SERVE, before
    return {"app.py": SERVE.replace(before, after)}


def image(text: str) -> dict[str, str | bytes]:
    """The service in an image."""
    return {"app.py": SERVE, "Dockerfile": text}


NOTHING: dict[str, str | bytes] = {"notes.md": "# Notes\n"}
SPLIT = 'train_test_split(rows[["distance"]], rows["late"])'
FLASK = """\
from flask import Flask, jsonify, request

app = Flask(__name__)


@app.route("/predict", methods=["POST"])
def predict():
    BODY


if __name__ == "__main__":
    app.run(host="0.0.0.0")
"""
FLASK_PLAIN = FLASK.replace("BODY", "return jsonify(model.predict([request.get_json()]))")
LEAK = """\
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

scaler = StandardScaler()
"""
SCORE = """\
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

model = LogisticRegression()
model.fit(X, y)
"""
PROMOTE = """\
from mlflow import MlflowClient

client = MlflowClient()


def promote(version, new_auc, old_auc):
    BODY
"""
NOTEBOOK = """\
{"nbformat": 4, "cells": [
 {"cell_type": "markdown", "source": ["/home/ann/data"]},
 {"cell_type": "code", "source": ["%matplotlib inline\\n", "import pandas as pd\\n",
  "rows = pd.read_csv('/home/ann/rows.csv')"],
  "outputs": [{"text": ["/home/ann/out"]}]}
]}
"""
