"""Templates of a `dvc.yaml`: `${params}`, `vars`, `foreach` and `matrix`, resolved as DVC resolves them.

>>> list(resolved({"copy": {"foreach": ["a", "b"], "do": {"cmd": "cp ${item} ${to}"}}}, {"to": "x"}, no_file))
[('copy@a', {'cmd': 'cp a x'}), ('copy@b', {'cmd': 'cp b x'})]
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, Final

from taut.errors import Invalid, NotFound

EXPRESSION: Final = re.compile(r"(?<!\\)\${(?P<inner>.*?)}")
STEP: Final = re.compile(r"[.\[]")
PRIMITIVE = (str, int, float, bool, bytes)

Values = dict[str, Any]
Load = Callable[[str], Values]
"""Reads a file of parameters, by its path; raises NotFound where there is none."""


def no_file(path: str) -> Values:
    """A `Load` for where there are no files. Raises NotFound."""
    raise NotFound(f"no file {path}")


def resolved(
    stages: Mapping[str, Any],
    values: Values,
    load: Load,
    folder: str = "",
    parsing: Mapping[str, str] | None = None,
    seen: Mapping[str, set[str]] | None = None,
) -> Iterator[tuple[str, Values]]:
    """Every stage by its name, with what its templates say; groups of `foreach` and `matrix` as their single stages.

    `values` are the parameters of the whole file, `load` reads the files that a stage's own `vars` name, relative to
    where it works, `seen` are those that `values` come from. `parsing` is that section of DVC's config. Raises Invalid
    for what DVC refuses, NotFound.
    """
    for name, stage in stages.items():
        if not isinstance(stage, dict):
            raise Invalid(f"stage {name!r} is no mapping")
        template: Any
        if "matrix" in stage:
            template = {key: value for key, value in stage.items() if key != "matrix"}
            group = _combinations(name, _resolve(stage["matrix"], values, f"{name}.matrix"))
        elif "foreach" in stage:
            template = stage.get("do")
            group = _items(name, _resolve(stage["foreach"], values, f"{name}.foreach"))
        else:
            yield name, _stage(name, stage, values, load, folder, parsing or {}, seen or {})
            continue
        if not isinstance(template, dict):
            raise Invalid(f"stage {name!r} has no `do`")
        for key, inserted in group:
            one = f"{name}@{key}"
            yield one, _stage(one, template, {**values, **inserted}, load, folder, parsing or {}, seen or {})


def merged(into: Values, values: Mapping[str, Any], source: str) -> Values:
    """Both together, mappings merged inside. Raises Invalid where `values` say again what `into` says."""
    made = dict(into)
    for key, value in values.items():
        if isinstance(made.get(key), dict) and isinstance(value, dict):
            made[key] = merged(made[key], value, source)
        elif key in made:
            raise Invalid(f"{source} says {key!r} again, which was said before")
        else:
            made[key] = value
    return made


def with_vars(values: Values, listed: Any, folder: str, load: Load, source: str, seen: dict[str, set[str]]) -> Values:
    """Values and what `vars` add: mappings, files and `FILE:KEY,KEY`.

    `seen` are the files that were read, each with the keys that were taken of it, none for all; it is added to. Raises
    Invalid, NotFound.
    """
    if listed is not None and not isinstance(listed, list):
        raise Invalid(f"{source}: vars is no list")
    for one in listed or ():
        if isinstance(one, dict):
            values = merged(values, one, f"{source}: vars")
            continue
        if not isinstance(one, str) or EXPRESSION.search(one):
            raise Invalid(f"{source}: vars has {one!r}, neither a file nor a mapping")
        path, _, keys = one.partition(":")
        place, wanted = os.path.normpath(os.path.join(folder, path)), {key for key in keys.split(",") if key}
        if (taken := seen.get(place)) is not None:
            if not wanted and not taken:
                continue
            if not wanted or not taken or wanted & taken:
                raise Invalid(f"{source}: vars names {path} again, which was read already")
        found = load(place)
        if absent := wanted - found.keys():
            raise Invalid(f"{source}: vars wants {min(absent)!r} of {path}, which has no such key")
        values = merged(values, {key: found[key] for key in found if not wanted or key in wanted}, path)
        seen[place] = wanted | (taken or set())
    return values


def _stage(
    name: str,
    stage: Values,
    values: Values,
    load: Load,
    folder: str,
    parsing: Mapping[str, str],
    seen: Mapping[str, set[str]],
) -> Values:
    """One stage without its own vars, every template in it replaced."""
    if stage.get("vars"):
        wdir = str(_resolve(stage.get("wdir") or ".", values, f"{name}.wdir"))
        values = with_vars(values, stage["vars"], os.path.join(folder, wdir), load, f"stage {name!r}", dict(seen))
    return {
        str(key): _resolve(value, values, f"{name}.{key}", str(key), parsing)
        for key, value in stage.items()
        if key != "vars"
    }


def _items(name: str, data: Any) -> Iterator[tuple[str, Values]]:
    """The stages of a `foreach`: by content where a list has only words, else by number; a mapping's by key."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield _word(key), {"item": value, "key": _word(key)}
    elif isinstance(data, list):
        is_plain = not any(isinstance(value, dict | list) for value in data)
        keyed = {_word(value) if is_plain else str(number): value for number, value in enumerate(data)}
        for word, value in keyed.items():
            yield word, {"item": value}
    else:
        raise Invalid(f"foreach of stage {name!r} is neither a list nor a mapping")


def _combinations(name: str, data: Any) -> Iterator[tuple[str, Values]]:
    """The stages of a `matrix`, in the order of its axes."""
    if not isinstance(data, dict) or not all(isinstance(axis, list | dict) for axis in data.values()):
        raise Invalid(f"matrix of stage {name!r} is no mapping of lists")
    made: dict[str, Values] = {}
    for chosen in product(*(enumerate(axis) for axis in data.values())):
        words = [
            f"{axis}{number}" if isinstance(value, dict | list) else _word(value)
            for axis, (number, value) in zip(data, chosen, strict=True)
        ]
        made["-".join(words)] = {axis: value for axis, (_, value) in zip(data, chosen, strict=True)}
    for key, item in made.items():
        yield key, {"item": item, "key": key}


def _resolve(data: Any, values: Values, where: str, key: str = "", parsing: Mapping[str, str] | None = None) -> Any:
    """Data with every template in it replaced, in keys too."""
    if isinstance(data, dict):
        return {
            _resolve(name, values, where, key, parsing): _resolve(value, values, where, key, parsing)
            for name, value in data.items()
        }
    if isinstance(data, list):
        return [_resolve(value, values, where, key, parsing) for value in data]
    if not isinstance(data, str):
        return data
    found = list(EXPRESSION.finditer(data))
    if len(found) == 1 and found[0].group(0) == data:  # It keeps its type.
        return _checked(_selected(found[0]["inner"], values, where), where, key)
    text, end = "", 0
    for match in found:
        value = _checked(_selected(match["inner"], values, where), where, key)
        text += data[end : match.start()] + (
            _flags(value, parsing or {}, where) if isinstance(value, dict) else _word(value)
        )
        end = match.end()
    return (text + data[end:]).replace(r"\${", "${")


def _selected(expression: str, values: Values, where: str) -> Any:
    """What `a.b[0]` means."""
    found: Any = values
    for step in STEP.split(expression.replace("]", "")):
        name = step.strip()
        try:
            found = found[int(name) if isinstance(found, list) else name]
        except (LookupError, ValueError, TypeError):
            raise Invalid(f"{where}: nothing is known of {expression!r}", hint="look at params.yaml and vars") from None
    return found


def _checked(value: Any, where: str, key: str) -> Any:
    """A value, refused where it is none that a text can hold; a command takes a mapping as its flags."""
    if (
        key
        and value is not None
        and not isinstance(value, PRIMITIVE)
        and not (key == "cmd" and isinstance(value, dict))
    ):
        raise Invalid(f"{where}: a {type(value).__name__} cannot stand in a text")
    return value


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flags(values: Values, parsing: Mapping[str, str], where: str) -> str:
    """A mapping as the flags of a command: `--key value`, and `--key` alone for what is true."""
    from shlex import quote

    words: list[str] = []
    for key, value in _flat(values, ""):
        if isinstance(value, bool):
            if value:
                words.append(f"--{key}")
            elif parsing.get("bool") == "boolean_optional":
                words.append(f"--no-{key}")
        elif isinstance(value, list):
            if any(isinstance(one, list | dict) for one in value):
                raise Invalid(f"{where}: the list {key!r} has lists inside, which are no words of a command")
            told = [quote(one) if isinstance(one, str) else str(one) for one in value]
            if parsing.get("list") == "append":
                words += [f"--{key} {one}" for one in told]
            elif told:
                words.append(f"--{key} {' '.join(told)}")
        else:
            words.append(f"--{key} {quote(value) if isinstance(value, str) else value}")
    return " ".join(words)


def _flat(values: Values, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
