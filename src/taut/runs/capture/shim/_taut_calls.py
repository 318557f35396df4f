"""Notes of calls that no audit event tells of: seeds, and addresses that native code will read from.

Each function named here is wrapped when its module has been imported, never earlier, and nothing is imported for it.
"""

import functools
import sys
from typing import Any

VALUE_MAX = 60  # Characters of a seed; an array of them is cut.


def _first(given: Any, named: Any) -> Any:
    return given[0] if given else next(iter(named.values()), None)


def _seed(note: Any, name: str, all_given: Any, named: Any) -> None:
    given = _first(all_given, named)
    note("s", name + "\t" + ("" if given is None else repr(given)[:VALUE_MAX].replace("\t", " ")))


def _url(note: Any, _: str, all_given: Any, named: Any) -> None:
    given = _first(all_given, named)
    text = given if type(given) is str else getattr(given, "path", "")
    if type(text) is str and "://" in text and not text.startswith("file:"):
        note("u", text)


def _object(note: Any, _: str, given: Any, named: Any) -> None:
    """obstore's functions take a store and a path; the methods of its stores call them."""
    store = given[0] if given else named.get("store")
    path = given[1] if len(given) > 1 else named.get("path") or named.get("prefix") or ""
    config = getattr(store, "config", None) or {}
    schemes = {"S3Store": "s3", "GCSStore": "gs", "AzureStore": "az"}
    place = str(config.get("bucket") or config.get("container_name") or "")
    base = getattr(store, "url", "") or schemes.get(type(store).__name__, "") + "://" + place
    if place or getattr(store, "url", ""):
        parts = (str(base).rstrip("/"), str(getattr(store, "prefix", None) or "").strip("/"), str(path).lstrip("/"))
        note("u", "/".join(part for part in parts if part))


def _database(note: Any, _: str, all_given: Any, named: Any) -> None:
    given = all_given[0] if all_given else named
    render = getattr(given, "render_as_string", None)
    text = render(hide_password=True) if render else given
    parts = {}  # type: dict[str, Any]
    if type(text) is dict:
        parts = text
        text = parts.get("conninfo") or parts.get("dsn") or parts.get("url") or ""
    if type(text) is not str or text.startswith("sqlite"):  # A file, which is seen as one.
        return
    if "://" not in text:  # libpq's own words: host=... dbname=...
        parts = dict(parts, **dict(word.split("=", 1) for word in text.split() if "=" in word))
        place = str(parts.get("host") or "localhost") + ":" + str(parts.get("port") or 5432)
        text = "postgresql://" + place + "/" + str(parts.get("dbname") or "")
    note("b", text)


READS = ("get", "get_async", "get_range", "get_range_async", "get_ranges", "get_ranges_async", "open_reader")
# Module -> the functions to wrap in it, and what their arguments tell.
CALLS = {
    "random": (("seed", _seed),),
    "numpy.random": (("seed", _seed), ("default_rng", _seed)),
    "torch.random": (("manual_seed", _seed),),
    "torch": (("manual_seed", _seed),),
    "fsspec.core": (("open", _url), ("open_files", _url), ("url_to_fs", _url)),
    "fsspec": (("open", _url), ("open_files", _url)),
    "obstore": tuple((name, _object) for name in (*READS, "open_reader_async")),
    "sqlalchemy.engine.create": (("create_engine", _database),),
    "sqlalchemy.engine": (("create_engine", _database),),
    "sqlalchemy": (("create_engine", _database),),
    "psycopg": (("connect", _database),),
    "psycopg2": (("connect", _database),),
}  # type: dict[str, tuple[Any, ...]]


def _wrap(module: Any, note: Any) -> None:
    for name, tell in CALLS[module.__name__]:
        call = getattr(module, name, None)
        if call is None or isinstance(call, type) or hasattr(call, "_taut"):
            continue
        setattr(module, name, _noting(call, module.__name__ + "." + name, tell, note))


def _noting(call: Any, name: str, tell: Any, note: Any) -> Any:
    @functools.wraps(call)
    def noting(*given: Any, **named: Any) -> Any:
        try:
            tell(note, name, given, named)
        except Exception:  # noqa: BLE001  # The program must not suffer for a note.
            return call(*given, **named)
        return call(*given, **named)

    noting._taut = True  # type: ignore[attr-defined]
    return noting


class _Finder:
    """Finds nothing itself: it lets the others find, and wraps what they loaded."""

    def __init__(self, note: Any) -> None:
        self._note = note
        self._asking = set()  # type: set[str]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec that the others find, with a loader that wraps the module's functions after it ran."""
        if name not in CALLS or name in self._asking:
            return None
        self._asking.add(name)
        try:
            from importlib.util import find_spec

            spec = find_spec(name)
        finally:
            self._asking.discard(name)
        if (
            spec is None
            or spec.loader is None
            or isinstance(spec.loader, type)
            or not hasattr(spec.loader, "exec_module")
        ):
            return spec
        run = spec.loader.exec_module

        def run_and_wrap(module: Any) -> None:
            run(module)
            _wrap(module, self._note)

        spec.loader.exec_module = run_and_wrap  # type: ignore[method-assign]
        return spec


def install(note: Any) -> None:
    """Wrap what is imported already, and the rest when it will be."""
    for name in CALLS:
        if name in sys.modules:
            _wrap(sys.modules[name], note)
    sys.meta_path.insert(0, _Finder(note))
