"""Parameters of every kind of file, and how they stand to what a lock recorded."""

from pathlib import Path
from typing import Any

import pytest

from taut.data.workspace.params import load_params, param_states
from taut.errors import Invalid, NotFound

PYTHON = """
import os
LR = 0.1
NAMES = ("a", "b")
MADE = os.getcwd()
A = B = 1
typed: int = 3
later: int
class Net:
    depth = 2
    def __init__(self):
        self.wide = 5
        local = 6
        self.made = f()
    def other(self):
        self.not_seen = 1
"""


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("p.yaml", "a: 1e-3\nb: [1, {c: 010}]\n", {"a": 0.001, "b": [1, {"c": 10}]}),
        ("p.yml", "", {}),
        ("p.JSON", '{"a": {"b": null}}', {"a": {"b": None}}),
        ("p.json", "", {}),
        ("p.toml", '[t]\nx = 1.5\ny = "z"\n', {"t": {"x": 1.5, "y": "z"}}),
        ("p.py", PYTHON, {"LR": 0.1, "NAMES": ("a", "b"), "typed": 3, "Net": {"depth": 2, "wide": 5}}),
        ("plain", "a: on\n", {"a": "on"}),
    ],
)
def test_a_file_is_read_by_the_end_of_its_name(tmp_path: Path, name: str, text: str, found: dict[str, Any]):
    (tmp_path / name).write_text(text)
    assert load_params(str(tmp_path / name)) == found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", "{"),
        ("p.json", "[1]"),
        ("p.toml", "="),
        ("p.py", "def"),
        ("p.yaml", "- 1"),
        ("p.py", "\0"),
        ("p.json", b"\xff"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str | bytes):
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(Invalid, match=name):
        load_params(str(tmp_path / name))


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(NotFound, match="gone"):
        load_params(str(tmp_path / "gone.json"))


NOW = "a: 1\nb: {c: [x, {d: y}]}\nflag: true\n"


@pytest.mark.parametrize(
    ("wanted", "recorded", "states"),
    [
        (["a", "b.c.1.d"], {"a": 1, "b.c.1.d": "y"}, None),
        (["a"], {"a": 1.0}, None),
        (["flag"], {"flag": 1}, None),
        (["a", "b.c"], {"a": 2, "b.c": ["x"]}, {"a": "modified", "b.c": "modified"}),
        (["gone", "b.c.7", "a.x"], {"gone": 1, "b.c.7": 1}, {"gone": "deleted", "b.c.7": "deleted", "a.x": "deleted"}),
        (["a", "flag"], {"a": 1}, {"flag": "new"}),
        (["a"], None, "new"),
        ([], {"a": 1, "b": {"c": ["x", {"d": "y"}]}, "flag": True}, None),
        ([], {"a": 1, "old": 1}, {"b": "new", "flag": "new", "old": "deleted"}),
    ],
)
def test_parameters_are_compared_one_by_one(
    tmp_path: Path, wanted: list[str], recorded: dict[str, Any] | None, states: object
):
    (tmp_path / "params.yaml").write_text(NOW)
    assert param_states(str(tmp_path / "params.yaml"), wanted, recorded) == states


def test_a_tuple_is_the_list_that_a_lock_can_say(tmp_path: Path):
    (tmp_path / "p.py").write_text("N = (1, 2)\n")
    assert param_states(str(tmp_path / "p.py"), ["N"], {"N": [1, 2]}) is None
    assert param_states(str(tmp_path / "gone.py"), ["N"], {"N": [1, 2]}) == "deleted"
