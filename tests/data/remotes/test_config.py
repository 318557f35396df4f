"""DVC's config of remotes, read as DVC reads it and changed without touching what others wrote."""

import os
from pathlib import Path

import pytest

from taut.data.remotes.config import (
    Places,
    add_remote,
    find_remote,
    places_of,
    read_remotes,
    remove_remote,
    set_default,
    set_option,
)
from taut.data.workspace.repository import Repository
from taut.errors import Conflict, Denied, Invalid, NotFound


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "global"))
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(tmp_path / "system"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "repository" / ".dvc").mkdir(parents=True)
    (tmp_path / "repository" / ".dvc" / "config").write_text("")
    return places_of(str(tmp_path / "repository"), "")


def wrote(places: Places, text: str, name: str = "config") -> Places:
    folder = Path(places.shared).parent
    (folder / name).write_text(text)
    return places_of(str(folder.parent), "")


TEXT = """
# the team's
[core]
    remote = store   # where all goes
    analytics = false
['remote "store"']
    url = ../../store
['remote "quoted"']
    URL = "s3://bucket/a, b #c"
    jobs = 4
[remote "plain"]
    url = ~/somewhere
['remote "below"']
    url = remote://quoted/more
    profile = team
"""


def test_quotes_comments_and_relative_paths_are_read_as_dvc_reads_them(places, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    remotes = read_remotes(wrote(places, TEXT))
    assert {name: one.url for name, one in remotes.items()} == {
        "store": str(tmp_path / "store"),
        "quoted": "s3://bucket/a, b #c",
        "plain": "/home/ada/somewhere",
        "below": "s3://bucket/a, b #c/more",
    }
    assert [name for name, one in remotes.items() if one.is_default] == ["store"]
    assert remotes["below"].options == {"jobs": "4", "profile": "team"}


def test_the_nearest_file_wins_option_by_option(places, tmp_path):
    (tmp_path / "global").mkdir()
    (tmp_path / "global" / "config").write_text("['remote \"store\"']\nurl = /far\nprofile = mine\n")
    wrote(places, "[core]\nremote = other\n", "config.local")
    remotes = read_remotes(wrote(places, TEXT))
    assert (remotes["store"].url, remotes["store"].options) == (str(tmp_path / "store"), {"profile": "mine"})
    assert not any(one.is_default for one in remotes.values())
    with pytest.raises(NotFound, match="default"):
        find_remote(places_of(str(tmp_path / "repository"), ""))


def test_a_change_leaves_comments_and_all_else(places):
    places = wrote(places, TEXT)
    set_option(places, "store", "jobs", "8")
    add_remote(places, "new", "s3://bucket/x")
    text = Path(places.shared).read_text()
    assert "# the team's" in text
    assert "# where all goes" in text
    assert 'URL = "s3://bucket/a, b #c"' in text
    remotes = read_remotes(places)
    assert (remotes["store"].option("jobs"), remotes["new"].url) == ("8", "s3://bucket/x")
    remove_remote(places, "store")
    assert "remote = store" not in Path(places.shared).read_text()
    set_option(places, "new", "jobs", "")
    assert find_remote(places, "new").options == {}


def test_a_relative_path_is_written_relative_to_the_config(places, tmp_path):
    assert add_remote(places, "near", "store", default=True).url == str(tmp_path / "store")
    assert "url = ../../store" in Path(places.shared).read_text()
    assert find_remote(places).name == "near"


def test_a_name_is_taken_once_and_can_be_typed(places):
    add_remote(places, "one", "/a")
    with pytest.raises(Conflict):
        add_remote(places, "one", "/b")
    assert add_remote(places, "one", "/b", force=True).url == "/b"
    with pytest.raises(Invalid):
        add_remote(places, 'a"b', "/a")


def test_a_secret_stays_out_of_the_file_that_git_keeps(places):
    add_remote(places, "one", "s3://bucket/a")
    with pytest.raises(Denied) as refused:
        set_option(places, "one", "secret_access_key", "hush")
    assert "--local" in refused.value.hint
    Path(places.local).touch(mode=0o600)
    set_option(places, "one", "secret_access_key", "hush", local=True)
    assert "hush" not in Path(places.shared).read_text()
    assert Path(places.local).stat().st_mode & 0o777 == 0o600
    assert (
        find_remote(places_of(str(Path(places.shared).parent.parent), ""), "one").option("secret_access_key") == "hush"
    )


def test_our_own_format_stands_where_dvc_does_not_look(places, tmp_path):
    add_remote(places, "dvc", "/a", default=True)
    spec = add_remote(places, "ours", "taut+file://../ours", default=True)
    assert "taut+" not in Path(places.shared).read_text()
    again = places_of(str(tmp_path / "repository"), "")
    assert (spec.is_store, find_remote(again).name) == (True, "ours")
    assert find_remote(again).url == f"taut+file://{tmp_path.parent}/ours"
    set_default(again, "dvc")
    assert find_remote(again).name == "dvc"


def test_a_project_without_dvc_has_a_file_of_its_own(tmp_path):
    (tmp_path / ".taut").mkdir()
    places = places_of(str(tmp_path), str(tmp_path / ".taut"))
    with pytest.raises(NotFound):
        find_remote(places)
    add_remote(places, "one", "/a", default=True)
    assert find_remote(places_of(str(tmp_path), str(tmp_path / ".taut"))).url == "/a"
    set_option(places, "one", "jobs", "2")
    assert find_remote(places).option("jobs") == "2"
    assert not (tmp_path / ".dvc").exists()


@pytest.mark.parametrize(
    "text", ["[core\n", "['remote \"a\"']\nurl = remote://a/b\n", "['remote \"a\"']\njobs = 1\n", "[core]\nx = %(y)s\n"]
)
def test_a_broken_config_is_told_with_its_place(places, text):
    with pytest.raises(Invalid):
        read_remotes(wrote(places, text))


def test_a_name_that_is_not_there_is_told_with_those_that_are(places):
    add_remote(places, "one", "/a")
    with pytest.raises(NotFound, match="known: one"):
        find_remote(places, "two")


def test_names_are_the_same_in_capital_letters_as_for_dvc(places):
    places = wrote(
        places, "[core]\nremote = Store\n['remote \"Store\"']\nurl = /a\n['Remote \"Below\"']\nurl = remote://STORE/b\n"
    )
    assert {name: one.url for name, one in read_remotes(places).items()} == {"store": "/a", "below": "/a/b"}
    assert find_remote(places).name == find_remote(places, "STORE").name == "store"
    set_option(places, "STORE", "jobs", "2")
    assert Path(places.shared).read_text().count('tore"') == 1
    assert remove_remote(places, "BELOW").name == "below"
    assert remove_remote(places, "Store").name == "store"
    assert "remote =" not in Path(places.shared).read_text()
    assert add_remote(places, "Next", "/n", default=True).name == "next"


def test_one_reading_serves_cache_and_remotes_and_sees_every_change(places, monkeypatch):
    root = Path(places.shared).parent.parent
    wrote(places, "[core]\nautostage = true\n[cache]\n    type = reflink, hardlink  # cheap\n    dir = ../far\n")
    repository = Repository(str(root))
    assert (repository.cache().folder, repository.cache().types) == (root / "far", ("reflink", "hardlink", "copy"))
    assert repository.is_on("core", "AutoStage".lower())
    os.utime(places.shared, ns=(1, 1))
    for folder in ("near", "next"):  # Of the same size, at once.
        wrote(places, f"[cache]\ndir = ../{folder}\n")
        assert Repository(str(root)).cache().folder == root / folder
    wrote(places, "[cache]\ndir = here\n", "config.local")
    assert Repository(str(root)).cache().folder == root / ".dvc" / "here"
    with pytest.raises(Invalid, match="type"):
        wrote(places, "[cache]\ntype = magic\n")
        Repository(str(root)).cache()
