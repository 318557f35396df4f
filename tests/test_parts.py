"""The parts that other tests stand on are real, empty for each test, and gone afterwards."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import obstore
import psycopg
import pytest
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from tests.parts import S3Server, eventually, free_port, program, safe_name

HERE = Path(__file__).parent


def store_at(url: str, **changed: str) -> S3Store:
    place = urlsplit(url)
    told = {name: values[0] for name, values in parse_qs(place.query).items()} | changed
    return S3Store(
        place.netloc,
        prefix=place.path.lstrip("/"),
        client_options={"allow_http": True},
        endpoint=told["endpoint"],
        region=told["region"],
        access_key_id=told["access_key_id"],
        secret_access_key=told["secret_access_key"],
    )


def test_each_test_gets_an_empty_database_of_a_real_postgres(postgres_url: str, postgres_database: Callable[[], str]):
    other = postgres_database()
    with psycopg.connect(postgres_url) as one, psycopg.connect(other) as two:
        one.execute("CREATE TABLE mine (n int)")
        version = one.execute("SHOW server_version_num").fetchone()
        tables = two.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert version is not None
    assert int(version[0]) >= 180000
    assert tables == (0,)


def test_the_s3_server_keeps_what_is_put_and_refuses_to_overwrite_when_asked(s3_url: str):
    store = store_at(s3_url)
    obstore.put(store, "a/b", b"bytes", mode="create")
    assert bytes(obstore.get(store, "a/b").bytes()) == b"bytes"
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a/b", b"others", mode="create")


def test_the_s3_server_refuses_a_wrong_secret(s3_url: str):
    with pytest.raises(Exception, match=r"403|Signature"):
        obstore.put(store_at(s3_url, secret_access_key="wrong"), "x", b"y")


def test_two_tests_never_share_a_place_in_the_bucket(s3_url: str, s3_server: S3Server, s3_bucket: str):
    assert urlsplit(s3_url).netloc == s3_bucket
    assert list(obstore.list(store_at(s3_url)).collect()) == []
    assert s3_server.url("p").startswith(f"s3://{s3_bucket}/p?endpoint=http://127.0.0.1:")


def test_ports_are_free_and_differ(free_port: int):
    assert 1024 < free_port < 65536


def test_waiting_ends_with_what_was_seen_last():
    answers = iter([0, 0, 7])
    assert eventually(lambda: next(answers)) == 7
    with pytest.raises(AssertionError, match=r"0\.1 s for the moon; last seen: None"):
        eventually(lambda: None, within=0.1, what="the moon")


def test_a_server_that_does_not_start_is_waited_for_like_one_that_answers_nothing():
    calls: list[int] = []

    def refuses() -> bool:
        calls.append(free_port())
        if len(calls) < 3:
            raise ConnectionRefusedError
        return True

    assert eventually(refuses)
    assert len(calls) == 3


def test_names_for_places_are_plain():
    assert safe_name("test_X[postgres/é-1]") == "test-x-postgres-1"
    assert len(safe_name("long " * 50)) == 40


def test_programs_of_the_environment_are_found_beside_its_python():
    assert program("weed").is_file()
    with pytest.raises(AssertionError, match="make venv"):
        program("no-such-program")


@pytest.mark.slow
def test_an_inner_run_on_two_workers_shares_one_postgres_and_ends_it(tmp_path: Path):
    """The servers of a test run end with it, also under pytest-xdist."""
    (tmp_path / "test_inner.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(4))\n"
        "def test_server(postgres_server, n):\n"
        f"    open({str(tmp_path)!r} + f'/{{n}}', 'w').write(postgres_server)\n"
    )
    (tmp_path / "conftest.py").write_text("from tests.conftest import *  # noqa\n")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    command += ["-o", f"pythonpath={HERE.parent}", str(tmp_path)]
    inner = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "4 passed" in inner.stdout, inner.stdout + inner.stderr
    urls = {(tmp_path / str(n)).read_text() for n in range(4)}
    assert len(urls) == 1
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(urls.pop())
