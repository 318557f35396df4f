"""Where a workflow learns: calls that fit a model, read data, split it, write models; and the words for them."""

import ast
import re
from collections.abc import Iterator

from taut.audit.code import Call, Source, constant_text, dotted, nodes_in
from taut.audit.files import File
from taut.audit.remember import remembered
from taut.audit.workflow import Workflow

LEARNING_PACKAGES = frozenset(
    [
        "sklearn",
        "xgboost",
        "lightgbm",
        "catboost",
        "torch",
        "tensorflow",
        "keras",
        "pytorch_lightning",
        "lightning",
        "transformers",
        "fastai",
        "statsmodels",
        "prophet",
        "pyspark",
        "jax",
        "flax",
        "mxnet",
        "paddle",
        "h2o",
        "pycaret",
        "autogluon",
        "flaml",
        "tpot",
        "imblearn",
        "river",
        "cuml",
        "surprise",
        "implicit",
        "sentence_transformers",
        "ultralytics",
        "spacy",
        "gensim",
        "skorch",
        "tabpfn",
        "interpret",
        "pmdarima",
        "sktime",
        "darts",
    ]
)
"""Packages that fit models; a `.fit` in a file that imports none of them is something else."""

TRANSFORMERS = frozenset(
    [
        "StandardScaler",
        "MinMaxScaler",
        "RobustScaler",
        "MaxAbsScaler",
        "Normalizer",
        "QuantileTransformer",
        "PowerTransformer",
        "KBinsDiscretizer",
        "SimpleImputer",
        "KNNImputer",
        "IterativeImputer",
        "OneHotEncoder",
        "OrdinalEncoder",
        "TargetEncoder",
        "PCA",
        "TruncatedSVD",
        "SelectKBest",
        "SelectFromModel",
        "RFE",
        "VarianceThreshold",
        "TfidfVectorizer",
        "TfidfTransformer",
        "CountVectorizer",
        "ColumnTransformer",
        "PolynomialFeatures",
        "FunctionTransformer",
    ]
)
"""What learns from data without being a model; LabelEncoder is left out, for it learns names and not rows."""

HARMLESS_TRANSFORMERS = frozenset({"Normalizer", "PolynomialFeatures", "FunctionTransformer"})
"""Transformers that look at one row at a time, so fitting them on all rows leaks nothing."""

METRIC_WORDS = re.compile(
    r"accuracy|(^|_)auc|roc|f1|recall|precision|rmse|(^|_)mae($|_)|(^|_)mse($|_)|r2|log_?loss|brier|score|"
    r"metric|error_rate|"
    r"mean_(squared|absolute)|baseline|champion|threshold"
)
"""Names under which the quality of a model goes."""

_READERS = frozenset(
    [
        "read_csv",
        "read_parquet",
        "read_excel",
        "read_json",
        "read_feather",
        "read_table",
        "read_sql",
        "read_sql_query",
        "read_sql_table",
        "read_hdf",
        "read_orc",
        "scan_csv",
        "scan_parquet",
        "read_gbq",
        "genfromtxt",
        "loadtxt",
        "load_dataset",
        "ImageFolder",
        "image_dataset_from_directory",
        "flow_from_directory",
        "load_from_disk",
        "read_pickle",
    ]
)
_IN_MEMORY = frozenset({"BytesIO()", "StringIO()", "encode()"})
_MODEL_WRITERS = ("joblib.dump", "pickle.dump", "cloudpickle.dump", "dill.dump", "torch.save", "skops.io.dump")
_MODEL_SAVERS = frozenset(["save_model", "save_pretrained", "save_weights"])
MODEL_SUFFIXES = frozenset(
    [
        ".pkl",
        ".pickle",
        ".joblib",
        ".h5",
        ".hdf5",
        ".keras",
        ".pt",
        ".pth",
        ".ckpt",
        ".onnx",
        ".pb",
        ".safetensors",
        ".skops",
        ".bst",
        ".ubj",
        ".cbm",
        ".model",
        ".tflite",
        ".mlmodel",
        ".sav",
        ".dill",
        ".cloudpickle",
    ]
)
DATA_SUFFIXES = frozenset(
    [
        ".csv",
        ".tsv",
        ".parquet",
        ".feather",
        ".xlsx",
        ".xls",
        ".arrow",
        ".npz",
        ".npy",
        ".h5",
        ".hdf5",
        ".jsonl",
        ".avro",
        ".orc",
        ".zip",
        ".gz",
    ]
)


@remembered
def training_calls(source: Source) -> list[Call]:
    """The calls of a source that fit a model; fitting a scaler, or `self.fit` inside a library, is none."""
    if not source.imports_any(LEARNING_PACKAGES):
        return []
    return [call for call in source.calls if _trains(call, source)]


def _trains(call: Call, source: Source) -> bool:
    name = call.name
    if call.last in {"fit", "fit_generator", "fit_one_cycle", "fine_tune", "partial_fit"}:
        return not _is_self(call) and maker_of(call, source) not in TRANSFORMERS | {"LabelEncoder"}
    if name in {"lightgbm.train", "xgboost.train", "catboost.train", "lightgbm.cv", "xgboost.cv"}:
        return True
    if call.last == "backward":
        return source.imports_any(frozenset({"torch"}))
    return call.last in {"train", "learn"} and source.made_by.get(call.receiver, "").endswith(
        ("Trainer", "YOLO", "AutoML")
    )


def _is_self(call: Call) -> bool:
    return call.receiver.split(".")[0] in {"self", "super()", "cls"} and call.receiver.count(".") == 0


def maker_of(call: Call, source: Source) -> str:
    """The class that made the receiver of a call, by its last name; empty when that cannot be seen."""
    receiver = call.receiver
    made = receiver.removesuffix("()") if receiver.endswith("()") else source.made_by.get(receiver, "")
    return made.rpartition(".")[2]


@remembered
def trainers(workflow: Workflow) -> list[tuple[Source, Call]]:
    """Each call outside of tests, examples and documentation that fits a model."""
    return [(source, call) for source in workflow.code if not is_sample(source.path) for call in training_calls(source)]


@remembered
def training_sources(workflow: Workflow) -> list[Source]:
    """The sources outside of tests that fit a model."""
    found = {source.path: source for source, _ in trainers(workflow)}
    return list(found.values())


@remembered
def training_places(workflow: Workflow) -> list[str]:
    """`path:line` of the first fit of each training source."""
    first: dict[str, str] = {}
    for source, call in trainers(workflow):
        first.setdefault(source.path, source.place(call.line))
    return list(first.values())


def is_sample(path: str) -> bool:
    """Whether a path holds examples or documentation of a library, which are not its workflow."""
    return any(
        part in {"examples", "example", "demo", "demos", "samples", "docs", "doc", "benchmarks", "tutorials"}
        for part in path.lower().split("/")[:-1]
    )


@remembered
def data_reads(source: Source) -> list[tuple[Call, str]]:
    """The calls of a source that read data, each with the path or address it names (empty when that is computed).

    What is read from memory is left out: a request's body, a text in the code.
    """
    found = []
    for call in source.calls:
        if call.last in _READERS or call.name in {"numpy.load", "spark.read.parquet", "spark.read.csv"}:
            arguments = call.arguments()
            if arguments and dotted(arguments[0], source.aliases).rpartition(".")[2] in _IN_MEMORY:
                continue
            found.append((call, _path_text(arguments[0]) if arguments else ""))
    return found


def _path_text(node: ast.expr) -> str:
    """The literal path of an argument; `Path("x")` and `folder / "x"` give what is literal in them."""
    text = constant_text(node)
    if text is not None:
        return text
    if isinstance(node, ast.Call) and node.args:
        return constant_text(node.args[0]) or ""
    if isinstance(node, ast.BinOp):
        return constant_text(node.right) or ""
    return ""


def model_writes(source: Source) -> list[tuple[Call, str]]:
    """The calls of a source that write a model to a file, each with the path that it names."""
    found = []
    for call in source.calls:
        arguments = call.arguments()
        if call.name in _MODEL_WRITERS:
            found.append((call, _path_text(arguments[1]) if len(arguments) > 1 else ""))
        elif call.last in _MODEL_SAVERS or (call.last == "save" and call.receiver == "model"):
            found.append((call, _path_text(arguments[0]) if arguments else ""))
    return found


def statements_of(source: Source) -> Iterator[tuple[list[ast.stmt], str]]:
    """Each scope of a source (the module, then each function) as its statements in order, blocks flattened."""
    yield list(_flat(source.tree.body)), ""
    for function in source.functions:
        yield list(_flat(function.body)), function.name


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    waiting = list(reversed(body))
    while waiting:
        statement = waiting.pop()
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for block in ("finalbody", "orelse", "handlers", "body"):
            inner = getattr(statement, block, [])
            for item in reversed(inner):
                waiting.extend(reversed(item.body) if isinstance(item, ast.ExceptHandler) else [item])


def own_calls(statement: ast.stmt) -> list[ast.Call]:
    """The calls of one statement itself, without those of the blocks below it."""
    roots: list[ast.AST] = []
    for name, value in ast.iter_fields(statement):
        if name not in {"body", "orelse", "finalbody", "handlers"}:
            values = value if isinstance(value, list) else [value]
            roots.extend(item for item in values if isinstance(item, ast.AST))
    return [node for root in roots for node in nodes_in(root) if isinstance(node, ast.Call)]


def is_model_file(file: File) -> bool:
    """Whether a file is a serialised model by its name, or a LightGBM booster by its first words."""
    if file.suffix in MODEL_SUFFIXES:
        return True
    return file.text is not None and file.suffix in {".txt", ".model"} and file.text.startswith("tree\nversion=")


def tool_places(workflow: Workflow, packages: frozenset[str]) -> list[str]:
    """Where the code outside of tests imports one of these packages."""
    return [
        f"{source.path}:{import_line(source, packages)}" for source in workflow.code if source.imports_any(packages)
    ]


def import_line(source: Source, packages: frozenset[str]) -> int:
    """The line on which one of the packages is first named; 1 where it cannot be told."""
    pattern = re.compile(r"^\s*(?:from|import)\s.*\b(?:" + "|".join(map(re.escape, sorted(packages))) + r")\b")
    for number, line in enumerate(source.text.split("\n"), start=1):
        if pattern.search(line):
            return source.lines[number - 1] if 0 < number <= len(source.lines) else number
    return 1


def says(workflow: Workflow, pattern: str) -> list[str]:
    """Where a script, CI definition, manual or pipeline stage runs a command that matches."""
    wanted = re.compile(pattern)
    found = [command.place for command in (*workflow.scripts, *workflow.advice) if wanted.search(command.text)]
    ci = {file.path for file in workflow.ci}
    for file in workflow.files:
        if file.path in ci or file.name in {"dvc.yaml", "taut.yaml", "mlproject", "pyproject.toml"}:
            found += [f"{file.path}:{number}" for number, line in file.lines() if wanted.search(line)]
    return found


def call_places(workflow: Workflow, last: frozenset[str]) -> list[str]:
    """Where the code outside of tests calls something whose last name is one of these."""
    return [source.place(call.line) for source in workflow.code for call in source.calls if call.last in last]
