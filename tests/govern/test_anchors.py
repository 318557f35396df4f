"""Checkpoints, proofs and erasure as verbs: what they show to others, who may ask for them, what is refused."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from taut.errors import Corrupt, Denied, Invalid, NotFound, Refused
from taut.govern import (
    Signed,
    anchor_ledger,
    create_token,
    erase_body,
    keep_checkpoint,
    kept_checkpoints,
    ledger_key,
    prove,
    prove_consistency,
    show_ledger,
    sign_checkpoint,
    verify_home,
)
from taut.ground.access import Actor
from taut.ground.ledger import Tree, size_of
from taut.ground.ledger.merkle import is_consistent
from taut.ground.ledger.notes import Checkpoint, SecretKey, open_note, read_public_key, sign
from taut.ground.ledger.proofs import Proof, check_proof
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.runs import create_run
from tests.faces.serving import served
from tests.marks import slow_on_postgresql

HEX = "0123456789abcdef"


def fill(home: Home, count: int = 5) -> None:
    with home.meta.transaction() as tx:
        for number in range(count):
            home.append(tx, "thing.done", subject=f"thing:{number}", body={"number": number, "of": "Ada Lovelace"})


def flaws(home: Home, *anchors: str, key: str = "") -> list[str]:
    return [flaw.text for flaw in verify_home(home, anchors=list(anchors), key=key).flaws]


# Checkpoints


@slow_on_postgresql
def test_a_checkpoint_is_signed_and_says_what_the_ledger_is(home):
    fill(home)
    assert ledger_key(home) == ""
    signed = sign_checkpoint(home)
    assert ledger_key(home) == signed.key
    checkpoint = open_note(signed.note, read_public_key(signed.key))
    with home.meta.read() as tx:
        assert checkpoint == Checkpoint(signed.origin, 6, Tree(tx).root(6))  # The key that was made is an entry too.
    assert (signed.size, signed.root) == (6, checkpoint.root.hex())
    assert sign_checkpoint(home) == signed


@slow_on_postgresql
def test_a_ledger_that_grew_is_shown_to_begin_with_what_it_was(home):
    fill(home, 3)
    first = sign_checkpoint(home)
    fill(home, 300)
    second = sign_checkpoint(home)
    path = [bytes.fromhex(step) for step in prove_consistency(home, first.size, second.size)]
    roots = bytes.fromhex(first.root), bytes.fromhex(second.root)
    assert is_consistent(first.size, roots[0], second.size, roots[1], path)
    assert not is_consistent(first.size, roots[1], second.size, roots[1], path)
    for sizes in [(0, 4), (5, 4), (4, 1000)]:
        with pytest.raises(Invalid):
            prove_consistency(home, *sizes)


# Proofs


@slow_on_postgresql
def test_an_entry_is_proven_to_who_has_only_the_key(home):
    fill(home, 300)
    for seq in (1, 17, 256, 300, 301):
        proof = prove(home, seq)
        proven = check_proof(proof, read_public_key(ledger_key(home)))
        (entry,) = show_ledger(home, after=seq - 1, limit=1)
        assert (proven.seq, proven.kind, proven.subject, proven.body) == (seq, entry.kind, entry.subject, entry.body)
        assert (proven.origin, proven.size, proof.leaf) == (ledger_key(home).partition("+")[0], 301, entry.digest)
    for seq in (0, -1, 302):
        with pytest.raises(NotFound, match="it has 1 to 301"):
            prove(home, seq)


@slow_on_postgresql
def test_a_proof_that_was_changed_anywhere_proves_nothing(home):
    fill(home, 20)
    proof, key = prove(home, 7), read_public_key(ledger_key(home))
    other = HEX[HEX.index(proof.leaf[0]) - 1]
    wrong = [
        replace(proof, seq=8),
        replace(proof, entry=proof.entry.replace("thing:6", "thing:7")),
        replace(proof, entry=proof.entry + " "),
        replace(proof, leaf=other + proof.leaf[1:]),
        replace(proof, path=proof.path[1:]),
        replace(proof, path=(*proof.path, proof.leaf)),
        replace(proof, path=()),
        replace(proof, checkpoint=prove(home, 7).checkpoint.replace("\n21\n", "\n22\n")),
        replace(proof, body='{"number":7,"of":"Ada Lovelace"}'),
        replace(proof, salt=None),
        replace(proof, salt="00" * 16),
    ]
    for one in wrong:
        with pytest.raises(Corrupt):
            check_proof(one, key)
    for one in [replace(proof, path=("no hash",)), replace(proof, format="another"), replace(proof, entry="{}")]:
        with pytest.raises(Invalid):
            check_proof(one, key)
    with pytest.raises(Corrupt, match="not signed by"):
        check_proof(proof, SecretKey("taut.home/other", bytes(32)).public)


# Erasure


@slow_on_postgresql
def test_an_erased_body_is_gone_and_the_entry_is_still_proven(home):
    fill(home)
    before, anchor = prove(home, 3), anchor_ledger(home)
    erase_body(home, 3, because="asked to")
    (entry,) = show_ledger(home, after=2, limit=1)
    assert (entry.body, entry.erased, entry.digest) == ("null", True, before.leaf)
    with home.meta.read() as tx:
        rows = tx.rows("SELECT body, salt FROM ledger WHERE seq = 3")
        assert rows == [(None, None)]
        assert "Ada Lovelace" not in json.dumps(show_ledger(home, after=2, limit=1)[0].body)
    after = prove(home, 3)
    assert (after.body, after.salt, after.entry) == (None, None, before.entry)
    assert check_proof(after, read_public_key(after.key)).body is None
    assert flaws(home, anchor.note) == []
    (told,) = show_ledger(home, kind="ledger.erased")
    assert (told.subject, told.body, told.actor) == ("entry:3", '{"because":"asked to"}', "ada")


@slow_on_postgresql
def test_what_is_erased_or_not_there_or_the_ledgers_own_is_not_erased(home):
    fill(home)
    anchor_ledger(home)
    erase_body(home, 3, because="asked to")
    with pytest.raises(Refused, match="was erased before"):
        erase_body(home, 3, because="again")
    with pytest.raises(NotFound):
        erase_body(home, 99, because="none")
    (anchored,) = show_ledger(home, kind="ledger.anchored")
    for entry in (anchored, *show_ledger(home, kind="ledger.erased")):
        with pytest.raises(Refused, match="what the ledger itself"):
            erase_body(home, entry.seq, because="to hide it")
    assert len(show_ledger(home, kind="ledger.erased")) == 1


# Verifying against anchors


def test_what_somebody_with_full_access_writes_anew_is_found_against_an_anchor(home):
    """All of the ledger is made again without one entry, hash by hash, as taut itself would."""
    fill(home, 300)
    anchor = anchor_ledger(home)
    with home.meta.transaction() as tx:
        kept = [(one.kind, one.subject, one.actor, json.loads(one.body)) for one in show_ledger(home, limit=1000)]
        tx.execute("DELETE FROM ledger")
        tx.execute("DELETE FROM ledger_tile")
        tx.execute("DELETE FROM ledger_state")
        for kind, subject, actor, body in kept:
            if subject != "thing:7" and not kind.startswith("ledger.a"):
                home.as_actor(Actor(actor, "owner")).append(tx, kind, subject=subject, body=body)
    assert flaws(home) == []
    told = flaws(home, anchor.note)
    assert f"the ledger ends at entry 300; when it was anchored it had {anchor.size}" in told
    fill(home, 10)
    assert f"the first {anchor.size} entries are not those that were anchored" in flaws(home, anchor.note)


@slow_on_postgresql
def test_entries_that_are_taken_from_the_end_are_found_against_an_anchor(home):
    fill(home, 5)
    anchor = anchor_ledger(home)
    with home.meta.transaction() as tx:
        tx.execute("DELETE FROM ledger WHERE seq > 3")
    assert f"the ledger ends at entry 3; when it was anchored it had {anchor.size}" in flaws(home, anchor.note)


@slow_on_postgresql
def test_an_anchor_of_another_home_or_key_is_told(home, tmp_path):
    fill(home)
    anchor = anchor_ledger(home)
    other = SecretKey("taut.home/other", bytes(32))
    forged = sign(Checkpoint(anchor.origin, anchor.size, bytes.fromhex(anchor.root)), other)
    assert any("not signed by" in text for text in flaws(home, forged))
    assert any("another home" in text for text in flaws(home, forged, key=str(other.public)))
    assert flaws(home, anchor.note, key=anchor.key) == []
    with pytest.raises(Invalid):
        verify_home(home, anchors=["no note"])
    with pytest.raises(Invalid):
        verify_home(home, key="no key")


@slow_on_postgresql
def test_without_an_anchor_the_last_state_is_taken_on_trust_and_what_is_missing_is_said(home):
    run = create_run(home)
    assert verify_home(home).notes == ("no state of the tables was anchored: taut ledger anchor",)
    with home.meta.transaction() as tx:
        tx.execute("UPDATE run SET name = 'edited'")
    assert flaws(home) == []
    anchor_ledger(home)
    assert verify_home(home).notes == ()
    with home.meta.transaction() as tx:
        tx.execute("UPDATE run SET name = 'edited again'")
    assert any(run.id in text for text in flaws(home))


def test_two_anchors_at_once_are_one_after_the_other(home, monkeypatch):
    from taut.govern import anchors

    read = anchors._digested

    def slowly(tx, at_ms):
        found = read(tx, at_ms)
        if not done:
            done.append(True)
            anchor_ledger(home)
        return found

    done: list[bool] = []
    create_run(home)
    monkeypatch.setattr(anchors, "_digested", slowly)
    with pytest.raises(Refused, match="in the meantime"):
        anchor_ledger(home)
    assert len(show_ledger(home, kind="ledger.anchored")) == 1
    assert flaws(home) == []


# The checkpoints of others


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Home]:
    """Another home, whose ledger is kept by the first."""
    folder = tmp_path / "other"
    folder.mkdir()
    make_folder(folder)
    with open_home(folder, actor=Actor("eve", "owner")) as opened:
        yield opened


@slow_on_postgresql
def test_checkpoints_of_another_home_are_kept_as_long_as_they_only_add(home, other):
    fill(other, 3)
    first = sign_checkpoint(other)
    assert keep_checkpoint(home, first.note, first.key).notes == (first.note,)
    assert keep_checkpoint(home, first.note, first.key).notes == (first.note,)
    fill(other, 400)
    second = sign_checkpoint(other)
    proof = prove_consistency(other, first.size, second.size)
    with pytest.raises(Refused, match="only adds"):
        keep_checkpoint(home, second.note, second.key)
    with pytest.raises(Refused, match="only adds"):
        keep_checkpoint(home, second.note, second.key, proof=proof[1:])
    with pytest.raises(Invalid, match="hexadecimal"):
        keep_checkpoint(home, second.note, second.key, proof=("x",))
    kept = keep_checkpoint(home, second.note, second.key, proof=proof)
    assert (kept.notes, kept.key, kept.origin) == ((first.note, second.note), first.key, first.origin)
    assert kept_checkpoints(home, first.origin) == kept
    assert kept_checkpoints(home, "nobody").notes == ()
    told = [json.loads(event.body)["size"] for event in show_ledger(home, kind="ledger.kept")]
    assert told == [first.size, second.size]


@slow_on_postgresql
def test_what_takes_back_what_was_said_before_is_not_kept(home, other):
    key = SecretKey("taut.home/eve", bytes(32))

    def keep(size: int, root: bytes = bytes(32), by: SecretKey = key) -> None:
        keep_checkpoint(home, sign(Checkpoint("taut.home/eve", size, root), by), str(by.public))

    keep(9)
    with pytest.raises(Refused, match="that they were others"):
        keep(9, b"1" * 32)
    with pytest.raises(Refused, match="cannot have 8 now"):
        keep(8)
    with pytest.raises(Refused, match="another key"):
        keep(10, by=SecretKey("taut.home/eve", b"1" * 32))
    with pytest.raises(Corrupt):
        note = sign(Checkpoint("taut.home/eve", 10, bytes(32)), SecretKey("taut.home/eve", b"1" * 32))
        keep_checkpoint(home, note, str(key.public))
    with home.meta.read() as tx:
        assert size_of(tx) == 1


# Who may


@slow_on_postgresql
@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", {"checkpoint", "kept"}),
        ("data-scientist", {"checkpoint", "kept"}),
        ("serving", {"checkpoint", "kept"}),
        ("auditor", {"checkpoint", "kept", "prove", "verify", "anchor"}),
        ("project-admin", {"checkpoint", "kept", "prove", "verify", "anchor"}),
        ("owner", {"checkpoint", "kept", "prove", "verify", "anchor", "erase"}),
        ("anonymous", set()),
    ],
)
def test_each_role_does_what_it_may_and_no_more(home, role, may):
    fill(home)
    asker = home.as_actor(Actor("bob", role))
    asked = {
        "checkpoint": lambda: sign_checkpoint(asker),
        "kept": lambda: kept_checkpoints(asker, "x"),
        "prove": lambda: prove(asker, 1),
        "verify": lambda: verify_home(asker),
        "anchor": lambda: anchor_ledger(asker),
        "erase": lambda: erase_body(asker, 1, because="asked to"),
    }
    done = set()
    for name, ask in asked.items():
        try:
            ask()
        except Denied:
            continue
        done.add(name)
    assert done == may
    assert flaws(home) == []


@slow_on_postgresql
def test_the_verbs_answer_over_a_server_as_they_do_here(home, monkeypatch):
    fill(home, 300)
    monkeypatch.setenv("TAUT_TOKEN", create_token(home, "ada", "owner").secret)
    with served(home) as url, open_home(url) as far:
        signed = anchor_ledger(far)
        assert isinstance(signed, Signed)
        assert sign_checkpoint(far) == sign_checkpoint(home) == signed
        proof = prove(far, 17)
        assert isinstance(proof, Proof)
        assert check_proof(proof, read_public_key(signed.key)).seq == 17
        assert verify_home(far, anchors=[signed.note]) == verify_home(home, anchors=[signed.note])
