"""Facts of Python code: what is imported, called, made and said, and on which line of a module or notebook."""

import ast
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.audit.code import Source, dotted, nodes_in, read_source
from taut.audit.files import File, Unread
from tests.audit.repositories import SERVE, TRAIN

TEXTS = [TRAIN, SERVE, "async def f(a, *b: int, c=1, **d) -> None:\n    async with a as x, b:\n        await x[1:2]\n"]


def source(text: str, path: str = "a.py") -> Source:
    read = read_source(File(path, len(text), True, text))
    assert isinstance(read, Source)
    return read


def notebook(*cells: str, indent: int | None = None) -> str:
    code = [{"cell_type": "code", "source": [f"{line}\n" for line in cell.split("\n")]} for cell in cells]
    return json.dumps({"cells": code}, indent=indent)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import numpy as np\nnp.random.seed(1)", ["numpy.random.seed"]),
        ("from joblib import load as get\nget(x)", ["joblib.load"]),
        ("from . import rows\nrows.read()", ["..rows.read"]),
        ("from .late import fit\nfit()", [".late.fit"]),
        ("import a.b\na.b.c()", ["a.b.c"]),
        ("Model(depth=3).fit(X)", ["Model().fit", "Model"]),
        ("models['late'].predict(x)", ["models[].predict"]),
        ("(await get()).json()", ["get().json", "get"]),
        ("(lambda: 1)()", ["?"]),
        ("def f():\n    import numpy as np\n\nnp.sum(x)", ["numpy.sum"]),
    ],
)
def test_a_call_has_the_name_that_its_imports_give_it(text: str, names: list[str]):
    assert [call.name for call in source(text).calls] == names


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        ("f()", [""]),
        ("def a():\n    f()", ["a"]),
        ("class A:\n    def b(self):\n        f()", ["b"]),
        ("def a():\n    def b():\n        f()\n    g()", ["a.b", "a"]),
        ("async def a():\n    await f()", ["a"]),
    ],
)
def test_a_call_knows_the_function_that_it_stands_in(text: str, scopes: list[str]):
    assert [call.scope for call in source(text).calls] == scopes


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ('"""Module."""\nx = "a"', [(2, "a")]),
        ('def f():\n    """Says."""\n    return "b"', [(3, "b")]),
        ('class A:\n    """Says."""\n    x = "c"', [(3, "c")]),
        ("x = f'{a}-b'", [(1, "-b")]),
        ("x = 1\n'later'", [(2, "later")]),
    ],
)
def test_docstrings_are_no_texts_of_the_code(text: str, strings: list[tuple[int, str]]):
    assert list(source(text).strings) == strings


@pytest.mark.parametrize(
    ("imports", "package", "known"),
    [
        ("import mlflow", "mlflow", True),
        ("import mlflow.sklearn", "mlflow", True),
        ("from mlflow import sklearn", "mlflow.sklearn", True),
        ("from mlflow.tracking import MlflowClient as C", "mlflow", True),
        ("import mlflow_extra", "mlflow", False),
        ("from .mlflow import x", "mlflow", False),
        ("x = 'import mlflow'", "mlflow", False),
    ],
)
def test_a_package_is_imported_by_itself_or_by_a_part_of_it(imports: str, package: str, known: bool):
    assert source(imports).imports_any(frozenset({package})) is known


def test_keywords_say_what_was_given_and_whether_more_is_unseen():
    [call] = source("f(1, seed=None, **more)").calls
    assert isinstance(call.keyword("seed"), ast.Constant) and call.keyword("other") is None
    assert call.unpacks() and len(call.arguments()) == 1


def test_what_was_made_last_is_what_a_name_stands_for():
    assert source("m = Ridge()\nm = Lasso()").made_by == {"m": "Lasso"}


def test_code_that_does_not_parse_shows_its_imports_and_calls_and_nothing_else():
    found = source("import mlflow\nfrom torch import nn\nmodel.fit(X\n")
    assert not found.parsed and found.imports >= {"mlflow", "torch"}
    assert [(call.name, call.line) for call in found.calls] == [("model.fit", 3)]
    assert found.functions == () and found.of(ast.Assert) == []


@pytest.mark.parametrize("text", TEXTS)
def test_one_walk_finds_every_node_of_a_kind_in_the_order_of_the_text(text: str):
    found = source(text)
    for kind in (ast.Call, ast.Assign, ast.keyword, ast.Constant, ast.Name, ast.Compare):
        walked = [node for node in ast.walk(found.tree) if type(node) is kind]
        assert {id(node) for node in found.of(kind)} == {id(node) for node in walked}
        assert len(list(found.of(kind))) == len(walked)


@pytest.mark.parametrize("text", TEXTS)
def test_the_cheap_walk_leaves_out_operators_and_contexts_alone(text: str):
    tree = ast.parse(text)
    left_out = {id(node) for node in ast.walk(tree)} - {id(node) for node in nodes_in(tree)}
    kinds = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.alias)
    by_id = {id(node): node for node in ast.walk(tree)}
    assert all(isinstance(by_id[one], kinds) for one in left_out)


def test_match_statements_lambdas_and_comprehensions_are_walked():
    text = "match f():\n    case [g.H(x=1)] if k():\n        y = [l() for a in b() if c()]\n\nz = lambda: d()\n"
    assert [call.name for call in source(text).calls] == ["f", "k", "l", "b", "c", "d"]


@pytest.mark.parametrize("indent", [None, 1, 4])
def test_the_lines_of_a_notebook_are_those_of_its_file(indent: int | None):
    text = notebook("import a\n\nx = 1", "y = load('b')", indent=indent)
    found = source(text, "a.ipynb")
    [call] = found.calls
    line = int(found.place(call.line).rpartition(":")[2])
    assert "load(" in text.split("\n")[line - 1]


@pytest.mark.parametrize(
    ("cell", "calls"),
    [
        ("%matplotlib inline\nf()", ["f"]),
        ("!pip install a\nf()", ["f"]),
        ("if x:\n    !ls\n    f()", ["f"]),
        ("%%bash\nf()", []),
        ("%%time\nf()", ["f"]),
        ("what is this? f(", []),
    ],
)
def test_commands_of_notebooks_and_other_languages_are_stepped_over(cell: str, calls: list[str]):
    assert [call.name for call in source(notebook(cell, "g()"), "a.ipynb").calls] == [*calls, "g"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cells": {}}', '{"cells": [1]}', "{" * 2_000])
def test_what_is_no_notebook_is_unread(text: str):
    assert read_source(File("a.ipynb", len(text), True, text)) == Unread("a.ipynb", "is no notebook")


def test_text_cells_and_outputs_say_nothing():
    text = json.dumps(
        {"cells": [{"cell_type": "markdown", "source": "f()"}, {"cell_type": "code", "outputs": ["g()"]}]}
    )
    assert source(text, "a.ipynb").calls == ()


@given(st.text(max_size=200))
def test_any_text_is_a_source(text: str):
    found = source(text)
    assert all(1 <= call.line <= text.count("\n") + 1 for call in found.calls)


@given(st.recursive(st.just("a"), lambda inner: st.builds("{0}.b({1})[c]".format, inner, inner), max_leaves=8))
def test_a_dotted_name_begins_with_the_first_name(text: str):
    node = ast.parse(text, mode="eval").body
    assert dotted(node, {"a": "z"}).startswith("z")
