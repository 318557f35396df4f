"""Templates of a dvc.yaml: what each says, and what is refused; the real DVC says the same in tests/peers."""

from typing import Any

import pytest

from taut.data.workspace.templates import no_file, resolved, with_vars
from taut.errors import Invalid, NotFound

VALUES: dict[str, Any] = {
    "a": {"b": [1, {"c": "deep"}], "1": "one"}, "t": True, "f": False, "n": None, "x": 1.50, "s": "two words",
    "l": ["p", "q r"],
    "flags": {"lr": 0.1, "on": True, "off": False, "in": {"k": "v w"}, "l": [1, "a b"], "none": None},
}  # fmt: skip


def one(stage: dict[str, Any], **more: Any) -> dict[str, Any]:
    ((_, found),) = resolved({"s": stage}, VALUES, no_file, **more)
    return found


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("plain", "plain"),
        ("${a.b[0]}", 1),
        ("<${a.b[0]}>", "<1>"),
        ("${a.b[1].c}", "deep"),
        ("${a.1}${ t }", "onetrue"),
        ("${t}", True),
        ("is ${t} or ${f}", "is true or false"),
        ("${n}", None),
        ("x ${n}", "x None"),
        ("${x} ${s}", "1.5 two words"),
        (r"\${HOME} ${x}", "${HOME} 1.5"),
        (r"\${HOME}", "${HOME}"),
        (["${x}", {"${s}": "${t}"}], [1.5, {"two words": True}]),
        (7, 7),
    ],
)
def test_what_a_template_says_is_put_in_its_place_and_alone_keeps_its_type(said: Any, meant: Any):
    assert one({"deps": said})["deps"] == meant


@pytest.mark.parametrize(
    ("parsing", "words"),
    [
        ({}, "--lr 0.1 --on --in.k 'v w' --l 1 'a b' --none None"),
        ({"bool": "boolean_optional"}, "--lr 0.1 --on --no-off --in.k 'v w' --l 1 'a b' --none None"),
        ({"list": "append"}, "--lr 0.1 --on --in.k 'v w' --l 1 --l 'a b' --none None"),
    ],
)
def test_a_mapping_in_a_command_is_its_flags(parsing: dict[str, str], words: str):
    assert one({"cmd": "run ${flags} end"}, parsing=parsing)["cmd"] == f"run {words} end"


@pytest.mark.parametrize(
    ("stage", "names"),
    [
        (
            {"foreach": ["a", 1, True, 0.5], "do": {"cmd": "${item}"}},
            {"s@a": "a", "s@1": 1, "s@true": True, "s@0.5": 0.5},
        ),
        ({"foreach": [{"n": 1}, "w"], "do": {"cmd": "x ${item}"}}, {"s@0": "x --n 1", "s@1": "x w"}),
        ({"foreach": "${l}", "do": {"cmd": "x ${item}"}}, {"s@p": "x p", "s@q r": "x q r"}),
        ({"foreach": {"k": {"n": 1}}, "do": {"cmd": "${key} ${item.n}"}}, {"s@k": "k 1"}),
        (
            {"matrix": {"x": [1, 2], "y": ["a", {"n": "b"}]}, "cmd": "${item.x} ${key}"},
            {"s@1-a": "1 1-a", "s@1-y1": "1 1-y1", "s@2-a": "2 2-a", "s@2-y1": "2 2-y1"},
        ),
        ({"matrix": {"x": "${l}"}, "cmd": "${item.x}"}, {"s@p": "p", "s@q r": "q r"}),
    ],
)
def test_a_group_is_its_single_stages(stage: dict[str, Any], names: dict[str, Any]):
    assert {name: found["cmd"] for name, found in resolved({"s": stage}, VALUES, no_file)} == names


FILES: dict[str, dict[str, Any]] = {"w/v.yaml": {"a": {"z": 1}, "d": 2, "e": 3}, "w/again.yaml": {"s": 1}}


def load(path: str) -> dict[str, Any]:
    if path not in FILES:
        raise NotFound(f"no file {path}")
    return FILES[path]


def test_vars_of_a_stage_hold_for_it_alone_and_are_merged_inside():
    stages = {
        "s": {"wdir": "w", "vars": ["v.yaml:a,d", {"i": {"j": 5}}], "cmd": "${a.z} ${a.1} ${d} ${i.j}"},
        "t": {"cmd": "${s}"},
    }
    assert {name: one["cmd"] for name, one in resolved(stages, VALUES, load)} == {"s": "1 one 2 5", "t": "two words"}
    assert all("vars" not in one for _, one in resolved(stages, VALUES, load))


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({"cmd": "${nothing.here}"}, "nothing is known of 'nothing.here'"),
        ({"cmd": "${a.b[7]}"}, "nothing is known"),
        ({"cmd": "${}"}, "nothing is known"),
        ({"cmd": "${x.y}"}, "nothing is known"),
        ({"deps": ["${flags}"]}, "a dict cannot stand"),
        ({"cmd": "${l}"}, "a list cannot stand"),
        ({"cmd": "x ${a}"}, "lists inside"),
        ({"foreach": "${x}", "do": {}}, "neither a list nor a mapping"),
        ({"foreach": ["a"]}, "no `do`"),
        ({"matrix": {"x": 1}}, "no mapping of lists"),
        ("text", "no mapping"),
        ({"vars": [{"s": 1}], "cmd": "x"}, "says 's' again"),
        ({"wdir": "w", "vars": ["again.yaml"], "cmd": "x"}, "says 's' again"),
        ({"wdir": "w", "vars": ["v.yaml:nope"], "cmd": "x"}, "no such key"),
        ({"wdir": "w", "vars": ["v.yaml:d", "v.yaml:d"], "cmd": "x"}, "was read already"),
        ({"vars": ["${s}"], "cmd": "x"}, "neither a file nor a mapping"),
        ({"vars": "v.yaml", "cmd": "x"}, "no list"),
    ],
)
def test_what_makes_no_sense_is_refused(stage: Any, said: str):
    with pytest.raises(Invalid, match=said):
        list(resolved({"s": stage}, VALUES, load))


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(NotFound, match="nowhere"):
        with_vars({}, ["nowhere.yaml"], "", load, "dvc.yaml", {})


def test_a_whole_file_may_be_named_twice_and_parts_of_it_one_after_another():
    seen: dict[str, set[str]] = {}
    assert with_vars({}, ["v.yaml", "v.yaml"], "w", load, "dvc.yaml", {}) == FILES["w/v.yaml"]
    assert with_vars({}, ["v.yaml:d", "v.yaml:e"], "w", load, "dvc.yaml", seen) == {"d": 2, "e": 3}
    assert seen == {"w/v.yaml": {"d", "e"}}
