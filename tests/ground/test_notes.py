"""Signed checkpoints and the key they are signed with: the C2SP format to the letter, and one key for one home."""

import base64
import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Corrupt, Denied, Invalid, Refused
from taut.ground.ledger import events
from taut.ground.ledger.keys import KEY_FILE, public_key, signing_key
from taut.ground.ledger.notes import (
    Checkpoint,
    SecretKey,
    joined,
    notes_in,
    open_note,
    read_note,
    read_public_key,
    read_secret_key,
    sign,
)
from tests.marks import slow_on_postgresql

# The key and the note of the documentation of Go's package golang.org/x/mod/sumdb/note.
GO_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)  # fmt: skip
KEY = SecretKey("taut.home/1", bytes(range(32)))


def note(size: int = 3, root: bytes = bytes(32), key: SecretKey = KEY) -> str:
    return sign(Checkpoint(key.name, size, root), key)


def test_keys_and_signatures_are_those_of_another_program():
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret, public = read_secret_key(GO_SECRET), read_public_key(GO_PUBLIC)
    assert secret.public == public
    assert (str(secret), str(public)) == (GO_SECRET, GO_PUBLIC)
    signed = public.id + Ed25519PrivateKey.from_private_bytes(secret.seed).sign(GO_TEXT.encode())
    assert base64.b64encode(signed).decode() == GO_SIGNATURE


def test_a_note_is_written_as_c2sp_says():
    text = f"taut.home/1\n3\n{'A' * 43}=\n"
    signed, empty, line = note().removeprefix(text).partition("— ")[0], "", note().splitlines()[-1]
    assert (note().startswith(text), signed, empty) == (True, "\n", "")
    dash, name, encoded = line.split(" ")
    assert (dash, name) == ("—", "taut.home/1")
    raw = base64.b64decode(encoded)
    assert raw[:4] == hashlib.sha256(b"taut.home/1\n\x01" + KEY.public.data).digest()[:4]
    assert len(raw) == 4 + 64


@given(st.integers(0, 2**63), st.binary(min_size=32, max_size=32))
def test_a_note_that_was_signed_is_opened_again(size, root):
    assert open_note(note(size, root), KEY.public) == Checkpoint("taut.home/1", size, root)


@pytest.mark.parametrize(
    "changed",
    [
        note().replace("\n3\n", "\n4\n"),
        note().replace("taut.home/1\n3", "taut.home/2\n3"),
        note().replace("A=", "E="),
        note(key=SecretKey("taut.home/1", bytes(32))),
        note().replace("— taut.home/1 ", "— taut.home/2 "),
    ],
)
def test_a_note_that_was_changed_or_signed_by_another_is_refused(changed):
    with pytest.raises(Corrupt, match="signed"):
        open_note(changed, KEY.public)


def test_a_note_with_a_second_signature_is_opened_by_either_key():
    witness = SecretKey("witness", bytes(32))
    line = sign(Checkpoint("taut.home/1", 3, bytes(32)), witness).splitlines()[-1]
    both = f"{note()}{line}\n"
    assert open_note(both, KEY.public) == open_note(both, witness.public)


@pytest.mark.parametrize(
    "text",
    ["", "words", note().replace("\n\n", "\n"), note().replace("\n3\n", "\n03\n"), note().replace("A=", "==")],
)
def test_what_is_no_checkpoint_is_invalid(text):
    with pytest.raises(Invalid):
        read_note(text)


def test_notes_stand_one_after_the_other_in_a_text():
    three = [note(size) for size in (1, 2, 3)]
    assert notes_in(joined(three)) == three
    assert notes_in("") == []
    with pytest.raises(Invalid, match="'stray'"):
        notes_in(joined([*three, "stray"]))


@pytest.mark.parametrize(
    "text", ["", "a+b", "a+00000000+AAAA", GO_PUBLIC.replace("c74f20a3", "c74f20a4"), GO_PUBLIC.replace("AR", "BR")]
)
def test_what_is_no_public_key_is_invalid(text):
    with pytest.raises(Invalid):
        read_public_key(text)


@pytest.mark.parametrize(
    "text", ["", GO_PUBLIC, "PRIVATE+KEY+x", GO_SECRET.replace("c74f20a3", "c74f20a4"), GO_SECRET[:-4]]
)
def test_what_is_no_secret_key_is_invalid_and_not_repeated(text):
    with pytest.raises(Invalid) as caught:
        read_secret_key(text)
    assert "AYEKFALVFGyNhPJEMzD1QIDr" not in caught.value.message


def test_a_secret_key_does_not_show_itself():
    assert GO_SECRET[-20:] not in repr(read_secret_key(GO_SECRET))


# The key of a home


def key_of(home) -> SecretKey:
    return signing_key(home.meta, home.folder, actor="ada", at_ms=5)


@slow_on_postgresql
def test_a_key_is_made_once_kept_to_its_owner_and_written_down(home):
    first = key_of(home)
    assert key_of(home) == first
    assert stat.S_IMODE((home.folder / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in home.folder.iterdir() if path.name.startswith(KEY_FILE)] == [KEY_FILE]
    with home.meta.read() as tx:
        assert public_key(tx) == first.public
        (entry,) = events(tx, kind="ledger.key_made")
    assert str(first.public) in entry.body
    assert str(first) not in entry.body


def test_replicas_that_ask_at_once_sign_with_one_key(home):
    with ThreadPoolExecutor(6) as pool:
        keys = set(pool.map(lambda _: key_of(home), range(6)))
    assert len(keys) == 1
    with home.meta.read() as tx:
        assert len(events(tx, kind="ledger.key_made")) == 1


@slow_on_postgresql
def test_a_replica_without_the_key_signs_nothing_and_makes_none(home):
    key_of(home)
    (home.folder / KEY_FILE).rename(home.folder / "elsewhere")
    with pytest.raises(Refused, match="is not its key") as caught:
        key_of(home)
    assert "TAUT_LEDGER_KEY" in caught.value.hint
    assert not (home.folder / KEY_FILE).exists()


@slow_on_postgresql
def test_a_replica_with_another_key_signs_nothing(home, tmp_path, monkeypatch):
    key_of(home)
    (tmp_path / "other.key").write_text(f"{KEY}\n")
    monkeypatch.setenv("TAUT_LEDGER_KEY", str(tmp_path / "other.key"))
    with pytest.raises(Refused, match="is signed by"):
        key_of(home)


@slow_on_postgresql
def test_a_key_that_is_given_is_used_and_none_is_made_beside_it(home, tmp_path, monkeypatch):
    (tmp_path / "given.key").write_text(f"{KEY}\n")
    monkeypatch.setenv("TAUT_LEDGER_KEY", str(tmp_path / "given.key"))
    assert key_of(home) == KEY
    assert not (home.folder / KEY_FILE).exists()
    assert signing_key(home.meta, None, actor="ada", at_ms=5) == KEY


@slow_on_postgresql
def test_without_a_folder_the_key_has_to_be_given(home):
    with pytest.raises(Refused, match="no folder"):
        signing_key(home.meta, None, actor="ada", at_ms=5)


@slow_on_postgresql
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(home):
    home.folder.chmod(0o500)
    try:
        with pytest.raises(Denied, match="cannot be made"):
            key_of(home)
    finally:
        home.folder.chmod(0o700)
