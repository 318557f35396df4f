"""What is served: a recorded deployment, a registered version, or a version in a folder; looked up, and opened."""

import mmap
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from taut.deploy import find_deployment, find_state, spec_of
from taut.deploy.quantities import bytes_of
from taut.deploy.running import owners_secret, run_folder
from taut.errors import Invalid
from taut.ground.settings import make_folder
from taut.ground.tracing import tracing_of_environment
from taut.ground.whole import read_whole
from taut.home import Home, open_home
from taut.models import find_model, packed_form, served_form, served_graph
from taut.project import DeploymentSpec
from taut.records import Deployment, ModelVersion
from taut.serve.http.access_log import AccessLog
from taut.serve.http.application import Application, Pick, labels_of
from taut.serve.http.asking import OfToken, asks_of, read_token
from taut.serve.http.board import Board, Labels
from taut.serve.http.guard import Doorkeeper, hosts_for
from taut.serve.http.rates import Rates, read_rate
from taut.serve.log import PredictionLog, log_place, policy_of
from taut.serve.log.learning import prepare
from taut.serve.log.said import Role
from taut.serve.rollout.routing import Router, key_of
from taut.serve.scoring.backend import Backend, engine_of
from taut.serve.scoring.joining import Columns
from taut.serve.scoring.limits import limits_of
from taut.serve.supervising.attendant import Attendant
from taut.serve.supervising.children import Line

STDERR = 2  # Where a front writes what it has to say; the target keeps it.


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a front sits: its place among `count` of one revision, memory of zeros that all of them share, the same of
    how often callers asked, and the address that it listens on.
    """

    slot: int
    count: int
    memory: mmap.mmap
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
            prepare(home, self.deployment, policy_of(spec_of(wanted).log))
            versions = [find_model(home, one.version) for one in wanted.backends]
            compiled = any(served_graph(home, version) is not None for version in versions)
            return Looked(
                self.deployment, wanted.revision, str(run_folder(home)), last_port, compiled, spec_of(wanted).workers
            )

    @contextmanager
    def opened(self, seat: Seat) -> Iterator[Application]:
        """Open the home, load the version."""
        with open_home(self.place, project=self.project) as home:
            wanted = find_deployment(home, self.deployment, self.revision)
            spec = spec_of(wanted)
            backends = [
                _backend(home, find_model(home, one.version), wanted, one.role, _memory_of(spec))
                for one in wanted.backends
            ]
            log = PredictionLog.open(log_place(home), self.deployment, policy_of(spec.log))
            by_key = "" if spec.rollout is None else spec.rollout.by_key
            pick = None if wanted.canary is None else picking(wanted, by_key)
            asks = asks_of(home, self.deployment, spec.access, owners_secret(home))
            guard = Doorkeeper(asks, hosts=hosts_for(seat.host), rate=read_rate(spec.rate), rates=seat.rates)
            yield _application(home, backends, seat, guard, log=log, pick=pick, **_settings(home, spec))

    def attend(self, seat: Seat, handle: str, line: Line) -> None:
        """Do what is to be done beside the fronts until the line is closed; see `Attendant`."""
        with open_home(self.place, project=self.project) as home:
            wanted = find_deployment(home, self.deployment, self.revision)
            labels = [Labels(wanted.name, one.model, str(one.number), str(wanted.revision)) for one in wanted.backends]
            Attendant(home, wanted, Board(labels, seat.count, seat.memory), handle).attend(line)

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
            yield _application(home, [_alone(home, version)], seat, guard)


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


class Texts(Mapping[str, str]):
    """Headers by their names in small letters; decoded when they are asked for, which is seldom."""

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        return self._headers[name.encode("latin-1", "replace")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._headers)

    def __len__(self) -> int:
        return len(self._headers)


def picking(deployment: Deployment, by_key: str) -> Pick:
    """Which backend answers a request that names no version, by the shares of a revision."""
    places = {one: place for place, one in enumerate(deployment.backends)}
    router = Router(deployment.name, deployment.backends)

    def pick(headers: Mapping[bytes, bytes], columns: Columns) -> int:
        return places[router.choose(key_of(by_key, Texts(headers), columns))]

    return pick


def _backend(
    home: Home, version: ModelVersion, deployment: Deployment, role: Role = "live", memory_bytes: int = 0
) -> Backend:
    name = f"{version.name}@{version.number}"
    engine = engine_of(served_form(home, version), name, memory_bytes=memory_bytes)
    return Backend(deployment.name, deployment.revision, version.name, version.number, engine, role)


def _alone(home: Home, version: ModelVersion) -> Backend:
    engine = engine_of(served_form(home, version), f"{version.name}@{version.number}")
    return Backend(version.name, 0, version.name, version.number, engine)


def _memory_of(spec: DeploymentSpec) -> int:
    return bytes_of(spec.limits.model_memory) if spec.limits.model_memory else 0


def _settings(home: Home, spec: DeploymentSpec) -> dict[str, Any]:
    """What taut.yaml says of how requests are answered."""
    sample = {"errors": 0.0, "all": 1.0}.get(spec.access_log)
    return {
        "limits": limits_of(spec.limits),
        "access": None if sample is None else AccessLog(STDERR, home.clock.now_ms, sample=sample),
        "grpc": (spec.host, spec.grpc_port) if spec.grpc_port else None,
    }


def _application(home: Home, backends: Sequence[Backend], seat: Seat, guard: Doorkeeper, **more: Any) -> Application:
    board = Board([labels_of(backend) for backend in backends], seat.count, seat.memory)
    tracing = tracing_of_environment("taut.serve")
    return Application(home, backends, board=board, front=seat.slot, guard=guard, tracing=tracing, **more)
