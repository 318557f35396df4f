"""An issuer of our own, and a home that trusts it."""

from collections.abc import Iterator

import pytest

from taut.govern import add_trust, create_project, create_user
from taut.home import Home
from tests.oidc.signing import AUDIENCE, SUBJECT, Issuer, issuing

WORD = "correct horse battery"


@pytest.fixture
def issuer(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """An issuer on this machine that the home may ask."""
    with issuing(home.clock.now_ms()) as found:
        monkeypatch.setenv("TAUT_OIDC_HOSTS", "127.0.0.1")
        yield found


@pytest.fixture
def trusting(home: Home, issuer: Issuer) -> Home:
    """A home with an owner and the project `churn`, which trusts the issuer's main branch to log."""
    create_user(home, "olga", WORD, role="owner")
    create_project(home, "churn")
    add_trust(home, issuer.url, AUDIENCE, SUBJECT, ["read", "log"], project="churn")
    return home


@pytest.fixture
def provided(home: Home, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with an owner and the project `churn`, whose people log in at the issuer."""
    create_user(home, "olga", WORD, role="owner")
    create_project(home, "churn")
    monkeypatch.delenv("TAUT_OIDC_HOSTS")
    monkeypatch.setenv("TAUT_OIDC_ISSUER", issuer.url)
    monkeypatch.setenv("TAUT_OIDC_CLIENT_ID", "taut")
    return home
