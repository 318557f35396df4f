"""Further cases of reproducibility: the spellings, places and tools in which real repositories differ."""

from tests.audit.case import LEAK, NOTEBOOK, SCORE, SPLIT, Case, trained
from tests.audit.repositories import LESSON, SERVE, TRAIN

BIG = "1,2\n" * 20_000
DVC = "outs:\n- md5: d41d8cd9\n  path: flights.csv\n"
FOREST = "from sklearn.ensemble import RandomForestClassifier\n"
HOLDS_HASHES = "pandas==2.2.3 \\\n    --hash=sha256:0000\n"
SCALE = "X = scaler.fit_transform(X)\n"
TORCH = "import torch\nloss.backward()\n"
TWO_STEPS = {"prepare.py": "import os\n", "train.py": TRAIN}

VERSIONS = [
    Case("RE01", "a notebook alone without git", "fail", {"a.ipynb": NOTEBOOK}, False, "a.ipynb:1"),
    Case("RE01", "eleven files in one commit may be one sitting", "pass", {f"m{n}.py": "x = 1\n" for n in range(11)}),
    Case("RE01", "empty files do not make a project grown", "pass", {f"m{n}/__init__.py": "" for n in range(20)}),
    Case("RE02", "a Pipfile", "pass", {**LESSON, "Pipfile": "[packages]\npandas = '*'\n"}),
    Case("RE02", "a Pipfile in a folder below", "pass", {**LESSON, "env-files/pipfile": "[packages]\n"}),
    Case("RE02", "setup.cfg", "pass", {**LESSON, "setup.cfg": "[options]\ninstall_requires = pandas\n"}),
    Case("RE02", "requirements by purpose", "pass", {**LESSON, "requirements-train.txt": "pandas\n"}),
    Case("RE02", "an environment with another ending", "pass", {**LESSON, "environment-gpu.yml": "dependencies: []\n"}),
    Case("RE02", "pixi", "pass", {**LESSON, "pixi.toml": "[dependencies]\n"}),
    Case("RE02", "an empty manifest", "fail", {**LESSON, "requirements.txt": "\n"}, True, "train.py:1"),
    Case("RE02", "a pyproject that only sets up tools", "fail", {**LESSON, "pyproject.toml": "[tool.ruff]\n"}),
    Case("RE02", "a setup without requirements", "fail", {**LESSON, "setup.py": "setup(name='late')\n"}),
    Case(
        "RE02", "modules of its own in folders", "na", {"late/rows.py": "x = 1\n", "run.py": "from late import rows\n"}
    ),
    Case(
        "RE02", "relative imports", "na", {"late/a.py": "from . import b\nfrom .b import c\n", "late/b.py": "c = 1\n"}
    ),
    Case("RE02", "imports of a notebook count", "fail", {"a.ipynb": NOTEBOOK}, True, "a.ipynb:1"),
    Case("RE03", "a lock of poetry", "pass", {**LESSON, "requirements.txt": "pandas\n", "poetry.lock": "x = 1\n"}),
    Case("RE03", "a lock of pipenv", "pass", {**LESSON, "Pipfile": "[packages]\n", "Pipfile.lock": "{}\n"}),
    Case(
        "RE03", "a lock of conda", "pass", {**LESSON, "conda.yaml": "dependencies: [a]\n", "conda-lock.yml": "a: 1\n"}
    ),
    Case(
        "RE03", "compiled requirements", "pass", {**LESSON, "requirements.in": "pandas\n", "req/all.txt": HOLDS_HASHES}
    ),
    Case("RE03", "a lock by the standard", "pass", {**LESSON, "requirements.txt": "a\n", "pylock.toml": "x = 1\n"}),
    Case(
        "RE03",
        "a range in pyproject",
        "fail",
        {"pyproject.toml": "[project]\ndependencies = ['a>1']\n"},
        True,
        "pyproject.toml:2",
    ),
    Case("RE03", "an address is exact enough", "pass", {"requirements.txt": "a @ https://example.org/a-1.whl\n"}),
    Case("RE03", "options and comments are no packages", "pass", {"requirements.txt": "# all\n-r b.txt\na==1\n"}),
    Case(
        "RE03",
        "conda packages without versions",
        "fail",
        {"environment.yml": "dependencies:\n  - pandas\n"},
        True,
        "environment.yml:2",
    ),
    Case("RE03", "conda packages with versions", "pass", {"environment.yml": "dependencies:\n  - pandas=2.2.3\n"}),
    Case("RE03", "the manifest of an example", "na", {**LESSON, "examples/requirements.txt": "pandas\n"}),
    Case("RE05", "a table just below the size of a fixture", "pass", {**LESSON, "rows.csv": "1,2\n" * 12_000}),
    Case("RE05", "Parquet by its ending in capitals", "fail", {**LESSON, "ROWS.PARQUET": BIG}, True, "ROWS.PARQUET:1"),
    Case("RE05", "an archive of data", "fail", {**LESSON, "raw/rows.csv.gz": BIG}, True, "raw/rows.csv.gz:1"),
    Case("RE05", "a large text of code", "na", {"a.py": "x = 1\n" * 20_000}),
    Case("RE05", "data that git ignores", "pass", {**LESSON, ".gitignore": "*.csv\n", "rows.csv": BIG}),
    Case(
        "RE06",
        "a pointer of DVC in a folder",
        "pass",
        {**LESSON, "data/flights.csv.dvc": DVC},
        True,
        "data/flights.csv.dvc:1",
    ),
    Case("RE06", "a catalogue with versions", "pass", {**LESSON, "conf/catalog.yml": "rows:\n  versioned: true\n"}),
    Case("RE06", "a catalogue without versions", "fail", {**LESSON, "conf/catalog.yml": "rows:\n  versioned: false\n"}),
    Case(
        "RE06",
        "a stage of DVC with its inputs",
        "pass",
        {**LESSON, "dvc.yaml": "stages:\n  t:\n    cmd: python train.py\n    deps: [flights.csv]\n"},
        True,
        "dvc.yaml:4",
    ),
    Case("RE06", "attributes without large files", "fail", {**LESSON, ".gitattributes": "*.py text\n"}),
    Case("RE06", "an artifact of a tracker", "pass", trained("rows = pd", "run.use_artifact('rows:v3')\nrows = pd")),
    Case(
        "RE06",
        "a hub dataset with its revision",
        "pass",
        trained('pd.read_csv("flights.csv")', 'load_dataset("late", revision="8f3a")'),
    ),
    Case(
        "RE06",
        "a hub dataset without revision",
        "fail",
        trained('pd.read_csv("flights.csv")', 'load_dataset("late")'),
        True,
        "train.py:7",
    ),
    Case(
        "RE06",
        "rows that stand in the code",
        "na",
        trained('pd.read_csv("flights.csv")', 'pd.read_csv(io.StringIO("a,b"))'),
    ),
    Case(
        "RE06", "a body in memory is no file", "na", trained('pd.read_csv("flights.csv")', "pd.read_csv(body.encode())")
    ),
    Case("RE06", "a path that is computed", "fail", trained('"flights.csv"', "settings.rows"), True, "train.py:7"),
    Case(
        "RE06", "a path joined of two", "pass", {**trained('"flights.csv"', 'HERE / "rows.csv"'), "d/rows.csv": "a\n"}
    ),
    Case("RE06", "the scripts of a demonstration", "na", {"late/demo/train.py": TRAIN}),
    Case("RE06", "the scripts of an example", "na", {"examples/late/train.py": TRAIN}),
    Case("RE08", "ONNX in a folder", "fail", {**LESSON, "serving/late.onnx": b"\x08"}, True, "serving/late.onnx:1"),
    Case("RE08", "weights in capitals", "fail", {**LESSON, "LATE.PT": b"PK"}, True, "LATE.PT:1"),
    Case("RE08", "a model among the fixtures of tests", "pass", {**LESSON, "tests/model.pkl": b"\x80"}),
    Case("RE08", "a text that is no booster", "pass", {**LESSON, "models/model.txt": "a tree\n"}),
    Case("RE08", "a model that git ignores", "pass", {**LESSON, ".gitignore": "*.pkl\n", "model.pkl": b"\x80"}),
    Case("RE08", "no model and no training", "na", {"a.py": "x = 1\n"}),
]

RUNS = [
    Case("RE09", "W&B", "pass", trained("import pickle", "import wandb, pickle"), True, "train.py:1"),
    Case(
        "RE09",
        "a part of a tracker",
        "pass",
        trained("import pickle", "import pickle\nfrom mlflow import sklearn"),
        True,
        "train.py:2",
    ),
    Case("RE09", "the board of torch", "pass", {"t.py": "from torch.utils.tensorboard import SummaryWriter\n" + TORCH}),
    Case("RE09", "torch alone is no tracker", "fail", {"t.py": TORCH}, True, "t.py:2"),
    Case(
        "RE09",
        "a trainer that reports",
        "pass",
        {"t.py": "from transformers import Trainer\nt = Trainer(report_to='x')\nt.train()\n"},
    ),
    Case(
        "RE09",
        "experiments of DVC in the README",
        "pass",
        {**LESSON, "README.md": "dvc exp run\n"},
        True,
        "README.md:1",
    ),
    Case(
        "RE09",
        "metrics and params of a stage",
        "pass",
        {**LESSON, "dvc.yaml": "stages:\n  t:\n    params: [a]\n    metrics: [m.json]\n"},
        True,
        "dvc.yaml:4",
    ),
    Case(
        "RE09",
        "a notebook that trains",
        "fail",
        {"a.ipynb": '{"cells": [{"cell_type": "code", "source": "import xgboost\\nm.fit(X, y)"}]}'},
        True,
        "a.ipynb:1",
    ),
    Case("RE09", "a tracker in tests alone", "fail", {**LESSON, "tests/test_a.py": "import mlflow\n"}),
    Case(
        "RE09",
        "a scaler is no model",
        "na",
        {"t.py": "from sklearn.preprocessing import StandardScaler\nStandardScaler().fit(X)\n"},
    ),
    Case("RE09", "a fit of something else", "na", {"t.py": "import curves\ncurves.line().fit(X)\n"}),
    Case(
        "RE09",
        "a library that fits itself",
        "na",
        {"t.py": "import sklearn\n\n\nclass M:\n    def fit_all(self, X):\n        self.fit(X)\n"},
    ),
    Case(
        "RE09", "code that does not parse and no tracker", "unknown", {**LESSON, "b.py": b"x = '\xff'"}, True, "b.py:1"
    ),
    Case("RE12", "a seed by name of a constant", "pass", trained(SPLIT, SPLIT[:-1] + ", random_state=SEED)")),
    Case("RE12", "folds in order", "na", {"t.py": "from sklearn.model_selection import KFold\nKFold(5)\n"}),
    Case("RE12", "shuffled folds", "fail", {"t.py": "KFold(5, shuffle=True)\n"}, True, "t.py:1"),
    Case("RE12", "shuffled folds with a seed", "pass", {"t.py": "KFold(5, shuffle=True, random_state=1)\n"}),
    Case("RE12", "torch with a generator", "pass", {"t.py": "random_split(d, [1, 2], generator=g)\n"}),
    Case("RE12", "torch without one", "fail", {"t.py": "random_split(d, [1, 2])\n"}, True, "t.py:1"),
    Case("RE12", "Spark with a seed", "pass", {"t.py": "rows.randomSplit([0.8, 0.2], 7)\n"}),
    Case("RE12", "Spark without one", "fail", {"t.py": "rows.randomSplit([0.8, 0.2])\n"}, True, "t.py:1"),
    Case(
        "RE12",
        "a seed after the split is too late",
        "fail",
        trained("model = Log", "import numpy as np\nnp.random.seed(0)\nmodel = Log"),
        True,
        "train.py:8",
    ),
    Case("RE12", "a split in a test", "na", {"tests/test_a.py": "train_test_split(X)\n"}),
    Case(
        "RE13",
        "numpy without a seed",
        "fail",
        {"t.py": "import numpy as np\nimport sklearn\nnp.random.shuffle(X)\nm.fit(X)\n"},
        True,
        "t.py:3",
    ),
    Case(
        "RE13",
        "numpy seeded in another file",
        "pass",
        {
            "t.py": "import numpy as np\nimport sklearn\nnp.random.shuffle(X)\nm.fit(X)\n",
            "s.py": "import numpy\nnumpy.random.seed(1)\n",
        },
    ),
    Case(
        "RE13",
        "a generator with a seed",
        "pass",
        {"t.py": "import numpy as np\nimport sklearn\nr = np.random.default_rng(3)\nm.fit(X)\n"},
    ),
    Case(
        "RE13",
        "a generator without one",
        "fail",
        {"t.py": "import numpy as np\nimport sklearn\nr = np.random.default_rng()\nm.fit(X)\n"},
        True,
        "t.py:3",
    ),
    Case("RE13", "tensorflow", "fail", {"t.py": "import tensorflow\nmodel.fit(X)\n"}, True, "t.py:2"),
    Case(
        "RE13",
        "tensorflow with a seed",
        "pass",
        {"t.py": "import tensorflow as tf\ntf.random.set_seed(3)\nmodel.fit(X)\n"},
    ),
    Case(
        "RE13",
        "lightning seeds everything",
        "pass",
        {"t.py": "import torch\nfrom lightning import seed_everything\nseed_everything(1)\nloss.backward()\n"},
    ),
    Case("RE13", "a forest with unseen settings", "pass", {"t.py": FOREST + "RandomForestClassifier(**s).fit(X)\n"}),
    Case(
        "RE13",
        "a forest with no seed by name",
        "fail",
        {"t.py": FOREST + "RandomForestClassifier(random_state=None).fit(X)\n"},
        True,
        "t.py:2",
    ),
    Case(
        "RE13",
        "Python's own chance",
        "fail",
        {"t.py": "import random\nimport sklearn\nrandom.shuffle(X)\nm.fit(X)\n"},
        True,
        "t.py:3",
    ),
    Case(
        "RE13",
        "Python's own chance with a seed",
        "pass",
        {"t.py": "import random\nimport sklearn\nrandom.seed(1)\nrandom.shuffle(X)\nm.fit(X)\n"},
    ),
]

STEPS = [
    Case("RE15", "Snakemake", "pass", {**TWO_STEPS, "Snakefile": "rule all:\n"}, True, "Snakefile:1"),
    Case("RE15", "Airflow", "pass", {**TWO_STEPS, "dags/late.py": "from airflow import DAG\n"}, True, "dags/late.py:1"),
    Case(
        "RE15",
        "stages in taut.yaml",
        "pass",
        {**TWO_STEPS, "taut.yaml": "stages: {train: {cmd: a}}\n"},
        True,
        "taut.yaml:1",
    ),
    Case(
        "RE15",
        "Argo",
        "pass",
        {**TWO_STEPS, "w.yaml": "apiVersion: argoproj.io/v1\nkind: Workflow\n"},
        True,
        "w.yaml:1",
    ),
    Case(
        "RE15",
        "a main that imports them",
        "pass",
        {**TWO_STEPS, "main.py": "import prepare\nimport train\n"},
        True,
        "main.py:1",
    ),
    Case("RE15", "a script that runs one of them", "fail", {**TWO_STEPS, "run.sh": "python train.py\n"}),
    Case(
        "RE15",
        "numbered notebooks",
        "fail",
        {"01_clean.ipynb": NOTEBOOK, "02_train.py": TRAIN},
        True,
        "01_clean.ipynb:1",
    ),
    Case("RE15", "steps of an example", "na", {"examples/prepare.py": "import os\n", "train.py": TRAIN}),
    Case("RE15", "steps without training", "na", {"prepare.py": "x = 1\n", "clean.py": "x = 1\n"}),
    Case("RE17", "a home on Linux", "fail", trained("flights.csv", "/home/ann/flights.csv"), True, "train.py:7"),
    Case("RE17", "a home of a container", "pass", trained("flights.csv", "/home/jovyan/flights.csv")),
    Case("RE17", "slashes on Windows", "fail", trained("flights.csv", "C:/Users/ann/a.csv"), True, "train.py:7"),
    Case("RE17", "a shared folder", "pass", trained("flights.csv", "/Users/Shared/a.csv")),
    Case("RE17", "told in a docstring", "pass", {"a.py": '"""/home/ann/rows.csv is an example."""\n'}),
    Case("RE17", "in a test", "pass", {"a.py": "x = 1\n", "tests/test_a.py": 'p = "/home/ann/x.csv"\n'}),
    Case("RE17", "an address with a home in it", "pass", {"a.py": 'u = "https://a.example/home/ann/x"\n'}),
    Case("RE17", "no code", "na", {"README.md": "/home/ann/x\n"}),
]

ROWS = [
    Case(
        "RE21",
        "scored in another file",
        "pass",
        {
            "t.py": SCORE + "print(model.score(X, y))\n",
            "evaluate.py": "import sklearn\nprint(model.score(X_new, y_new))\n",
        },
    ),
    Case(
        "RE21",
        "cross-validation beside it",
        "pass",
        {"t.py": SCORE + "print(model.score(X, y))\ncross_val_score(model)\n"},
    ),
    Case(
        "RE21",
        "a column of the rows of the fit",
        "fail",
        {
            "t.py": "from sklearn.linear_model import Ridge as R\nm = R()\nm.fit(f[['a']], y)\n"
            "print(m.score(f[['a']], y))\n"
        },
        True,
        "t.py:4",
    ),
    Case(
        "RE21",
        "another column",
        "pass",
        {
            "t.py": "from sklearn.linear_model import Ridge as R\nm = R()\nm.fit(f[['a']], y)\n"
            "print(m.score(g[['a']], y))\n"
        },
    ),
    Case(
        "RE21",
        "probabilities of the rows of the fit",
        "fail",
        {"t.py": SCORE + "p = model.predict_proba(X)[:, 1]\nprint(roc_auc_score(y, p))\n"},
        True,
        "t.py:7",
    ),
    Case(
        "RE21",
        "inside a function",
        "fail",
        {"t.py": "import sklearn\n\n\ndef go(m, X, y):\n    m.fit(X, y)\n    return m.score(X, y)\n"},
        True,
        "t.py:6",
    ),
    Case(
        "RE21",
        "fitted in one function and scored in another",
        "pass",
        {
            "t.py": "import sklearn\n\n\ndef a(m, X, y):\n    m.fit(X, y)\n\n\ndef b(m, X, y):\n"
            "    return m.score(X, y)\n"
        },
    ),
    Case(
        "RE21",
        "in a notebook",
        "fail",
        {"n.ipynb": '{"cells": [{"cell_type": "code", "source": "import sklearn\\nm.fit(X, y)\\nm.score(X, y)"}]}'},
        True,
        "n.ipynb:1",
    ),
    Case("RE21", "a score that is no model's", "na", {"t.py": "import games\nteam.score(X, y)\n"}),
    Case(
        "RE22",
        "imputed before the split",
        "fail",
        {"t.py": LEAK.replace("StandardScaler", "SimpleImputer") + SCALE + "a, b = train_test_split(X)\n"},
        True,
        "t.py:5",
    ),
    Case(
        "RE22",
        "chosen features before the split",
        "fail",
        {
            "t.py": LEAK.replace("StandardScaler", "SelectKBest") + "X = scaler.fit_transform(X, y)\n"
            "a, b = train_test_split(X, y)\n"
        },
        True,
        "t.py:5",
    ),
    Case(
        "RE22",
        "oversampled before the split",
        "fail",
        {
            "t.py": "from imblearn.over_sampling import SMOTE\nX, y = SMOTE().fit_resample(X, y)\n"
            "a, b = train_test_split(X, y)\n"
        },
        True,
        "t.py:2",
    ),
    Case(
        "RE22",
        "made and fitted in one breath",
        "fail",
        {"t.py": LEAK + "X = StandardScaler().fit_transform(X)\na, b = train_test_split(X)\n"},
        True,
        "t.py:5",
    ),
    Case(
        "RE22",
        "carried through another name",
        "fail",
        {"t.py": LEAK + "Z = scaler.fit_transform(X)\nW = Z * 2\na, b = train_test_split(W)\n"},
        True,
        "t.py:5",
    ),
    Case(
        "RE22",
        "rows one at a time",
        "na",
        {"t.py": LEAK.replace("StandardScaler", "Normalizer") + SCALE + "a, b = train_test_split(X)\n"},
    ),
    Case(
        "RE22",
        "names of classes",
        "na",
        {
            "t.py": LEAK.replace("StandardScaler", "LabelEncoder")
            + "y = scaler.fit_transform(y)\na = train_test_split(y)\n"
        },
    ),
    Case(
        "RE22",
        "the training part by its name",
        "pass",
        {"t.py": LEAK + "scaler.fit(X_train)\na, b = train_test_split(X)\n"},
    ),
    Case(
        "RE22",
        "other rows than those that are split",
        "pass",
        {"t.py": LEAK + "Z = scaler.fit_transform(prices)\na, b = train_test_split(X)\n"},
    ),
    Case(
        "RE22",
        "inside a function that splits later",
        "fail",
        {"t.py": LEAK + "\n\ndef go(X):\n    X = scaler.fit_transform(X)\n    return train_test_split(X)\n"},
        True,
        "t.py:8",
    ),
    Case("RE22", "never split", "pass", {"t.py": LEAK + SCALE}),
    Case("RE22", "in a service", "na", {"app.py": SERVE}),
]

REPRODUCIBILITY_VARIANTS = [*VERSIONS, *RUNS, *STEPS, *ROWS]
