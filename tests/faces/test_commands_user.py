"""`taut user`, typed: people with passwords that no command line shows, roles, and grants beside them."""

from pathlib import Path

import pytest

from tests.faces.shell import Said, is_two_lines, taut

WORD = "correct horse battery"


@pytest.fixture
def folder(project: Path) -> Path:
    """A project with an owner and a viewer."""
    assert typed(project, "create", "olga", "--admin").status == 0
    assert typed(project, "create", "vera").status == 0
    return project


def typed(folder: Path, verb: str, *words: str) -> Said:
    return taut(folder, "user", verb, *words, "--password-stdin", "--json", stdin=f"{WORD}\n")


def test_the_first_user_is_an_admin_and_the_password_comes_through_a_pipe(project: Path):
    refused = taut(project, "user", "create", "vera", "--generate")
    assert (refused.status, is_two_lines(refused)) == (3, True)
    assert "--admin" in refused.err
    made = typed(project, "create", "olga", "--admin")
    assert (made.json["user"]["name"], made.json["user"]["role"], made.json["password"]) == ("olga", "owner", None)
    assert WORD not in made.out


def test_a_password_that_is_made_up_is_shown_once(folder: Path):
    made = taut(folder, "user", "create", "dora", "--role", "data-scientist", "--generate")
    assert made.lines == []
    first, secret = made.out.splitlines()
    assert first == "dora is data-scientist; password, shown this once:"
    assert len(secret) >= 24
    again = taut(folder, "user", "password", "dora", "--generate", "--json").json
    assert again["user"]["name"] == "dora"
    assert again["password"] != secret


@pytest.mark.parametrize(
    "words", [(), ("--generate", "--password-stdin"), ("--admin", "--role", "viewer", "--generate")]
)
def test_a_password_is_never_guessed_at(folder: Path, words: tuple[str, ...]):
    said = taut(folder, "user", "create", "dora", *words)
    assert (said.status, is_two_lines(said)) == (2, True)


def test_users_are_listed_shown_and_given_roles(folder: Path):
    assert taut(folder, "user", "role", "vera", "ml-engineer").out == "vera is ml-engineer\n"
    listed = taut(folder, "user", "list", "--json").json
    assert [(one["name"], one["role"]) for one in listed] == [("olga", "owner"), ("vera", "ml-engineer")]
    assert "nothing was granted" in taut(folder, "user", "show", "vera").out
    assert taut(folder, "user", "show", "nobody").status == 10
    assert taut(folder, "user", "role", "vera", "king").status == 13
    assert taut(folder, "user", "role", "olga", "viewer").status == 3


def test_an_experiment_is_granted_by_name_or_id_and_taken_back(folder: Path):
    assert taut(folder, "run", "--experiment", "flights", "--", "true").status == 0
    granted = taut(folder, "user", "grant", "vera", "experiment:flights", "edit", "--json").json
    assert (granted["kind"], granted["level"]) == ("experiment", "EDIT")
    shown = taut(folder, "user", "show", "vera", "--json").json["granted"]
    assert [(one["resource"], one["level"]) for one in shown] == [(granted["resource"], "EDIT")]
    assert f"experiment:{granted['resource']}" in taut(folder, "user", "show", "vera").out
    revoked = taut(folder, "user", "revoke", "vera", f"experiment:{granted['resource']}", "--json")
    assert revoked.json == {"user": "vera", "kind": "experiment", "resource": granted["resource"]}
    assert taut(folder, "user", "revoke", "vera", "experiment:flights").status == 10


@pytest.mark.parametrize(
    ("resource", "level", "status"),
    [
        ("flights", "EDIT", 13), ("experiment:", "EDIT", 13), ("experiment:none", "EDIT", 10),
        ("model:none", "EDIT", 10), ("dataset:x", "EDIT", 13), ("experiment:*", "ALL", 13),
        ("home:*", "USE", 0), ("experiment:*", "READ", 0),
    ],
)  # fmt: skip
def test_a_grant_that_cannot_be_is_told_in_two_lines(folder: Path, resource: str, level: str, status: int):
    said = taut(folder, "user", "grant", "vera", resource, level)
    assert said.status == status
    assert status == 0 or is_two_lines(said)


def test_deleting_a_user_says_what_goes_and_asks(folder: Path):
    taut(folder, "user", "grant", "vera", "model:*", "READ")
    asked = taut(folder, "user", "delete", "vera", stdin="n\n")
    assert asked.status == 130
    assert "delete vera (viewer) and 1 grants" in asked.err
    assert taut(folder, "user", "delete", "vera", "--yes", "--json").json == {"deleted": "vera", "grants": 1}
    assert taut(folder, "user", "delete", "vera", "--yes").status == 10
    assert taut(folder, "user", "delete", "olga", "--yes").status == 3
    assert taut(folder, "ledger", "show", "--kind", "user.deleted", "--json").json[0]["subject"] == "user:vera"
