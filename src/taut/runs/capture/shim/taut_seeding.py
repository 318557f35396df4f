"""Runs first in the Python processes of a run that shall repeat: seeds what draws chance, as soon as it is imported.

It stands alone, as its neighbour `sitecustomize` does, which loads it where `TAUT_SEED` or `TAUT_SEEN` is set. The
program is not touched and imports nothing more: a library is seeded when the program imports it. The file `TAUT_SEEN`
takes note of what no seed reaches, a line each: `urandom WHERE`, `uuid WHERE`, `made PACKAGE` (a uuid), `time WHERE`,
`pid NUMBER WHERE`, `host WHERE`, `cwd WHERE`, `name WHERE` (of a temporary file), `list WHERE` (a folder),
`env NAME WHERE`, `concurrent WHERE` (a thread or a process of its own), `connect HOST:PORT`,
`import NAME`. With `TAUT_LISTED` set to `reversed`, folders are listed in another order than the system's.
"""

import os
import sys
import time
from typing import Any

SEED = os.environ.get("TAUT_SEED", "")
STRICT = os.environ.get("TAUT_STRICT", "") == "1"
NOTES = os.environ.get("TAUT_SEEN", "")
REVERSED = os.environ.get("TAUT_LISTED", "") == "reversed"
OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
LIBRARY = os.path.dirname(os.__file__)
DEVICES = ("/dev/urandom", "/dev/random")
TOLD_OF = ("polars", "duckdb", "torch", "xgboost", "lightgbm", "sklearn")


def note(kind: str, what: str) -> None:
    """Write a note, once; the program does not suffer where that fails."""
    if not NOTES or (kind, what) in _noted:
        return
    _noted.add((kind, what))
    try:
        descriptor = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, os.fsencode(kind + " " + what) + b"\n")
        finally:
            os.close(descriptor)
    except OSError:
        return


_noted = set()  # type: set[tuple[str, str]]


def place() -> str:
    """The line of the user's own program that the call comes from; empty where a package or an import made it."""
    frame = sys._getframe(2)  # type: Any
    while frame is not None:
        file = frame.f_code.co_filename
        if "site-packages" in file or "dist-packages" in file or file.startswith("<frozen importlib"):
            return ""
        if not file.startswith((OURS, LIBRARY, "<frozen")):
            return str(os.path.basename(file)) + ":" + str(frame.f_lineno)
        frame = frame.f_back
    return ""


def package() -> str:
    """The package that a call comes from, where it is not the user's own program."""
    frame = sys._getframe(2)  # type: Any
    while frame is not None:
        file = frame.f_code.co_filename.replace(os.sep, "/")
        for folder in ("/site-packages/", "/dist-packages/"):
            if folder in file:
                return str(file.split(folder, 1)[1].split("/")[0])
        frame = frame.f_back
    return ""


def seed_random(module: Any) -> None:
    """Python's own generator, and those that the program makes later without a seed.

    What the standard library draws for itself, as names of temporary files, stays as it is.
    """
    module.seed(int(SEED))
    bits, seed = module.Random(int(SEED)), module.Random.seed

    def seeded(self: Any, a: Any = None, version: int = 2) -> None:
        caller = sys._getframe(1)  # type: Any
        while caller is not None and caller.f_code.co_filename.startswith((str(module.__file__), OURS)):
            caller = caller.f_back
        file = caller.f_code.co_filename if caller is not None else LIBRARY
        is_of_library = file.startswith((LIBRARY, "<frozen")) and "-packages" not in file
        seed(self, bits.getrandbits(64) if a is None and not is_of_library else a, version)

    module.Random.seed = seeded
    module.seed = module._inst.seed


def seed_numpy(module: Any) -> None:
    """NumPy's old generator, and those that the program makes later without a seed."""
    import random

    module.seed(int(SEED) % 2**32)
    bits = random.Random(int(SEED))
    from numpy.random import bit_generator

    vars(bit_generator)["randbits"] = bits.getrandbits  # What a SeedSequence without entropy asks.


def seed_torch(module: Any) -> None:
    """torch, and in the strict level its algorithms that repeat."""
    module.manual_seed(int(SEED))
    if STRICT:
        module.use_deterministic_algorithms(True, warn_only=True)
        module.backends.cudnn.benchmark = False
    if threads := os.environ.get("OMP_NUM_THREADS"):
        module.set_num_threads(int(threads))


def seed_polars(module: Any) -> None:
    """polars, for `sample` and `shuffle`."""
    module.set_random_seed(int(SEED))


def seed_tensorflow(module: Any) -> None:
    """TensorFlow, and in the strict level its algorithms that repeat."""
    module.random.set_seed(int(SEED))
    if STRICT:
        module.config.experimental.enable_op_determinism()


WATCHED = ("uuid", "tempfile", "threading")
SEEDS = {
    "random": seed_random, "numpy.random": seed_numpy, "torch": seed_torch, "polars": seed_polars,
    "tensorflow": seed_tensorflow,
}  # fmt: skip


class Then:
    """A module's own loader, with something done once the module is there.

    No child of `importlib.abc.Loader`: to import that takes along `random` and half the library.
    """

    def __init__(self, inner: Any, name: str) -> None:
        self.inner, self.name = inner, name

    def __getattr__(self, name: str) -> Any:
        """Whatever else the loader can do."""
        return getattr(self.inner, name)

    def create_module(self, spec: Any) -> Any:
        """As the loader does."""
        return self.inner.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """As the loader does; then the module is seeded, or the program runs on where that is refused."""
        module.__spec__.loader = module.__loader__ = self.inner
        self.inner.exec_module(module)
        arrived(self.name, module)


def arrived(name: str, module: Any) -> None:
    """What is done when a module has been imported."""
    if name in TOLD_OF:
        note("import", name)
    if name == "uuid" and NOTES:
        watch_uuid(module)
    if name == "tempfile" and NOTES:
        watch_names(module)
    if name == "threading" and NOTES:
        watch_threads(module)
    if name == "random" and NOTES:
        module._urandom = os.urandom  # Bound when it was imported, which some environments do before us.
    if SEED and name in SEEDS:
        try:
            SEEDS[name](module)
        except (AttributeError, ImportError, TypeError, ValueError) as problem:  # Another version than we know.
            sys.stderr.write("taut: " + name + " could not be seeded: " + str(problem) + "\n")


class Finder:
    """Finds what others find, and puts `Then` around the loaders of what is to be seeded."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """The spec that the next finder gives, None for what is none of ours."""
        if name not in SEEDS and name not in TOLD_OF and name not in WATCHED:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None and not isinstance(spec.loader, Then):  # Another finder may ask us too.
                    spec.loader = Then(spec.loader, name)  # type: ignore[assignment]  # It does all that a loader does.
                return spec
        return None


def watch_uuid(module: Any) -> None:
    """Note who asks for a random uuid."""
    asked, by_time = module.uuid4, module.uuid1

    def uuid4() -> Any:
        if where := place():
            note("uuid", where)
        elif maker := package():
            note("made", maker)
        return asked()

    def uuid1(*arguments: Any, **named: Any) -> Any:
        if where := place():
            note("uuid", where)
        return by_time(*arguments, **named)

    module.uuid4, module.uuid1 = uuid4, uuid1


def watch_names(module: Any) -> None:
    """Note who asks for a temporary file, whose name is chance."""
    asked = module._get_candidate_names

    def names() -> Any:
        if where := place():
            note("name", where)
        return asked()

    module._get_candidate_names = names


def watch_threads(module: Any) -> None:
    """Note who starts a thread."""
    begin = module.Thread.start

    def start(self: Any) -> None:
        if where := place():
            note("concurrent", where)
        begin(self)

    module.Thread.start = start


def told(kind: str, asked: Any, given: int = 9) -> Any:
    """The same function, noting which line of the program calls it, with at most so many arguments."""

    def telling(*arguments: Any) -> Any:
        if len(arguments) <= given and (where := place()):
            note(kind, where)
        return asked(*arguments)

    return telling


def told_pid(asked: Any) -> Any:
    """The same function, noting the number that it gives."""

    def getpid() -> int:
        number = asked()  # type: int
        if where := place():
            note("pid", str(number) + " " + where)
        return number

    return getpid


def watch_environment() -> None:
    """Note which variables the program itself reads."""
    kind = type(os.environ)  # type: Any
    asked = kind.__getitem__

    def item(self: Any, key: Any) -> Any:
        if where := place():
            note("env", str(key) + " " + where)
        return asked(self, key)

    kind.__getitem__ = item


def reverse_listings() -> None:
    """List folders the other way round, for who depends on the order in which the system gives them."""
    listed, scanned = os.listdir, os.scandir

    class Entries:
        """What scandir gives, all of it at once."""

        def __init__(self, inner: Any) -> None:
            self.inner, self.entries = inner, iter(sorted(inner, key=lambda entry: entry.name)[::-1])

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            return next(self.entries)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> None:
            self.inner.close()

        def close(self) -> None:
            """As of scandir itself."""
            self.inner.close()

    os.listdir = lambda *given: sorted(listed(*given))[::-1]  # type: ignore[assignment]
    os.scandir = lambda *given: Entries(scanned(*given))  # type: ignore[assignment]


def watch() -> None:
    """Note what no seed reaches: the system's own chance, the time, connections, and what differs with the place."""
    for name, kind in (("urandom", "urandom"), ("getrandom", "urandom"), ("getcwd", "cwd"), ("uname", "host")):
        if hasattr(os, name):
            setattr(os, name, told(kind, getattr(os, name)))
    for name in ("time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time"):
        setattr(time, name, told("time", getattr(time, name)))
    for name, given in (("ctime", 0), ("localtime", 0), ("gmtime", 0), ("asctime", 0), ("strftime", 1)):
        setattr(time, name, told("time", getattr(time, name), given))  # With a moment they do not ask for it.
    os.getpid = told_pid(os.getpid)
    watch_environment()

    def heard(event: str, arguments: Any) -> None:
        if event == "socket.connect" and isinstance(arguments[1], tuple) and len(arguments[1]) >= 2:
            note("connect", str(arguments[1][0]) + ":" + str(arguments[1][1]))
        elif event in HEARD and (where := place()):
            note(HEARD[event], where)
        elif event == "open" and arguments[0] in DEVICES:
            note("urandom", place() or str(arguments[0]))

    sys.addaudithook(heard)


HEARD = {
    "os.listdir": "list", "os.scandir": "list", "glob.glob": "list", "os.fork": "concurrent",
    "os.forkpty": "concurrent", "socket.gethostname": "host",
}  # fmt: skip


def install() -> None:
    """Begin: modules that are there already are seeded at once."""
    if NOTES:
        watch()
    if REVERSED:
        reverse_listings()
    for name in (*SEEDS, *WATCHED):
        if name in sys.modules:
            arrived(name, sys.modules[name])
    sys.meta_path.insert(0, Finder())
