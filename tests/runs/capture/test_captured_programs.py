"""Programs of every kind that read and write: the capture lists each project file they touched, and no other one."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs.capture.observing import observe

DATA = "x,y\n1,2\n3,4\n"
# What every row has in its folder. Nobody may be said to have read what nobody opened.
DECOYS = ("decoy.csv", "b.csv.bak")


@pytest.fixture
def folder(project: Path) -> Path:
    (project / "a.csv").write_text(DATA)
    (project / "sub").mkdir()
    (project / "sub" / "b.csv").write_text(DATA)
    for name in DECOYS:
        (project / name).write_text(DATA)
    return project


PYTHON_READERS = {
    "open": "open('a.csv').read()",
    "os.open": "import os; os.read(os.open('a.csv', os.O_RDONLY), 9)",
    "bytes path": "open(b'a.csv').close()",
    "dir_fd": "import os; d = os.open('.', os.O_RDONLY); os.read(os.open('a.csv', os.O_RDONLY, dir_fd=d), 9)",
    "absolute with dots": "import os; open(os.getcwd() + '/sub/../a.csv').read()",
    "chdir": "import os; os.chdir('sub'); open('../a.csv').read()",
    "pathlib": "import pathlib; pathlib.Path('a.csv').read_bytes()",
    "mmap": "import mmap; f = open('a.csv', 'rb'); mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)[:]",
    "csv": "import csv; list(csv.reader(open('a.csv')))",
    "fileinput": "import fileinput; list(fileinput.input('a.csv'))",
    "linecache": "import linecache; assert linecache.getline('a.csv', 1)",
    "ctypes open": "import ctypes; assert ctypes.CDLL(None).open(b'a.csv', 0) >= 0",
    "ctypes fopen": "import ctypes; assert ctypes.CDLL(None).fopen(b'a.csv', b'r')",
    "openat2": (
        "import ctypes, struct; h = struct.pack('QQQ', 0, 0, 0);"
        " assert ctypes.CDLL(None).syscall(437, -100, b'a.csv', h, 24) >= 0"
    ),
    "/proc/self/fd": "import os; f = os.open('a.csv', os.O_PATH); os.read(os.open(f'/proc/self/fd/{f}', 0), 9)",
    "thread": "import threading; t = threading.Thread(target=lambda: open('a.csv').read()); t.start(); t.join()",
    "asyncio": "import asyncio; asyncio.run(asyncio.to_thread(lambda: open('a.csv').read()))",
    "fork": "import os\nif os.fork() == 0:\n    open('a.csv').read(); os._exit(0)\nos.wait()",
    "multiprocessing": (
        "import multiprocessing as m\np = m.get_context('fork').Process(target=open, args=('a.csv',))\n"
        "p.start(); p.join()"
    ),
    "spawned Python": "import subprocess as s, sys; s.run([sys.executable, '-S', '-c', \"open('a.csv')\"], check=True)",
    "os.posix_spawn": "import os; os.waitpid(os.posix_spawn('/bin/cat', ['cat', 'a.csv'], os.environ), 0)",
    "exec": "import os; os.execv('/bin/cat', ['cat', 'a.csv'])",
    "sendfile": "import os; r, w = os.pipe(); os.sendfile(w, os.open('a.csv', 0), 0, 9)",
}
SHELL_READERS = {
    "cat": "cat a.csv",
    "redirected": "wc -l < a.csv",
    "dd": "dd if=a.csv status=none",
    "loop": "while read line; do :; done < a.csv",
    "exec chain": "exec sh -c 'exec cat a.csv'",
    "background": "cat a.csv & wait",
    "pipe": "cat a.csv | tail -1 | head -1",
}


@pytest.mark.parametrize("program", PYTHON_READERS.values(), ids=PYTHON_READERS)
def test_what_python_reads_is_an_input(folder: Path, program: str):
    seen = observe(folder, sys.executable, "-S", "-c", program)
    assert (seen.status, seen.inputs, seen.outputs) == (0, {"a.csv"}, set())
    assert (seen.observed.reason, seen.observed.unseen, seen.files.missing) == ("", [], ())


@pytest.mark.parametrize("program", SHELL_READERS.values(), ids=SHELL_READERS)
def test_what_other_programs_read_is_an_input(folder: Path, program: str):
    seen = observe(folder, "sh", "-c", program)
    assert (seen.status, seen.inputs, seen.outputs) == (0, {"a.csv"}, set())


PYTHON_WRITERS = {
    "open": ("open('o', 'w').write('x')", {"o"}, set()),
    "exclusive": ("open('o', 'x').write('x')", {"o"}, set()),
    "append to new": ("open('o', 'a').write('x')", {"o"}, set()),
    "append to old": ("open('a.csv', 'a').write('x')", {"a.csv"}, set()),
    "append, then read": ("open('a.csv', 'a').write('x'); open('a.csv').read()", {"a.csv"}, {"a.csv"}),
    "read, then write": ("open('a.csv').read(); open('a.csv', 'w').write('x')", {"a.csv"}, {"a.csv"}),
    "write, then read": ("open('a.csv', 'w').write('x'); open('a.csv').read()", {"a.csv"}, set()),
    "r+": ("open('a.csv', 'r+').write('x')", {"a.csv"}, {"a.csv"}),
    "r+ without a change": ("open('a.csv', 'r+').read()", set(), {"a.csv"}),
    "a without a change": ("open('a.csv', 'a').close()", set(), set()),
    "made empty": ("open('o', 'w').close()", {"o"}, set()),
    "O_CREAT alone": ("import os; os.open('o', os.O_CREAT)", {"o"}, set()),
    "truncate": ("import os; os.truncate('a.csv', 3)", {"a.csv"}, set()),
    "mmap": (
        "import mmap; f = open('a.csv', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[0:1] = b'z'; m.flush()",
        {"a.csv"}, {"a.csv"},
    ),
    "renamed into place": ("import os; open('t', 'w').write('x'); os.rename('t', 'o')", {"o"}, set()),
    "replaced": ("import os; open('t', 'w').write('x'); os.replace('t', 'a.csv')", {"a.csv"}, set()),
    "renamed twice": (
        "import os\nfor n in '12':\n    open('t', 'w').write(n); os.rename('t', 'o' + n)", {"o1", "o2"}, set(),
    ),
    "folder moved into place": (
        "import os; os.mkdir('t'); open('t/f', 'w').write('x'); os.rename('t', 'd')", {"d/f"}, set(),
    ),
    "read, then moved away": ("import os; open('a.csv').read(); os.rename('a.csv', 'z')", {"z"}, {"a.csv"}),
    "temporary": ("import os; open('t', 'w').write('x'); open('t').read(); os.unlink('t')", set(), set()),
    "read, then removed": ("import os; open('a.csv').read(); os.unlink('a.csv')", set(), {"a.csv"}),
    "tempfile": ("import tempfile; tempfile.NamedTemporaryFile(dir='.').write(b'x')", set(), set()),
    "unnamed, then linked": (
        "import os; f = os.open('.', os.O_TMPFILE | os.O_RDWR); os.link(f'/proc/self/fd/{f}', 'o', src_dir_fd=f)",
        {"o"}, set(),
    ),
    "hard link": ("import os; os.link('a.csv', 'o')", {"o"}, set()),
    "symbolic link": ("import os; os.symlink('a.csv', 'o'); open('o').read()", {"o"}, {"a.csv"}),
    "through a dangling link": ("import os; os.symlink('t', 'o'); open('o', 'w').write('x')", {"o", "t"}, set()),
    "copy_file_range": (
        "import os; os.copy_file_range(os.open('a.csv', 0), os.open('o', os.O_CREAT | os.O_WRONLY), 9)",
        {"o"}, {"a.csv"},
    ),
    "shutil.copy": ("import shutil; shutil.copy2('a.csv', 'o')", {"o"}, {"a.csv"}),
    "shutil.copytree": ("import shutil; shutil.copytree('sub', 'c')", {"c/b.csv"}, {"sub/b.csv"}),
    "shutil.move": ("import shutil; open('t', 'w').close(); shutil.move('t', 'sub/o')", {"sub/o"}, set()),
    "zipfile": ("import zipfile; zipfile.ZipFile('o.zip', 'w').write('a.csv')", {"o.zip"}, {"a.csv"}),
    "tarfile": ("import tarfile; tarfile.open('o.tgz', 'w:gz').add('sub')", {"o.tgz"}, {"sub/b.csv"}),
    "gzip": ("import gzip; gzip.open('o.gz', 'w').write(open('a.csv', 'rb').read())", {"o.gz"}, {"a.csv"}),
    "sqlite3": (
        "import sqlite3; c = sqlite3.connect('o.db'); c.execute('create table t (x)'); c.commit()", {"o.db"}, set(),
    ),
    "pickle": ("import pickle; pickle.dump([1], open('o', 'wb'))", {"o"}, set()),
    "failed": (
        "for p, m in (('a.csv', 'x'), ('no/o', 'w'), ('no', 'r')):\n    try: open(p, m)\n    except OSError: pass",
        set(), set(),
    ),
    "only looked at": ("import os; os.stat('a.csv'); os.access('a.csv', 4); list(os.walk('.'))", set(), set()),
    "fork": ("import os\nif os.fork() == 0:\n    open('o', 'w').write('x'); os._exit(0)\nos.wait()", {"o"}, set()),
}  # fmt: skip
SHELL_WRITERS = {
    "redirected": ("echo x > o", {"o"}, set()),
    "appended": ("echo x >> a.csv", {"a.csv"}, set()),
    "sed -i": ("sed -i s/1/9/ a.csv", {"a.csv"}, {"a.csv"}),
    "cp": ("cp a.csv o", {"o"}, {"a.csv"}),
    "cp -r": ("cp -r sub o", {"o/b.csv"}, {"sub/b.csv"}),
    "mv": ("cp a.csv t && mv t o", {"o"}, {"a.csv"}),
    "dd": ("dd if=a.csv of=o status=none", {"o"}, {"a.csv"}),
    "dd in place": ("printf z | dd of=a.csv conv=notrunc status=none", {"a.csv"}, set()),
    "tee": ("echo x | tee o > /dev/null", {"o"}, set()),
    "touch": ("touch o", {"o"}, set()),
    "ln -s": ("ln -s a.csv o && cat o > /dev/null", {"o"}, {"a.csv"}),
    "sort -o": ("sort -o a.csv a.csv", {"a.csv"}, {"a.csv"}),
    "tar": ("tar cf o.tar sub && mkdir x && tar xf o.tar -C x", {"o.tar", "x/sub/b.csv"}, {"sub/b.csv"}),
    "install": ("install -m 755 a.csv o", {"o"}, {"a.csv"}),
}


@pytest.mark.parametrize(("program", "outputs", "inputs"), PYTHON_WRITERS.values(), ids=PYTHON_WRITERS)
def test_what_python_writes_is_an_output(folder: Path, program: str, outputs: set[str], inputs: set[str]):
    seen = observe(folder, sys.executable, "-S", "-c", program)
    assert (seen.status, seen.outputs, seen.inputs) == (0, outputs, inputs)
    assert seen.files.missing == ()


@pytest.mark.parametrize(("program", "outputs", "inputs"), SHELL_WRITERS.values(), ids=SHELL_WRITERS)
def test_what_other_programs_write_is_an_output(folder: Path, program: str, outputs: set[str], inputs: set[str]):
    seen = observe(folder, "sh", "-c", program)
    assert (seen.status, seen.outputs, seen.inputs) == (0, outputs, inputs)


# Libraries whose readers are native; the first word is the package, and what makes the file is not observed.
PREPARE = "import pandas as pd; f = pd.DataFrame({'x': [1., 2.], 'y': [3., 4.]});"
LIBRARIES = {
    "numpy loadtxt": (
        "numpy", "", "import numpy as n; n.loadtxt('a.csv', delimiter=',', skiprows=1)",
        {"a.csv"}, set(),
    ),
    "numpy memmap": ("numpy", "", "import numpy as n; n.memmap('a.csv', mode='r')[:]", {"a.csv"}, set()),
    "numpy fromfile": ("numpy", "", "import numpy as n; n.fromfile('a.csv', dtype='u1').tofile('o')", {"a.csv"}, {"o"}),
    "numpy npz": (
        "numpy", "", "import numpy as n; n.savez('o.npz', n.ones(3)); n.load('o.npz')['arr_0']",
        set(), {"o.npz"},
    ),
    "pandas csv": ("pandas", "", "import pandas as p; p.read_csv('a.csv').to_csv('o')", {"a.csv"}, {"o"}),
    "pandas parquet": (
        "pyarrow", "f.to_parquet('i')", "import pandas as p; p.read_parquet('i').to_parquet('o')",
        {"i"}, {"o"},
    ),
    "pyarrow csv": ("pyarrow", "", "import pyarrow.csv as c; c.write_csv(c.read_csv('a.csv'), 'o')", {"a.csv"}, {"o"}),
    "pyarrow mapped": ("pyarrow", "", "import pyarrow as p; p.memory_map('a.csv').read()", {"a.csv"}, set()),
    "pyarrow dataset": (
        "pyarrow", "", "import pyarrow.dataset as d; d.dataset('sub', format='csv').to_table()", {"sub/b.csv"}, set(),
    ),
    "polars": ("polars", "", "import polars as p; p.read_csv('a.csv').write_parquet('o')", {"a.csv"}, {"o"}),
    "polars lazy": ("polars", "f.to_parquet('i')", "import polars as p; p.scan_parquet('i').collect()", {"i"}, set()),
    "duckdb": (
        "duckdb", "", "import duckdb as d; d.sql(\"copy (from 'a.csv') to 'o' (format parquet)\")", {"a.csv"}, {"o"},
    ),
    "duckdb database": (
        "duckdb", "", "import duckdb as d; d.connect('o').execute('create table t (x int)')",
        set(), {"o"},
    ),
    "joblib": ("joblib", "", "import joblib as j; j.dump([1], 'o'); j.load('o')", set(), {"o"}),
    "sklearn": (
        "sklearn", "import sklearn.datasets as d; d.dump_svmlight_file(f[['x']], f['y'], 'i')",
        "import sklearn.datasets as d; d.load_svmlight_file('i')", {"i"}, set(),
    ),
    "torch": ("torch", "", "import torch as t; t.save(t.ones(2), 'o'); t.load('o')", set(), {"o"}),
    "lightgbm": (
        "lightgbm", "", "import lightgbm as l; l.Dataset('a.csv', params={'header': True}).construct()",
        {"a.csv"}, set(),
    ),
    "xgboost": ("xgboost", "", "import xgboost as x; x.DMatrix('a.csv?format=csv&label_column=0')", {"a.csv"}, set()),
    "h5py": ("h5py", "", "import h5py as h; h.File('o', 'w').create_dataset('x', data=[1])", set(), {"o"}),
    "h5py, read": (
        "h5py", "import h5py as h; h.File('i', 'w')['x'] = [1]", "import h5py as h; h.File('i', 'r')['x'][:]",
        {"i"}, set(),
    ),
    "torch workers": (
        "torch", "",
        ("import torch as t, torch.utils.data as d\nclass D(d.Dataset):\n    def __len__(self): return 2\n"
        "    def __getitem__(self, i): return len(open(('a.csv', 'sub/b.csv')[i]).read())\n"
        "list(d.DataLoader(D(), num_workers=2))"), {"a.csv", "sub/b.csv"}, set(),
    ),
    "torch mapped": (
        "torch", "import torch as t; t.save(t.ones(2), 'i')", "import torch as t; t.load('i', mmap=True)", {"i"}, set(),
    ),
    "safetensors": (
        "safetensors", "import numpy as n; from safetensors.numpy import save_file as s; s({'x': n.ones(2)}, 'i')",
        "from safetensors.numpy import load_file as l, save_file as s; s(l('i'), 'o')", {"i"}, {"o"},
    ),
    "zarr": (
        "zarr", "import numpy as n, zarr; zarr.save('z', n.ones(3))", "import zarr; zarr.load('z')",
        {"z/zarr.json", "z/c/0"}, set(),
    ),
    "netCDF4": (
        "netCDF4", "", "import netCDF4 as n; d = n.Dataset('o', 'w'); d.createDimension('x', 2); d.close()",
        set(), {"o"},
    ),
    "OpenCV": (
        "cv2", "import cv2, numpy as n; cv2.imwrite('i.png', n.zeros((4, 4, 3)))",
        "import cv2; cv2.imwrite('o.png', cv2.imread('i.png'))", {"i.png"}, {"o.png"},
    ),
    "Pillow": (
        "PIL", "from PIL import Image as i; i.new('RGB', (4, 4)).save('i.png')",
        "from PIL import Image as i; i.open('i.png').save('o.jpg')", {"i.png"}, {"o.jpg"},
    ),
    "joblib workers": (
        "joblib", "", ("from joblib import Parallel as P, delayed as d\n"
        "P(2)(d(lambda p: open(p).read())(p) for p in ('a.csv', 'sub/b.csv'))"), {"a.csv", "sub/b.csv"}, set(),
    ),
    "dask": ("dask", "", "import dask.dataframe as d; d.read_csv('sub/*.csv').compute()", {"sub/b.csv"}, set()),
    "duckdb, several": (
        "duckdb", "", "import duckdb as d; d.sql(\"from 'sub/*.csv'\").fetchall()", {"sub/b.csv"}, set(),
    ),
}  # fmt: skip
# Programs of other languages and of a project's daily work: name -> its program, the line, inputs, outputs.
OTHERS = {
    "Perl in place": ("perl", "perl -i -pe s/1/9/ a.csv", {"a.csv"}, {"a.csv"}),
    "Node.js": (
        "node", "node -e \"const f=require('fs');f.writeFileSync('o',f.readFileSync('a.csv'))\"", {"a.csv"}, {"o"},
    ),
    "Node.js, asynchronous": (
        "node", "node -e \"const f=require('fs');f.createReadStream('a.csv').pipe(f.createWriteStream('o'))\"",
        {"a.csv"}, {"o"},
    ),
    "make": ("make", "printf 'o: a.csv\\n\\tcp a.csv o\\n' | make -s -f -", {"a.csv"}, {"o"}),
    "gzip": ("gzip", "gzip a.csv", {"a.csv"}, {"a.csv.gz"}),
    "sqlite3": ("sqlite3", "sqlite3 o 'create table t (x, y)' '.import --csv a.csv t'", {"a.csv"}, {"o"}),
    "git": ("git", "git diff --no-index a.csv decoy.csv", {"a.csv", "decoy.csv"}, set()),
    "grep -r": ("grep", "grep -rq y sub", {"sub/b.csv"}, set()),
    "moved folder": ("mv", "mv sub s && cat s/b.csv > /dev/null", {"sub/b.csv"}, {"s/b.csv"}),
    "substituted": ("bash", "bash -c 'diff <(cat a.csv) <(cat sub/b.csv)'", {"a.csv", "sub/b.csv"}, set()),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("program", "line", "inputs", "outputs"), OTHERS.values(), ids=OTHERS)
def test_programs_of_other_languages_are_seen(
    folder: Path, program: str, line: str, inputs: set[str], outputs: set[str]
):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    seen = observe(folder, "sh", "-c", line)
    assert (seen.status, seen.inputs, seen.outputs) == (0, inputs, outputs)


@pytest.mark.slow
@pytest.mark.parametrize(("package", "prepare", "program", "inputs", "outputs"), LIBRARIES.values(), ids=LIBRARIES)
def test_what_native_libraries_read_and_write_is_seen(
    folder: Path, package: str, prepare: str, program: str, inputs: set[str], outputs: set[str]
):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    if prepare:
        subprocess.run([sys.executable, "-c", PREPARE + prepare], cwd=folder, check=True)
    seen = observe(folder, sys.executable, "-W", "ignore", "-c", program)  # Of what is deprecated.
    assert (seen.status, seen.inputs, seen.outputs) == (0, inputs, outputs)


STATIC = """
#include <fcntl.h>
#include <unistd.h>
int main(void) {
    char data[9];
    int from = open("a.csv", O_RDONLY), to = open("o", O_CREAT | O_WRONLY, 0600);
    return write(to, data, read(from, data, sizeof data)) != sizeof data;
}
"""
# No C library at all: a 32-bit program that asks the kernel by itself for open(2), number 5, and exit(2), number 1.
BARE_32 = """
void _start(void) {
    long found;
    __asm__ volatile("int $0x80" : "=a"(found) : "a"(5), "b"("a.csv"), "c"(0), "d"(0) : "memory");
    __asm__ volatile("int $0x80" : : "a"(1), "b"(found < 0));
}
"""


@pytest.mark.parametrize(
    ("source", "flags", "outputs"),
    [(STATIC, ["-static"], {"o"}), (BARE_32, ["-m32", "-nostdlib", "-static", "-fno-pie", "-no-pie"], set())],
    ids=["static", "32 bit"],
)
def test_a_program_without_a_dynamic_loader_is_seen_too(
    folder: Path, tmp_path: Path, source: str, flags: list[str], outputs: set[str]
):
    made = subprocess.run(
        ["cc", *flags, "-x", "c", "-o", str(tmp_path / "program"), "-"], input=source, capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"this compiler makes no such program: {made.stderr.splitlines()[-1]}")
    seen = observe(folder, str(tmp_path / "program"))
    assert (seen.status, seen.outputs) == (0, outputs)
    assert "a.csv" in seen.inputs
    assert seen.inputs <= {"a.csv", str(tmp_path / "program")}


def test_a_program_of_the_project_is_code_that_was_read(folder: Path):
    script = folder / "go"
    script.write_text("#!/bin/sh\ncat a.csv\n")
    script.chmod(0o755)
    seen = observe(folder, str(script))
    assert {read.path: read.role for read in seen.files.inputs} == {"go": "code", "a.csv": "data"}


def test_a_file_that_the_shell_opened_for_the_command_is_an_input(folder: Path):
    descriptor = os.open(folder / "a.csv", os.O_RDONLY)
    try:
        assert observe(folder, "cat", stdin=descriptor).inputs == {"a.csv"}
    finally:
        os.close(descriptor)
