"""Data keys of a log on a machine: made once, sealed by the home's, and read by nobody who has only the folder."""

import os
import threading
from pathlib import Path

import pytest

from taut.errors import Corrupt, Denied, Unavailable
from taut.ground.sealed import begin_rotation, end_rotation, make_key, read_key
from taut.serve.log.sealing_key import (
    FILE,
    DataKey,
    new_data_key,
    open_key,
    read_data_key,
    reseal_data_key,
    seal_key,
    wanted_data_key,
)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The folder of a home's key."""
    folder = tmp_path / "keys"
    folder.mkdir()
    return folder


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The folder of a deployment's log."""
    folder = tmp_path / "late"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("encrypt", "has_key", "is_sealed"),
    [(None, False, False), (None, True, True), (True, False, True), (True, True, True), (False, True, False)],
)
def test_it_is_the_policy_or_the_home_that_asks_for_a_key(
    keys: Path, log: Path, encrypt: bool | None, has_key: bool, is_sealed: bool
):
    if has_key:
        make_key(keys)
    made = wanted_data_key(log, keys, encrypt=encrypt)
    assert (made is not None) == is_sealed
    assert (log / FILE).exists() == is_sealed
    assert (read_key(keys) is not None) == (has_key or is_sealed)
    assert read_data_key(log, keys) == made == wanted_data_key(log, keys, encrypt=encrypt)


def test_many_that_make_it_at_once_have_the_same(keys: Path, log: Path):
    found: list[DataKey | None] = []
    make_key(keys)
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        found.append(wanted_data_key(log, keys, encrypt=True))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert [path.name for path in log.iterdir()] == [FILE]
    assert (log / FILE).stat().st_mode & 0o777 == 0o600


def test_its_file_says_nothing_without_the_key_of_the_home(keys: Path, log: Path):
    made = wanted_data_key(log, keys, encrypt=True)
    assert made is not None
    assert made.secret not in (log / FILE).read_bytes()
    (keys / "secret.key").rename(keys / "away")
    with pytest.raises(Unavailable, match="which this server does not have"):
        read_data_key(log, keys)
    make_key(keys)
    with pytest.raises(Unavailable):
        read_data_key(log, keys)
    (keys / "away").replace(keys / "secret.key")
    assert read_data_key(log, keys) == made


def test_that_of_another_deployment_does_not_open(keys: Path, log: Path, tmp_path: Path):
    wanted_data_key(log, keys, encrypt=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / FILE).write_bytes((log / FILE).read_bytes())
    with pytest.raises(Corrupt):
        read_data_key(other, keys)


@pytest.mark.parametrize("text", ["", "sealed:1:", "nothing", "sealed:1:0123456789abcdef:AAAA", "sealed:1:%s:!!"])
def test_a_file_that_holds_no_key_is_told(keys: Path, log: Path, text: str):
    (log / FILE).write_text(text.replace("%s", make_key(keys).name))
    with pytest.raises((Corrupt, Unavailable)):
        read_data_key(log, keys)


def test_a_key_that_others_may_read_is_refused(keys: Path, log: Path):
    make_key(keys)
    (keys / "secret.key").chmod(0o644)
    with pytest.raises(Denied):
        wanted_data_key(log, keys, encrypt=None)


def test_another_key_of_the_home_takes_the_place_of_the_one_before(keys: Path, log: Path, tmp_path: Path):
    made = wanted_data_key(log, keys, encrypt=True)
    before = (log / FILE).read_text()
    both = begin_rotation(keys)
    assert reseal_data_key(log, both)
    end_rotation(keys)
    assert (log / FILE).read_text() != before
    assert read_data_key(log, keys) == made
    assert sorted(path.name for path in log.iterdir()) == [FILE]
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    assert not reseal_data_key(nothing, both)


def test_what_is_sealed_is_bound_to_what_it_belongs_to(keys: Path):
    key, data_key = make_key(keys), new_data_key()
    sealed = data_key.seal(b"what was said", belongs_to="a.journal")
    assert data_key.open(sealed, belongs_to="a.journal") == b"what was said"
    for wrong, where in (
        (sealed, "b.journal"),
        (sealed[:-1], "a.journal"),
        (b"", "a.journal"),
        (sealed[1:], "a.journal"),
    ):
        with pytest.raises(Corrupt):
            data_key.open(wrong, belongs_to=where)
    assert data_key.seal(b"what was said", belongs_to="a.journal") != sealed
    written = seal_key(key, data_key, belongs_to="segment:late@1")
    assert open_key(key, written, belongs_to="segment:late@1") == data_key
    with pytest.raises(Corrupt):
        open_key(key, written, belongs_to="segment:late@2")


def test_digests_have_a_key_of_their_own():
    one, other = DataKey(os.urandom(32)), DataKey(os.urandom(32))
    assert len(one.digests()) == 32
    assert one.digests() == DataKey(one.secret).digests() != one.secret
    assert one.digests() != other.digests()
