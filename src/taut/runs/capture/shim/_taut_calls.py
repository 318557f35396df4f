"""Notes of calls that no audit event tells of: seeds, and addresses that native code will read from.

Each function named here is wrapped when its module has been imported, never earlier, and nothing is imported for it.
"""

import functools
import re
import sys
from typing import Any

VALUE_MAX = 60  # Characters of a seed; an array of them is cut.
# A string of SQL that is an address; what stands before the quote tells nothing.
IN_SQL = re.compile(r"'((?:https?|s3|s3a|gs|gcs|r2|az|azure|abfss?|hf)://[^']+)'")


def _first(given: Any, named: Any) -> Any:
    return given[0] if given else next(iter(named.values()), None)


def _seed(note: Any, name: str, all_given: Any, named: Any) -> None:
    given = _first(all_given, named)
    note("s", name + "\t" + ("" if given is None else repr(given)[:VALUE_MAX].replace("\t", " ")))


def _url(note: Any, _: str, all_given: Any, named: Any) -> None:
    given = _first(all_given, named)
    for one in given if type(given) in (list, tuple) else (given,):
        text = one if type(one) is str else getattr(one, "path", "")
        if type(text) is str and "://" in text and not text.startswith("file:"):
            note("u", text)


def _sql(note: Any, _: str, given: Any, named: Any) -> None:
    """DuckDB reads addresses that stand in its SQL; its functions and the methods of a connection take that first."""
    for text in (*given, *named.values()):
        if type(text) is str:
            for address in IN_SQL.findall(text):
                note("u", address)


def _request(note: Any, _: str, given: Any, named: Any) -> None:
    """httpx: the method of a client takes a request."""
    note("u", str((given[1] if len(given) > 1 else named["request"]).url))


def _asked(note: Any, _: str, given: Any, named: Any) -> None:
    """aiohttp: the method of a session takes a method and an address."""
    session, url = given[0], str(given[2] if len(given) > 2 else named["str_or_url"])
    note("u", url if "://" in url else str(session._build_url(url)))


def _engine(note: Any, name: str, given: Any, named: Any) -> None:
    """SQLAlchemy: an engine that is asked for a connection; to make one reads nothing."""
    _database(note, name, (given[0].url,), named)


def _after_class(note: Any, name: str, given: Any, named: Any) -> None:
    _database(note, name, given[1:], named)


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
SCANS = ("csv", "parquet", "ipc", "ndjson")
# Module -> the functions and methods to wrap in it, and what their arguments tell.
CALLS = {
    "random": (("seed", _seed),),
    "numpy.random": (("seed", _seed), ("default_rng", _seed)),
    "torch.random": (("manual_seed", _seed),),
    "torch": (("manual_seed", _seed),),
    "fsspec.core": (("open", _url), ("open_files", _url), ("url_to_fs", _url)),
    "fsspec": (("open", _url), ("open_files", _url)),
    "httpx": (("Client.send", _request), ("AsyncClient.send", _request)),
    "aiohttp": (("ClientSession._request", _asked),),
    "polars": tuple((how + kind, _url) for how in ("read_", "scan_") for kind in SCANS),
    "pyarrow.parquet": (("read_table", _url),),
    "pyarrow.dataset": (("dataset", _url),),
    "duckdb": (
        *((name, _sql) for name in ("sql", "query", "execute")),
        *((name, _url) for name in ("read_csv", "read_parquet", "read_json", "from_csv_auto", "from_parquet")),
        *(("DuckDBPyConnection." + name, _sql) for name in ("sql", "query", "execute")),
    ),
    "obstore": tuple((name, _object) for name in (*READS, "open_reader_async")),
    "sqlalchemy": (("Engine.connect", _engine), ("Engine.raw_connection", _engine)),
    "psycopg": (
        ("connect", _database),
        ("Connection.connect", _after_class),
        ("AsyncConnection.connect", _after_class),
    ),
    "psycopg2": (("connect", _database),),
    "asyncpg": (("connect", _database), ("create_pool", _database)),
}  # type: dict[str, tuple[Any, ...]]


def _wrap(module: Any, note: Any) -> None:
    for name, tell in CALLS[module.__name__]:
        owner, _, last = name.rpartition(".")
        place = getattr(module, owner, None) if owner else module
        call = vars(place).get(last) if owner and place is not None else getattr(place, last, None)
        bare = call.__func__ if isinstance(call, classmethod) else call
        if bare is None or isinstance(bare, type) or hasattr(bare, "_taut"):
            continue
        noting = _noting(bare, module.__name__ + "." + name, tell, note)
        try:
            setattr(place, last, classmethod(noting) if isinstance(call, classmethod) else noting)
        except TypeError:
            continue  # A class of C that lets nobody change it.


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
