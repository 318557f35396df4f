"""Promises that hold for every row of the table of MLflow routes: who passes, what is refused, and that none breaks."""

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from taut.faces.mlflow.routes import ROUTES, Route
from taut.govern import create_token
from taut.ground.access import ABOUT_SERVER, ROLES
from taut.home import Home, open_home
from tests.faces.serving import served
from tests.faces.speaking import INT64_MAX, INVALID, NOT_FOUND, Said, Speaker, denials

PATHS = {
    "{path:path}": "0/r/artifacts/x", "{model_id}": "m-none", "{tag_key}": "t", "{trace_id}": "tr-none",
    "{assessment_id}": "a-none", "{webhook_id}": "w-none", "{dataset_id}": "d-none", "{key}": "k",
    "{workspace_name}": "w-none",
}  # fmt: skip
NAMED = frozenset(hole.strip("{}").partition(":")[0] for hole in PATHS)
WITH_BODY = [row for row in ROUTES if row.takes and row.method != "GET"]
WITH_QUERY = [row for row in ROUTES if row.takes and row.method == "GET"]
UNMISTAKEN = ("mlflow/runs/", "mlflow/experiments/", "mlflow/registered-models/", "mlflow/model-versions/")
HOLDERS = sorted(ROLES.keys() - {"anonymous"})


def name_of(row: Route) -> str:
    return f"{row.method} {row.path}"


def place_of(row: Route, which: int = 0) -> str:
    """One of the places of a row with something written where it leaves a place open."""
    path = row.places[min(which, len(row.places) - 1)].removeprefix("/")
    for hole, filled in PATHS.items():
        path = path.replace(hole, filled)
    return path


def fields_of(row: Route) -> list[msgspec.structs.FieldInfo]:
    """What the body or the query of a row may hold; what stands in its path is left out."""
    assert row.takes
    return [field for field in msgspec.structs.fields(row.takes) if f"{{{field.encode_name}}}" not in row.path]


def kinds_of(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    """The types that a field takes, without None."""
    union = typing.get_origin(field.type) in (typing.Union, types.UnionType)
    return tuple(kind for kind in typing.get_args(field.type) if kind is not type(None)) if union else (field.type,)


def required_of(row: Route) -> dict[str, object]:
    """The smallest request that a row reads without complaint; what it names need not exist."""
    return {field.encode_name: smallest(kinds_of(field)[0]) for field in fields_of(row) if field.required}


def smallest(kind: Any) -> object:
    """The smallest value of a type; of a structure, what it needs."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        needed = [field for field in msgspec.structs.fields(kind) if field.required]
        return {field.encode_name: smallest(kinds_of(field)[0]) for field in needed}
    return {str: "x", int: 1, float: 1.0, bool: True, list[str]: ["x"]}[kind]


def send(ask: Speaker, row: Route, given: dict[str, object], which: int = 0) -> Said:
    """Send a request where the row reads it: in the query of a GET, in the body of all others."""
    if row.method == "GET":
        return ask(row.method, f"{place_of(row, which)}?{urlencode(given, doseq=True)}")
    return ask(row.method, place_of(row, which), given)


@pytest.fixture
def ask(home: Home) -> Iterator[Speaker]:
    with served(home) as url:
        yield Speaker(url, "/")


@pytest.fixture
def parser(project: Path) -> Iterator[Speaker]:
    """Speaks to a server whose database is never asked: for requests that are refused as they are read."""
    with open_home(project) as home, served(home) as url:
        yield Speaker(url, "/")


@pytest.fixture
def secrets(home: Home) -> dict[str, str]:
    """A token of every role there is."""
    return {role: create_token(home, role, role).secret for role in HOLDERS}


def test_the_tables_of_this_file_leave_no_row_out():
    open_places = {part for row in ROUTES for part in row.path.split("/") if "{" in part}
    assert open_places == PATHS.keys()
    assert len(WITH_BODY) + len(WITH_QUERY) + sum(row.takes is None for row in ROUTES) == len(ROUTES)
    assert {row.needs for row in ROUTES} <= ROLES["owner"]


@pytest.mark.parametrize("which", [0, 1], ids=["api", "ajax-api"])
def test_whoever_has_no_token_is_asked_for_one_at_every_route(
    home: Home, ask: Speaker, secrets: dict[str, str], which: int
):
    for secret in ("", secrets["owner"] + "x"):
        stranger = Speaker(ask.url, "/", secret)
        for row in ROUTES:
            assert send(stranger, row, {}, which).code == (401, "UNAUTHENTICATED"), (name_of(row), secret)
    assert denials(home) == []


@pytest.mark.parametrize("role", HOLDERS)
def test_a_role_is_refused_exactly_where_it_lacks_the_permission(
    home: Home, ask: Speaker, secrets: dict[str, str], role: str
):
    holder = Speaker(ask.url, "/", secrets[role])
    refused = []
    for row in ROUTES:
        said = send(holder, row, {})
        if row.needs in ROLES[role]:
            assert said.status in (200, 400, 404), (name_of(row), said)
        else:
            refused.append(row)
            if role == "server-admin" and row.needs not in ABOUT_SERVER:  # No member: for them it is not there.
                assert said.code == NOT_FOUND, (name_of(row), said)
                continue
            assert said.code == (403, "PERMISSION_DENIED"), (name_of(row), said)
            assert row.needs in said.message
    assert [(event.actor, event.subject) for event in denials(home)] == [(role, f"actor:{role}")] * len(refused)
    written = [msgspec.json.decode(event.body) for event in denials(home)]
    assert written == [{"permission": row.needs, "verb": name_of(row)} for row in refused]


def test_a_refusal_comes_before_the_body_is_read(ask: Speaker, home: Home):
    viewer = Speaker(ask.url, "/", create_token(home, "vera", "viewer").secret)
    for row in WITH_BODY:
        if row.needs not in ROLES["viewer"]:
            assert viewer(row.method, place_of(row), b"{ no json").code == (403, "PERMISSION_DENIED"), name_of(row)


@pytest.mark.parametrize(
    "body",
    [b"[]", b"[{}]", b'"text"', b"3", b"true", b"{", b"}", b"\xff\xfe\x00", b'{"a": NaN}', b"null"],
)
def test_a_body_that_is_no_object_is_the_callers_mistake_at_every_route(parser: Speaker, body: bytes):
    for row in WITH_BODY:
        said = parser(row.method, place_of(row), body)
        assert said.code == INVALID, (name_of(row), said)
        assert "the body" in said.message, (name_of(row), said)


@pytest.mark.parametrize("depth", [900, 100_000])
def test_no_depth_of_a_body_breaks_a_route(parser: Speaker, depth: int):
    deep = b"[" * depth + b"]" * depth
    for row in WITH_BODY:
        for body in (b'{"unknown":' + deep + b"}", b'{"unknown":' + deep + b',"key":"a\\u0000"}'):
            said = parser(row.method, place_of(row), body)
            assert said.status in (200, 400, 404), (name_of(row), said)


def wrong_values(field: msgspec.structs.FieldInfo) -> Iterator[object]:
    """Values of JSON that a field takes in no reading."""
    kinds = kinds_of(field)
    origins = {typing.get_origin(kind) for kind in kinds}
    if not (isinstance(kinds[0], type) and issubclass(kinds[0], msgspec.Struct)) and dict not in origins:
        yield {"a": [1]}  # Fields that a structure does not know are left alone.
    if typing.get_origin(kinds[0]) is list:
        yield from ("text", 7, [[[]]], [None], [3])
    elif kinds[0] is int:
        yield from ("one", 1.5, [1], "", "1.5", "0x10")
    elif kinds[0] is bool:
        yield from ("perhaps", [True])
    elif kinds == (float, str):
        yield from ([1], True)
    else:
        yield from (["text"], 7, True)


def test_a_value_of_the_wrong_kind_is_refused_and_its_field_is_named(parser: Speaker):
    for row in WITH_BODY:
        for field in fields_of(row):
            for value in wrong_values(field):
                said = send(parser, row, {**required_of(row), field.encode_name: value})
                assert said.code == INVALID, (name_of(row), field.encode_name, value, said)
                assert f" parameter '{field.encode_name}" in said.message, (name_of(row), value, said)


def test_a_word_in_the_query_where_a_number_belongs_is_refused_and_named(parser: Speaker):
    for row in WITH_QUERY:
        for field in fields_of(row):
            if int in kinds_of(field):
                said = send(parser, row, {**required_of(row), field.encode_name: "many"})
                assert said.code == INVALID, (name_of(row), said)
                assert f"parameter '{field.encode_name}' supplied" in said.message, (name_of(row), said)


def test_what_a_route_needs_and_does_not_get_is_named(parser: Speaker):
    for row in WITH_BODY + WITH_QUERY:
        required = required_of(row)
        for name in required:
            said = send(parser, row, {key: value for key, value in required.items() if key != name})
            assert said.code == INVALID, (name_of(row), said)
            assert f"Missing value for required parameter '{name}'" in said.message, (name_of(row), said)


def test_null_means_that_nothing_was_said(parser: Speaker):
    for row in WITH_BODY:
        required = required_of(row)
        for name in required:
            said = send(parser, row, {**required, name: None})
            assert said.code == INVALID, (name_of(row), said)
            assert f"Missing value for required parameter '{name}'" in said.message, (name_of(row), said)


def test_the_character_nul_is_refused_in_every_text_of_every_route(parser: Speaker):
    for row in WITH_BODY + WITH_QUERY:
        for field in fields_of(row):
            if kinds_of(field) == (str,):
                said = send(parser, row, {**required_of(row), field.encode_name: "a\x00b"})
                assert said.code == INVALID, (name_of(row), field.encode_name, said)
                assert "NUL" in said.message, (name_of(row), field.encode_name, said)


@pytest.mark.parametrize("number", [INT64_MAX + 1, -INT64_MAX - 2, 10**30, str(INT64_MAX + 1), "-" + "9" * 40])
def test_no_number_past_64_bits_breaks_a_route(ask: Speaker, number: int | str):
    for row in WITH_BODY + WITH_QUERY:
        for field in fields_of(row):
            if int in kinds_of(field):
                said = send(ask, row, {**required_of(row), field.encode_name: number})
                assert said.status in (400, 404), (name_of(row), field.encode_name, said)


def test_fields_that_taut_does_not_know_are_left_alone(ask: Speaker):
    for row in WITH_BODY + WITH_QUERY:
        required = required_of(row)
        plain, more = send(ask, row, required), send(ask, row, {**required, "of_a_later_mlflow": "x"})
        assert (plain.status < 500) and (more.status < 500), (name_of(row), plain, more)
        assert "of_a_later_mlflow" not in more.message, (name_of(row), more)
        assert more.code != INVALID or plain.code == INVALID, (name_of(row), plain, more)


def test_a_method_that_a_path_does_not_know_is_told_in_json(parser: Speaker):
    known = {(row.method, row.path) for row in ROUTES}
    for row in ROUTES:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            if (method, row.path) not in known and row.path.startswith(UNMISTAKEN):
                assert parser(method, place_of(row)).code == (404, "ENDPOINT_NOT_FOUND"), (method, row.path)
