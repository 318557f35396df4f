"""Artifacts through MLflow's protocol, raw: in, listed, out, gone, and never outside of their folder."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from taut.ground.objects import oid_of
from taut.home import Home
from taut.runs import create_logged_model, create_run, find_artifact
from tests.faces.serving import served
from tests.faces.speaking import EXISTS, INVALID, NOT_FOUND, POOL, Speaker
from tests.marks import slow_on_postgresql

pytestmark = slow_on_postgresql

A = "mlflow-artifacts/artifacts"
ROOT = "0/r/artifacts"


@pytest.fixture
def ask(home: Home) -> Iterator[Speaker]:
    with served(home) as url:
        create_run(home, run_id="r")
        yield Speaker(url)


def put(ask: Speaker, path: str, data: bytes = b"data", root: str = ROOT) -> None:
    said = ask("PUT", f"{A}/{root}/{path}", data)
    assert (said.status, said.body) == (200, {}), said


def fetched(ask: Speaker, path: str, root: str = ROOT) -> tuple[int, bytes]:
    answer = POOL.request("GET", f"{ask.url}{ask.prefix}{A}/{root}/{path}")
    return answer.status, answer.data


def listed(ask: Speaker, path: str = ROOT) -> list[dict[str, Any]]:
    said = ask.get(A, path=path)
    assert said.status == 200, said
    files: list[dict[str, Any]] = said.body["files"]
    return files


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(70_000), b"\0" * (5 << 20)], ids=["none", "one", "some", "5M"])
def test_bytes_come_out_as_they_went_in(ask: Speaker, home: Home, data: bytes):
    put(ask, "model/data.bin", data)
    assert fetched(ask, "model/data.bin") == (200, data)
    kept = find_artifact(home, ROOT, "model/data.bin")
    assert (kept.oid, kept.size_bytes) == (oid_of(data), len(data))


def test_a_file_is_replaced_by_what_comes_later_under_its_name(ask: Speaker):
    for data in (b"first", b"second"):
        put(ask, "a.txt", data)
    assert fetched(ask, "a.txt") == (200, b"second")
    assert listed(ask) == [{"path": "a.txt", "is_dir": False, "file_size": 6}]


def test_a_folder_is_listed_one_level_deep_from_both_ends_of_the_protocol(ask: Speaker):
    for path in ("b.txt", "a/x.txt", "a/deep/y.txt"):
        put(ask, path)
    assert listed(ask) == [{"path": "a", "is_dir": True}, {"path": "b.txt", "is_dir": False, "file_size": 4}]
    assert [one["path"] for one in listed(ask, f"{ROOT}/a")] == ["deep", "x.txt"]
    said = ask.get("mlflow/artifacts/list", run_id="r", path="a").body
    assert said["root_uri"] == f"mlflow-artifacts:/{ROOT}"
    assert [one["path"] for one in said["files"]] == ["a/deep", "a/x.txt"]
    assert ask.get("mlflow/artifacts/list", run_id="r", path="nothing").body["files"] == []


@pytest.mark.parametrize("path", ["", "0", "0/r", "../..", f"{ROOT}/../../x", f"{ROOT}/a\x00b", "a/b/c/d"])
def test_what_lies_outside_of_all_roots_is_not_listed(ask: Speaker, path: str):
    assert ask.get(A, path=path).code == INVALID


@pytest.mark.parametrize("path", ["..", "a/../..", "/etc", "a\x00"])
def test_no_path_leaves_the_folder_of_a_run(ask: Speaker, path: str):
    assert ask.get("mlflow/artifacts/list", run_id="r", path=path).code == INVALID


def test_a_name_of_any_letters_is_kept(ask: Speaker):
    for written in ("a%20b.txt", "%E9%81%85.txt", "100%25.txt", "a%2Bb%26c.txt", "plain..txt", ".hidden"):
        put(ask, written)
        assert fetched(ask, written) == (200, b"data"), written
    assert {one["path"] for one in listed(ask)} == {
        "a b.txt", "遅.txt", "100%.txt", "a+b&c.txt", "plain..txt", ".hidden",
    }  # fmt: skip


def test_a_file_that_is_not_there_is_told_so(ask: Speaker):
    put(ask, "a/b.txt")
    for path in ("nothing", "a", "a/b.txt/c", "a/B.TXT"):
        assert ask("GET", f"{A}/{ROOT}/{path}").code == NOT_FOUND, path
    assert ask("GET", f"{A}/0/nobody/artifacts/x").code == NOT_FOUND


def test_nothing_is_put_where_there_is_no_run(ask: Speaker):
    for root in ("0/nobody/artifacts", "404/r/artifacts", "0/models/m-nobody/artifacts"):
        assert ask("PUT", f"{A}/{root}/x", b"x").code == NOT_FOUND, root


def test_a_name_is_a_file_or_a_folder_and_never_both(ask: Speaker):
    put(ask, "a/b.txt")
    assert ask("PUT", f"{A}/{ROOT}/a", b"x").code == EXISTS
    assert ask("PUT", f"{A}/{ROOT}/a/b.txt/c", b"x").code == EXISTS
    assert fetched(ask, "a/b.txt") == (200, b"data")


def test_what_is_deleted_is_gone_with_all_below_it_and_nothing_else_is(ask: Speaker):
    for path in ("a/x", "a/deep/y", "ab", "b"):
        put(ask, path)
    assert ask("DELETE", f"{A}/{ROOT}/a").status == 200
    assert [one["path"] for one in listed(ask)] == ["ab", "b"]
    assert ask("DELETE", f"{A}/{ROOT}/b").status == 200
    assert fetched(ask, "b")[0] == 404
    assert fetched(ask, "ab") == (200, b"data")


def test_the_files_of_two_runs_and_of_a_logged_model_stay_apart(ask: Speaker, home: Home):
    create_run(home, run_id="s")
    model = create_logged_model(home, "0", name="late")
    roots = (ROOT, "0/s/artifacts", f"0/models/{model.id}/artifacts")
    for root in roots:
        put(ask, "same.txt", root.encode(), root)
    assert [fetched(ask, "same.txt", root) for root in roots] == [(200, root.encode()) for root in roots]
    assert ask("DELETE", f"{A}/{ROOT}/same.txt").status == 200
    assert [fetched(ask, "same.txt", root)[0] for root in roots] == [404, 200, 200]


def test_a_browser_is_told_to_save_what_it_gets_and_to_guess_nothing(ask: Speaker):
    for name in ("page.html", "picture.svg", "code.js", "unknown"):
        put(ask, name, b"<script>1</script>")
        headers = POOL.request("GET", f"{ask.url}{ask.prefix}{A}/{ROOT}/{name}").headers
        assert headers["content-disposition"] == "attachment", name
        assert headers["x-content-type-options"] == "nosniff", name
        assert "default-src 'none'" in headers["content-security-policy"], name
        assert headers["content-length"] == "18", name
