"""The verb that a process far from its home asks about a caller, over a real server."""

import pytest

from taut.callers import ask_access
from taut.errors import Denied, Invalid
from taut.govern import create_token, create_user
from taut.ground.ledger import events
from taut.home import open_home
from tests.faces.serving import served
from tests.serve.scenes import make_home


def test_a_server_says_who_somebody_is_to_whoever_shows_their_token(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TAUT_TOKEN", raising=False)
    with make_home(tmp_path / "project") as home:
        create_user(home, "olga", "correct horse battery", role="owner")
        client = create_token(home, "client", scopes=["predict"]).secret
        with served(home) as url, open_home(url) as far:
            assert far.remote is not None
            theirs = far.remote.as_caller(f"Bearer {client}")
            asked = {"permission": "deployment:predict", "resource": "deployment:late"}
            assert theirs.call("access.ask", asked) == b'"client"'
            for wrong in (
                {**asked, "permission": "run:raed"}, {**asked, "resource": "late"}, {**asked, "resource": "cat:late"},
                {**asked, "resource": "deployment:"}, {**asked, "resource": "deployment:" + "x" * 256},
            ):  # fmt: skip
                with pytest.raises(Invalid):
                    theirs.call("access.ask", wrong)
            for permission in ("deployment:write", "server:observe"):
                with pytest.raises(Denied, match="may not do"):
                    theirs.call("access.ask", {**asked, "permission": permission})
            for shown in ("", "Bearer wrong", client):
                with pytest.raises(Denied) as refused:
                    far.remote.as_caller(shown).call("access.ask", asked)
                assert refused.value.hint.startswith("taut login")  # As the guard of an endpoint tells it from a 403.
        assert ask_access(home, "deployment:predict", "deployment:late") == home.actor.name
        with home.meta.read() as tx:
            assert {entry.actor for entry in events(tx, kind="access.denied")} == {"client"}
