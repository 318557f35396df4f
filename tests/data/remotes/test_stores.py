"""taut's own store as a remote: later versions as what changed, every byte back, encrypted unless DVC shares it."""

import random
import shutil
from pathlib import Path

import pytest

from tests.faces.shell import taut

pytest.importorskip("blake3", reason="the format of taut's own store takes taut[data]")
ROWS = 20_000


@pytest.fixture
def table(project: Path) -> Path:
    """A table of numbers that does not compress to nothing, in a project with a store for its data."""
    chance = random.Random(7)
    rows = [f"{row},{chance.random()},{chance.random()}" for row in range(ROWS)]
    place = project / "rows.csv"
    place.write_text("id,a,b\n" + "\n".join(rows) + "\n")
    assert taut(project, "data", "add", "rows.csv").status == 0
    assert taut(project, "data", "remote", "add", "vault", str(project.parent / "vault"), "--default").status == 0
    return place


def kept_bytes(project: Path) -> int:
    return sum(file.stat().st_size for file in (project.parent / "vault").rglob("*") if file.is_file())


def changed(table: Path) -> None:
    """One row of a hundred gets another value, all over the file."""
    lines = table.read_text().splitlines()
    for at in range(50, ROWS, 100):
        lines[at] = lines[at].rpartition(",")[0] + ",0.5"
    table.write_text("\n".join(lines) + "\n")


def test_a_later_version_costs_what_changed_and_all_of_them_come_back(project: Path, table: Path):
    assert taut(project, "data", "push").status == 0
    kept = kept_bytes(project)
    changed(table)
    second = table.read_bytes()
    assert taut(project, "data", "add", "rows.csv").status == 0
    assert taut(project, "data", "push").status == 0
    assert kept_bytes(project) - kept < 0.05 * len(second)
    shutil.rmtree(project / ".taut" / "cache")
    table.unlink()
    assert taut(project, "data", "pull").status == 0
    assert table.read_bytes() == second
    assert taut(project, "data", "checkout", "rows@1", "--to", "first.csv").status == 10, "its content is not here"


def test_nothing_of_the_data_can_be_read_without_the_key(project: Path, table: Path):
    assert taut(project, "data", "push").status == 0
    held = b"".join(file.read_bytes() for file in (project.parent / "vault").rglob("*") if file.is_file())
    assert table.read_bytes()[100:140] not in held
    (key,) = [file for file in (project / ".taut").rglob("*") if file.is_file() and "key" in file.name]
    key.rename(key.with_name("elsewhere"))
    refused = taut(project, "data", "push")
    assert (refused.status != 0, len(refused.lines)) == (True, 2), refused.err


def packs_of(project: Path) -> list[Path]:
    return [path for path in (project.parent / "vault" / "packs").rglob("*") if path.is_file()]


def damaged(path: Path) -> str:
    """Turn a byte; returns the name that a check gives the object."""
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    return "/".join(path.parts[-3:])


@pytest.mark.slow
def test_a_damaged_remote_is_named_and_brought_back_from_the_cache(project: Path, table: Path):
    assert taut(project, "data", "push").status == 0
    assert taut(project, "data", "remote", "fsck").out.endswith("no damaged\n")
    name = damaged(packs_of(project)[0])
    checked = taut(project, "data", "remote", "fsck", "vault", "--json")
    assert checked.status == 14
    assert [one["object"] for one in checked.json["damages"]] == [name]
    assert len(checked.json["damages"][0]["contents"]) == 1
    done = taut(project, "data", "remote", "fsck", "vault", "--repair", "--json")
    assert (done.status, done.json["lost"], done.json["damages"]) == (0, [], [])
    assert len(done.json["restored"]) == 1
    assert taut(project, "data", "remote", "fsck", "vault").status == 0


@pytest.mark.slow
def test_what_the_cache_lacks_comes_from_another_remote_or_is_told_as_lost(project: Path, table: Path):
    assert taut(project, "data", "push").status == 0
    assert taut(project, "data", "remote", "add", "other", str(project.parent / "other"), "--dvc").status == 0
    assert taut(project, "data", "push", "--remote", "other").status == 0
    shutil.rmtree(project / ".taut" / "cache")
    damaged(packs_of(project)[0])
    done = taut(project, "data", "remote", "fsck", "vault", "--repair", "--from", "other", "--json")
    assert (done.status, done.json["lost"]) == (0, [])
    for path in packs_of(project):
        damaged(path)
    lost = taut(project, "data", "remote", "fsck", "vault", "--repair")
    assert lost.status == 14
    assert "push it again from where it is" in lost.out
    assert taut(project, "data", "remote", "fsck", "other").status == 13
    assert taut(project, "data", "remote", "fsck", "vault", "--from", "other").status == 2


@pytest.mark.slow
def test_a_remote_gets_another_key_and_a_killed_rotation_is_typed_again(project: Path, table: Path):
    from taut.data.store import file_key, open_store

    assert taut(project, "data", "push").status == 0
    new = project.parent / "keys" / "new.key"
    done = taut(project, "data", "remote", "rotate", "vault", "--key", f"file:{new}")
    assert (done.status, done.out) == (0, f"vault opens with file:{new}\n"), done.err
    assert new.stat().st_mode & 0o777 == 0o600
    shutil.rmtree(project / ".taut" / "cache")
    table.unlink()
    assert taut(project, "data", "pull").status == 0
    newer = project.parent / "keys" / "newer.key"
    assert taut(project, "data", "remote", "rotate", "vault", "--key", f"file:{newer}").status == 0
    # The store has the next key and the config does not know it yet.
    assert taut(project, "data", "remote", "modify", "vault", "taut_key", f"file:{new}").status == 0
    refused = taut(project, "data", "remote", "fsck", "vault")
    assert (refused.status, len(refused.lines)) == (12, 2), refused.err
    assert taut(project, "data", "remote", "rotate", "vault", "--key", f"file:{newer}").status == 0
    assert taut(project, "data", "remote", "fsck", "vault").status == 0
    assert open_store(str(project.parent / "vault"), file_key(newer)).is_encrypted
    wrong = taut(project, "data", "remote", "rotate", "vault", "--key", "file:")
    assert (wrong.status, len(wrong.lines)) == (2, 2), wrong.err


def kept_by_dvc_2(folder: Path, files: dict[str, bytes]) -> None:
    """A project of DVC 2: a pointer to a folder without `hash: md5`, content in the cache by digests of its day."""
    from taut.data.workspace.digests import dos2unix_digest, listing_bytes, md5_of

    listed = []
    for name, data in files.items():
        place = folder / "old" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        listed.append((name, dos2unix_digest(str(place))))
        keep_object(folder, listed[-1][1], data)
    listing = listing_bytes(listed)
    keep_object(folder, f"{md5_of(listing)}.dir", listing)
    (folder / "old.dvc").write_text(f"outs:\n- md5: {md5_of(listing)}.dir\n  size: 1\n  nfiles: 3\n  path: old\n")


def keep_object(folder: Path, digest: str, data: bytes) -> None:
    path = folder / ".dvc" / "cache" / digest[:2] / digest[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.slow
def test_what_dvc_2_kept_goes_into_the_store_and_back_beside_what_has_the_same_digest(project: Path, monkeypatch):
    for level in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(project.parent / level))
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").write_text("")
    files = {"dos.txt": b"a\r\nb\r\n", "unix.txt": b"plain\n", "raw.bin": b"\0\r\n"}
    kept_by_dvc_2(project, files)
    (project / "new.txt").write_bytes(b"a\nb\n")  # Of the digest that DVC 2 gave dos.txt.
    assert taut(project, "data", "add", "new.txt").status == 0
    vault = str(project.parent / "vault")
    assert taut(project, "data", "remote", "add", "vault", vault, "--encrypt", "--default").status == 0
    sent = taut(project, "data", "push", "--json")
    assert (sent.status, sent.json["files"]) == (0, 5), sent.err
    assert taut(project, "data", "push", "--json").json["files"] == 0
    shutil.rmtree(project / ".dvc" / "cache")
    shutil.rmtree(project / "old")
    (project / "new.txt").unlink()
    pulled = taut(project, "data", "pull", "--json")
    assert (pulled.status, pulled.json["files"]) == (0, 5), pulled.err
    assert {name: (project / "old" / name).read_bytes() for name in files} == files
    assert (project / "new.txt").read_bytes() == b"a\nb\n"
    kept = taut(project, "data", "gc", "--workspace", "--cloud", "--yes", "--json")
    assert kept.status == 0, kept.err
    assert kept.json["remote_files"] == 0
    (project / "old.dvc").unlink()
    assert taut(project, "data", "gc", "--workspace", "--cloud", "--yes", "--json").json["remote_files"] == 4
    assert taut(project, "data", "fetch").status == 0


def test_a_file_that_has_not_the_digest_of_dvc_2_is_not_stored(project: Path, monkeypatch):
    for level in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(project.parent / level))
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").write_text("")
    kept_by_dvc_2(project, {"dos.txt": b"a\r\n"})
    assert taut(project, "data", "remote", "add", "vault", str(project.parent / "vault"), "--plain").status == 0
    damaged = next(path for path in (project / ".dvc" / "cache").rglob("*") if path.is_file() and path.suffix != ".dir")
    damaged.write_bytes(b"other")
    refused = taut(project, "data", "push")
    assert (refused.status, damaged.name in refused.err) == (14, True)
