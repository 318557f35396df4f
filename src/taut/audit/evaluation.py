"""Follows rows through a script, statement by statement: which were fitted on, scored on, or leak over a split."""

import ast
from dataclasses import dataclass, field

from taut.audit.code import Source, dotted, names_in
from taut.audit.remember import remembered
from taut.audit.training import HARMLESS_TRANSFORMERS, LEARNING_PACKAGES, TRANSFORMERS, own_calls, statements_of

_METRICS = frozenset(
    [
        "accuracy_score",
        "balanced_accuracy_score",
        "roc_auc_score",
        "average_precision_score",
        "f1_score",
        "precision_score",
        "recall_score",
        "log_loss",
        "brier_score_loss",
        "mean_squared_error",
        "root_mean_squared_error",
        "mean_absolute_error",
        "r2_score",
        "mean_absolute_percentage_error",
        "classification_report",
        "confusion_matrix",
        "matthews_corrcoef",
        "cohen_kappa_score",
    ]
)
_CROSS_VALIDATION = frozenset(
    [
        "cross_val_score",
        "cross_validate",
        "cross_val_predict",
        "GridSearchCV",
        "RandomizedSearchCV",
        "HalvingGridSearchCV",
        "KFold",
        "StratifiedKFold",
        "GroupKFold",
        "TimeSeriesSplit",
        "RepeatedKFold",
        "cv",
        "backtest",
    ]
)
_SPLITS = frozenset({"train_test_split"})
_FITS = frozenset({"fit", "fit_transform", "fit_resample"})


@dataclass(slots=True)
class _Rows:
    """What one scope knows so far: how often each name was bound, on which rows was fitted, and what predicted what."""

    bound: dict[str, int] = field(default_factory=dict)
    fitted: set[str] = field(default_factory=set)
    predicted: dict[str, str] = field(default_factory=dict)
    on_training: list[int] = field(default_factory=list)
    elsewhere: list[int] = field(default_factory=list)

    def key(self, node: ast.expr) -> str:
        """A text that is equal for equal rows: the expression with the binding of its name; empty when unsure."""
        suffix = ""
        while isinstance(node, ast.Attribute | ast.Subscript):
            part = node.attr if isinstance(node, ast.Attribute) else _slice_text(node.slice)
            if not part:
                return ""
            suffix = f".{part}{suffix}"
            node = node.value
        return f"{node.id}@{self.bound.get(node.id, 0)}{suffix}" if isinstance(node, ast.Name) else ""


def _slice_text(node: ast.expr) -> str:
    """A subscript that is a literal or a plain name; empty for any other."""
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.Name):
        return f"[{node.id}]"
    if isinstance(node, ast.List) and all(isinstance(item, ast.Constant) for item in node.elts):
        return repr([item.value for item in node.elts if isinstance(item, ast.Constant)])
    return ""


@remembered
def evaluated_on_training_rows(source: Source) -> tuple[list[int], list[int]]:
    """The lines of a source that score a model on the rows it was fitted on, and those that score it on others.

    Cross-validation counts as other rows.
    """
    same: list[int] = []
    other = [call.line for call in source.calls if call.last in _CROSS_VALIDATION]
    if not source.imports_any(LEARNING_PACKAGES):
        return [], []
    if not any(call.last == "score" or call.last in _METRICS for call in source.calls):
        return same, other
    for statements, _ in statements_of(source):
        rows = _Rows()
        for statement in statements:
            for node in own_calls(statement):
                _note_call(rows, node, source)
            _note_binding(rows, statement)
        same += rows.on_training
        other += rows.elsewhere
    return same, other


def _note_call(rows: _Rows, node: ast.Call, source: Source) -> None:
    name = dotted(node.func, source.aliases)
    last = name.rpartition(".")[2]
    if last == "fit" and node.args and "." in name:
        rows.fitted.add(rows.key(node.args[0]))
    elif last == "score" and len(node.args) >= 2 and "." in name:
        _note_score(rows, rows.key(node.args[0]), node.lineno)
    elif last in _METRICS:
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            key = _predicted_from(rows, argument)
            if key is not None:
                _note_score(rows, key, node.lineno)


def _note_score(rows: _Rows, key: str, line: int) -> None:
    (rows.on_training if key and key in rows.fitted else rows.elsewhere).append(line)


def _predicted_from(rows: _Rows, node: ast.expr) -> str | None:
    """The rows that a prediction was made from; None for what is no prediction."""
    while isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        return rows.predicted.get(node.id)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
        return None
    return rows.key(node.args[0]) if node.func.attr in {"predict", "predict_proba", "decision_function"} else None


def _note_binding(rows: _Rows, statement: ast.stmt) -> None:
    targets = _targets(statement)
    value = getattr(statement, "value", None)
    made = _predicted_from(rows, value) if isinstance(value, ast.Call | ast.Subscript) else None
    for target in targets:
        rows.bound[target] = rows.bound.get(target, 0) + 1
        rows.predicted.pop(target, None)
        if made is not None:
            rows.predicted[target] = made


def _targets(statement: ast.stmt) -> list[str]:
    """The plain names that a statement binds, subscripts of a name included (`frame["x"] = ...` changes `frame`)."""
    nodes: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        nodes = list(statement.targets)
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign | ast.For | ast.AsyncFor):
        nodes = [statement.target]
    elif isinstance(statement, ast.With | ast.AsyncWith):
        nodes = [item.optional_vars for item in statement.items if item.optional_vars]
    found: list[str] = []
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Name):
            found.append(node.id)
        elif isinstance(node, ast.Tuple | ast.List):
            nodes.extend(node.elts)
        elif isinstance(node, ast.Subscript | ast.Attribute | ast.Starred):
            nodes.append(node.value)
    return found


def fitted_before_split(source: Source) -> tuple[list[int], list[int]]:
    """The lines that fit a transformer on rows that are split afterwards or hold train and test, and all its fits.

    Only a fit whose rows or result reach the split is a leak; what is fitted on the training part is none.
    """
    leaks: list[int] = []
    fits: list[int] = []
    if not any(call.last in _FITS for call in source.calls):
        return leaks, fits
    for statements, _ in statements_of(source):
        found, seen = _leaks_of(statements, source)
        leaks += found
        fits += seen
    return leaks, fits


def _leaks_of(statements: list[ast.stmt], source: Source) -> tuple[list[int], list[int]]:
    tainted: dict[str, int] = {}
    joined: set[str] = set()
    leaks: list[int] = []
    fits: list[int] = []
    for statement in statements:
        calls = own_calls(statement)
        fitted = [node for node in calls if _fits_transformer(node, source)]
        fits += [node.lineno for node in fitted]
        leaks += [node.lineno for node in fitted if joined & names_in(node.args[0])]
        for node in calls:
            if dotted(node.func, source.aliases).rpartition(".")[2] in _SPLITS:
                leaks += [tainted[name] for argument in node.args for name in names_in(argument) if name in tainted]
        targets = _targets(statement)
        carried = [tainted[name] for name in names_in(statement) - set(targets) if name in tainted]
        on_all = [node.lineno for node in fitted if not _is_training_part(node.args[0])]
        split = any(dotted(node.func, source.aliases).rpartition(".")[2] in _SPLITS for node in calls)
        for target in targets:
            if on_all:
                tainted[target] = on_all[0]
            elif split:
                tainted.pop(target, None)
            elif carried and isinstance(statement, ast.Assign):
                tainted[target] = carried[0]
            if _joins_train_and_test(calls, source):
                joined.add(target)
        for node in fitted:
            if not targets and not _is_training_part(node.args[0]):
                tainted |= dict.fromkeys(names_in(node.args[0]), node.lineno)
    return sorted(set(leaks)), fits


def _fits_transformer(node: ast.Call, source: Source) -> bool:
    if not isinstance(node.func, ast.Attribute) or not node.args:
        return False
    if node.func.attr not in _FITS:
        return False
    name = dotted(node.func.value, source.aliases)
    made = name.removesuffix("()") if name.endswith("()") else source.made_by.get(name, "")
    kind = made.rpartition(".")[2]
    if node.func.attr == "fit_resample":
        return True
    return kind in TRANSFORMERS - HARMLESS_TRANSFORMERS


def _is_training_part(node: ast.expr) -> bool:
    """Whether the rows are called the training part by their name or index."""
    return any("train" in name.lower() for name in names_in(node))


def _joins_train_and_test(calls: list[ast.Call], source: Source) -> bool:
    for node in calls:
        if dotted(node.func, source.aliases) in {"pandas.concat", "numpy.concatenate", "numpy.vstack", "polars.concat"}:
            names = " ".join(name.lower() for argument in node.args for name in names_in(argument))
            if "train" in names and "test" in names:
                return True
    return False
