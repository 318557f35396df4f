"""Secrets of webhooks at rest: sealed with a key that lies elsewhere and bound to their row; a lost key is told."""

import base64
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from taut.errors import Corrupt, Denied, Unavailable
from taut.govern import back_up, create_webhook, restore, seal_secrets, try_webhook, update_webhook
from taut.govern.webhooks import secret_in
from taut.ground.sealed import FILE, VARIABLE, key_name_of, make_key, read_key
from taut.ground.settings import Settings, make_folder
from taut.home import Home, open_home
from tests.faces.receiving import receiving

EVENTS = ["registered_model.created"]
WORD = "a long random text ü"


def made(home: Home, secret: str = WORD) -> str:
    return create_webhook(home, "tell", "https://example.org/hook", EVENTS, secret=secret).id


def stored(home: Home, webhook_id: str) -> str:
    with home.meta.read() as tx:
        row = tx.row("SELECT secret FROM webhook WHERE id = :id", {"id": webhook_id})
    assert row is not None
    return str(row[0])


def known(home: Home, webhook_id: str) -> str:
    with home.meta.read() as tx:
        return secret_in(home, tx, webhook_id)


def key_of(home: Home) -> Path:
    assert home.folder is not None
    return home.folder / FILE


def test_a_secret_lies_sealed_in_the_database_and_is_known_to_whoever_has_the_key(home: Home):
    webhook = made(home)
    assert WORD not in stored(home, webhook) and key_name_of(stored(home, webhook))
    assert known(home, webhook) == WORD
    assert stat.S_IMODE(key_of(home).stat().st_mode) == 0o600
    before = stored(home, webhook)
    update_webhook(home, webhook, secret=WORD)
    assert stored(home, webhook) != before  # No two are alike, so equal secrets cannot be seen.
    update_webhook(home, webhook, secret="")
    assert (stored(home, webhook), known(home, webhook)) == ("", "")


def test_no_key_is_made_where_there_is_no_secret(home: Home):
    assert known(home, made(home, "")) == ""
    assert seal_secrets(home) == 0
    assert not key_of(home).exists()


def test_deliveries_are_signed_with_the_secret_and_not_with_what_is_stored(home: Home, monkeypatch):
    from taut.govern.deliveries import signature_of

    with receiving() as receiver:
        monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", "127.0.0.1")
        webhook = create_webhook(home, "tell", receiver.url, EVENTS, secret=WORD)
        assert try_webhook(home, webhook.id).success
    (heard,) = receiver.heard
    headers = {name.lower(): value for name, value in heard.headers.items()}
    names = (headers["x-mlflow-delivery-id"], headers["x-mlflow-timestamp"])
    assert headers["x-mlflow-signature"] == signature_of(WORD, *names, heard.body.decode())


def test_what_an_older_taut_wrote_in_the_open_is_used_and_sealed_at_the_next_start(home: Home):
    webhook = made(home, "")
    with home.meta.transaction() as tx:
        tx.execute("UPDATE webhook SET secret = :secret", {"secret": WORD})
    assert known(home, webhook) == WORD
    assert (seal_secrets(home), seal_secrets(home)) == (1, 0)
    assert WORD not in stored(home, webhook)
    assert known(home, webhook) == WORD


def test_a_lost_key_is_told_and_never_replaced_by_another(home: Home):
    webhook = made(home)
    kept = key_of(home).read_bytes()
    key_of(home).unlink()
    for attempt in (
        lambda: known(home, webhook),
        lambda: made(home),
        lambda: update_webhook(home, webhook, secret="x"),
    ):
        with pytest.raises(Unavailable, match="which this server does not have") as lost:
            attempt()
        assert VARIABLE in lost.value.hint and not key_of(home).exists()
    key_of(home).write_bytes(base64.b64encode(os.urandom(32)))
    key_of(home).chmod(0o600)
    with pytest.raises(Unavailable, match="does not have"):
        known(home, webhook)
    key_of(home).write_bytes(kept)
    assert known(home, webhook) == WORD


def test_a_sealed_secret_works_in_no_other_row_and_not_changed(home: Home):
    first, second = made(home), made(home, "another")
    with home.meta.transaction() as tx:
        tx.execute("UPDATE webhook SET secret = :s WHERE id = :id", {"s": stored(home, first), "id": second})
    with pytest.raises(Corrupt):
        known(home, second)
    for broken in (
        stored(home, first)[:-4],
        stored(home, first)[:-1] + "!",
        stored(home, first).rpartition(":")[0] + ":",
    ):
        with home.meta.transaction() as tx:
            tx.execute("UPDATE webhook SET secret = :s WHERE id = :id", {"s": broken, "id": second})
        with pytest.raises(Corrupt):
            known(home, second)


def test_replicas_share_a_key_by_its_file(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = replace(home, folder=tmp_path / "other")
    (tmp_path / "other").mkdir()
    webhook = made(home)
    with pytest.raises(Unavailable, match="does not have"):
        made(other)
    monkeypatch.setenv(VARIABLE, str(key_of(home)))
    assert (known(other, webhook), known(other, made(other, "theirs"))) == (WORD, "theirs")
    assert not key_of(other).exists()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(Unavailable, match="not there"):
        known(other, webhook)


def test_a_key_that_others_may_read_or_that_is_none_is_not_used(home: Home):
    webhook = made(home)
    key_of(home).chmod(0o644)
    with pytest.raises(Denied) as open_to_all:
        known(home, webhook)
    assert open_to_all.value.hint.startswith("chmod 600")
    for nonsense in (b"", b"nonsense!", base64.b64encode(b"short"), b"\xff"):
        key_of(home).write_bytes(nonsense)
        key_of(home).chmod(0o600)
        with pytest.raises(Corrupt):
            known(home, webhook)


def test_those_who_make_the_key_at_once_have_the_same(tmp_path: Path):
    names: list[str] = []
    crowd = [threading.Thread(target=lambda: names.append(make_key(tmp_path).name)) for _ in range(8)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    found = read_key(tmp_path)
    assert found is not None and names == [found.name] * 8
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_a_backup_holds_the_sealed_secret_and_not_the_key(home: Home, tmp_path: Path):
    webhook = made(home)
    back_up(home, tmp_path / "copy")
    assert not list((tmp_path / "copy").rglob(FILE))
    (tmp_path / "again").mkdir()
    make_folder(tmp_path / "again", Settings())
    with open_home(tmp_path / "again") as other:
        restore(other, tmp_path / "copy")
        with pytest.raises(Unavailable, match="does not have"):
            known(other, webhook)
        key_of(other).write_bytes(key_of(home).read_bytes())
        key_of(other).chmod(0o600)
        assert known(other, webhook) == WORD
