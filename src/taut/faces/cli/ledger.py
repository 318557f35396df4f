"""`taut ledger`: what was done, by whom; proven, and anchored where nobody here can change it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taut.faces.cli.shown import Group, json_option, shown, table
from taut.ground.clock import iso
from taut.home import open_home

if TYPE_CHECKING:
    from taut.govern import Verified


@click.group(cls=Group, epilog="Example: taut ledger show --subject model:churn@3")
def ledger() -> None:
    """Read, prove, verify and anchor what was done, by whom."""


@ledger.command(epilog="Example: taut ledger show --subject model:churn@3")
@click.option("--kind", default="", help="Only of this kind, as model.promoted.")
@click.option("--subject", default="", help="Only about this point, as model:churn@3.")
@click.option("--after", default=0, help="Only entries past this number.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@json_option
def show(kind: str, subject: str, after: int, limit: int, as_json: bool) -> None:
    """Read what was done, by whom, oldest first."""
    from taut.govern import show_ledger

    with open_home() as home:
        found = show_ledger(home, kind=kind, subject=subject, after=after, limit=limit)
        shown(found, as_json, lambda entries: table(
            ["entry", "when", "who", "what", "about", "body", "token", "request", "from"],
            [
                (e.seq, iso(e.at_ms)[:19], e.actor, e.kind, e.subject[:40], "erased" if e.erased else e.body[:60],
                 e.token, e.request, e.client)
                for e in entries
            ],
            empty="the ledger has no such entry",
        ))  # fmt: skip


@ledger.command(epilog="Example: taut ledger checkpoint")
@json_option
def checkpoint(as_json: bool) -> None:
    """Sign what the ledger is now; anybody who has a login may ask for it."""
    from taut.govern import sign_checkpoint

    with open_home() as home:
        shown(sign_checkpoint(home), as_json, lambda signed: f"{signed.note}\nits public key: {signed.key}")


@ledger.command(epilog="Example: taut ledger anchor --to git:../evidence")
@click.option("--to", "place", default="", help="file:PATH, git:REPOSITORY, or the URL of another taut server.")
@json_option
def anchor(place: str, as_json: bool) -> None:
    """Digest every table, sign it with the ledger, and keep that where nobody here can change it."""
    from taut.govern import anchor_ledger, put_anchor

    with open_home() as home:
        signed = anchor_ledger(home)
        kept = put_anchor(home, signed, place) if place else ""
        told = f"\nkept at {kept}" if kept else "\nkeep it where nobody of this home can change it"
        shown({"checkpoint": signed, "kept": kept}, as_json, lambda _: f"{signed.note}{told}; key {signed.key}")


@ledger.command("rotate-key", epilog="Example: taut ledger rotate-key")
@json_option
def rotate_key(as_json: bool) -> None:
    """Let a new key sign from now on, which the old one signs in; run it where the home lies."""
    from taut.govern import rotate_ledger_key

    with open_home() as home:
        shown(rotate_ledger_key(home), as_json, lambda one: "\n".join(
            [*one.checkpoints.values(), f"signed by {one.before} and from now on by {one.key}"]
        ))  # fmt: skip


@ledger.command(epilog="Example: taut ledger verify --anchor git:../evidence")
@click.option("--anchor", "places", multiple=True, help="A file, git:REPOSITORY or URL that keeps checkpoints.")
@click.option("--proof", type=click.Path(dir_okay=False, path_type=Path), help="Check a proof; needs no home.")
@click.option("--key", default="", help="The public key, or a file with it; this home's own where none is said.")
@click.option("--objects", is_flag=True, help="Read every object that anything refers to as well.")
@json_option
def verify(places: tuple[str, ...], proof: Path | None, key: str, objects: bool, as_json: bool) -> None:
    """Find what was changed behind taut's back; exit status 14 where something was."""
    if proof is not None:
        _verify_proof(proof, key, as_json)
        return
    from taut.govern import anchors_at, ledger_key, verify_home

    with open_home() as home:
        trusted = _key(key)
        origin = (trusted or ledger_key(home)).partition("+")[0] if places else ""
        anchors = [note for place in places for note in anchors_at(place, origin)]
        found = verify_home(home, anchors=anchors, key=trusted, objects=objects)
        shown(found, as_json, _told)
    if found.flaws:
        sys.exit(14)


@ledger.command(epilog="Example: taut ledger prove 17 > proof.json")
@click.argument("entry", type=click.IntRange(min=1))
@json_option
def prove(entry: int, as_json: bool) -> None:
    """Write a proof that an entry is in the ledger, for who has only the public key; always as JSON."""
    from taut.govern import prove as prove_one
    from taut.ground import wire

    with open_home() as home:
        shown(prove_one(home, entry), as_json, wire.text)


@ledger.command(epilog="Example: taut ledger erase 17 --because 'Ada asked for it'")
@click.argument("entry", type=click.IntRange(min=1))
@click.option("--because", required=True, help="Why; it is written down, so name nobody.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def erase(entry: int, because: str, yes: bool, as_json: bool) -> None:
    """Take the body of an entry away for good; the entry itself stays and can still be proven."""
    from taut.govern import erase_body

    with open_home() as home:
        if not yes:
            click.confirm(f"erase the body of entry {entry}? it cannot be brought back", abort=True, err=True)
        erase_body(home, entry, because=because)
        shown({"erased": entry}, as_json, lambda _: f"the body of entry {entry} is gone")


def _verify_proof(path: Path, key: str, as_json: bool) -> None:
    from taut.errors import NotFound, UsageError
    from taut.ground import wire
    from taut.ground.ledger.notes import read_public_key
    from taut.ground.ledger.proofs import Proof, check_proof

    if not key:
        raise UsageError("a proof is held against a public key", hint=f"taut ledger verify --proof {path} --key KEY")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"there is no proof in {path}", hint="taut ledger prove ENTRY > proof.json") from None
    proven = check_proof(wire.decode(text, Proof, what=str(path)), read_public_key(_key(key)))
    shown(proven, as_json, lambda p: (
        f"entry {p.seq} of {p.origin} at {p.size}: {p.actor} did {p.kind} to {p.subject} at {iso(p.at_ms)}"
    ))  # fmt: skip


def _key(given: str) -> str:
    """A key as it was typed, or as it stands in a file."""
    path = Path(given)
    return path.read_text(encoding="utf-8").strip() if given and path.is_file() else given


def _told(found: "Verified") -> str:
    lines = [f"{flaw.where}: {flaw.text}" for flaw in found.flaws] + [f"note: {note}" for note in found.notes]
    held = f"{found.size} entries, {found.anchors} anchors, tables as of entry {found.state}"
    return "\n".join([*lines, f"{held}: {len(found.flaws) or 'no'} flaw{'' if len(found.flaws) == 1 else 's'}"])
