"""What a command ran on: the interpreter, its packages with what was installed of each, libraries, CPU, variables."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from taut.errors import TautError
from taut.ground import wire
from taut.records import Library, Seeding, Surroundings
from taut.runs.capture.accelerators import accelerators, version_in
from taut.runs.capture.reads import NOT_SHOWN, SECRET, redacted

TIMEOUT_S = 60.0
PYTHONS = ("python", "pypy")
INQUIRY = Path(__file__).with_name("shim") / "inquire.py"
# Variables that change what is computed, or from what.
PREFIXES = (
    "PYTHON", "OMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "BLAS_", "NUMEXPR_", "VECLIB_", "KMP_", "POLARS_",
    "RAYON_", "ARROW_", "DUCKDB_", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NCCL_", "TORCH", "PYTORCH_",
    "ATEN_", "TF_", "XLA_", "JAX_", "ONEDNN_", "DNNL_", "NPY_", "NUMBA_", "LOKY_", "JOBLIB_", "SKLEARN_",
    "TOKENIZERS_", "HF_", "TRANSFORMERS_", "LC_", "LANG", "MALLOC_", "GLIBC_", "LD_", "CONDA_",
)  # fmt: skip
NAMES = ("TZ", "SOURCE_DATE_EPOCH", "VIRTUAL_ENV")
SEEDS = ("PYTHONHASHSEED", "SOURCE_DATE_EPOCH")
TOKEN = re.compile(r"\b(?:hf_|sk-|ghp_|gho_|glpat-|xox[bp]-|AKIA|eyJ)[A-Za-z0-9_.-]{10,}")
LIBRARIES = (
    ("blas", re.compile(r"/lib[^/]*(?:openblas|mkl_rt|blis|Accelerate)[^/]*$|/libc?blas\.so[^/]*$")),
    ("openmp", re.compile(r"/lib(?:gomp|omp|iomp5|vcomp)[^/]*$")),
    ("cuda", re.compile(r"/lib(?:cudart|cublas|cudnn|nccl)[^/]*$")),
    ("driver", re.compile(r"/libcuda\.so[^/]*$")),
)


class Package(msgspec.Struct, frozen=True):
    """An installed distribution; `record` digests what its RECORD says of its files, `origin` is direct_url.json."""

    name: str
    version: str
    record: str = ""
    origin: str = ""
    tops: tuple[str, ...] = ()


class Environment(msgspec.Struct, frozen=True):
    """An interpreter's answer: what it is, where it runs, and every package it finds."""

    python: str
    platform: str
    packages: tuple[Package, ...]
    interpreter: str = ""
    implementation: str = ""
    version: str = ""
    build: str = ""
    origin: str = ""
    libraries: tuple[Library, ...] = ()
    locale: str = ""
    encoding: str = ""
    timezone: str = ""

    @property
    def lock(self) -> tuple[str, ...]:
        """`name==version` of every package, in order."""
        return tuple(sorted({f"{package.name}=={package.version}" for package in self.packages}, key=str.lower))

    @property
    def distributions(self) -> dict[str, str]:
        """For the name of each file or folder at the top of site-packages the distribution that it is of."""
        return {top: package.name for package in self.packages for top in package.tops}


def interpreter_of(command: tuple[str, ...], seen: str) -> str:
    """The Python that a command means: the one that was seen to run, the one it names, else the one we run on."""
    if seen and os.access(seen, os.X_OK):
        return seen
    named = shutil.which(command[0]) if command and Path(command[0]).name.startswith(PYTHONS) else None
    return named or sys.executable


def ask_environment(python: str, folder: Path, loaded: Iterable[str] = ()) -> Environment | str:
    """Ask an interpreter in the folder that the command ran in; or say why it gave no answer.

    `loaded` are shared libraries that the command opened; those that compute are asked for version and threads.
    """
    opened = tuple(loaded)
    try:
        done = subprocess.run(
            [python, "-c", INQUIRY.read_text(encoding="utf-8"), json.dumps(libraries_among(opened))],
            cwd=folder,
            capture_output=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=True,
        )
        answer = wire.decode(done.stdout.splitlines()[-1], Environment, what=f"the answer of {python}")
    except (OSError, subprocess.SubprocessError, TautError, IndexError) as problem:
        return f"the environment: {python} did not list its packages ({type(problem).__name__})"
    told = [replace(one, version=one.version or version_in(one.path)) for one in answer.libraries]
    return msgspec.structs.replace(answer, libraries=(*told, *accelerators(opened)))


def libraries_among(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Kind and path of those files that are libraries which change numbers.

    >>> libraries_among(["/v/numpy.libs/libscipy_openblas64_-56d6.so", "/data/x.csv"])
    [('blas', '/v/numpy.libs/libscipy_openblas64_-56d6.so')]
    """
    return [(kind, path) for path in sorted(paths) for kind, pattern in LIBRARIES if pattern.search(path)]


def surroundings_here(environment: Mapping[str, str]) -> Surroundings:
    """What is known of the machine and the variables before the command starts."""
    cpu, flags = _processor(Path("/proc/cpuinfo"))
    return Surroundings(
        cpu=cpu,
        cpu_flags=flags,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        variables=variables_that_matter(environment),
        seeds=tuple(Seeding(name, environment[name]) for name in SEEDS if name in environment),
    )


def variables_that_matter(environment: Mapping[str, str]) -> dict[str, str]:
    """Those that change what is computed, without secrets.

    >>> variables_that_matter({"OMP_NUM_THREADS": "2", "HF_TOKEN": "hf_x", "HOME": "/root"})
    {'HF_TOKEN': '***', 'OMP_NUM_THREADS': '2'}
    """
    return {name: _without_secrets(name, environment[name]) for name in sorted(environment) if is_of_interest(name)}


def is_of_interest(name: str) -> bool:
    """Whether a variable of that name changes what is computed.

    >>> is_of_interest("OMP_NUM_THREADS"), is_of_interest("HOME")
    (True, False)
    """
    return name.startswith(PREFIXES) or name in NAMES


def _without_secrets(name: str, value: str) -> str:
    text = os.fsencode(value).decode("utf-8", "backslashreplace")
    if SECRET.search(name) or TOKEN.search(text):
        return NOT_SHOWN
    return redacted(text) if "://" in text else text


def _processor(file: Path) -> tuple[str, tuple[str, ...]]:
    """Model and feature flags of the first CPU; empty where the system does not tell in this way."""
    facts: dict[str, str] = {}
    if file.exists():
        for line in file.read_text(errors="replace").split("\n\n", 1)[0].splitlines():
            name, _, value = line.partition(":")
            facts[name.strip().lower()] = value.strip()
    model = facts.get("model name") or facts.get("cpu part", "")
    return model, tuple(sorted((facts.get("flags") or facts.get("features", "")).split()))
