"""Numbers that no store can keep: one clear refusal, in our words, whichever face and whichever database."""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import urllib3

from taut.errors import Invalid
from taut.faces.verbs import VERBS, load_verb
from taut.ground.whole import INT64_MAX
from taut.home import Home, Verb, open_home
from taut.models import create_model, find_model, list_models, tag_version
from taut.runs import MetricPoint, create_run, log_batch
from tests.faces.serving import served
from tests.faces.shell import is_two_lines, taut
from tests.faces.speaking import INVALID, Speaker

POOL = urllib3.PoolManager(retries=False, timeout=30)
PAST = INT64_MAX + 1
TELLING = "at most 64 bits"
SOMETHING = {str: "x", int: 1, bool: False, float: 1.0, bytes: ""}


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as address:
        yield address


def called(url: str, verb: str, **arguments: object) -> tuple[int, str]:
    """Call a verb over HTTP; returns the status and what it says."""
    answer = POOL.request("POST", f"{url}/api/taut/v1/verbs/{verb}", body=json.dumps(arguments).encode())
    said = json.loads(answer.data)
    return answer.status, said["message"] if isinstance(said, dict) and "message" in said else ""


def numbered() -> Iterator[tuple[Verb[..., Any], str]]:
    """Every verb with each of its arguments that is a whole number."""
    for verb in map(load_verb, VERBS):
        hints = get_type_hints(verb.function)
        for name in list(inspect.signature(verb.function).parameters)[1:]:
            if hints[name] in (int, int | None):
                yield verb, name


def required_of(verb: Verb[..., Any]) -> dict[str, object]:
    """Something for each argument that must be given."""
    hints = get_type_hints(verb.function)
    return {
        name: something(hints[name])
        for name, parameter in list(inspect.signature(verb.function).parameters.items())[1:]
        if parameter.default is inspect.Parameter.empty
    }


def something(hint: Any) -> object:
    """A small value of a type."""
    if get_origin(hint) in (list, tuple, Sequence):
        return []
    if get_origin(hint) in (dict, Mapping):
        return {}
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return {one.name: something(hints[one.name]) for one in fields(hint) if is_required(one)}
    if get_origin(hint) is Literal:
        return get_args(hint)[0]
    return SOMETHING.get(hint)


def is_required(one: Field[Any]) -> bool:
    """Whether a record cannot be without the field."""
    return one.default is MISSING and one.default_factory is MISSING


def test_every_verb_refuses_a_number_past_64_bits_by_the_name_of_the_argument(url):
    found = list(numbered())
    assert len(found) > 20
    for verb, name in found:
        for number in (PAST, -PAST - 1, 10**30):
            status, message = called(url, verb.name, **{**required_of(verb), name: number})
            assert (status, message) == (400, f"{name} is {number}, but whole numbers have {TELLING} here"), verb.name


def test_a_verb_refuses_one_inside_a_record_by_its_place(home, url):
    create_run(home, run_id="r")
    point = {"key": "m", "value": 1, "step": PAST, "at_ms": 0}
    status, message = called(url, "run.log", run_id="r", metrics=[point])
    assert (status, message) == (400, f"metrics[0].step is {PAST}, but whole numbers have {TELLING} here")
    status, message = called(url, "run.outputs", run_id="r", models=[{"model_id": "m", "step": PAST}])
    assert (status, message) == (400, f"models[0].step is {PAST}, but whole numbers have {TELLING} here")


def test_it_is_the_same_here_and_from_afar(home, url):
    with open_home(url) as far:
        for place in (home, far):
            with pytest.raises(Invalid, match=f"^number is {PAST}, .*{TELLING}"):
                tag_version(place, "late", PAST, "k", "v")
            with pytest.raises(Invalid, match=f"^the version of 'late' is {PAST}, .*{TELLING}"):
                find_model(_with_model(place), f"late@{PAST}")


def test_a_python_caller_is_told_too(home):
    create_run(home, run_id="r")
    with pytest.raises(Invalid, match="64 bits"):
        log_batch(home, "r", metrics=[MetricPoint("m", 1.0, PAST, 0)])


def test_mlflow_clients_are_told_the_field_they_sent(home, url):
    ask = Speaker(url)
    ask.told("mlflow/registered-models/create", name="late")
    for number in (PAST, str(PAST), -PAST - 1, "9" * 38):
        said = ask.get("mlflow/model-versions/get", name="late", version=number)
        assert said.code == INVALID
        assert said.message == f"version is {number}, but whole numbers have {TELLING} here"
        said = ask.post("mlflow/runs/create", experiment_id="0", start_time=number)
        assert said.code == INVALID
        assert said.message.startswith(f"start_time is {number}, but")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("gate", "late@{}"), "the version of 'late'"),
        (("deploy", "late", "--model", "late@{}"), "the version of 'late'"),
        (("data", "checkout", "rows@{}"), "the version of 'rows'"),
        (("serve", "--deployment", "late", "--revision", "{}"), "revision"),
        (("ledger", "show", "--after", "{}"), "after"),
        (("data", "diff", "rows", "{}", "1"), "the version of 'rows'"),
    ],
)
def test_whoever_types_one_is_told_in_two_lines(home, words, told):
    _with_model(home)
    (home.project / "rows.csv").write_text("a\n1\n")
    assert taut(home.project, "data", "add", "rows.csv").status == 0
    for number in (str(PAST), "9" * 5000):
        said = taut(home.project, *(word.format(number) for word in words))
        assert (said.status in (2, 13), is_two_lines(said)) == (True, True), said
        if said.status == 13:
            assert said.lines[0].startswith(f"taut: {told} is {number[:19]}"), said
            assert TELLING in said.err


def _with_model(home: Home) -> Home:
    if not list_models(home):
        create_model(home, "late")
    return home
