"""A real OpenID provider that is not ours: `taut login --oidc` at a shell, its pages driven as a browser does."""

import html
import http.cookiejar
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taut.errors import Denied, Unavailable
from taut.govern import (
    WantedAccess,
    add_trust,
    apply_access,
    create_project,
    create_user,
    exchange_token,
    plan_access,
    show_access_log,
    show_bindings,
    show_users,
    unlink_user,
)
from taut.ground.oidc import Provider
from taut.ground.oidc.browser import id_token_by_browser
from taut.home import Home, open_home
from tests.faces.serving import served
from tests.faces.shell import taut
from tests.parts import Part, answered, free_port

pytestmark = pytest.mark.engine
HERE = Path(__file__).parent
WORD = "correct horse battery"


@dataclass
class Running:
    """A provider that runs, and the file of who it knows."""

    url: str
    accounts: Path
    lean: bool

    def knows(self, **people: dict[str, Any]) -> None:
        """From now on it knows these, by subject."""
        self.accounts.write_text(json.dumps(people))


@pytest.fixture(scope="module")
def provider() -> Iterator[Running]:
    """A provider whose ID tokens tell what its scopes do."""
    yield from _provider(lean=False)


@pytest.fixture(scope="module")
def lean_provider() -> Iterator[Running]:
    """One whose ID tokens tell nobody's name or groups."""
    yield from _provider(lean=True)


def _provider(*, lean: bool) -> Iterator[Running]:
    if shutil.which("node") is None or not (HERE / "node_modules/oidc-provider").exists():
        pytest.skip("oidc-provider is not installed: make provider")
    folder, port = Path(tempfile.mkdtemp(prefix="taut-oidc-")), free_port()
    found = Running(f"http://127.0.0.1:{port}", folder / "accounts.json", lean)
    found.knows()
    part = Part(
        folder, ["node", str(HERE / "provider.mjs"), str(port), str(found.accounts), *(["lean"] if lean else [])]
    )
    part.wait_until(lambda: answered(urllib.request.Request(f"{found.url}/.well-known/openid-configuration")))
    yield found
    part.end()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, project: Path, provider: Running, monkeypatch) -> Path:
    """A project whose people log in at the provider; its clock is the real one, as the provider's is."""
    if request.param == "postgresql":
        (project / ".taut/meta.db").unlink()
        url = request.getfixturevalue("migrated_postgres_url")
        (project / ".taut/settings.toml").write_text(f'metadata = "{url}"\n')
    monkeypatch.setenv("TAUT_OIDC_ISSUER", provider.url)
    monkeypatch.setenv("TAUT_OIDC_CLIENT_ID", "taut")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project / "config"))
    with open_home(project) as home:
        create_user(home, "olga", WORD, role="owner")
        create_project(home, "churn")
    return project


class Browser:
    """As much of a browser as the provider's pages take: cookies, redirects, and forms that are filled in."""

    def __init__(self) -> None:
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def log_in(self, page: str, subject: str) -> str:
        """Open a page, log in, agree; returns the last page that is shown."""
        said, where = self._open(page)
        for _ in range(3):
            form = re.search(r'<form[^>]*action="([^"]+)"', said)
            if form is None:
                return said
            prompt = re.search(r'name="prompt" value="(\w+)"', said)
            assert prompt is not None, said
            filled = {"prompt": prompt[1], "login": subject, "password": "any"}
            said, where = self._open(urllib.parse.urljoin(where, html.unescape(form[1])), filled)
        return said

    def cancel(self, page: str) -> str:
        """Open a page and say no."""
        said, where = self._open(page)
        link = re.search(r'href="([^"]+/abort)"', said)
        assert link is not None, said
        return self._open(urllib.parse.urljoin(where, html.unescape(link[1])))[0]

    def _open(self, place: str, form: dict[str, str] | None = None) -> tuple[str, str]:
        data = None if form is None else urllib.parse.urlencode(form).encode()
        with self.opener.open(place, data, timeout=20) as answer:
            return answer.read().decode(), answer.url


def typed(folder: Path, url: str, subject: str, *, says_no: bool = False) -> tuple[int, str, str]:
    """Type `taut login URL --oidc --no-browser`, and log in on the page that it prints."""
    words = [sys.executable, "-m", "taut", "login", url, "--oidc", "--no-browser", "--json"]
    with subprocess.Popen(
        words, cwd=folder, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stderr is not None
        first, page = command.stderr.readline(), command.stderr.readline().strip()
        assert first == "open this page to log in:\n", (first, page, command.stderr.read())
        (Browser().cancel(page) if says_no else Browser().log_in(page, subject))
        out, err = command.communicate(timeout=60)
    return command.returncode, out, err


def roles(home: Home, user: str) -> set[tuple[str, str]]:
    return {(one.project, one.role) for one in show_bindings(home, project="*") if one.user == user}


def test_somebody_logs_in_with_a_browser_and_their_groups_are_roles_until_they_leave_them(
    place: Path, provider: Running
):
    provider.knows(**{"ada-1": {"preferred_username": "ada", "groups": ["data", "leads"]}})
    with open_home(place) as home, served(home) as url:
        wanted = WantedAccess(groups={"data": {"churn": ["data-scientist"]}, "leads": {"churn": ["approver"]}})
        apply_access(home, wanted, plan_access(home, wanted))
        status, out, err = typed(place, url, "ada-1")
        assert (status, json.loads(out)["user"]) == (0, "ada"), err
        assert roles(home, "ada") == {("churn", "data-scientist"), ("churn", "approver")}
        assert taut(place, "--home", url, "--project", "churn", "runs", "list", "--json").json == []
        assert taut(place, "--home", url, "runs", "list").status == 10  # No member of `default`.
        provider.knows(**{"ada-1": {"preferred_username": "countess", "groups": ["data"]}})
        status, out, err = typed(place, url, "ada-1")
        assert (status, json.loads(out)["user"]) == (0, "ada"), err
        assert roles(home, "ada") == {("churn", "data-scientist")}
        kinds = [one.kind for one in show_access_log(home, subject="user:ada")]
        assert kinds.count("user.logged_in") == 2
        assert taut(place, "logout", url).status == 0
        assert taut(place, "--home", url, "--project", "churn", "runs", "list").status == 12


def test_nobody_becomes_somebody_else_by_calling_themselves_so(place: Path, provider: Running):
    provider.knows(**{"eve-1": {"preferred_username": "olga"}})
    with open_home(place) as home, served(home) as url:
        status, out, err = typed(place, url, "eve-1")
        assert (status, out) == (11, ""), err
        assert "name that the provider tells" in err
        assert [one.name for one in show_users(home)] == ["olga"]


@pytest.mark.parametrize(("client", "method"), [("basic", ""), ("posting", "client_secret_post")])
def test_a_client_with_a_secret_is_one_that_the_server_alone_can_be(
    place: Path, provider: Running, client: str, method: str, monkeypatch: pytest.MonkeyPatch
):
    provider.knows(**{"ada-1": {"preferred_username": "ada"}})
    monkeypatch.setenv("TAUT_OIDC_CLIENT_ID", client)
    with open_home(place) as home, served(home) as url:
        status, out, err = typed(place, url, "ada-1")
        assert (status, out) == (12, ""), err
        assert "invalid_client" in err
        (place / "secret").write_text("a secret: 100% + more\n")
        words = ("access", "client", "set", provider.url, client, "--secret-file", str(place / "secret"))
        made = taut(place, *words, *(["--method", method] if method else []))
        assert made.status == 0, made.err
        status, out, err = typed(place, url, "ada-1")
        assert (status, json.loads(out)["user"]) == (0, "ada"), err


def test_names_and_groups_that_stand_in_no_id_token_are_asked_for(
    place: Path, lean_provider: Running, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAUT_OIDC_ISSUER", lean_provider.url)
    lean_provider.knows(**{"ada-1": {"preferred_username": "ada", "groups": ["data"]}})
    with open_home(place) as home, served(home) as url:
        wanted = WantedAccess(groups={"data": {"churn": ["data-scientist"]}})
        apply_access(home, wanted, plan_access(home, wanted))
        status, out, err = typed(place, url, "ada-1")
        assert (status, json.loads(out)["user"]) == (0, "ada"), err
        (bound,) = [one for one in show_bindings(home, project="churn") if one.user == "ada"]
        assert (bound.role, bound.by) == ("data-scientist", f"group data of {lean_provider.url}")
        lean_provider.knows(**{"ada-1": {"preferred_username": "ada"}})
        assert typed(place, url, "ada-1")[0] == 0
        assert roles(home, "ada") == set()


def test_a_user_who_was_there_before_is_linked_and_unlinked_again(place: Path, provider: Running):
    provider.knows(**{"olga-1": {"preferred_username": "olga"}})
    with open_home(place) as home, served(home) as url:
        assert typed(place, url, "olga-1")[0] == 11  # Her name alone proves nothing.
        assert taut(place, "user", "link", "olga", provider.url, "olga-1").status == 0
        status, out, err = typed(place, url, "olga-1")
        assert (status, json.loads(out)["user"]) == (0, "olga"), err
        assert taut(place, "--home", url, "access", "matrix").status == 0
        unlink_user(home, "olga", provider.url, "olga-1")  # In the server's own process, which knows at once.
        assert taut(place, "--home", url, "access", "matrix").status == 12
        assert typed(place, url, "olga-1")[0] == 11


def test_whoever_says_no_at_the_provider_is_not_logged_in(place: Path, provider: Running):
    with open_home(place) as home, served(home) as url:
        status, out, err = typed(place, url, "ada-1", says_no=True)
    assert (status, out) == (12, "")
    assert "access_denied" in err


@pytest.mark.parametrize("client", ["taut", "elliptic", "edwards"])
def test_a_token_of_the_provider_is_exchanged_by_each_of_its_algorithms(
    place: Path, provider: Running, client: str, monkeypatch: pytest.MonkeyPatch
):
    provider.knows(**{"job-1": {"preferred_username": "job", "groups": ["ci"]}})
    token, _ = id_token_by_browser(Provider(provider.url, client), lambda page: _in_thread(page, "job-1"))
    with open_home(place) as home:
        add_trust(home, provider.url, client, "job-*", ["log"], claims={"preferred_username": "job"}, project="churn")
        given = exchange_token(home, token)
        assert (given.project, given.scopes) == ("churn", ("log",))
        with pytest.raises(Denied, match="shown before"):
            exchange_token(home, token)


def test_a_client_that_the_provider_does_not_know_gets_nobody_in(provider: Running):
    def show(page: str) -> None:
        with pytest.raises(urllib.error.HTTPError):
            Browser().log_in(page, "ada-1")

    with pytest.raises(Unavailable, match="nobody logged in"):
        id_token_by_browser(Provider(provider.url, "unknown"), show, wait_s=0.3)


def test_what_comes_back_from_elsewhere_is_not_heard(provider: Running):
    """Another state, no state, another issuer, another path: the command goes on waiting for the answer to its own."""
    provider.knows(**{"ada-1": {"preferred_username": "ada"}})
    statuses: list[int] = []

    def show(page: str) -> None:
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page).query))
        assert (asked["code_challenge_method"], asked["response_type"]) == ("S256", "code")
        back = asked["redirect_uri"]
        evil = {"code": "stolen", "state": asked["state"], "iss": "https://evil.example.org"}
        for place in (
            f"{back}?code=stolen", f"{back}?code=stolen&state=x", f"{back}?{urllib.parse.urlencode(evil)}",
            back.replace("callback", "elsewhere") + f"?code=stolen&state={asked['state']}",
        ):  # fmt: skip
            _in_thread(place, "", statuses)
        _in_thread(page, "ada-1")

    token, nonce = id_token_by_browser(Provider(provider.url, "taut"), show)
    assert token.count(".") == 2
    assert len(nonce) == 43
    assert statuses == [404] * 4


def _in_thread(place: str, subject: str, statuses: list[int] | None = None) -> None:
    """Open a page while the command waits for what comes of it."""
    import threading

    def opened() -> None:
        try:
            Browser().log_in(place, subject)
        except urllib.error.HTTPError as refused:
            if statuses is None:
                raise
            statuses.append(refused.code)

    threading.Thread(target=opened).start()
