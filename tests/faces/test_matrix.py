"""Every route of the running application, for every kind of caller, in their project, another one and none at all."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from taut.faces.http.app import ROUTES as OWN
from taut.faces.mlflow.routes import ROUTES, Route
from taut.faces.verbs import VERBS, load_verb
from taut.govern import (
    bind_role,
    create_own_token,
    create_project,
    create_token,
    create_user,
    disable_user,
    end_token,
    get_project,
    unbind_role,
)
from taut.ground.access import ABOUT_SERVER, COLUMNS, PERMISSIONS, SCOPES, mark_of
from taut.home import Home
from tests.faces.serving import served
from tests.faces.speaking import POOL
from tests.faces.test_mlflow_routes import place_of

WORD = "correct horse battery"
# The intended matrix, as it was specified: what is written here is not read from the table it is held against.
WANTED = """
                    V DS ML AP AU DPO PA SA  R L P D
run:read            + +  +  +  +  -   +  -   + + - -
artifact:read       + +  +  +  -  -   +  -   + + - -
experiment:create   - +  +  -  -  -   +  -   - - - -
run:write           - +  +  -  -  -   +  -   - + - -
artifact:write      - +  +  -  -  -   +  -   - + - -
experiment:admin    - o  +  -  -  -   +  -   - - - -
experiment:write    - o  +  -  -  -   +  -   - - - -
model:read          + +  +  +  +  -   +  -   + + - +
model:write         - +  +  -  -  -   +  -   - + - -
model:request       - +  +  -  -  -   +  -   - - - -
model:approve       - -  -  +  -  -   -  -   - - - -
model:promote       - -  +  -  -  -   +  -   - - - -
model:delete        - -  -  -  -  -   +  -   - - - -
deployment:read     + +  +  +  +  -   +  -   + - + +
deployment:write    - -  +  -  -  -   +  -   - - - +
deployment:predict  - +  +  -  -  -   +  -   - - + -
prediction:read     - +  +  -  -  +   +  -   - - - -
prediction:explain  + +  +  +  +  +   +  -   + - - -
feedback:write      - +  +  -  -  -   +  -   - + + -
dataset:read        + +  +  +  +  +   +  -   + + - -
dataset:content     - +  +  -  -  +   +  -   + - - -
pii:read            - -  -  -  -  +   -  -   - - - -
dataset:write       - +  +  -  -  -   +  -   - + - -
dataset:delete      - -  -  -  -  -   +  -   - - - -
privacy:admin       - -  -  -  -  +   -  -   - - - -
privacy:read        - -  -  +  +  +   +  -   - - - -
audit:read          - -  -  -  +  +   +  -   - - - -
audit:head          + +  +  +  +  +   +  +   + + + +
secret:write        - -  +  -  -  -   +  -   - - - -
secret:use          - -  -  -  -  -   -  -   - - - +
pipeline:read       + +  +  +  +  -   +  -   + - - -
pipeline:run        - +  +  -  -  -   +  -   - - - +
policy:write        - -  +  -  -  -   +  -   - - - -
policy:weaken       - -  -  +  -  -   -  -   - - - -
webhook:admin       - -  -  -  -  -   +  -   - - - -
project:admin       - -  -  -  -  -   +  +   - - - -
project:read        - -  -  -  +  -   +  +   - - - -
role:admin          - -  -  -  -  -   +  +   - - - -
user:admin          - -  -  -  -  -   -  +   - - - -
self                + +  +  +  +  +   +  +   - - - -
token:admin         - -  -  -  -  -   +  +   - - - -
token:service       - -  +  -  -  -   +  -   - - - -
server:admin        - -  -  -  -  -   -  +   - - - -
server:observe      - -  -  -  -  -   -  +   - - - -
"""
NAMES = COLUMNS[:12]
TABLE = {line.split()[0]: line.split()[1:] for line in WANTED.strip().splitlines()[1:]}
# What the specification leaves to taut: judging by the gate, checking a home, and MLflow's way of seeding an account.
OURS = {"audit:anchor", "home:check", "model:gate", "run:delete", "run:delete-any", "server:audit", "user:create"}
PEOPLE = COLUMNS[:8]


def test_the_table_of_roles_is_the_one_that_was_specified():
    assert TABLE.keys() | OURS == PERMISSIONS
    for permission, marks in TABLE.items():
        assert [mark_of(role, permission) for role in NAMES] == marks, permission


@dataclass
class Team:
    """A server with two projects, and for each kind of caller the header that they send, to both of which they know."""

    url: str
    headers: dict[str, dict[str, str]] = field(default_factory=dict)

    def send(self, caller: str, method: str, path: str, project: str) -> tuple[int, str]:
        headers = {"x-mlflow-workspace": project, "content-type": "application/json", **self.headers[caller]}
        body = b"{}" if method in ("POST", "PUT", "PATCH") else None
        answer = POOL.request(method, self.url + path, body=body, headers=headers)
        return answer.status, answer.data.decode(errors="replace")


def basic(user: str, secret: str = WORD) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


@pytest.fixture
def team(home: Home) -> Iterator[Team]:
    create_user(home, "root", WORD, role="owner")
    create_project(home, "ours")
    create_project(home, "theirs")
    for role in PEOPLE:
        create_user(home, role, WORD, role="server-admin" if role == "server-admin" else "")
        if role != "server-admin":
            bind_role(home, role, role, project="ours")
    for name in ("gone", "out"):
        create_user(home, name, WORD, role="")
        bind_role(home, name, "project-admin", project="ours")
    with served(home) as url:
        team = Team(url, {role: basic(role) for role in PEOPLE})
        team.headers["anonymous"] = {}
        team.headers["nobody"] = basic("nobody")
        with home.entered(get_project(home, "ours")) as ours:
            for scope in SCOPES:
                secret = create_token(ours, scope, scopes=[scope]).secret
                team.headers[f"scope:{scope}"] = {"authorization": f"Bearer {secret}"}
            for name, days in (("revoked", 30), ("expired", 1)):
                made = create_token(ours, name, "project-admin", days=days)
                team.headers[name] = {"authorization": f"Bearer {made.secret}"}
                assert team.send(name, "GET", "/api/2.0/mlflow/webhooks", "ours")[0] == 200
                if name == "revoked":
                    end_token(home, made.token.id)
        team.headers["disabled"] = basic("gone")
        assert team.send("disabled", "GET", "/api/2.0/mlflow/webhooks", "ours")[0] == 200
        disable_user(home, "gone")
        team.headers["removed"] = basic("out")
        assert team.send("removed", "GET", "/api/2.0/mlflow/webhooks", "ours")[0] == 200
        unbind_role(home, "out", "project-admin", project="ours")
        home.clock.pass_ms(2 * 86_400_000)  # type: ignore[attr-defined]  # The clock of the tests.
        yield team


def routes() -> list[tuple[str, str, str]]:
    """Method, path and permission of every route there is: MLflow's, taut's own, and each verb below one of these."""
    found = [(row.method, "/" + place_of(row), row.needs) for row in ROUTES]
    found += [
        (row.method, row.path.replace("{oid}", "0" * 64), row.needs)
        for row in OWN
        if row.needs and "{name}" not in row.path
    ]
    return found + [("POST", f"/api/taut/v1/verbs/{name}", load_verb(name).needs) for name in VERBS]


def expected(caller: str, needs: str, project: str) -> set[int]:
    """The statuses that the matrix asks for; what lets pass may still find the request wrong, or nothing there."""
    passes = {200, 201, 204, 400, 404, 409, 422}
    if caller in ("nobody", "disabled"):
        return {401, 429}  # A password that is wrong so often is not looked at any more.
    if caller in ("anonymous", "revoked", "expired"):
        return {401}
    if caller.startswith("scope:") and project != "ours":
        return {400}  # The token is for another project than the one that is named.
    role = "server-admin" if caller == "server-admin" else caller if project == "ours" else ""
    if caller == "removed":
        role = ""
    if project == "absent" or not role:
        return {404}
    if mark_of(role, needs) == "+":
        return passes
    return {404} if caller == "server-admin" and needs not in ABOUT_SERVER else {403}


@pytest.mark.slow
@pytest.mark.parametrize("project", ["ours", "theirs", "absent"])
def test_every_route_answers_every_caller_as_the_matrix_says(team: Team, project: str):
    wrong = []
    for caller in team.headers:
        for method, path, needs in routes():
            status, said = team.send(caller, method, path, project)
            if status not in expected(caller, needs, project):
                wrong.append((caller, method, path, needs, status, said[:200]))
    assert wrong == []


def test_a_row_without_a_permission_stops_the_server_from_starting(home: Home, monkeypatch: pytest.MonkeyPatch):
    from dataclasses import replace

    from taut.faces.http import app
    from taut.faces.mlflow import face

    for module, rows in ((app, OWN), (face, ROUTES)):
        for needs in ("", "run:raed"):
            with monkeypatch.context() as patch:
                bad = replace(rows[-1], needs=needs)
                patch.setattr(module, "ROUTES", (*rows[:-1], bad))
                with pytest.raises(AssertionError):
                    app.make_app(home, hosts=frozenset())


def test_every_route_that_the_router_knows_stands_in_one_of_the_tables(home: Home):
    """An endpoint that somebody adds beside the tables is found here."""
    from starlette.routing import Route as HttpRoute

    from taut.faces.http.app import make_app

    guard = make_app(home, hosts=frozenset())
    dispatch = guard._app._app._own  # type: ignore[attr-defined]  # Guard, counts, projects, then the router.
    known = {(row.method, place) for row in ROUTES for place in places(row)}
    known |= {(row.method, row.path) for row in OWN}
    open_ones = {("GET", f"{prefix}/3.0/mlflow/server-info") for prefix in ("/api", "/ajax-api")}
    assert dispatch._fixed.keys() - known == open_ones
    for route in dispatch._others.routes:
        assert isinstance(route, HttpRoute)
        if not route.path.endswith("{rest:path}"):
            for method in (route.methods or set()) - {"HEAD"}:
                assert (method, route.path) in known, (method, route.path)


def places(row: Route) -> list[str]:
    from taut.faces.mlflow.face import _preview_places

    return [*row.places, *_preview_places(row)]


WRITTEN = (
    "/projects//api/2.0/mlflow/experiments/search", "/projects/theirs%2fapi/2.0/mlflow/experiments/search",
    "/projects/ours/../theirs/api/2.0/mlflow/experiments/search", "/projects/theirs", "/projects/theirs/",
    "/projects/ours/projects/theirs/api/2.0/mlflow/experiments/search?max_results=5", "/projects/THEIRS/graphql",
    "/projects/ours/..;/theirs/api/2.0/mlflow/experiments/search", "/PROJECTS/theirs/graphql",
    "/projects/ours%00/api/2.0/mlflow/experiments/search", "/projects/theirs./graphql",
)  # fmt: skip


def test_no_way_of_writing_a_path_leads_into_another_project(team: Team):
    headers = {**team.headers["project-admin"], "x-http-method-override": "GET"}
    said = {
        (method, path): POOL.request(method, team.url + path, headers=headers).status
        for path in WRITTEN
        for method in ("GET", "HEAD", "OPTIONS")
    }
    assert {asked: status for asked, status in said.items() if status not in (404, 405)} == {}


def test_ids_of_another_project_in_a_body_are_ids_of_nothing(team: Team, home: Home):
    from taut.runs import create_run

    with home.entered(get_project(home, "theirs")) as theirs:
        run = create_run(theirs, experiment="secret")
    with home.entered(get_project(home, "ours")) as ours:
        mine = create_run(ours, experiment="own")

    def post(path: str, body: object) -> tuple[int, str]:
        headers = {"x-mlflow-workspace": "ours", **team.headers["project-admin"]}
        answer = POOL.request("POST", team.url + path, body=json.dumps(body).encode(), headers=headers)
        return answer.status, answer.data.decode()

    for id in (run.id, "f" * 32):
        body = {"run_id": id, "metrics": [{"key": "a", "value": 1.0, "timestamp": 1}]}
        assert post("/api/2.0/mlflow/runs/log-batch", body)[0] == 404
        version = {"name": "churn", "source": f"runs:/{id}/model"}
        assert post("/api/2.0/mlflow/model-versions/create", version)[0] in (400, 404)
    found = post("/api/2.0/mlflow/runs/search", {"experiment_ids": [run.experiment_id, mine.experiment_id, "777"]})
    assert [one["info"]["run_id"] for one in json.loads(found[1]).get("runs", [])] in ([mine.id], [])
    assert run.id not in found[1]


def test_a_token_of_ones_own_in_one_project_opens_no_other(team: Team, home: Home):
    from taut.callers import actor_of

    bind_role(home, "viewer", "viewer", project="theirs")
    with home.entered(get_project(home, "ours")) as ours:
        actor = actor_of(ours, basic("viewer")["authorization"])
        assert actor is not None
        secret = create_own_token(ours.as_actor(actor), "laptop").secret
    team.headers["laptop"] = {"authorization": f"Bearer {secret}"}
    assert team.send("laptop", "GET", "/api/2.0/mlflow/experiments/search?max_results=5", "ours")[0] == 200
    assert team.send("laptop", "GET", "/api/2.0/mlflow/experiments/search?max_results=5", "theirs")[0] == 400
    assert team.send("viewer", "GET", "/api/2.0/mlflow/experiments/search?max_results=5", "theirs")[0] == 200
