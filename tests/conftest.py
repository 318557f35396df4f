"""Fixtures for all rooms: a clean environment, free ports, and real servers that start when a test first asks."""

import itertools
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import hypothesis
import pytest

from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.ground.meta import connect_metadata
from taut.ground.settings import Settings, make_folder
from taut.home import Home, open_home
from tests import parts
from tests.runs.capture.observing import make_observer

if TYPE_CHECKING:
    from tests.databases import Databases

# Examples are the same in every run and on every machine, so that red means a change and not bad luck.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("house")

BROKER = pytest.StashKey[parts.Broker]()
LONG_S = 900  # A test that may take so long takes minutes.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that no process is left alone with it at the end."""

    def is_short(item: pytest.Item) -> bool:
        marker = item.get_closest_marker("timeout")
        return marker is None or marker.args[0] < LONG_S

    items.sort(key=is_short)


def pytest_configure(config: pytest.Config) -> None:
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # As in a background job; what a test starts would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist asks the broker of the process that started it
        config.stash[BROKER] = parts.Broker()
        make_observer()


def pytest_unconfigure(config: pytest.Config) -> None:
    if broker := config.stash.get(BROKER, None):
        broker.end()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests reaches them, and nothing is reported to anybody."""
    for name in list(os.environ):
        if name.startswith(("TAUT_", "MLFLOW_")) and name != parts.BROKER_ADDRESS:
            monkeypatch.delenv(name)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # Each command would compile all of taut again.
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")


@pytest.fixture
def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on; `tests.parts.free_port()` gives more of them."""
    return parts.free_port()


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The URL of the maintenance database of a real PostgreSQL."""
    return parts.address_of("postgres")


@pytest.fixture
def postgres_database(postgres_server: str) -> Iterator[Callable[[], str]]:
    """Call it for the URL of a new, empty database; all of them are dropped when the test ends."""
    import psycopg
    from psycopg import sql

    unique, numbers, made = uuid.uuid4().hex[:12], itertools.count(), []

    def make() -> str:
        name = f"taut_{unique}_{next(numbers)}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        return urlsplit(postgres_server)._replace(path=f"/{name}").geturl()

    yield make
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in made:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def postgres_url(postgres_database: Callable[[], str]) -> str:
    """The URL of a new, empty PostgreSQL database."""
    return postgres_database()


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: str) -> Iterator["Databases"]:
    """Databases with all migrations that the tests of this process borrow one after the other."""
    from tests.databases import Databases

    databases = Databases(postgres_server)
    yield databases
    databases.close()


@pytest.fixture
def migrated_postgres_url(postgres_databases: "Databases") -> Iterator[str]:
    """The URL of a PostgreSQL database that looks as if it had just been made and migrated."""
    with postgres_databases.lent() as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> parts.S3Server:
    """A real S3 server with one bucket: its endpoint, bucket and keys."""
    return parts.S3Server(parts.address_of("s3"))


@pytest.fixture
def s3_bucket(s3_server: parts.S3Server) -> str:
    """The name of the S3 server's bucket, which all tests share: write below a prefix of your own."""
    return s3_server.bucket


@pytest.fixture
def s3_url(s3_server: parts.S3Server, request: pytest.FixtureRequest) -> str:
    """The URL of an empty place on a real S3 server: `s3://BUCKET/PREFIX?endpoint=...&access_key_id=...`."""
    return s3_server.url(f"{parts.safe_name(request.node.name)}-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all migrations: to copy it is cheaper than to migrate another. Nobody opens it."""
    file = tmp_path_factory.mktemp("migrated") / "meta.db"
    connect_metadata(f"sqlite://{file}").close()
    return file


@pytest.fixture
def project(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """An empty taut project on SQLite and a folder of objects; nothing in it is open."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(migrated_sqlite, make_folder(folder))
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """An opened, empty home, once on SQLite and once on PostgreSQL; its clock stands until a test moves it."""
    folder = tmp_path / "project"
    folder.mkdir()
    url = request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else ""
    made = make_folder(folder, Settings(metadata=url))
    if not url:
        shutil.copy(request.getfixturevalue("migrated_sqlite"), made)
    with open_home(folder, actor=Actor("ada", "owner"), clock=SetClock(1_700_000_000_000)) as opened:
        yield opened
