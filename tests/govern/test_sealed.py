"""Secrets of webhooks at rest: sealed with a key that lies elsewhere and bound to their row; a lost key is told."""

import base64
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from taut.errors import Corrupt, Denied, Refused, Unavailable
from taut.govern import (
    anchor_ledger,
    back_up,
    create_project,
    create_webhook,
    get_project,
    restore,
    rotate_secret_key,
    seal_secrets,
    secrets,
    show_ledger,
    try_webhook,
    update_webhook,
    verify_home,
)
from taut.govern.webhooks import secret_in
from taut.ground.sealed import FILE, VARIABLE, Key, key_name_of, make_key, read_key
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
    from taut.ground.outbound import signature_of

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


# Another key


def test_another_key_seals_every_secret_of_every_project_anew(home: Home):
    webhook, before = made(home), key_of(home).read_text()
    create_project(home, "churn")
    with home.entered(get_project(home, "churn")) as churn:
        inner = made(churn, "another")
    note = anchor_ledger(home).note
    old = stored(home, webhook)
    found = rotate_secret_key(home)
    assert found.secrets == 2
    assert key_name_of(stored(home, webhook)) == found.key != key_name_of(old)
    assert (known(home, webhook), key_of(home).read_text().count("\n")) == (WORD, 1)
    assert before.strip() not in key_of(home).read_text()
    assert stat.S_IMODE(key_of(home).stat().st_mode) == 0o600
    with home.entered(get_project(home, "churn")) as churn:
        assert known(churn, inner) == "another"
        assert [one.kind for one in show_ledger(churn, subject=f"webhook:{inner}")][-1] == "secret.resealed"
    assert verify_home(home, anchors=[note]).flaws == ()


@pytest.mark.parametrize("dies", ["after the file", "between two projects", "before the old key goes"])
def test_a_change_of_keys_that_was_broken_off_leaves_all_readable_and_is_finished_later(
    home: Home, dies: str, monkeypatch: pytest.MonkeyPatch
):
    webhook = made(home)
    create_project(home, "churn")
    with home.entered(get_project(home, "churn")) as churn:
        inner = made(churn, "another")
    real, count = secrets._reseal, [0]

    def reseal(one: Home, key: Key) -> int:
        count[0] += 1
        if dies == "after the file" or (dies == "between two projects" and count[0] == 2):
            raise KeyboardInterrupt
        return real(one, key)

    def never(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(secrets, "_reseal", reseal)
        if dies == "before the old key goes":
            patch.setattr(secrets, "end_rotation", never)
        with pytest.raises(KeyboardInterrupt):
            rotate_secret_key(home)

    def all_open() -> bool:
        with home.entered(get_project(home, "churn")) as churn:
            return (known(home, webhook), known(churn, inner)) == (WORD, "another")

    assert all_open()
    late = made(home, "third")  # Sealed by whoever comes in between.
    assert rotate_secret_key(home).secrets == 3
    assert all_open()
    assert known(home, late) == "third"
    assert len(key_of(home).read_text().split()) == 1
    assert {path.name for path in key_of(home).parent.glob("secret.key*")} == {FILE}


def test_where_the_owner_keeps_the_key_they_put_the_new_one_first(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "shared.key"
    first, second = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    file.write_text(f"{first}\n")
    monkeypatch.setenv(VARIABLE, str(file))
    webhook = made(home)
    with pytest.raises(Refused, match="not taut's to write"):
        rotate_secret_key(home)
    file.write_text(f"{second}\n{first}\n")
    assert rotate_secret_key(home).secrets == 1
    assert file.read_text() == f"{second}\n{first}\n"
    file.write_text(f"{second}\n")
    assert known(home, webhook) == WORD


def test_there_is_nothing_to_change_where_nothing_was_sealed_and_a_secret_of_another_key_stops_it(home: Home):
    with pytest.raises(Refused, match="nothing was sealed"):
        rotate_secret_key(home)
    webhook = made(home)
    key_of(home).write_text(base64.b64encode(os.urandom(32)).decode())
    with pytest.raises(Unavailable, match="does not have"):
        rotate_secret_key(home)
    assert len(key_of(home).read_text().split()) == 2  # Neither is lost.
    assert key_name_of(stored(home, webhook))
