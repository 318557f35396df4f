"""What is served: a recorded deployment, a registered version, or a version in a folder; looked up, and opened."""

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from taut.deploy import find_deployment, find_state, spec_of
from taut.deploy.running import owners_secret, run_folder
from taut.errors import Invalid
from taut.ground.settings import make_folder
from taut.ground.tracing import tracing_of_environment
from taut.ground.whole import read_whole
from taut.home import Home, open_home
from taut.models import find_model, packed_form, served_form, served_graph
from taut.records import ModelVersion
from taut.serve.http.application import Application, labels_of
from taut.serve.http.asking import OfToken, asks_of, read_token
from taut.serve.http.board import Board
from taut.serve.http.guard import Doorkeeper, hosts_for
from taut.serve.http.rates import Rates, read_rate
from taut.serve.log import PredictionLog, log_place, policy_of
from taut.serve.scoring.backend import Backend, engine_of


@dataclass(frozen=True, slots=True)
class Seat:
    """Which of its fleet a front is, the memory that it shares with the others, and the address that it listens on."""

    front: int
    fronts: int
    counters: mmap.mmap
    rates: Rates = field(default_factory=Rates)
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Looked:
    """What a supervisor must know before it forks: the very revision, where its files lie, and where it answered last.

    `compiled` says that fronts answer by themselves, `workers` how many fronts are wanted (0: one a core).
    """

    name: str
    revision: int = 0
    folder: str = ""
    last_port: int = 0
    compiled: bool = False
    workers: int = 0


class Source(Protocol):
    """What is served. Both functions run in processes of their own: the supervisor itself opens no home."""

    def look(self) -> Looked:
        """What is known of it; raises what keeps it from being served."""
        ...

    def opened(self, seat: Seat) -> AbstractContextManager[Application]:
        """The application, with its model in memory, while the block runs."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """A revision of a deployment of a home (0: the newest); every answer is in the log."""

    place: str
    project: str
    deployment: str
    revision: int = 0

    def look(self) -> Looked:
        """Raises NotFound for no such deployment or revision."""
        with open_home(self.place, project=self.project) as home:
            wanted = find_deployment(home, self.deployment, self.revision)
            state = find_state(home, self.deployment)
            # So that the URL outlives a crash.
            last_port = (urlsplit(state.url).port or 0) if state is not None and state.url else 0
            version = find_model(home, f"{wanted.model}@{wanted.number}")
            return Looked(
                self.deployment, wanted.revision, str(run_folder(home)), last_port,
                served_graph(home, version) is not None, spec_of(wanted).workers,
            )  # fmt: skip

    @contextmanager
    def opened(self, seat: Seat) -> Iterator[Application]:
        """Open the home, load the version."""
        with open_home(self.place, project=self.project) as home:
            wanted = find_deployment(home, self.deployment, self.revision)
            version = find_model(home, f"{wanted.model}@{wanted.number}")
            log = PredictionLog.open(log_place(home), self.deployment, policy_of(spec_of(wanted).log))
            spec = spec_of(wanted)
            asks = asks_of(home, self.deployment, spec.access, owners_secret(home))
            guard = Doorkeeper(asks, hosts=hosts_for(seat.host), rate=read_rate(spec.rate), rates=seat.rates)
            yield _application(home, [_backend(home, version, self.deployment, wanted.revision)], seat, guard, log)

    def at(self, revision: int) -> "Recorded":
        """Another revision of the same deployment."""
        return replace(self, revision=revision)


@dataclass(frozen=True, slots=True)
class Registered:
    """A model version of a home (`late@3`), without a deployment and so without a log."""

    place: str
    project: str
    model: str

    def look(self) -> Looked:
        """Raises NotFound for no such version."""
        with open_home(self.place, project=self.project) as home:
            version = find_model(home, self.model)
            return Looked(version.name, compiled=served_graph(home, version) is not None)

    @contextmanager
    def opened(self, seat: Seat) -> Iterator[Application]:
        """Open the home, load the version."""
        with open_home(self.place, project=self.project) as home:
            version = find_model(home, self.model)
            guard = Doorkeeper(asks_of(home, "", "auto", owners_secret(home)), hosts=hosts_for(seat.host))
            yield _application(home, [_backend(home, version, version.name, 0)], seat, guard)


@dataclass(frozen=True, slots=True)
class Packed:
    """A model version in a folder, and its graph beside it, where no home is in reach, as in an image.

    Both are held against their digests. Nothing is logged; labels are refused. Callers show the token in `token_file`,
    where there is one.
    """

    folder: Path
    model: str
    digest: str
    graph: Path | None = None
    graph_digest: str = ""
    token_file: Path | None = None

    def look(self) -> Looked:
        """Raises Invalid where the version is not named as one, or the file holds no token."""
        name, _ = self._named()
        if self.token_file is not None:
            read_token(self.token_file)
        return Looked(name, compiled=self.graph is not None)

    @contextmanager
    def opened(self, seat: Seat) -> Iterator[Application]:
        """Load the version."""
        name, number = self._named()
        form = packed_form(self.folder, self.digest, self.graph, self.graph_digest)
        with tempfile.TemporaryDirectory(prefix="taut-") as nowhere:
            make_folder(Path(nowhere))
            with open_home(nowhere) as home:
                asks = OfToken(read_token(self.token_file)) if self.token_file is not None else None
                guard = Doorkeeper(asks, hosts=hosts_for(seat.host))
                yield _application(home, [Backend(name, 0, name, number, engine_of(form, self.model))], seat, guard)

    def _named(self) -> tuple[str, int]:
        name, _, number = self.model.partition("@")
        if not number.isdecimal():
            raise Invalid(f"{self.model!r} is no model version", hint="name it as NAME@NUMBER")
        return name, read_whole(number, what=f"the version of {name!r}")


def _backend(home: Home, version: ModelVersion, deployment: str, revision: int) -> Backend:
    engine = engine_of(served_form(home, version), f"{version.name}@{version.number}")
    return Backend(deployment, revision, version.name, version.number, engine)


def _application(
    home: Home, backends: Sequence[Backend], seat: Seat, guard: Doorkeeper, log: PredictionLog | None = None
) -> Application:
    board = Board([labels_of(backend) for backend in backends], seat.fronts, seat.counters)
    tracing = tracing_of_environment("taut.serve")
    return Application(home, backends, log=log, board=board, front=seat.front, guard=guard, tracing=tracing)
