"""One server a module and database for the conformance checks, or another server to hold the checks against."""

import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from taut.ground.settings import Settings, make_folder
from taut.home import Home, open_home
from tests.faces.serving import served
from tests.marks import POSTGRESQL_SLOW
from tests.peers.programs import Programs

# Where it names a server, the checks ask that one instead of taut: with a stock `mlflow server` of the client's own
# version they show that what they expect is what MLflow does.
OTHER = os.environ.get("TAUT_CONFORMANCE_URL", "")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before a module imports the client


@pytest.fixture(scope="module", params=["other"] if OTHER else POSTGRESQL_SLOW)
def shared_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that all tests of a module share, once on SQLite and once on PostgreSQL: use names of your own."""
    if request.param == "other":
        yield OTHER
        return
    folder = tmp_path_factory.mktemp("home")
    with ExitStack() as stack:
        lent = request.param == "postgresql" and request.getfixturevalue("postgres_databases").lent()
        make_folder(folder, Settings(metadata=stack.enter_context(lent) if lent else ""))
        home = stack.enter_context(open_home(folder))
        yield stack.enter_context(served(home))


@pytest.fixture
def is_taut() -> bool:
    """Whether the checks ask taut: what taut does better on purpose is only expected of it."""
    return not OTHER


@pytest.fixture
def unlike_stock() -> Callable[[bool], None]:
    """Call it with whether the stock server is known to fail here: the check is then skipped where it is asked."""

    def skip(fails: bool = True) -> None:
        if OTHER and fails:
            pytest.skip("the stock server is known to get this wrong")

    return skip


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    """Runs programs with the client, each in a process of its own."""
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    made = Programs()
    yield made
    made.close()


@pytest.fixture
def mlflow(shared_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The unchanged client in this process, logging to the module's server; nothing of it is left afterwards.

    Clients retry what looks like a defect of the server for minutes: one try makes such an answer fail the test.
    """
    client = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))
    client.set_tracking_uri(shared_url)
    client.set_registry_uri(shared_url)
    yield client
    while client.active_run():
        client.end_run()
    client.tracking.fluent._active_experiment_id = None
    for name in (
        "MLFLOW_EXPERIMENT_ID",
        "MLFLOW_EXPERIMENT_NAME",
        "MLFLOW_RUN_ID",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_REGISTRY_URI",
    ):
        os.environ.pop(name, None)
    client.set_tracking_uri(None)
    client.set_registry_uri(None)


@pytest.fixture
def client(mlflow: Any, shared_url: str) -> Any:
    """The client of the module's server."""
    return mlflow.MlflowClient(shared_url, shared_url)


NUMBERS = itertools.count()


@pytest.fixture
def unique() -> Callable[[str], str]:
    """A name that no other test and no other run of the tests gives."""
    mark = uuid.uuid4().hex[:8]
    return lambda name: f"{name} {mark}-{next(NUMBERS)}"


@pytest.fixture
def experiment(client: Any, unique: Callable[[str], str]) -> str:
    """The id of an empty experiment."""
    return str(client.create_experiment(unique("experiment")))


@pytest.fixture
def run_id(client: Any, experiment: str) -> str:
    """The id of a running run in an experiment of its own."""
    return str(client.create_run(experiment).info.run_id)


@pytest.fixture
def code_of() -> Callable[..., str]:
    """The error code that a call of the client is refused with; `no error` where it is not."""
    from mlflow.exceptions import MlflowException

    def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
        try:
            function(*args, **kwargs)
        except MlflowException as problem:
            return str(problem.error_code)
        return "no error"

    return call


@pytest.fixture(params=POSTGRESQL_SLOW)
def home(home: Home) -> Home:
    """The home of all tests, in the fast run on SQLite alone: every question of a client is asked on both elsewhere."""
    return home
