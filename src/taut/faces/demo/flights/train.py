"""Will this flight arrive 15 minutes late or more? Learns from labelled flights, measures on those held out.

python train.py data/train.csv --holdout data/holdout.csv
"""

import argparse
import logging
import os
from pathlib import Path

# Trees this small gain nothing from threads, and on a busy machine threads that wait for each other lose a lot.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import mlflow
import pandas as pd
import sklearn
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = [
    "dep_minute", "arr_minute", "distance", "weekday", "temp", "dewp", "humid", "wind_speed", "precip", "pressure",
    "visib",
]  # fmt: skip
FEATURES = CATEGORIES + NUMBERS
TARGET = "late"


def read(paths: list[Path]) -> pd.DataFrame:
    """The rows of all the files that are there."""
    types = dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(CATEGORIES, "object")
    return pd.concat([pd.read_csv(path, dtype=types) for path in paths if path.exists()], ignore_index=True)


def newest(rows: pd.DataFrame, days: int) -> pd.DataFrame:
    """The rows of the newest days, all of them for 0; what flights were like half a year ago may mislead."""
    day = pd.to_datetime(rows["event_time"]).dt.floor("D")
    return rows[day > day.max() - pd.Timedelta(days=days)] if days else rows


def untrained(iterations: int) -> Pipeline:
    """Boosted trees over ordered categories; an airport never seen before counts as missing."""
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))
    trees = HistGradientBoostingClassifier(
        max_iter=iterations, max_leaf_nodes=15, min_samples_leaf=100, early_stopping=False, random_state=0,
        categorical_features=list(range(len(CATEGORIES))),
    )  # fmt: skip
    return make_pipeline(make_column_transformer((encode, CATEGORIES), ("passthrough", NUMBERS)), trees)


def main() -> None:
    """Train, measure, log."""
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("data", nargs="+", type=Path)
    say.add_argument("--holdout", type=Path, required=True)
    say.add_argument("--days", type=int, default=0, help="learn from the newest so many days alone")
    say.add_argument("--iterations", type=int, default=60)
    given = say.parse_args()
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # Its advice on plots and pickles is not this story.
    # The model is logged below, with its own pinned requirements: inferring them would take longer than training.
    mlflow.sklearn.autolog(log_models=False, log_datasets=False, log_post_training_metrics=False)
    with mlflow.start_run():
        rows, holdout = newest(read(given.data), given.days), read([given.holdout])
        model = untrained(given.iterations).fit(rows[FEATURES], rows[TARGET])
        score = model.predict_proba(holdout[FEATURES])[:, 1]
        mlflow.log_metric("holdout_roc_auc", roc_auc_score(holdout[TARGET], score))
        mlflow.log_metric("holdout_brier", brier_score_loss(holdout[TARGET], score))
        mlflow.log_metric("train_rows", len(rows))
        sample = holdout[FEATURES].head(100)
        mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(sample, model.predict(sample)),
            pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"pandas=={pd.__version__}"],
            serialization_format="cloudpickle",
        )


if __name__ == "__main__":
    main()
