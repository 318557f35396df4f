"""The key of the ledger changed for another: what either signed counts, and nothing that the chain does not hold."""

import json
import threading
from pathlib import Path

import pytest

from taut.errors import Corrupt, Denied, Invalid, Refused, UsageError
from taut.govern import (
    anchor_ledger,
    back_up,
    check_home,
    checkpoints,
    create_project,
    get_project,
    keep_checkpoint,
    ledger_key,
    prove,
    prove_consistency,
    restore,
    rotate_ledger_key,
    show_hand_overs,
    show_ledger,
    sign_checkpoint,
    verify_home,
)
from taut.govern.checkpoints import FILE
from taut.ground.access import Actor
from taut.ground.ledger import Tree, append_event, keys, size_of
from taut.ground.ledger.keys import KEY_FILE, rotate_key
from taut.ground.ledger.notes import (
    Checkpoint,
    SecretKey,
    hand_over,
    keys_after,
    open_hand_over,
    open_note,
    read_note,
    read_public_key,
    read_secret_key,
    sign,
)
from taut.ground.ledger.proofs import check_proof
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from tests.govern.test_anchors import fill, flaws
from tests.marks import slow_on_postgresql

OLD, NEW, OTHER = (SecretKey("taut.home/1", bytes([number]) * 32) for number in (1, 2, 3))


def secret_of(home: Home) -> SecretKey:
    assert home.folder is not None
    return read_secret_key((home.folder / KEY_FILE).read_text().strip())


def signed_by(home: Home, *keys: SecretKey) -> str:
    """A checkpoint of now, by whoever has these."""
    with home.meta.read() as tx:
        size = size_of(tx)
        return sign(Checkpoint(keys[0].name, size, Tree(tx).root(size)), *keys)


# The notes


def test_a_hand_over_is_signed_by_both_and_is_no_checkpoint():
    note = hand_over(OLD, NEW)
    assert open_hand_over(note) == (OLD.public, NEW.public)
    assert note.splitlines()[:3] == ["taut-ledger-key/1", str(OLD.public), str(NEW.public)]
    with pytest.raises(Invalid):
        read_note(note)
    with pytest.raises(Invalid):
        open_hand_over(sign(Checkpoint("taut.home/1", 3, bytes(32)), OLD, NEW))


@pytest.mark.parametrize("line", [4, 5])
def test_a_hand_over_without_one_of_the_signatures_or_with_a_wrong_one_is_none(line: int):
    lines = hand_over(OLD, NEW).splitlines(keepends=True)
    with pytest.raises(Corrupt):
        open_hand_over("".join(lines[:line] + lines[line + 1 :]))
    with pytest.raises(Corrupt):
        open_hand_over(
            "".join([*lines[:line], hand_over(OLD, OTHER).splitlines(keepends=True)[line], *lines[line + 1 :]])
        )
    renamed = SecretKey("taut.home/2", NEW.seed)
    with pytest.raises(Corrupt):
        open_hand_over(hand_over(OLD, renamed))


def test_keys_follow_each_other_only_as_they_were_handed_over():
    chain = [hand_over(OLD, NEW), hand_over(NEW, OTHER)]
    assert keys_after(OLD.public, chain) == [OLD.public, NEW.public, OTHER.public]
    assert keys_after(NEW.public, chain) == [NEW.public, OTHER.public]
    assert keys_after(OTHER.public, chain) == [OTHER.public]
    assert keys_after(OLD.public, chain[1:]) == [OLD.public]


def test_a_note_of_two_keys_is_opened_with_either_and_no_third():
    note = sign(Checkpoint("taut.home/1", 3, bytes(32)), OLD, NEW)
    assert open_note(note, OLD.public) == open_note(note, NEW.public)
    with pytest.raises(Corrupt):
        open_note(note, OTHER.public)


# The key of a home


@slow_on_postgresql
def test_what_was_signed_before_and_after_is_held_against_either_key(home: Home):
    fill(home)
    before = anchor_ledger(home)
    found = rotate_ledger_key(home)
    assert (found.before, found.key) == (before.key, ledger_key(home))
    assert found.key == str(secret_of(home).public) != found.before
    assert home.folder is not None
    assert {path.name for path in home.folder.glob(f"{KEY_FILE}*")} == {KEY_FILE}
    fill(home)
    after = anchor_ledger(home)
    assert (after.origin, after.key) == (before.origin, found.key)
    both = found.checkpoints["default"]
    for key in ("", before.key, after.key):
        assert flaws(home, before.note, both, after.note, key=key) == []
    entry = show_ledger(home, kind="ledger.key_rotated")[0]
    assert read_note(both).size == entry.seq
    assert show_hand_overs(home) == (json.loads(entry.body)["handed"],)
    assert str(secret_of(home)) not in entry.body
    with pytest.raises(Corrupt):
        open_note(after.note, read_public_key(before.key))


@slow_on_postgresql
def test_keys_may_be_changed_again_and_the_first_anchor_counts(home: Home):
    first = anchor_ledger(home)
    for _ in range(3):
        rotate_ledger_key(home)
    last = anchor_ledger(home)
    assert len(show_hand_overs(home)) == 3
    assert flaws(home, first.note, last.note, key=first.key) == flaws(home, first.note, last.note, key=last.key) == []


def test_a_stolen_old_key_signs_nothing_that_came_after_it(home: Home):
    fill(home)
    anchor_ledger(home)
    stolen = secret_of(home)
    rotate_ledger_key(home)
    fill(home)
    for key in ("", str(stolen.public), ledger_key(home)):
        assert any("in whose place another signs" in said for said in flaws(home, signed_by(home, stolen), key=key))


@slow_on_postgresql
def test_a_key_that_nobody_handed_over_is_none_of_this_homes(home: Home):
    signed = anchor_ledger(home)
    rotate_ledger_key(home)
    other = SecretKey(signed.origin, bytes(32))
    assert any("is not signed by" in said for said in flaws(home, signed_by(home, other)))
    with home.meta.transaction() as tx:
        tx.execute("UPDATE ledger_key SET key = :key", {"key": str(other.public)})
    assert any("not the last one that the ledger names" in said for said in flaws(home))
    with home.meta.transaction() as tx:  # Nor where somebody writes an entry that the old key did not sign.
        body = {
            "key": str(other.public),
            "before": signed.key,
            "handed": hand_over(SecretKey(other.name, b"1" * 32), other),
        }
        home.append(tx, "ledger.key_rotated", subject="ledger:key", body=body)
    assert any("do not follow each other" in said for said in flaws(home, key=signed.key))
    assert any("is not signed by" in said for said in flaws(home, signed_by(home, other), key=signed.key))


@slow_on_postgresql
def test_a_proof_is_checked_with_the_key_that_somebody_had_before(home: Home):
    fill(home)
    early = prove(home, 2)
    rotate_ledger_key(home)
    rotate_ledger_key(home)
    late = prove(home, 2)
    assert check_proof(late, read_public_key(early.key)) == check_proof(late, read_public_key(late.key))
    assert check_proof(early, read_public_key(early.key)).seq == 2
    with pytest.raises(Corrupt):
        check_proof(late, OTHER.public)
    with pytest.raises(Corrupt):
        check_proof(early, read_public_key(late.key))


# More than one project, and being killed


@pytest.mark.parametrize(
    ("home", "dies"),
    [
        ("sqlite", "before any"),
        ("sqlite", "before the file"),
        ("postgresql", "between two projects"),
        pytest.param("sqlite", "between two projects", marks=pytest.mark.slow),
        pytest.param("postgresql", "before any", marks=pytest.mark.slow),
        pytest.param("postgresql", "before the file", marks=pytest.mark.slow),
    ],
    indirect=["home"],
)
def test_a_change_that_was_broken_off_leaves_each_project_a_key_and_is_finished_later(
    home: Home, dies: str, monkeypatch: pytest.MonkeyPatch
):
    create_project(home, "churn")
    create_project(home, "fraud")
    churn_project, fraud_project = (get_project(home, name) for name in ("churn", "fraud"))
    before = sign_checkpoint(home)
    with home.entered(churn_project) as churn:
        inner = anchor_ledger(churn)
    real, count = rotate_key, [0]

    def rotate(*args, **kwargs) -> bool:
        count[0] += 1
        if dies == "before any" or (dies == "between two projects" and count[0] == 2):
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    def never(_: Path | None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "rotate_key", rotate)
        if dies == "before the file":
            patch.setattr(checkpoints, "end_rotation", never)
        with pytest.raises(KeyboardInterrupt):
            rotate_ledger_key(home)
    assert flaws(home, before.note, sign_checkpoint(home).note) == []
    with home.entered(churn_project) as churn:
        assert flaws(churn, inner.note, sign_checkpoint(churn).note) == []
    with home.entered(fraud_project) as fraud:  # Its first key, while the change is under way.
        first = sign_checkpoint(fraud)
    found = rotate_ledger_key(home)
    assert found.before == before.key
    for project in (churn_project, fraud_project):
        with home.entered(project) as one:
            assert sign_checkpoint(one).key == found.key == ledger_key(home)
    assert first.key == found.key
    assert home.folder is not None
    assert {path.name for path in home.folder.glob(f"{KEY_FILE}*")} == {KEY_FILE}


@pytest.mark.parametrize("when", ["after it read the files", "while it has the turn"])
def test_a_project_that_signs_first_while_the_key_is_changed_has_a_key_that_stays(
    home: Home, when: str, monkeypatch: pytest.MonkeyPatch
):
    create_project(home, "churn")
    sign_checkpoint(home)
    changing, real_held, real_append = threading.Thread(target=rotate_ledger_key, args=[home]), keys._held, append_event

    def held(path: Path | None) -> list[SecretKey]:
        found = real_held(path)
        if when == "after it read the files" and changing.ident is None:
            changing.start()
            changing.join(30)
            assert not changing.is_alive()
        return found

    def append(*args, **kwargs):
        if when == "while it has the turn" and changing.ident is None:
            changing.start()
            changing.join(0.3)
            assert changing.is_alive()  # It waits for the project that is about to have a key.
        return real_append(*args, **kwargs)

    with home.entered(get_project(home, "churn")) as churn:
        with monkeypatch.context() as patch:
            patch.setattr(keys, "_held", held)
            patch.setattr(keys, "append_event", append)
            keys.signing_key(churn.meta, home.folder, actor="ada", at_ms=5)
        changing.join(30)
        assert ledger_key(churn) == ledger_key(home) == str(secret_of(home).public)
        assert flaws(churn, sign_checkpoint(churn).note) == []
        handed = len(show_hand_overs(churn))
    assert handed == (when == "while it has the turn")


@slow_on_postgresql
def test_a_key_is_changed_by_who_has_it_where_it_lies(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(Refused, match="is not here"):
        rotate_ledger_key(home)
    sign_checkpoint(home)
    with pytest.raises(Denied):
        rotate_ledger_key(home.as_actor(Actor("vera", "project-admin")))
    create_project(home, "churn")
    with home.entered(get_project(home, "churn")) as churn, pytest.raises(UsageError):
        rotate_ledger_key(churn)
    (tmp_path / "other.key").write_text(f"{OTHER}\n")
    monkeypatch.setenv("TAUT_LEDGER_KEY", str(tmp_path / "other.key"))
    with pytest.raises(Refused, match="is signed by"):
        rotate_ledger_key(home)
    assert show_hand_overs(home) == ()


@slow_on_postgresql
def test_a_replica_that_has_the_old_key_signs_nothing_until_it_is_given_the_new_one(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sign_checkpoint(home)
    assert home.folder is not None
    (tmp_path / "replica.key").write_text((home.folder / KEY_FILE).read_text())
    rotate_ledger_key(home)
    with monkeypatch.context() as patch:
        patch.setenv("TAUT_LEDGER_KEY", str(tmp_path / "replica.key"))
        with pytest.raises(Refused, match="is signed by"):
            sign_checkpoint(home)
        (tmp_path / "replica.key").write_text((home.folder / KEY_FILE).read_text())
        assert sign_checkpoint(home).key == ledger_key(home)


@slow_on_postgresql
def test_a_backup_carries_the_keys_that_were(home: Home, tmp_path: Path):
    fill(home)
    first = anchor_ledger(home)
    rotate_ledger_key(home)
    second = anchor_ledger(home)
    back_up(home, tmp_path / "backup")
    (tmp_path / "restored").mkdir()
    make_folder(tmp_path / "restored")
    with open_home(tmp_path / "restored", actor=Actor("ada", "owner")) as restored:
        restore(restored, tmp_path / "backup")
        found = verify_home(restored, anchors=[first.note, second.note], key=first.key).flaws
        assert [one.text for one in found if one.where != "catalogue"] == []  # Another database has another one.
        assert check_home(restored).problems == ()


@slow_on_postgresql
def test_another_server_goes_on_keeping_only_what_it_is_shown_was_handed_over(home: Home, tmp_path: Path):
    (tmp_path / "other").mkdir()
    make_folder(tmp_path / "other")
    with open_home(tmp_path / "other", actor=Actor("eve", "owner")) as other:
        first = sign_checkpoint(other)
        keep_checkpoint(home, first.note, first.key)
        stolen = secret_of(other)
        rotate_ledger_key(other)
        second = sign_checkpoint(other)
        proof, handed = prove_consistency(other, first.size, second.size), show_hand_overs(other)
        for wrong in ((), (hand_over(OLD, NEW),)):
            with pytest.raises(Refused, match="another key"):
                keep_checkpoint(home, second.note, second.key, proof=proof, handed=wrong)
        kept = keep_checkpoint(home, second.note, second.key, proof=proof, handed=handed)
        assert (kept.notes, kept.key) == ((first.note, second.note), second.key)
        fill(other)
        third = signed_by(other, stolen)
        more = prove_consistency(other, second.size, read_note(third).size)
        with pytest.raises(Refused, match="another key"):
            keep_checkpoint(home, third, str(stolen.public), proof=more, handed=handed)


# The newest checkpoint in the folder


@slow_on_postgresql
def test_fsck_says_where_the_end_of_the_ledger_was_taken_away_with_all_that_told_of_it(home: Home):
    fill(home)
    signed = anchor_ledger(home)
    assert home.folder is not None
    assert (home.folder / FILE).read_text() == signed.note
    assert check_home(home).problems == ()
    with home.meta.transaction() as tx:
        tx.execute("DELETE FROM ledger WHERE seq > 3")
        tx.execute("DELETE FROM ledger_state")
    assert any("ledger ends at entry 3" in one.text for one in check_home(home, quick=True).problems)
    fill(home, 20)
    assert any("not those that were anchored" in one.text for one in check_home(home).problems)


@slow_on_postgresql
def test_a_smaller_checkpoint_takes_no_larger_ones_place_and_a_damaged_one_is_told(home: Home):
    fill(home)
    signed = anchor_ledger(home)
    assert home.folder is not None
    checkpoints.keep_newest(home, sign(Checkpoint(signed.origin, 2, bytes(32)), OLD))
    assert (home.folder / FILE).read_text() == signed.note
    (home.folder / FILE).write_text(sign(Checkpoint(signed.origin, 2, bytes(32)), OLD))
    assert any("is not signed by" in one.text for one in check_home(home).problems)
    (home.folder / FILE).write_text("nothing\n")
    assert any("cannot be read" in one.text for one in check_home(home).problems)
    anchor_ledger(home)
    assert check_home(home).problems == ()
    assert verify_home(home).flaws == ()
