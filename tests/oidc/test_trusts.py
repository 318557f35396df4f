"""Whom a project trusts, and what it gives them: by verbs, from a file, at a shell, over HTTP."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from taut.callers import actor_of
from taut.errors import Conflict, Denied, Invalid, NotFound
from taut.govern import (
    WantedAccess,
    WantedTrust,
    add_trust,
    apply_access,
    create_project,
    create_user,
    delete_project,
    exchange_token,
    get_project,
    plan_access,
    remove_trust,
    show_access_log,
    show_ledger,
    show_tokens,
    show_trusts,
)
from taut.ground.access import ROLES
from taut.home import Home, open_home
from taut.runs import create_run
from tests.faces.serving import served
from tests.faces.shell import is_two_lines, taut
from tests.faces.speaking import POOL
from tests.marks import POSTGRESQL_SLOW
from tests.oidc.signing import AUDIENCE, SUBJECT, Issuer, exchanged, issuing


@pytest.fixture(name="home", params=POSTGRESQL_SLOW)
def fast_home(home: Home) -> Home:
    """The home of all tests, in the fast run on SQLite alone."""
    return home


WORD = "correct horse battery"
GITHUB = "https://token.actions.githubusercontent.com"


def hands(home: Home, name: str) -> Home:
    """The home in the hands of a user."""
    actor = actor_of(home, "Basic " + base64.b64encode(f"{name}:{WORD}".encode()).decode())
    assert actor is not None
    return home.as_actor(actor)


def kinds(home: Home) -> list[tuple[str, str]]:
    return [(one.kind, one.subject.partition(":")[0]) for one in show_access_log(home, limit=1000)]


def test_a_token_of_ci_does_in_its_project_what_its_scopes_say_for_a_quarter_of_an_hour(trusting: Home, issuer: Issuer):
    given = exchange_token(trusting, issuer.token())
    (token,) = show_tokens(trusting)
    assert (token.name, token.kind, token.role) == (f"oidc:{SUBJECT}", "service", "scope:read+scope:log")
    assert token.expires_ms == trusting.clock.now_ms() + 15 * 60_000
    with trusting.entered(get_project(trusting, "churn")) as churn:
        actor = actor_of(churn, f"Bearer {given.secret}")
        assert actor is not None
        run = create_run(churn.as_actor(actor), experiment="ci")
        assert create_run(churn, experiment="ci").id != run.id
    entry = show_access_log(trusting, subject=f"token:{token.id}")[-1]
    body = json.loads(entry.body)
    assert (entry.kind, entry.actor) == ("token.exchanged", f"oidc:{SUBJECT}")
    assert body == {
        "issuer": issuer.url, "subject": SUBJECT, "project": "churn", "role": "scope:read+scope:log",
        "trust": token.made_by.removeprefix("trust:"),
    }  # fmt: skip
    trusting.clock.pass_ms(15 * 60_000)  # type: ignore[attr-defined]  # The clock of the tests.
    with trusting.entered(get_project(trusting, "churn")) as churn:
        assert actor_of(churn, f"Bearer {given.secret}") is None


@pytest.mark.parametrize(
    ("pattern", "claims", "fits"),
    [
        ("repo:acme/*", {}, True), ("repo:acme/churn:*", {"ref": "main"}, True), ("repo:acme/churn", {}, False),
        ("*:ref:refs/heads/main", {}, True), ("acme", {}, False), ("repo:acme/churn:*", {"ref": "mai"}, False),
        ("repo:acme/churn:*", {"ref": "*"}, False), ("*", {"run": "7", "protected": "true"}, True),
        ("*", {"run": "7", "protected": "True"}, False), ("*", {"absent": "None"}, False),
        ("*", {"list": "main"}, False), ("repo:acme/churn:ref:refs/heads/mai?", {}, True),
        ("REPO:acme/*", {}, False),
    ],
)  # fmt: skip
def test_a_pattern_is_for_the_whole_subject_and_a_claim_for_exactly_its_value(
    trusting: Home, issuer: Issuer, pattern: str, claims: dict[str, str], fits: bool
):
    for one in show_trusts(trusting, project="*"):
        remove_trust(trusting, one.id)
    add_trust(trusting, issuer.url, AUDIENCE, pattern, ["log"], claims=claims, project="churn")
    token = issuer.token(ref="main", run=7, protected=True, list=["main"])
    if fits:
        assert exchange_token(trusting, token).scopes == ("log",)
        return
    with pytest.raises(Denied, match="nothing here trusts"):
        exchange_token(trusting, token)


@pytest.mark.parametrize(
    "words",
    [
        {"issuer": "http://ci.example.org"}, {"issuer": "https://ci.example.org/?a"}, {"issuer": "ci.example.org"},
        {"issuer": "https://ada:b@ci.example.org"}, {"issuer": "https://[::1"}, {"issuer": "file:///etc"},
        {"issuer": "https://ci.example.org/#a"}, {"issuer": ""}, {"audience": ""}, {"subject": ""}, {"subject": "*"},
        {"subject": "**?"}, {"subject": "[!x]*"},
        {"subject": "a\nb"}, {"scopes": []}, {"scopes": ["all"]}, {"scopes": ["log", "admin"]},
        {"claims": {"ref": ""}}, {"claims": {"x" * 501: "a"}}, {"claims": {str(n): "a" for n in range(21)}},
    ],
)  # fmt: skip
def test_a_trust_that_would_let_in_anybody_or_nobody_is_refused(trusting: Home, words: dict[str, object]):
    good = {"issuer": GITHUB, "audience": AUDIENCE, "subject": SUBJECT, "scopes": ["log"]}
    with pytest.raises(Invalid):
        add_trust(trusting, **{**good, **words})  # type: ignore[arg-type]  # That is the point.
    assert len(show_trusts(trusting, project="*")) == 1


def test_who_administers_a_project_trusts_for_it_and_for_no_other(trusting: Home, issuer: Issuer):
    create_user(trusting, "pia", WORD, role="project-admin")
    create_user(trusting, "mel", WORD, role="ml-engineer")
    create_user(trusting, "sam", WORD, role="server-admin")
    pia = hands(trusting, "pia")
    mine = add_trust(pia, GITHUB, AUDIENCE, SUBJECT, ["read"])
    assert (mine.project, mine.made_by) == ("default", "pia")
    assert show_trusts(pia) == [mine]
    (other,) = show_trusts(trusting, project="churn")
    with pytest.raises(NotFound):
        add_trust(pia, GITHUB, AUDIENCE, SUBJECT, ["read"], project="churn")
    with pytest.raises(NotFound):
        remove_trust(pia, other.id)
    with pytest.raises(Denied):
        show_trusts(pia, project="churn")
    for verb in (
        lambda mel: add_trust(mel, GITHUB, AUDIENCE, SUBJECT, ["read"]), show_trusts,
        lambda mel: remove_trust(mel, mine.id),
    ):  # fmt: skip
        with pytest.raises(Denied):
            verb(hands(trusting, "mel"))
    sam = hands(trusting, "sam")
    assert {one.id for one in show_trusts(sam, project="*")} == {other.id, mine.id}
    assert remove_trust(sam, other.id) == other
    assert kinds(trusting)[-2:] == [("access.trusted", "trust"), ("access.untrusted", "trust")]


def test_a_trust_that_ends_ends_the_tokens_that_it_gave(trusting: Home, issuer: Issuer):
    given = exchange_token(trusting, issuer.token())
    churn = get_project(trusting, "churn")
    (trust,) = show_trusts(trusting, project="churn")
    remove_trust(trusting, trust.id)
    with trusting.entered(churn) as inner:
        assert actor_of(inner, f"Bearer {given.secret}") is None
    with pytest.raises(NotFound):
        remove_trust(trusting, trust.id)
    with pytest.raises(Denied, match="nothing here trusts"):
        exchange_token(trusting, issuer.token())


def test_what_a_project_trusts_ends_with_it(trusting: Home, issuer: Issuer):
    delete_project(trusting, "churn")
    create_project(trusting, "churn")
    assert show_trusts(trusting, project="*") == []
    with pytest.raises(Denied, match="nothing here trusts"):
        exchange_token(trusting, issuer.token())


def test_of_several_projects_one_is_named_and_of_one_project_all_scopes_are_given(trusting: Home, issuer: Issuer):
    add_trust(trusting, issuer.url, AUDIENCE, "repo:acme/*", ["predict"], project="churn")
    add_trust(trusting, issuer.url, AUDIENCE, "repo:acme/*", ["deploy"])
    token = issuer.token()
    with pytest.raises(Invalid, match="several projects"):
        exchange_token(trusting, token)
    assert exchange_token(trusting, token, project="churn").scopes == ("read", "log", "predict")
    given = exchange_token(trusting, issuer.token(), project="default")
    actor = actor_of(trusting, f"Bearer {given.secret}")
    assert actor is not None
    assert ROLES[actor.role] == ROLES["scope:deploy"]
    with pytest.raises(Denied, match="nothing here trusts"):
        exchange_token(trusting, issuer.token(), project="nowhere")


def test_a_good_token_that_is_worth_nothing_is_in_the_ledger(trusting: Home, issuer: Issuer):
    with pytest.raises(Denied):
        exchange_token(trusting, issuer.token(sub="repo:evil/fork"))
    from tests.faces.speaking import denials

    (denied,) = denials(trusting)
    assert (denied.actor, json.loads(denied.body)["subject"]) == ("oidc:repo:evil/fork", "repo:evil/fork")


# Over HTTP


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 400), (b"", 400), (b"\xff=1", 400), (b"grant_type=password&subject_token=x", 400),
        (b"subject_token=" + b"x" * 70_000, 413), (b"a=1&" * 30 + b"b=1", 400), (b"a=1&a=2", 400),
    ],
)  # fmt: skip
def test_what_is_no_form_of_an_exchange_is_told_so(trusting: Home, body: bytes, status: int):
    with served(trusting) as url:
        answer = POOL.request("POST", f"{url}/api/taut/v1/token", body=body)
        assert answer.status == status
        assert set(json.loads(answer.data)) == {"error", "message", "hint"}


def test_the_answer_is_that_of_rfc_8693_and_the_project_may_stand_in_the_path(trusting: Home, issuer: Issuer):
    with served(trusting) as url:
        status, said = exchanged(f"{url}/projects/churn", issuer.token(), project="churn")
        assert (status, said.pop("access_token")[:5]) == (200, "taut_")
        assert said == {
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer",
            "expires_in": 900, "scope": "read log", "project": "churn",
        }  # fmt: skip
        page = POOL.request(
            "POST", f"{url}/api/taut/v1/token", body=b"a=1", headers={"origin": "https://evil.example.org"}
        )
        assert page.status == 403


# From a file


def test_a_file_says_whom_all_projects_trust(trusting: Home, issuer: Issuer):
    create_user(trusting, "pia", WORD, role="project-admin")
    (old,) = show_trusts(trusting, project="*")
    kept = WantedTrust(old.issuer, old.audience, old.subject, "churn", ["log", "read"])
    new = WantedTrust(GITHUB, AUDIENCE, "repo:acme/fraud:*", "default", ["deploy"], {"ref": "refs/heads/main"})
    wanted = WantedAccess(trust=[kept, new, new])
    planned = plan_access(trusting, wanted)
    assert [(one.does, one.project, one.role) for one in planned] == [("trust", "default", "scope:deploy")]
    assert apply_access(trusting, wanted, planned) == planned
    assert plan_access(trusting, wanted) == []
    with pytest.raises(Conflict):
        apply_access(trusting, WantedAccess(trust=[]), planned)
    gone = plan_access(trusting, WantedAccess(trust=[kept]))
    assert [(one.does, one.trusted["subject"]) for one in gone] == [("untrust", "repo:acme/fraud:*")]
    assert plan_access(trusting, WantedAccess()) == []
    apply_access(trusting, WantedAccess(trust=[]), plan_access(trusting, WantedAccess(trust=[])))
    assert show_trusts(trusting, project="*") == []
    with pytest.raises(Denied):
        plan_access(hands(trusting, "pia"), WantedAccess(trust=[]))
    with pytest.raises(NotFound, match="there is no project"):
        plan_access(trusting, WantedAccess(trust=[WantedTrust(GITHUB, AUDIENCE, SUBJECT, "nowhere", ["log"])]))
    with pytest.raises(Invalid):
        plan_access(trusting, WantedAccess(trust=[WantedTrust(GITHUB, AUDIENCE, "*", "churn", ["log"])]))


# At a shell

FILE = """\
projects:
  fraud: {roles: {viewer: [ada]}}
groups:
  data team: {fraud: [data-scientist], default: [viewer]}
trust:
  - {issuer: 'https://ci.example.org', audience: taut, subject: 'repo:acme/*', project: fraud, scopes: [log, read]}
  - {issuer: 'https://ci.example.org', audience: taut, subject: '*', claims: {id: '7'}, project: default,
     scopes: [read]}
"""
PLANNED = """\
make project fraud
bind ada viewer in fraud
map group data team to viewer in default
map group data team to data-scientist in fraud
trust repo:acme/* of https://ci.example.org for taut: read+log in fraud
trust * of https://ci.example.org for taut with {"id":"7"}: read in default
"""


def test_groups_and_trust_stand_in_the_file_beside_the_members(project: Path):
    with open_home(project) as home:
        create_user(home, "olga", WORD, role="owner")
        create_user(home, "ada", WORD, role="")
    (project / "access.yaml").write_text(FILE)
    assert taut(project, "access", "plan", "access.yaml").out == PLANNED
    assert taut(project, "access", "apply", "access.yaml", "--yes").out == PLANNED
    assert taut(project, "access", "plan", "access.yaml").out == "nothing would change\n"
    listed = taut(project, "access", "trust", "list", "--project", "*", "--json").json
    assert {(one["project"], one["role"]) for one in listed} == {
        ("fraud", "scope:read+scope:log"), ("default", "scope:read"),
    }  # fmt: skip
    (project / "access.yaml").write_text("groups: {}\ntrust: []\n")
    ended = taut(project, "access", "apply", "access.yaml", "--yes").out.splitlines()
    assert sorted(line.split()[0] for line in ended) == ["unmap", "unmap", "untrust", "untrust"]
    (project / "access.yaml").write_text("trust: [{issuer: 'https://ci.example.org'}]\n")
    refused = taut(project, "access", "plan", "access.yaml")
    assert (refused.status, is_two_lines(refused)) == (13, True)


def test_trust_is_added_listed_and_removed_at_a_shell(project: Path):
    words = ("trust", "add", GITHUB, "--audience", AUDIENCE, "--subject", SUBJECT, "--scope", "log")
    made = taut(project, "access", *words, "--claim", "repository_id=42", "--json").json
    assert (made["claims"], made["role"], made["project"]) == ({"repository_id": "42"}, "scope:log", "default")
    assert SUBJECT in taut(project, "access", "trust", "list").out
    assert taut(project, "access", "trust", "list", "--json").json == [made]
    for wrong in (("--claim", "ref"), ("--claim", "a=1", "--claim", "a=2")):
        refused = taut(project, "access", *words, *wrong)
        assert (refused.status, is_two_lines(refused)) == (2, True)
    assert taut(project, "access", "trust", "remove", made["id"]).out.startswith("trusted no more: repo:acme")
    assert taut(project, "access", "trust", "remove", made["id"]).status == 10


def test_a_job_of_ci_logs_in_with_its_token_from_a_file_from_stdin_and_from_the_environment(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TAUT_OIDC_HOSTS", "127.0.0.1")
    with open_home(project) as home, issuing(home.clock.now_ms()) as issuer, served(home) as url:
        create_user(home, "olga", WORD, role="owner")
        create_project(home, "churn")
        add_trust(home, issuer.url, AUDIENCE, SUBJECT, ["read", "log"], project="churn")
        file = tmp_path / "token"
        file.write_text(issuer.token() + "\n")
        said = taut(tmp_path, "login", url, "--oidc-token-file", str(file), "--json").json
        assert (said["project"], said["scopes"], said["life_s"]) == ("churn", ["read", "log"], 900)
        assert "taut_" not in json.dumps(said)
        assert taut(tmp_path, "--home", url, "runs", "list", "--json").json == []
        assert taut(tmp_path, "--home", url, "token", "list").status == 12
        again = taut(tmp_path, "login", url, "--oidc-token-file", str(file))
        assert (again.status, is_two_lines(again), "shown before" in again.err) == (12, True, True)
        shown = taut(
            tmp_path, "--project", "churn", "login", url, "--oidc-token-file", "-", "--show-token",
            stdin=issuer.token(),
        )  # fmt: skip
        assert shown.out.startswith("taut_")
        file.write_text(issuer.token())
        assert "for churn (read log)" in taut(tmp_path, "login", url, TAUT_OIDC_TOKEN_FILE=str(file)).out
        assert taut(tmp_path, "login", url, "--oidc-token-file", "nowhere").status == 10
        for words in (("--oidc", "--user", "ada"), ("--show-token",), ("--no-browser",)):
            refused = taut(tmp_path, "login", url, *words)
            assert (refused.status, is_two_lines(refused)) == (2, True), words
        assert taut(tmp_path, "logout", url).status == 0


def test_nobody_fills_the_ledger_with_tokens_that_are_refused(trusting: Home, issuer: Issuer):
    def denials() -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in show_ledger(trusting, kind="access.denied", limit=1000)]

    steady = [0.0]
    trusting.access.steady = lambda: steady[0]
    for number in range(200):
        with pytest.raises(Denied):
            exchange_token(trusting, issuer.token(sub=f"repo:evil/{number % 100}"))
    assert len(denials()) == 21
    token = issuer.token()
    exchange_token(trusting, token)
    steady[0] = 700.0
    with pytest.raises(Denied, match="shown before"):
        exchange_token(trusting, token)
    assert (len(denials()), denials()[-1]["others"]) == (22, 179)
    with pytest.raises(Denied, match="shown before"):
        exchange_token(trusting, token)
    assert len(denials()) == 22
