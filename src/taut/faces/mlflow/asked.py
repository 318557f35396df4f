"""How a request of MLflow's protocol is read, and what is said of one that cannot be: in the words its clients know.

Programs and MLflow's own tests look for `Missing value for required parameter 'NAME'` and `Invalid value VALUE for
parameter 'NAME' supplied`, so these come first in a message, and what else there is to say after them.
"""

import json
import re
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from taut.errors import Invalid
from taut.faces.http.guard import Scope
from taut.ground.whole import check_whole

JSON = "application/json"
SHOWN_MAX = 200  # Characters of a wrong value that go back to who sent it.
_PLACE = re.compile(r"(?P<reason>.*?)(?: - at `\$\.?(?P<place>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.+)`")


def check_content_type(written: str) -> None:
    """Raise Invalid where a body says that it is something else than JSON; one that says nothing is read as JSON."""
    if written and written.partition(";")[0].strip().lower() != JSON:
        raise Invalid(f"Bad Request. Content-Type must be one of ['{JSON}'], not {written[:80]!r}")


def given(takes: type[msgspec.Struct], scope: Scope, body: bytes) -> dict[str, Any]:
    """The JSON body, then the query, then the path: what stands nearer to the route wins."""
    found: dict[str, Any] = {}
    if body:
        found |= {name: value for name, value in _object(body).items() if value is not None}
    query = scope["query_string"]
    if query:
        lists, said = _lists(takes), dict[str, list[str]]()
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            said.setdefault(name, []).append(value)
        found |= {name: values if name in lists else values[-1] for name, values in said.items()}
    path: Mapping[str, Any] = scope.get("path_params") or {}
    found |= path
    if "run_uuid" in found and "run_id" in takes.__struct_fields__:  # What MLflow 0.x called it.
        found.setdefault("run_id", found["run_uuid"])
    if b"\\u0000" in body or b"%00" in query or "\0" in scope["path"]:
        _refuse_nul(found)
    return found


def _object(body: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(body)
        if isinstance(decoded, str):  # Clients of MLflow 0.x encode twice.
            decoded = msgspec.json.decode(decoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid(f"the body is no JSON: {problem}") from None
    if not isinstance(decoded, dict):
        raise Invalid("the body must be a JSON object")
    return decoded


def _refuse_nul(value: Any) -> None:
    """Raise Invalid for text with the character NUL, which PostgreSQL cannot keep and SQLite would."""
    if isinstance(value, str) and "\0" in value:
        raise Invalid(f"text cannot hold the character NUL: {value[:40]!r}")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_nul(part)


def converted(takes: type[msgspec.Struct], found: dict[str, Any]) -> msgspec.Struct:
    """The request as the endpoint takes it. Numbers may come as texts, as protocol buffers write them."""
    try:
        asked: msgspec.Struct = msgspec.convert(found, takes, strict=False)
    except msgspec.ValidationError as problem:
        raise Invalid(_told(str(problem), found)) from None
    for name in takes.__struct_fields__:
        check_whole(name, getattr(asked, name))
    return asked


def check_said(asked: msgspec.Struct) -> None:
    """Raise Invalid where a text that has to be there is empty, which protocol buffers cannot tell from absent."""
    for name in needed_texts(type(asked)):
        if not getattr(asked, name):
            raise Invalid(_missing(name))


@cache
def needed_texts(takes: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields of text without a default."""
    return tuple(field.name for field in msgspec.structs.fields(takes) if field.required and field.type is str)


def _told(problem: str, found: dict[str, Any]) -> str:
    """What msgspec found wrong, in MLflow's words."""
    read = _PLACE.fullmatch(problem)
    assert read is not None, problem
    place, reason = read["place"] or "", read["reason"]
    if missing := _MISSING.fullmatch(reason):
        return _missing(f"{place}.{missing[1]}" if place else missing[1])
    there, value = _at(found, place)
    if there and value is None:
        return _missing(place)
    if not place or not there:
        return f"the request is not valid: {problem}"
    shown = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    shown = shown if len(shown) <= SHOWN_MAX else f"{shown[:SHOWN_MAX]}…"
    return f"Invalid value {shown} for parameter '{place}' supplied: {reason}"


def _at(found: Any, place: str) -> tuple[bool, Any]:
    """What stands at a place such as `metrics[0].key`, and whether anything does."""
    for step in re.findall(r"\w+|\[\d+\]", place):
        try:
            found = found[int(step[1:-1])] if step.startswith("[") else found[step]
        except (KeyError, IndexError, TypeError):
            return False, None
    return True, found


def _missing(name: str) -> str:
    return f"Missing value for required parameter '{name}'."


@cache
def _lists(takes: type[msgspec.Struct]) -> frozenset[str]:
    """The fields that a query may repeat."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(takes) if _is_list(field.type))


def _is_list(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_is_list(part) for part in typing.get_args(kind))
    return origin in (list, tuple)
