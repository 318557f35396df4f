"""Runs first in the Python processes of a run that shall repeat: seeds what draws chance, as soon as it is imported.

It stands alone, as its neighbour `sitecustomize` does, which loads it where `TAUT_SEED` or `TAUT_SEEN` is set. The
program is not touched and imports nothing more: a library is seeded when the program imports it. The file `TAUT_SEEN`
takes note of what no seed reaches, a line each: `urandom WHERE`, `uuid WHERE`, `time WHERE`, `connect HOST:PORT`,
`import NAME`.
"""

import os
import sys
import time
from typing import Any

SEED = os.environ.get("TAUT_SEED", "")
STRICT = os.environ.get("TAUT_STRICT", "") == "1"
NOTES = os.environ.get("TAUT_SEEN", "")
LIBRARY = os.path.dirname(os.__file__)
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
    """The line of the user's own program that the call comes from; empty where a package made it by itself."""
    frame = sys._getframe(2)  # type: Any
    while frame is not None:
        file = frame.f_code.co_filename
        if "site-packages" in file or "dist-packages" in file:
            return ""
        if file != __file__ and not file.startswith((LIBRARY, "<frozen")):
            return str(os.path.basename(file)) + ":" + str(frame.f_lineno)
        frame = frame.f_back
    return ""


def seed_random(module: Any) -> None:
    """Python's own generator."""
    module.seed(int(SEED))


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
        if name not in SEEDS and name not in TOLD_OF and name != "uuid":
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = Then(spec.loader, name)  # type: ignore[assignment]  # It does all that a loader does.
                return spec
        return None


def watch_uuid(module: Any) -> None:
    """Note who asks for a random uuid."""
    asked, by_time = module.uuid4, module.uuid1

    def uuid4() -> Any:
        if where := place():
            note("uuid", where)
        return asked()

    def uuid1(*arguments: Any, **named: Any) -> Any:
        if where := place():
            note("uuid", where)
        return by_time(*arguments, **named)

    module.uuid4, module.uuid1 = uuid4, uuid1


def told_time(asked: Any) -> Any:
    """A clock that notes which line of the program reads it."""

    def clock() -> Any:
        if where := place():
            note("time", where)
        return asked()

    return clock


def watch() -> None:
    """Note what no seed reaches: the system's own chance, the time, and connections."""
    asked = os.urandom

    def urandom(size: int) -> bytes:
        if where := place():
            note("urandom", where)
        return asked(size)

    os.urandom = urandom
    for name in ("time", "time_ns"):
        setattr(time, name, told_time(getattr(time, name)))

    def heard(event: str, arguments: Any) -> None:
        if event == "socket.connect" and isinstance(arguments[1], tuple) and len(arguments[1]) >= 2:
            note("connect", str(arguments[1][0]) + ":" + str(arguments[1][1]))

    sys.addaudithook(heard)


def install() -> None:
    """Begin: modules that are there already are seeded at once."""
    if NOTES:
        watch()
    for name in SEEDS:
        if name in sys.modules:
            arrived(name, sys.modules[name])
    sys.meta_path.insert(0, Finder())
