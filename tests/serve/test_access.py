"""Who may ask a deployment: real serving processes, real tokens and users, of a home here and of a server's."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taut.deploy import config_of, record_deployment, report_state
from taut.deploy.running import owners_secret, run_folder
from taut.errors import Denied, Throttled, Unavailable
from taut.govern import create_token, create_user, delete_user, end_token, grant_permission, revoke_permission
from taut.ground.ledger import events
from taut.home import Home, open_home
from taut.project import DeploymentSpec
from taut.records import DeploymentState
from taut.serve import predict
from tests.faces.serving import served
from tests.parts import eventually
from tests.serve.scenes import ROWS, Server, make_home, record, register, serving

WORD = "correct horse battery"
SEEN_WITHIN_S = 1.0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "project") as made:
        register(made)
        record(made)
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def basic(name: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{WORD}".encode()).decode()}


def asked(server: Server, headers: dict[str, str]) -> tuple[int, int, int, int]:
    """The statuses of a prediction, a label, the metadata and the metrics."""
    body = {"inputs": {name: values[:1] for name, values in ROWS.items()}}
    return (
        server.raw("POST", "/invocations", body, **headers).status,
        server.raw("POST", "/v2/models/late/labels", {"labels": {}}, **headers).status,
        server.raw("GET", "/v2/models/late", None, **headers).status,
        server.raw("GET", "/metrics", None, **headers).status,
    )


NOBODY, NOTHING, ALL = (401,) * 4, (403,) * 4, (200,) * 4
READS, USES = (403, 403, 200, 403), (200, 200, 200, 403)


def known(home: Home, server: Server) -> None:
    """Say where it answers, as whoever deploys does."""
    report_state(home, DeploymentState("late", 1, "running", server.url, f"{server.process.pid}:1", 0))


def until(server: Server, headers: dict[str, str], wanted: Any) -> None:
    """Wait until the endpoint says so, and hold it against what is promised."""
    began_s = time.monotonic()
    eventually(lambda: asked(server, headers) == wanted, what=f"{wanted}")
    assert time.monotonic() - began_s < SEEN_WITHIN_S + 0.5  # Four requests take their time on a busy machine.


def test_a_home_that_never_made_a_login_serves_all_of_loopback_and_asks_from_the_first_on(home: Home):
    with serving(home) as server:
        assert asked(server, {}) == ALL
        create_user(home, "olga", WORD, role="owner")
        until(server, {}, NOBODY)
        assert asked(server, basic("olga")) == ALL
        assert asked(server, bearer("wrong")) == NOBODY
        assert server.raw("GET", "/ping").status == 200
        assert asked(server, bearer(owners_secret(home))) == ALL
        known(home, server)
        assert predict(home, "late", ROWS).number == 1  # The owner of the folder needs no login.
        report_state(home, DeploymentState("late", 1, "running", "http://127.0.0.1:9", "1:1", 0))
        with pytest.raises(Unavailable, match="does not answer"):  # Where nobody of ours answers, no secret is shown.
            predict(home, "late", ROWS)
        assert (run_folder(home) / "owner.secret").stat().st_mode & 0o077 == 0


def test_scopes_roles_and_grants_decide_and_what_is_taken_away_is_felt_within_a_second(home: Home):
    create_user(home, "olga", WORD, role="owner")
    tokens = {scope: create_token(home, scope, scopes=[scope]) for scope in ("predict", "read", "log", "deploy")}
    create_user(home, "vera", WORD, role="viewer")
    create_user(home, "emma", WORD, role="ml-engineer")
    with serving(home) as server:
        wanted = {"predict": USES, "read": READS, "log": (403, 200, 403, 403), "deploy": READS}
        assert {scope: asked(server, bearer(made.secret)) for scope, made in tokens.items()} == wanted
        assert (asked(server, basic("vera")), asked(server, basic("emma"))) == (READS, USES)
        end_token(home, tokens["predict"].token.id)
        until(server, bearer(tokens["predict"].secret), NOBODY)
        grant_permission(home, "vera", "deployment", "late", "USE")
        until(server, basic("vera"), USES)
        grant_permission(home, "emma", "deployment", "late", "NO_PERMISSIONS")
        until(server, basic("emma"), NOTHING)
        revoke_permission(home, "vera", "deployment", "late")
        until(server, basic("vera"), READS)
        delete_user(home, "vera")
        until(server, basic("vera"), NOBODY)
    with home.meta.read() as tx:
        refused = [entry for entry in events(tx, kind="access.denied") if "deployment:late" in str(entry.body)]
    assert {entry.actor for entry in refused} >= {"vera", "emma"}


@pytest.mark.slow
@pytest.mark.parametrize(("access", "nobody", "anybody"), [("open", ALL, ALL), ("token", NOBODY, NOBODY)])
def test_a_deployment_may_be_open_or_ask_whatever_the_home_does(home: Home, access: Any, nobody: Any, anybody: Any):
    config = config_of(DeploymentSpec(model="late@1", access=access, rate="1/h burst 12"))
    assert config["access"] == access
    record_deployment(home, "late", "late", 1, "process", config, "test")
    with serving(home) as server:
        assert asked(server, {}) == nobody
        assert asked(server, bearer("wrong")) == anybody
        assert asked(server, bearer(owners_secret(home))) == ALL
        if access == "open":
            assert asked(server, {}) == (429,) * 4


@pytest.mark.slow
def test_a_rate_holds_for_each_caller_and_predict_says_so(home: Home, monkeypatch: pytest.MonkeyPatch):
    create_user(home, "olga", WORD, role="owner")
    secrets = [create_token(home, name, scopes=["predict"]).secret for name in ("one", "two")]
    config = config_of(DeploymentSpec(model="late@1", rate="1/h burst 3"))
    record_deployment(home, "late", "late", 1, "process", config, "test")
    with serving(home) as server:
        for secret in secrets:
            got = [server.raw("POST", "/invocations", {"inputs": ROWS}, **bearer(secret)) for _ in range(5)]
            assert [answer.status for answer in got] == [200, 200, 200, 429, 429]
            assert int(got[-1].headers["retry-after"]) > 3000
        known(home, server)
        monkeypatch.setenv("TAUT_TOKEN", secrets[0])
        with pytest.raises(Throttled, match="may ask"):
            predict(home, "late", ROWS)
        monkeypatch.setenv("TAUT_TOKEN", "wrong")
        with pytest.raises(Denied, match="does not work here"):
            predict(home, "late", ROWS)


@pytest.mark.slow
def test_an_endpoint_far_from_its_home_asks_the_server_about_each_caller(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    create_user(home, "olga", WORD, role="owner")
    ours = create_token(home, "replica", role="serving").secret
    theirs = create_token(home, "client", scopes=["predict"])
    create_user(home, "emma", WORD, role="ml-engineer")
    grant_permission(home, "emma", "deployment", "late", "NO_PERMISSIONS")
    with served(home) as url, monkeypatch.context() as patch:
        patch.setenv("TAUT_TOKEN", ours)
        with open_home(url) as far, serving(far) as server:
            assert asked(server, {}) == NOBODY
            assert asked(server, bearer("wrong")) == NOBODY
            assert asked(server, basic("emma")) == NOTHING
            assert asked(server, basic("olga"))[0] == 200
            assert asked(server, bearer(theirs.secret))[0] == 200
            end_token(home, theirs.token.id)
            until(server, bearer(theirs.secret), NOBODY)
