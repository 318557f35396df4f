"""Notes: what Python processes say of themselves is noted once, in order, and the program never notices."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from taut.records import RemoteRead, Seeding
from taut.runs.capture.reads import Notes, read_notes, redacted, remote_reads, watched


def noted(folder: Path, program: str, *, more: dict[str, str] | None = None, python: tuple[str, ...] = ()) -> Notes:
    """What the shim notes of a program run in the folder."""
    (folder / "notes").mkdir(exist_ok=True)
    environment = {**os.environ, **watched(folder / "notes" / "reads"), **(more or {})}
    command = [*(python or (sys.executable,)), "-c", program]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return read_notes(folder / "notes" / "reads")


def names(notes: Notes) -> list[str]:
    return [Path(path).name for path, is_read in notes.opened.items() if is_read]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    "program",
    [
        "open('a').read(); open('a').read()",
        "import os; os.close(os.open('a', os.O_RDONLY))",
        "import pathlib; pathlib.Path('a').read_bytes()",
        "open(b'a').close()",
        "open('a', 'r+').close()",
        "import gzip, contextlib\nwith contextlib.suppress(OSError): gzip.open('a').read()",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', \"open('a')\"], check=True)",
        "import os\nif os.fork() == 0:\n    open('a').close(); os._exit(0)\nos.wait()",
        "import multiprocessing as m; m.get_context('fork').Process(target=open, args=('a',)).run()",
        "import threading; t = threading.Thread(target=lambda: open('a').close()); t.start(); t.join()",
        "import os; os.chdir('/'); import sys; open(os.environ['PWD_'] + '/a').close()",
    ],
)
def test_a_file_that_python_opens_is_noted_once(folder: Path, program: str):
    notes = noted(folder, program, more={"PWD_": str(folder)})
    assert names(notes) == ["a"]
    assert notes.interpreter == sys.executable


def test_what_the_run_makes_is_not_what_it_reads(folder: Path):
    program = "open('new', 'w').close(); open('new').close(); open('a', 'w').close(); open('b').close(); open('b', 'w')"
    assert names(noted(folder, program.replace("open('b', 'w')", "open('b', 'w').close()"))) == ["b"]


def test_after_chdir_the_same_relative_path_is_another_file(folder: Path):
    (folder / "sub").mkdir()
    (folder / "sub" / "a").write_text("sub")
    notes = noted(folder, "import os; open('a').close(); os.chdir('sub'); open('a').close()")
    assert list(notes.opened) == [str(folder / "a"), str(folder / "sub" / "a")]


def test_packages_and_the_system_are_no_data_and_code_of_ones_own_is_noted(folder: Path):
    (folder / "own.py").write_text("x = 1\n")
    program = "import own, json, email, msgspec; open('/etc/hostname').close(); open('c')"
    assert names(noted(folder, program)) == ["own.py", "c"]


def test_where_files_are_seen_by_other_means_they_are_not_noted_again(folder: Path):
    assert noted(folder, "open('a').close()", more={"TAUT_WATCHED": "1"}) == Notes(sys.executable, {})


def test_a_sitecustomize_that_was_there_before_still_runs(folder: Path):
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text("import builtins; builtins.was_here = True\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder / "site"))
        program = "import sys; assert was_here; assert not any(p.endswith('shim') for p in sys.path); open('a').close()"
        assert names(noted(folder, program)) == ["sitecustomize.py", "a"]


def test_a_program_that_closes_every_descriptor_is_not_harmed(folder: Path):
    program = "import os; os.closerange(3, 64); out = open('out', 'w'); open('a').close(); out.write('x'); out.close()"
    assert names(noted(folder, program)) == ["a"]
    assert (folder / "out").read_text() == "x"


def test_notes_that_cannot_be_written_cost_nothing_but_the_notes(folder: Path):
    environment = {**os.environ, **watched(folder / "no such folder" / "reads")}
    done = subprocess.run(
        [sys.executable, "-c", "print(open('a').read())"], cwd=folder, env=environment, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\n", b"")


def test_half_a_note_is_no_note(folder: Path):
    (folder / "reads").write_bytes(b"p /usr/bin/python3\0r /a\0s random.seed\t1\0r /hal")
    seeds = (Seeding("random.seed", "1"),)
    assert read_notes(folder / "reads") == Notes("/usr/bin/python3", {"/a": True}, seeds=seeds)
    assert read_notes(folder / "never written") == Notes()


# Seeds


@pytest.mark.parametrize(
    ("program", "by", "value"),
    [
        ("import random; random.seed(7)", "random.seed", "7"),
        ("import random; random.seed(a='x')", "random.seed", "'x'"),
        ("import random; random.seed()", "random.seed", ""),
        ("import numpy; numpy.random.seed(5)", "numpy.random.seed", "5"),
        ("import numpy as n; n.random.default_rng(n.array([1, 2]))", "numpy.random.default_rng", "array([1, 2])"),
        ("from numpy.random import default_rng; default_rng(3)", "numpy.random.default_rng", "3"),
    ],
)
def test_a_seed_that_is_set_is_noted(folder: Path, program: str, by: str, value: str):
    assert noted(folder, program).seeds == (Seeding(by, value),)


def test_a_seeded_program_draws_what_it_would_have_drawn(folder: Path):
    program = (
        "import random, numpy; random.seed(7); numpy.random.seed(5)\n"
        "open('o', 'w').write(str((random.random(), numpy.random.rand())))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True)
    alone = (folder / "o").read_text()
    noted(folder, program)
    assert (folder / "o").read_text() == alone


# Addresses


@pytest.fixture
def site(folder: Path) -> Iterator[str]:
    """A web server over the folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "program",
    [
        "import urllib.request as u; u.urlopen('{}').read()",
        "import requests; requests.get('{}').text",
        "import urllib3; urllib3.request('GET', '{}').data",
        "import http.client as h; c = h.HTTPConnection('{}'.split('/')[2]); c.request('GET', '/a?token=x&v=1')",
    ],
)
def test_an_address_that_python_reads_is_noted_without_its_secrets(folder: Path, site: str, program: str):
    notes = noted(folder, program.replace("{}", f"{site}/a?token=x&v=1"))
    host = site.removeprefix("http://")
    assert notes.urls == (f"{site}/a?token=x&v=1",)
    assert list(notes.hosts) == [host]
    assert remote_reads(notes, (host,), "") == (RemoteRead("url", f"{site}/a?token=***&v=1"),)


@pytest.mark.parametrize(
    ("program", "address"),
    [
        (
            "import sqlalchemy as s; s.create_engine('postgresql+psycopg://ada:pw@127.0.0.1:9/x').connect()",
            "postgresql+psycopg://ada:***@127.0.0.1:9/x",
        ),
        ("import psycopg; psycopg.connect('host=127.0.0.1 port=9 dbname=x password=pw')", "postgresql://127.0.0.1:9/x"),
        (
            "import psycopg; psycopg.connect(host='127.0.0.1', port=9, dbname='x', password='pw')",
            "postgresql://127.0.0.1:9/x",
        ),
        ("import psycopg; psycopg.connect('postgresql://ada:pw@127.0.0.1:9/x')", "postgresql://ada:***@127.0.0.1:9/x"),
    ],
)
def test_a_database_is_noted_without_its_password(folder: Path, program: str, address: str):
    first, _, second = program.partition("; ")
    notes = noted(folder, f"{first}\nimport contextlib\nwith contextlib.suppress(Exception): {second}")
    assert remote_reads(notes, (), "") == (RemoteRead("database", address),)


# Each reads from a real server, by the newest interface of its library and by what stands above it.
OF_A_DATABASE = {
    "psycopg": "import psycopg; psycopg.connect(U).execute('select 1')",
    "psycopg's class": "import psycopg; psycopg.Connection.connect(U).execute('select 1')",
    "psycopg, asynchronous": (
        "import asyncio, psycopg\nasync def main():\n    c = await psycopg.AsyncConnection.connect(U)\n"
        "    await c.execute('select 1')\n    await c.close()\nasyncio.run(main())"
    ),
    "psycopg2": "import psycopg2; psycopg2.connect(U).cursor().execute('select 1')",
    "SQLAlchemy": "import sqlalchemy as s; s.create_engine(A).connect().execute(s.text('select 1'))",
    "SQLAlchemy by name": (
        "from sqlalchemy import create_engine as c, text\nwith c(A).begin() as b: b.execute(text('select 1'))"
    ),
    "pandas": "import pandas as p; p.read_sql('select 1', A)",
}


@pytest.mark.slow
@pytest.mark.parametrize("program", OF_A_DATABASE.values(), ids=OF_A_DATABASE)
def test_a_database_that_is_really_read_is_noted_once(folder: Path, postgres_url: str, program: str):
    pytest.importorskip(program.split()[1].strip(";,") if "asyncio" not in program else "psycopg")
    alchemy = postgres_url.replace("postgresql:", "postgresql+psycopg:")
    program = f"import warnings; warnings.simplefilter('ignore')\nU, A = {postgres_url!r}, {alchemy!r}\n{program}"
    notes = noted(folder, program)
    (read,) = remote_reads(notes, (), "")
    assert read.kind == "database"
    assert read.address in (redacted(postgres_url), redacted(alchemy))


OF_THE_WEB = {
    "httpx": "import httpx; httpx.get(U)",
    "aiohttp": (
        "import aiohttp, asyncio\nasync def main():\n    async with aiohttp.ClientSession() as s:\n"
        "        await s.get(U)\nasyncio.run(main())"
    ),
    "fsspec": "import fsspec; fsspec.filesystem('http').cat(U)",
    "polars": "import polars; polars.scan_csv(U).collect()",
    "polars, several": "import polars; polars.scan_parquet([U]).collect()",
    "duckdb": "import duckdb; duckdb.sql(f\"from '{U}'\").fetchall()",
    "duckdb's connection": "import duckdb; duckdb.connect().execute(f\"from read_csv(['{U}'])\")",
    "duckdb's function": "import duckdb; duckdb.read_csv(U)",
}


@pytest.mark.slow
@pytest.mark.parametrize("program", OF_THE_WEB.values(), ids=OF_THE_WEB)
def test_an_address_that_passes_by_pythons_own_clients_is_noted_too(folder: Path, site: str, program: str):
    pytest.importorskip(program.split()[1].strip(";,"))
    program = program.replace("\n", "\n    ")
    suppressed = f"import contextlib\nU = '{site}/a'\nwith contextlib.suppress(Exception):\n    {program}"
    assert noted(folder, suppressed).urls == (f"{site}/a",)


def test_an_engine_that_nobody_connects_reads_nothing(folder: Path):
    assert noted(folder, "import sqlalchemy as s; s.create_engine('postgresql+psycopg://db/x')").databases == ()


@pytest.mark.parametrize(
    ("program", "address"),
    [
        ("from obstore.store import HTTPStore; s = HTTPStore.from_url('{}'); s.get('a')", "{}/a"),
        (
            "import obstore; from obstore.store import HTTPStore; obstore.get(HTTPStore.from_url('{}'), path='a')",
            "{}/a",
        ),
        ("import pandas as p; p.read_csv('{}/a')", "{}/a"),
    ],
)
def test_an_object_that_native_code_reads_is_noted_by_its_address(folder: Path, site: str, program: str, address: str):
    pytest.importorskip("obstore")
    program = "import contextlib\nwith contextlib.suppress(Exception):\n    " + program.replace("{}", site)
    assert noted(folder, program).urls == (address.replace("{}", site),)


def test_an_object_in_a_bucket_is_noted_by_bucket_prefix_and_key(folder: Path):
    pytest.importorskip("obstore")
    program = (
        "import contextlib; from obstore.store import S3Store, MemoryStore\n"
        "store = S3Store('b', prefix='p', region='x', endpoint='http://127.0.0.1:9',"
        " client_options={'allow_http': True},"
        " access_key_id='k', secret_access_key='s', retry_config={'max_retries': 0})\n"
        "with contextlib.suppress(Exception): store.get('k.csv')\n"
        "with contextlib.suppress(Exception): MemoryStore().get('k.csv')"
    )
    assert noted(folder, program).urls == ("s3://b/p/k.csv",)


def test_a_database_in_a_file_is_a_file(folder: Path):
    assert noted(folder, "import sqlalchemy as s; s.create_engine('sqlite:///x.db').connect()").databases == ()


def test_connections_that_nothing_explains_are_inputs_that_nobody_named():
    notes = Notes("python", urls=("https://data.org/x",), hosts={"10.0.0.1:443": "data.org", "10.0.0.2:443": "x.org"})
    connections = ("10.0.0.1:443", "10.0.0.2:443", "10.0.0.3:6379", "10.0.0.4:53", "127.0.0.1:5000")
    assert remote_reads(notes, connections, "http://127.0.0.1:5000") == (
        RemoteRead("connection", "10.0.0.3:6379"),
        RemoteRead("connection", "x.org (10.0.0.2:443)"),
        RemoteRead("url", "https://data.org/x"),
    )


def test_the_tracking_server_is_no_input():
    notes = Notes("python", urls=("http://127.0.0.1:5000/api/2.0/mlflow/runs/get?run_id=1",))
    assert remote_reads(notes, ("127.0.0.1:5000",), "http://127.0.0.1:5000") == ()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ada:pw@h/x", "https://ada:***@h/x"),
        ("https://token@h/x", "https://***@h/x"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("https://h/x?api_key=1&page=2#frag", "https://h/x?api_key=***&page=2"),
        ("https://h/x?X-Amz-Credential=a&X-Amz-Signature=b", "https://h/x?X-Amz-Credential=***&X-Amz-Signature=***"),
        ("https://[bad", "***"),
    ],
)
def test_what_lets_one_in_is_cut_out(url: str, shown: str):
    assert redacted(url) == shown
