"""The opened place and the verb: one function, checked once, whoever calls it."""

from dataclasses import dataclass

import pytest

from taut.errors import Denied, Invalid, NotFound, Unavailable
from taut.faces.verbs import VERBS, load_verb
from taut.ground import wire
from taut.ground.access import PERMISSIONS, Actor
from taut.ground.settings import Settings, make_folder
from taut.home import Home, open_home, verb


@dataclass(frozen=True, slots=True)
class Greeting:
    words: str
    times: int


@verb("greeting.say", needs="run:read")
def greet(home: Home, name: str, *, times: int = 1) -> Greeting:
    """Greet somebody."""
    return Greeting(f"hello {name} from {home.actor.name}", times)


def test_a_verb_is_called_like_the_function_it_is(home):
    assert greet(home, "bob", times=2) == Greeting("hello bob from ada", 2)
    assert greet.__doc__ == "Greet somebody."


def test_a_verb_received_over_http_takes_and_gives_json(home):
    assert wire.decode(greet.receive(home, b'{"name":"bob"}'), Greeting) == Greeting("hello bob from ada", 1)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"name":3}', b'{"name":"x","age":4}', b'{"name":"x"', b"\xff"])
def test_arguments_that_do_not_fit_the_signature_are_refused(home, body):
    with pytest.raises(Invalid, match=r"greeting\.say"):
        greet.receive(home, body)


def test_nobody_passes_without_the_permission(home):
    for call in (lambda h: greet(h, "bob"), lambda h: greet.receive(h, b'{"name":"bob"}')):
        with pytest.raises(Denied, match="needs run:read"):
            call(home.as_actor(Actor("eve", "anonymous")))


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_of_the_table_is_there_and_asks_for_a_permission_that_exists(name):
    loaded = load_verb(name)
    assert loaded.needs in PERMISSIONS
    assert (loaded.__doc__ or "").strip()
    assert loaded._arguments is not None


def test_a_verb_that_is_not_in_the_table_is_not_found():
    with pytest.raises(NotFound):
        load_verb("home.destroy")


def test_the_nearest_project_is_home_and_what_is_named_is_taken_at_its_word(tmp_path, monkeypatch):
    make_folder(tmp_path)
    below = tmp_path / "deep"
    below.mkdir()
    monkeypatch.chdir(below)
    with open_home() as home:
        assert home.project == tmp_path
    with pytest.raises(NotFound, match="deep"):
        open_home(below)
    monkeypatch.setenv("TAUT_HOME", str(tmp_path))
    with open_home() as home:
        assert home.place == str(tmp_path)


def test_reading_makes_no_file_where_there_is_no_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound):
        open_home()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_told_in_one_sentence(tmp_path, free_port):
    make_folder(tmp_path, Settings(server=f"http://127.0.0.1:{free_port}"))
    with open_home(tmp_path) as home, pytest.raises(Unavailable, match="no taut server answers") as caught:
        greet(home, "bob")
    assert "TAUT_HOME" in caught.value.hint


def test_a_database_that_is_none_is_told_as_corrupt(tmp_path):
    folder = make_folder(tmp_path)
    (folder / "meta.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(Exception, match=r"damaged or no database"):
        open_home(tmp_path)
