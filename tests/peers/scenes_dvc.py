"""Small repositories of the kinds that people have, as tables: how the real DVC makes each, and what changes there.

A step is files to write, a command (of DVC, or of the shell where it begins otherwise), the same in a folder, or a
function of the repository. What stands under `then` is done step by step, and both tools are asked after each.
"""

# ruff: noqa: E501  # A row is a repository, and reads best whole.

import hashlib
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.peers.repositories import fill, git
from tests.peers.warm_dvc import WarmDvc

Step = dict[str, str | bytes] | str | list[str] | tuple[str, str] | Callable[[Path], object]


class Scene(NamedTuple):
    """A repository. `inside` is where it begins in the folder that holds it; `init` makes it."""

    steps: tuple[Step, ...]
    then: tuple[Step, ...] = ()
    init: tuple[Step, ...] = ("git init -q -b main", "dvc init -q")
    inside: str = "."


def take(step: Step, folder: Path, dvc: WarmDvc) -> None:
    """Do a step."""
    match step:
        case dict():
            fill(folder, step)
        case (inner, command):
            take(command, folder / inner, dvc)
        case list():
            dvc(folder, *step[1:])
        case str() if step.startswith("dvc "):
            dvc(folder, *[w for w in shlex.split(step)[1:] if w != "-q"])
        case str():
            subprocess.run(step, shell=True, cwd=folder, check=True, capture_output=True)
        case _:
            step(folder)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def legacy(path: str, data: bytes) -> dict[str, str | bytes]:
    """A file as DVC 2 left it: no `hash`, the digest of text with line ends changed, a cache without `files/md5`."""
    digest = md5(data.replace(b"\r\n", b"\n"))
    pointer = f"outs:\n- md5: {digest}\n  size: {len(data)}\n  path: {os.path.basename(path)}\n"
    return {path: data, f".dvc/cache/{digest[:2]}/{digest[2:]}": data, f"{path}.dvc": pointer}


def legacy_folder() -> dict[str, str | bytes]:
    """A folder as DVC 2 left it."""
    files = {"a": b"1\r\n2\r\n", "sub/b": b"b"}
    digests = {path: md5(data.replace(b"\r\n", b"\n")) for path, data in files.items()}
    entries = [f'{{"md5": "{digest}", "relpath": "{path}"}}' for path, digest in digests.items()]
    listing = f"[{', '.join(entries)}]".encode()
    whole = md5(listing)
    cached = {f".dvc/cache/{digests[path][:2]}/{digests[path][2:]}": data for path, data in files.items()}
    pointer = f"outs:\n- md5: {whole}.dir\n  size: 7\n  nfiles: 2\n  path: old\n"
    made: dict[str, str | bytes] = {f"old/{path}": data for path, data in files.items()}
    return made | cached | {f".dvc/cache/{whole[:2]}/{whole[2:]}.dir": listing, "old.dvc": pointer}


def inline_folder() -> dict[str, str | bytes]:
    """A folder whose files stand in the pointer, as remotes with versions have it."""
    files = {"a": b"a", "sub/b": b"bb"}
    entries = [f'{{"md5": "{md5(data)}", "relpath": "{path}"}}' for path, data in files.items()]
    listing = f"[{', '.join(entries)}]".encode()
    listed = "".join(
        f"  - relpath: {path}\n    md5: {md5(data)}\n    size: {len(data)}\n" for path, data in files.items()
    )
    made: dict[str, str | bytes] = {f"tree/{path}": data for path, data in files.items()}
    names = {md5(listing) + ".dir": listing, **{md5(data): data for data in files.values()}}
    cached = {f".dvc/cache/files/md5/{name[:2]}/{name[2:]}": data for name, data in names.items()}
    return made | cached | {"tree.dvc": f"outs:\n- hash: md5\n  path: tree\n  files:\n{listed}"}


def edited(name: str, old: str, new: str) -> Callable[[Path], None]:
    """A step that changes a text."""

    def edit(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text, text
        (folder / name).write_text(text.replace(old, new))

    return edit


def other_repository(folder: Path) -> Path:
    return folder.parent / f"{folder.name}-other"


def make_other(dvc: WarmDvc, folder: Path) -> None:
    """Another repository, to import from."""
    other = other_repository(folder)
    other.mkdir()
    steps: tuple[Step, ...] = (
        "git init -q -b main", "dvc init -q", {"data/x": "x", "data/y": "y", "plain.txt": "p"}, "dvc add -q data",
        "git add -A", "git commit -qm one",
    )  # fmt: skip
    for step in steps:
        take(step, other, dvc)


def moved_on(folder: Path) -> None:
    """The other repository has another commit."""
    other = other_repository(folder)
    fill(other, {"more": "m"})
    git(other, "add", "-A")
    git(other, "commit", "-qm", "two")


TREE: dict[str, str | bytes] = {
    "tree/b": "b",
    "tree/sub/deep/ü 雪.txt": "u",
    "tree/a-b": "",
    "tree/a/b": "2",
    "tree/.h": "h",
}
COPY = "dvc stage add -q -n copy -d raw -o out 'cp raw out'"
RAW: dict[str, str | bytes] = {"raw": "1\n"}
LINES = md5(b"1\n2\n")
PARAMS = "lr: 1e-3\nmodel:\n  depth: 3\n  names: [a, b]\n  on: yes\nflag: true\nwhen: 010\n"
LEARN = "dvc stage add -q -n learn -p lr,model.depth,flag,when -o m 'echo 1 > m'"

DATA: dict[str, Scene] = {
    "a file": Scene(({"x.csv": "a\n1\n"}, "dvc add -q x.csv")),
    "a folder": Scene((TREE, "dvc add -q tree")),
    "nested": Scene(({"deep/down/x": "x", "deep/down/t/y": "y"}, "dvc add -q deep/down/x deep/down/t")),
    "spaces": Scene(({"a b/c d": "x", "e f.csv": "y"}, ["dvc", "add", "-q", "a b", "e f.csv"])),
    "unicode": Scene(({"ü/雪": "x", "é.csv": "y"}, ["dvc", "add", "-q", "ü", "é.csv"])),
    "a newline in a name": Scene(({"t/a\nb": "x"}, "dvc add -q t")),
    "a leading dash": Scene(({"-x": "x", "t/-y": "y"}, "dvc add -q -- -x t")),
    "a leading dot": Scene(({".x": "x", ".t/.y": "y"}, "dvc add -q .x .t")),
    "signs of patterns": Scene(({"a[1]*?!#.csv": "x", "#b": "y"}, ["dvc", "add", "-q", "a[1]*?!#.csv", "#b"])),
    "names like numbers": Scene(({"1e5": "x", "010/0x1F": "y", "yes": "z", "null": "n"}, "dvc add -q 1e5 010 yes null")),
    "quotes in names": Scene(({"a'b": "x", 'c"d': "y"}, ["dvc", "add", "-q", "a'b", 'c"d'])),
    "an empty file": Scene(({"none": ""}, "dvc add -q none")),
    "an empty folder": Scene(("mkdir none", "dvc add -q none")),
    "empty folders inside": Scene(({"t/x": "x"}, "mkdir -p t/e/f", "dvc add -q t")),
    "a folder of empty files": Scene(({"t/a": "", "t/b": ""}, "dvc add -q t")),
    "a file linked to": Scene(({"real": "r"}, "mkdir t; ln -s ../real t/link; echo x > t/x", "dvc add -q t")),
    "a linked folder inside": Scene(({"real/a": "r", "t/x": "x"}, "ln -s ../real t/link", "dvc add -q t")),
    "a link that leads nowhere": Scene(({"t/x": "x"}, "dvc add -q t", "ln -s nowhere t/link")),
    "a file in a linked folder": Scene(({"real/a": "r"}, "ln -s real linked", "dvc add -q real/a")),
    "an executable": Scene(({"tool": "#!/bin/sh\n"}, "chmod 755 tool", "dvc add -q tool")),
    "executables inside": Scene(({"t/tool": "#!/bin/sh\n", "t/x": ""}, "chmod 755 t/tool", "dvc add -q t")),
    "added in one go": Scene(({"a": "1", "b": "2", "c/d": "3"}, "dvc add -q a b c")),
    "a glob": Scene(({"a1.csv": "1", "a2.csv": "2", "b.txt": "3"}, "dvc add -q --glob 'a*.csv'")),
    "told what it is": Scene((
        {"x": "x"}, "dvc add -q x",
        edited("x.dvc", "path: x\n", "path: x\n  desc: what it is\n  type: model\n  labels: [a, b]\n  meta: {k: [1, 2]}\n"),
        edited("x.dvc", "outs:", "# a comment\ndesc: all of it\nmeta:\n  owner: me # and one behind\nouts:"),
    )),
    "not cached": Scene(({"x": "x"}, "dvc add -q x", edited("x.dvc", "path: x\n", "path: x\n  cache: false\n"))),
    "not pushed": Scene(({"x": "x"}, "dvc add -q x", edited("x.dvc", "path: x\n", "path: x\n  push: false\n"))),
    "a remote of its own": Scene((
        {"x": "x"}, "dvc add -q x", "dvc remote add -q other /tmp/nowhere",
        edited("x.dvc", "path: x\n", "path: x\n  remote: other\n"),
    )),
    "persisted": Scene(({"x": "x"}, "dvc add -q x", edited("x.dvc", "path: x\n", "path: x\n  persist: true\n"))),
    "several outs": Scene((
        {"x": "x", "t/y": "y"}, "dvc add -q x t",
        "(cat x.dvc; tail -n +2 t.dvc) > both.dvc; rm x.dvc t.dvc",
    )),
    "another working folder": Scene((
        {"x": "x"}, "dvc add -q x", "mkdir p; (echo wdir: ..; cat x.dvc) > p/y.dvc; rm x.dvc",
    )),
    "the data elsewhere": Scene((
        {"d/x": "x"}, "dvc add -q d/x", "sed 's/path: x/path: d\\/x/' d/x.dvc > x.dvc; rm d/x.dvc",
    )),
    "always changed": Scene(({"x": "x"}, "dvc add -q x", "echo 'always_changed: true' >> x.dvc")),
    "frozen": Scene(({"x": "x"}, "dvc add -q x", "dvc freeze x.dvc")),
    "nothing added yet": Scene(({"x": "x"}, "printf 'outs:\\n- path: x\\n' > x.dvc")),
    "rules": Scene((
        {".dvcignore": "*.log\n/tree/tmp/\n!keep.log\n", "tree/a": "a", "tree/b.log": "b", "tree/keep.log": "k"},
        {"tree/tmp/c": "c", "tree/sub/tmp/d": "d"}, "dvc add -q tree",
    ), ({"tree/new.log": "n"}, {"tree/new": "n"})),
    "rules at two levels": Scene((
        {".dvcignore": "*.tmp\n", "d/.dvcignore": "!keep.tmp\n/t/x\n", "d/t/a": "a", "d/t/keep.tmp": "k", "d/t/x": "x"},
        {"d/t/no.tmp": "n"}, "dvc add -q d/t",
    ), ({"d/t/more.tmp": "n"}, edited(".dvcignore", "*.tmp", "*.tpm"))),
    "rules that come later": Scene((TREE, "dvc add -q tree"), ({".dvcignore": "b\n"}, {".dvcignore": "b\n/tree/a-*\n"})),
    "pointers that rules leave out": Scene((
        {"x": "x", "skip/y": "y"}, "dvc add -q x skip/y"), ({".dvcignore": "skip\n"}, {".dvcignore": "*.dvc\n"})),
    "pointers that git ignores": Scene((
        {"x": "x", "build/y": "y", "z/w": "w"}, "dvc add -q x build/y z/w", "echo /build >> .gitignore"),
        ("echo 'z/*' >> .gitignore", "echo '!z/w.dvc' >> .gitignore", "echo y.dvc > .git/info/exclude")),
    "hardlinks": Scene(("dvc config cache.type hardlink,copy", TREE, "dvc add -q tree")),
    "symlinks": Scene(("dvc config cache.type symlink", TREE, "dvc add -q tree")),
    "a linked file": Scene(("dvc config cache.type symlink", {"x": "x"}, "dvc add -q x")),
    "reflinks": Scene(("dvc config cache.type reflink,copy", TREE, "dvc add -q tree")),
    "protected copies": Scene(("dvc config cache.type copy", {"x": "x"}, "dvc add -q x")),
    "a cache beside": Scene(("dvc cache dir --local ../shared-cache", TREE, "dvc add -q tree")),
    "a cache inside": Scene(("dvc cache dir in/cache", {"x": "x"}, "dvc add -q x")),
    "an absolute cache": Scene((lambda f: fill(f, {".dvc/config.local": f"[cache]\n    dir = {f.parent}/absolute\n"}), TREE, "dvc add -q tree")),
    "a group's cache": Scene(("dvc config cache.shared group", TREE, "dvc add -q tree")),
    "staged by itself": Scene(("dvc config core.autostage true", {"x": "x"}, "dvc add -q x")),
    "no git": Scene(({"x": "x", "t/y": "y"}, "dvc add -q x t"), init=("dvc init -q --no-scm",)),
    "below git": Scene(({"x": "x"}, "dvc add -q x"), inside="sub", init=("git init -q", "mkdir sub", ("sub", "dvc init -q --subdir"))),
    "one inside another": Scene((
        TREE, "dvc add -q tree", "mkdir other", ("other", "dvc init -q --subdir"), {"other/inner": "i"},
        ("other", "dvc add -q inner"), "rm other/inner",
    )),
    "a worktree": Scene((
        {"x": "x"}, "dvc add -q x",
    ), inside="wt", init=(
        "git init -q -b main", "dvc init -q", "git add -A", "git commit -qm one", "git worktree add -q wt")),
    "a submodule": Scene((
        {"x": "x"}, "dvc add -q x",
        lambda f: git(f, "init", "-q", f"{f.parent}/sub"),
        lambda f: git(f.parent / "sub", "commit", "-q", "--allow-empty", "-m", "one"),
        lambda f: git(f, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"{f.parent}/sub", "sub"),
    )),
    "a file of DVC 2": Scene((legacy("old.txt", b"a\r\nb\r\n"),), ({"old.txt": "a\nb\n"}, {"old.txt": "c\n"})),
    "a binary of DVC 2": Scene((legacy("old.bin", b"\0\1"),)),
    "a folder of DVC 2": Scene((legacy_folder(),), ({"old/a": "1\n2\n"}, {"old/a": "3"})),
    "listed in the pointer": Scene((inline_folder(),)),
    "versions in a bucket": Scene(({
        "x.dvc": "outs:\n- path: x\n  md5: 9dd4e461268c8034f5c8564e155c67a6\n  size: 1\n  hash: md5\n"
                 "  cloud:\n    s3:\n      etag: 9dd4\n      version_id: v1\n", "x": "x",
        ".dvc/cache/files/md5/9d/d4e461268c8034f5c8564e155c67a6": "x",
    },)),
}  # fmt: skip

PIPELINES: dict[str, Scene] = {
    "a stage": Scene((RAW, COPY, "dvc repro -q"), (
        {"raw": "2\n"}, {"raw": "1\n"}, edited("dvc.yaml", "cp raw out", "cp  raw out"), "rm raw", "dvc freeze copy",
    )),
    "a stage that never ran": Scene((RAW, COPY), ({"out": "o"}, "rm raw", "dvc freeze copy")),
    "a chain": Scene((
        RAW, "dvc add -q raw", COPY,
        "dvc stage add -q -n fold -d out -o dir -M m.json 'mkdir -p dir; cp out dir/x; echo {} > m.json'",
        "dvc repro -q",
    ), ({"raw": "2\n"}, {"out": "3\n"}, {"dir/y": "y"}, {"m.json": "[]"})),
    "two pipelines": Scene((
        {**RAW, "sub/raw": "2\n"}, COPY, ("sub", "dvc stage add -q -n inner -d raw -d ../raw -o out 'cp raw out'"),
        "dvc repro -q -P",
    ), ({"raw": "3"}, ("sub", "rm raw"))),
    "a working folder": Scene((
        {"sub/raw": "1"}, "dvc stage add -q -n s -w sub -d raw -o out 'cp raw out'", "dvc repro -q",
    ), ({"sub/raw": "2"},)),
    "a list of commands": Scene((
        RAW, {"dvc.yaml": "stages:\n  s:\n    cmd:\n    - cp raw out\n    - echo 1\n    deps: [raw]\n    outs: [out]\n"}, "dvc repro -q",
    ), (edited("dvc.yaml", "echo 1", "echo 2"), edited("dvc.yaml", "cmd:\n    - cp raw out\n    - echo 2", "cmd: cp raw out"))),
    "a command of lines": Scene((
        RAW, {"dvc.yaml": "stages:\n  s:\n    cmd: >-\n      cp raw\n      out\n    deps:\n    - raw\n    outs:\n    - out\n"}, "dvc repro -q",
    ), (edited("dvc.yaml", "cp raw\n      out", "cp raw out"), edited("dvc.yaml", ">-", "|"))),
    "uncached, persisted, unpushed": Scene((
        RAW, "dvc stage add -q -n s -d raw -O a --outs-persist b --outs-persist-no-cache c 'cp raw a; cp raw b; cp raw c'",
        "dvc repro -q", edited("dvc.yaml", "- b:", "- b:\n        push: false"),
    ), ({"a": "2"}, "rm b")),
    "always changed": Scene((RAW, "dvc stage add -q -n s --always-changed -d raw -o out 'cp raw out'", "dvc repro -q"), ("dvc freeze s",)),
    "no deps and no outs": Scene(("dvc stage add -q -n s 'echo 1'", "dvc repro -q")),
    "no deps": Scene(("dvc stage add -q -n s -o out 'echo 1 > out'", "dvc repro -q")),
    "no outs": Scene((RAW, "dvc stage add -q -n s -d raw 'echo 1'", "dvc repro -q"), ({"raw": "2"},)),
    "params alone": Scene(({"params.yaml": "a: 1\n"}, "dvc stage add -q -n s -p a 'echo 1'", "dvc repro -q"), ({"params.yaml": "a: 2\n"},)),
    "frozen": Scene((RAW, COPY, "dvc repro -q", "dvc freeze copy"), ({"raw": "2"}, edited("dvc.yaml", "cp raw", "cp  raw"), "rm out")),
    "params": Scene(({"params.yaml": PARAMS}, LEARN, "dvc repro -q"), (
        edited("params.yaml", "1e-3", "0.001"), edited("params.yaml", "depth: 3", "depth: 3.0"),
        edited("params.yaml", "depth: 3.0", "depth: 4"), edited("params.yaml", "flag: true", "flag: yes"),
        edited("params.yaml", "flag: yes\n", ""), edited("params.yaml", "010", "10"), "rm params.yaml",
    )),
    "params that never ran": Scene(({"params.yaml": PARAMS}, LEARN), ("rm params.yaml",)),
    "a new param": Scene(({"params.yaml": PARAMS}, LEARN, "dvc repro -q", edited("dvc.yaml", "- flag", "- flag\n    - model.names")),
                         ("dvc repro -q", edited("params.yaml", "[a, b]", "[a, c]"))),
    "a whole file of params": Scene((
        {"p.yaml": PARAMS, "dvc.yaml": "stages:\n  s:\n    cmd: echo 1 > m\n    params:\n    - p.yaml:\n    outs: [m]\n"}, "dvc repro -q",
    ), (edited("p.yaml", "depth: 3", "depth: 4"), edited("p.yaml", "flag: true\n", "flag: true\nnew: 1\n"),
        edited("p.yaml", "lr: 1e-3\n", ""), "rm p.yaml")),
    "params in json, toml and python": Scene((
        {"a.json": '{"a": {"b": 1}, "l": [1, 2]}', "b.toml": '[t]\nx = 1.5\ny = "z"\n',
         "c.py": "LR = 0.1\nNAMES = ('a', 'b')\nclass Net:\n    depth: int = 3\n    def __init__(self):\n        self.wide = 5\n        self.made = f()\n"},
        "dvc stage add -q -n s -p a.json:a.b,l -p b.toml:t.x,t -p c.py:LR,NAMES,Net.depth,Net.wide -o m 'echo 1 > m'", "dvc repro -q",
    ), ({"a.json": '{"a": {"b": 2}, "l": [1, 2]}'}, edited("b.toml", "1.5", "1.6"), edited("c.py", "= 3", "= 4"),
        edited("c.py", "('a', 'b')", "['a', 'b']"), edited("c.py", "wide = 5", "wide = 6"), edited("c.py", "LR = 0.1\n", ""))),
    "params of a list": Scene(({"params.yaml": "l: [{a: 1}, {a: 2}]\n", "dvc.yaml": "stages:\n  s:\n    cmd: echo 1 > m\n    params: [l.0.a, l.1]\n    outs: [m]\n"}, "dvc repro -q"),
                              (edited("params.yaml", "{a: 2}", "{a: 3}"), edited("params.yaml", "{a: 1}", "{a: 0}"))),
    "templates": Scene(({
        "params.yaml": "in: raw\nopt:\n  lr: 0.1\n  on: true\n  off: false\n  names: [a, 'b c']\n", **RAW,
        "dvc.yaml": "vars:\n- more.yaml\n- inner: {to: out}\nstages:\n  s:\n    cmd: cp ${in} ${inner.to}; echo \\${HOME} ${opt} ${opt.names[1]} ${n}\n"
                    "    deps: ['${in}']\n    outs:\n    - ${inner.to}:\n        cache: false\n", "more.yaml": "n: 1.50\n"}, "dvc repro -q"),
        (edited("more.yaml", "1.50", "1.5"), edited("params.yaml", "0.1", "0.2"), edited("params.yaml", "off: false", "off: true"),
         edited("dvc.yaml", "to: out", "to: other"))),
    "vars of a stage": Scene(({
        "sub/v.yaml": "a: {b: 1, c: 2}\nd: 3\n", "params.yaml": "e: 4\n",
        "dvc.yaml": "stages:\n  s:\n    wdir: sub\n    vars: ['v.yaml:a', {f: 5}]\n    cmd: echo ${a.b} ${e} ${f} > out\n    outs: [out]\n  t:\n    cmd: echo ${e} > t\n    outs: [t]\n"}, "dvc repro -q"),
        (edited("sub/v.yaml", "b: 1", "b: 2"), edited("params.yaml", "4", "5"))),
    "foreach over words": Scene(({"dvc.yaml": "stages:\n  s:\n    foreach: [a, 1, true]\n    do:\n      cmd: echo ${item} > o_${item}\n      outs: ['o_${item}']\n"}, "dvc repro -q"),
                                ({"o_a": "x"}, edited("dvc.yaml", "echo", "echo -n"), edited("dvc.yaml", "[a, 1, true]", "[a, 2]"))),
    "foreach over a list": Scene(({"params.yaml": "l: [{n: a, v: 1}, {n: b, v: 2}]\n", "dvc.yaml": "stages:\n  s:\n    foreach: ${l}\n    do:\n      cmd: echo ${item.v} > ${item.n}\n      outs: ['${item.n}']\n"}, "dvc repro -q"),
                                 (edited("params.yaml", "v: 2", "v: 3"),)),
    "foreach over a mapping": Scene(({"dvc.yaml": "stages:\n  s:\n    foreach: {one: {v: 1}, two: {v: 2}}\n    do:\n      cmd: echo ${item.v} > ${key}\n      outs:\n      - ${key}\n"}, "dvc repro -q"), ("rm one",)),
    "matrix": Scene(({"params.yaml": "xs: [1, 2]\n", "dvc.yaml": "stages:\n  s:\n    matrix:\n      x: ${xs}\n      y: [a, {n: b}]\n    cmd: echo ${item.x} ${key} > ${key}\n    outs: ['${key}']\n"}, "dvc repro -q"),
                    (edited("params.yaml", "[1, 2]", "[1, 3]"),)),
    "metrics and plots": Scene((
        {"dvc.yaml": "stages:\n  s:\n    cmd: echo '[1]' > m.json; echo x,y > p.csv; cp p.csv q.csv\n    metrics:\n    - m.json:\n        cache: false\n"
                     "    plots:\n    - p.csv:\n        x: x\n        y: y\n        title: t\n    - q.csv:\n        cache: false\n        template: simple\n"
                     "metrics: [m.json]\nplots:\n- p.csv\nparams: [params.yaml]\nartifacts:\n  model:\n    path: m.json\n    type: model\n", "params.yaml": "a: 1\n"}, "dvc repro -q",
    ), ({"m.json": "{}"}, {"p.csv": "x\n"})),
    "paths written otherwise": Scene(({"a/raw": "1", "dvc.yaml": "stages:\n  s:\n    cmd: mkdir -p o/p; cp a/raw o/p/x\n    deps: [./a/, a/../a/raw]\n    outs: [./o/p/]\n"}, "dvc repro -q"),
                                     ({"a/raw": "2"}, {"o/p/y": "3"})),
    "deps on folders": Scene(({"in/a": "1", "in/sub/b": "2"}, "dvc stage add -q -n s -d in -o out 'cp -r in out'", "dvc repro -q"),
                             ({"in/c": "3"}, "rm in/c", {"in/a": "2"}, "touch in/a", "chmod +x in/a")),
    "deps inside tracked folders": Scene((TREE, "dvc add -q tree", "dvc stage add -q -n s -d tree/b -d tree/sub -o out 'cp tree/b out'", "dvc repro -q"),
                                         ({"tree/b": "2"}, {"tree/new": "3"})),
    "deps outside": Scene((lambda f: fill(f.parent, {"outside": "o"}), "dvc stage add -q -n s -d ../outside -o out 'cp ../outside out'", "dvc repro -q"),
                          (lambda f: fill(f.parent, {"outside": "p"}),)),
    "deps that rules leave out": Scene(({"in/a": "1", "in/b.log": "2", **RAW}, "dvc stage add -q -n s -d in -d raw -o out 'cp -r in out'", {".dvcignore": "*.log\n"}, "dvc repro -q"),
                                       ({"in/c.log": "3"}, {".dvcignore": "*.log\nraw\n"})),
    "stages that went": Scene((RAW, COPY, "dvc stage add -q -n b -d out -o b 'cp out b'", "dvc repro -q", "dvc remove b"), ({"raw": "2"},)),
    "a lock in part": Scene((RAW, COPY, "dvc stage add -q -n b -d out -o b 'cp out b'", "dvc repro -q copy")),
    "a dep more": Scene((RAW, {"new": "n"}, COPY, "dvc repro -q", edited("dvc.yaml", "- raw", "- raw\n    - new"))),
    "an out more": Scene((RAW, COPY, "dvc repro -q", edited("dvc.yaml", "- out", "- out\n    - out2"), {"out2": "2"}), ("rm out2",)),
    "a lock of DVC 2": Scene((
        {"raw": b"1\r\n2\r\n", "out": b"1\r\n2\r\n", "dvc.yaml": "stages:\n  s:\n    cmd: cp raw out\n    deps: [raw]\n    outs: [out]\n",
         "dvc.lock": f"schema: '2.0'\nstages:\n  s:\n    cmd: cp raw out\n    deps:\n    - path: raw\n      md5: {LINES}\n      size: 6\n"
                     f"    outs:\n    - path: out\n      md5: {LINES}\n      size: 6\n",
         f".dvc/cache/{LINES[:2]}/{LINES[2:]}": b"1\r\n2\r\n"},),
        ({"out": "1\n2\n"}, {"raw": "2"})),
    "an unreadable half": Scene((RAW, COPY, "dvc repro -q", "printf 'stages:\\n' > sub.yaml; mkdir sub; echo 'stages: {}' > sub/dvc.yaml")),
    "comments and unused keys": Scene((RAW, {"dvc.yaml": "# top\nstages:\n  s: # here\n    desc: what it does\n    meta: {owner: [me]}\n    cmd: cp raw out\n    deps:\n    - raw # in\n    outs:\n    - out:\n        desc: d\n        type: t\n        labels: [l]\n        meta: {k: v}\n"}, "dvc repro -q"), ({"out": "3"},)),
    "committed by hand": Scene((RAW, COPY, {"out": "by hand\n"}, "dvc commit -q -f"), ({"out": "again\n"},)),
    "an out that is executable": Scene((RAW, "dvc stage add -q -n s -d raw -o run 'cp raw run; chmod +x run'", "dvc repro -q"), ("chmod -x run",)),
    "a stage beside pointers": Scene((RAW, "dvc add -q raw", COPY, "dvc stage add -q -n e 'echo 1'", "dvc repro -q"), ("dvc remove copy",)),
}  # fmt: skip

IMPORTS: dict[str, Scene] = {
    "a folder": Scene(("dvc import -q ../OTHER data",), (moved_on, {"data/x": "changed"})),
    "a file inside": Scene(("dvc import -q ../OTHER data/x -o sub.x",), (moved_on,)),
    "what git keeps": Scene(("dvc import -q ../OTHER plain.txt",), (moved_on,)),
    "of a branch": Scene(("dvc import -q ../OTHER data --rev main",), (moved_on,)),
    "not brought": Scene(("dvc import -q ../OTHER data --no-download",), (moved_on,)),
    "a url": Scene(({"source/x": "x"}, "dvc import-url -q source/x x.in"), ({"source/x": "y"}, "dvc unfreeze x.in.dvc", "rm source/x")),
    "a url of a folder": Scene(({"source/x": "x"}, "dvc import-url -q source t", "dvc unfreeze t.dvc"), ({"source/y": "y"},)),
    "a url outside": Scene((lambda f: fill(f.parent, {"src": "s"}), "dvc import-url -q ../src in", "dvc unfreeze in.dvc"), (lambda f: fill(f.parent, {"src": "t"}),)),
    "edited by hand": Scene(({"source/x": "x"}, "dvc import-url -q source/x x.in", edited("x.in.dvc", "path: source/x", "path: source/z"))),
    "got": Scene(("dvc get -q ../OTHER data", "dvc add -q data")),
}  # fmt: skip
