"""Where a log may lie: with a home in a folder, in PostgreSQL with objects in S3, and behind a server's URL."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from taut.errors import Denied
from taut.govern import check_home, create_token
from taut.ground.access import Actor
from taut.ground.sealed import make_key
from taut.ground.settings import Settings, make_folder
from taut.home import Home, open_home
from taut.serve import find_prediction, labelled_rows, list_predictions, log_labels, traffic
from taut.serve.log import Policy, log_place
from taut.serve.log.compacting import compact
from taut.serve.log.journal import journals_in
from taut.serve.log.keeping import keep_in_order
from taut.serve.log.learning import learn_answers, prepare
from taut.serve.log.sealing import seal
from taut.serve.log.segments import segments_of
from tests.faces.serving import served
from tests.serve.log.scenes import ids_in, opened, said, say


@pytest.fixture
def shared(tmp_path: Path, migrated_postgres_url: str, s3_url: str) -> Iterator[list[Home]]:
    """Two machines of one home: rows in PostgreSQL, objects in S3, a folder and the same key on each."""
    homes = []
    for number in range(2):
        folder = make_folder(tmp_path / f"machine{number}", Settings(metadata=migrated_postgres_url, objects=s3_url))
        if number == 0:
            make_key(folder)
        else:
            (folder / "secret.key").write_bytes((tmp_path / "machine0/.taut/secret.key").read_bytes())
            (folder / "secret.key").chmod(0o600)
        homes.append(open_home(folder.parent, actor=Actor("ada", "owner")))
    yield homes
    for home in homes:
        home.close()


def test_two_machines_have_one_log_and_each_sees_its_own_answers_at_once(shared: list[Home]):
    first, second = shared
    say(first, said("a", given=True), said("x", event_ms=[3_000]))
    say(second, said("b", given=True))
    assert (ids_in(first), ids_in(second)) == (["a", "x"], ["b"])
    seal(first, "late")
    assert ids_in(second) == ["a", "b", "x"]
    seal(second, "late")
    assert (ids_in(first), ids_in(second)) == (["a", "b", "x"], ["a", "b", "x"])
    assert find_prediction(second, "a.0") == find_prediction(first, "a")
    with first.meta.read() as tx:
        assert all(one.secret for one in segments_of(tx, "late"))
    assert check_home(first).problems == ()


def test_an_id_that_both_machines_answered_before_they_knew_is_kept_once(shared: list[Home]):
    first, second = shared
    say(first, said("a", "only1", given=True, delay=1.0))
    say(second, said("a", "only2", given=True, delay=2.0))
    assert (seal(first, "late").rows, seal(second, "late").rows) == (2, 1)
    assert sorted(ids_in(first)) == ["a", "only1", "only2"]
    assert find_prediction(second, "a").inputs["delay"] == [1.0]
    assert learn_answers(second, "late", Policy()) == 1
    log = opened(second)
    assert sorted(log.answered(["a", "only1", "only2"])) == ["a", "only1", "only2"]
    log.close()
    prepare(first, "late", Policy())
    log = opened(first)
    assert sorted(log.answered(["a", "only1", "only2"])) == ["a", "only1", "only2"]
    log.close()


def test_segments_of_a_bucket_are_joined(shared: list[Home]):
    for number in range(4):
        say(shared[number % 2], said(f"r{number}"))
        seal(shared[number % 2], "late")
    assert compact(shared[0], "late", at_least=2) == 4
    assert sorted(ids_in(shared[1])) == ["r0", "r1", "r2", "r3"]


# Behind a server


def test_a_volume_takes_what_is_not_sent_yet_of_each_server_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAUT_PREDICTIONS", str(tmp_path / "volume"))
    with open_home("http://127.0.0.1:1") as one, open_home("http://127.0.0.1:2") as other:
        places = [log_place(one), log_place(other)]
    assert all(place.folder.is_relative_to(tmp_path / "volume") for place in places)
    assert len({place.of("late") for place in places} | {place.keys for place in places}) == 4
    make_folder(tmp_path / "project")
    with open_home(tmp_path / "project") as local:
        assert log_place(local).folder == tmp_path / "project" / ".taut" / "predictions"


@pytest.fixture
def remote(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Home, Home, str]]:
    """A server's home, the same seen from a machine that has its URL and a token for predictions, and the URL."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with open_home(project, actor=Actor("ada", "owner")) as home:
        token = create_token(home, "front", scopes=["predict"]).secret
        with served(home) as url:
            monkeypatch.setenv("TAUT_TOKEN", token)
            with open_home(url) as far:
                yield home, far, url


@pytest.mark.parametrize("has_key", [False, True])
def test_what_a_machine_far_away_said_is_sealed_at_the_server(remote: tuple[Home, Home, str], has_key: bool):
    home, far, _ = remote
    if has_key:
        assert home.folder is not None
        make_key(home.folder)
    log = opened(far)
    log.append(said("a", "b", given=True, counts=[1, 2]))
    assert ids_in(home) == []
    assert keep_in_order(far, "late", also_written=True).rows == 3
    assert ids_in(home) == ["a", "b"]
    assert log_labels(far, "late", {"b.1": 1.0}).new == 1
    assert labelled_rows(home, "late").ids == ["b.1"]
    log.append(said("a", given=True))
    log.append(said("c", event_ms=[9_000]))
    log.close()
    assert keep_in_order(far, "late").rows == 1
    assert ids_in(home) == ["a", "b", "c"]
    assert traffic(home, "late").requests == 3
    assert journals_in(log_place(far).folder / "late") == []
    with home.meta.read() as tx:
        assert {bool(one.secret) for one in segments_of(tx, "late")} == {has_key}
        assert tx.rows("SELECT * FROM prediction_journal") == []
    with pytest.raises(Denied):  # A token for predictions writes them and reads none.
        list_predictions(far, "late")


def test_of_an_id_that_the_server_knows_the_first_answer_is_kept(remote: tuple[Home, Home, str]):
    home, far, _ = remote
    say(home, said("a", given=True, delay=1.0))
    seal(home, "late")
    say(far, said("a", "b", given=True, delay=2.0))
    assert keep_in_order(far, "late").rows == 1
    assert find_prediction(home, "a").inputs["delay"] == [1.0]


@pytest.mark.slow
def test_a_large_batch_goes_to_the_server_in_parts(remote: tuple[Home, Home, str]):
    home, far, _ = remote
    rows = 20_000
    columns = {f"c{number}": [(row * 7919 + number) % 1_000_003 / 7 for row in range(rows)] for number in range(20)}
    log = opened(far)
    for number in range(6):
        log.append(msgspec.structs.replace(said(f"large{number}", counts=[rows]), inputs=columns))
    log.close()
    assert keep_in_order(far, "late").rows == 6 * rows
    assert find_prediction(home, "large3").rows == rows


def test_a_server_that_is_away_leaves_the_journals_and_a_round_ends_with_its_words(
    remote: tuple[Home, Home, str], tmp_path: Path
):
    _, far, _ = remote
    say(far, said("a"))
    done = subprocess.run(
        [sys.executable, "-m", "taut.serve.log", "--deployment", "late", "--once", "--home", "http://127.0.0.1:9"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.startswith("taut: ")) == (15, True)
    assert len(journals_in(log_place(far).folder / "late")) == 1
