"""The lock of a run: standard TOML, true to where each package came from, and honest where nobody knows."""

import json
import tomllib

import pytest

from taut.runs.capture.environment import Environment, Package
from taut.runs.capture.locks import lock_of


def locked(*packages: Package) -> tuple[dict, tuple[str, ...]]:
    text, unlocked = lock_of(Environment("CPython 3.11.2", "Linux", packages, version="3.11.2"))
    return tomllib.loads(text), unlocked


def test_a_lock_is_a_pylock_that_names_its_python():
    lock, unlocked = locked()
    assert (lock["lock-version"], lock["created-by"], lock["requires-python"]) == ("1.0", "taut", "==3.11.2")
    assert unlocked == ()


def test_a_package_from_an_index_stands_by_version_and_the_digest_of_its_record():
    lock, unlocked = locked(Package("Foo_Bar.baz", "1.0", "ab"), Package("x", "2"))
    assert lock["packages"] == [
        {"name": "foo-bar-baz", "version": "1.0", "tool": {"taut": {"record-sha256": "ab"}}},
        {"name": "x", "version": "2"},
    ]
    assert unlocked == ("Foo_Bar.baz", "x")


@pytest.mark.parametrize(
    ("origin", "table", "known"),
    [
        (
            {"url": "https://u:p@h/x.whl", "archive_info": {"hashes": {"sha256": "ab"}}},
            {"archive": {"url": "https://u:***@h/x.whl", "hashes": {"sha256": "ab"}}},
            True,
        ),
        (
            {"url": "https://h/x.whl", "archive_info": {"hash": "sha256=cd"}},
            {"archive": {"url": "https://h/x.whl", "hashes": {"sha256": "cd"}}},
            True,
        ),
        ({"url": "https://h/x.whl", "archive_info": {}}, {}, False),
        (
            {"url": "https://h/x.git", "vcs_info": {"vcs": "git", "commit_id": "ef"}},
            {"vcs": {"type": "git", "url": "https://h/x.git", "commit-id": "ef"}},
            True,
        ),
        (
            {"url": "file:///home/x", "dir_info": {"editable": True}},
            {"directory": {"path": "/home/x", "editable": True}},
            False,
        ),
        ({"url": "https://h/x.whl", "archive_info": 3}, {}, False),
    ],
)
def test_a_package_from_an_address_says_which(origin: dict, table: dict, known: bool):
    lock, unlocked = locked(Package("x", "1", origin=json.dumps(origin)))
    assert lock["packages"] == [{"name": "x", "version": "1", **table}]
    assert (unlocked == ()) == known


@pytest.mark.parametrize("origin", ["{", "", "[]", "null"])
def test_an_origin_that_is_none_is_passed_over(origin: str):
    assert locked(Package("x", "1", origin=origin))[0]["packages"] == [{"name": "x", "version": "1"}]


def test_hostile_names_stay_text():
    lock, _ = locked(Package('a"]\n[evil]\nb="', 'v"\x7f\n'))
    assert set(lock) == {"lock-version", "created-by", "requires-python", "packages"}
    assert lock["packages"][0]["version"] == 'v"\x7f\n'
