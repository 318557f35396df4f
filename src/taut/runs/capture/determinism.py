"""`--determinism`: what makes a training repeat without a change to its program, set for the command and recorded.

Each level sets what the one before it sets. A variable that the user has set stays as it is.
"""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from taut.records import Determinism, Level, Surroundings
from taut.runs.capture.environment import is_of_interest, surroundings_here
from taut.runs.capture.reads import NOT_SHOWN

LEVELS: tuple[Level, ...] = ("off", "basic", "seeded", "strict")
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip
# The instructions that nearly every server has: kernels that need more are not chosen.
KERNELS = {
    "OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2",
}  # fmt: skip
# And those of much older and of newer ones, to find out by experiment which a run had.
OLDER_KERNELS = {"OPENBLAS_CORETYPE": "Prescott", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
WIDER_KERNELS = {"OPENBLAS_CORETYPE": "SkylakeX", "ATEN_CPU_CAPABILITY": "avx512", "MKL_CBWR": "AVX512"}
NUMPY_KERNELS = "NPY_DISABLE_CPU_FEATURES"
SEED, STRICT = "TAUT_SEED", "TAUT_STRICT"
PLACES = re.compile(
    r"PYTHON(PATH|HOME|USERBASE|PYCACHEPREFIX|STARTUP|EXECUTABLE)|LD_.*|VIRTUAL_ENV.*|CONDA_.*|.*_(HOME|CACHE|DIR|PATH|FOLDER)"
)
"""Variables that matter and lead to a place of one machine: a repetition gets those of here."""
FLAGS = ("avx512f", "avx512_bf16", "amx_bf16", "avx2", "fma", "asimd", "sve")
NUMPY_ASKED = """
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
print(" ".join(name for name in __cpu_dispatch__ if "512" in name or "V4" in name or name.startswith("AMX")))
"""
TIMEOUT_S = 60.0


def settings(
    level: Level,
    environ: Mapping[str, str],
    *,
    folder: Path,
    seed: int = 0,
    single_thread: bool = False,
    python: str = "",
) -> Determinism:
    """What is to be set for a command that starts in `folder` in this environment.

    `python` is asked which kernels its NumPy has, for the strict level; without one they are left alone.
    """
    wanted: dict[str, str] = {}
    cores = sorted(os.sched_getaffinity(0))
    if level != "off":
        wanted["PYTHONHASHSEED"] = "0"
        wanted.update(_epoch(folder))
    if level in ("seeded", "strict"):
        wanted[SEED] = str(seed)
        wanted.update(threads(1 if single_thread else len(cores)))
    if level == "strict":
        wanted.update(
            {STRICT: "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "FALSE"}
        )
        wanted.update(kernels(python))
    variables = {name: value for name, value in wanted.items() if name not in environ}
    if single_thread:
        variables |= threads(1)
    return Determinism(
        level, seed if SEED in variables else None, variables, level != "off", (cores[0],) if single_thread else ()
    )


def applied(environ: Mapping[str, str], how: Determinism) -> dict[str, str]:
    """The environment with what was set."""
    return {**environ, **how.variables}


def to_clear(environ: Mapping[str, str]) -> frozenset[str]:
    """The variables of an environment that a repetition must not be given unless its run had them."""
    return frozenset(name for name in environ if _is_had_again(name)) | {SEED, STRICT}


def had(around: Surroundings, how: Determinism) -> Determinism:
    """How a run repeats: what was set for it, and the variables that matter as it found them."""
    again = {name: value for name, value in around.variables.items() if _is_had_again(name) and value != NOT_SHOWN}
    return replace(how, variables={**again, **how.variables})


def _is_had_again(name: str) -> bool:
    return is_of_interest(name) and PLACES.fullmatch(name) is None


def threads(count: int) -> dict[str, str]:
    """The variables that bound the threads of the numeric libraries."""
    return dict.fromkeys(THREADS, str(count))


def kernels(python: str = "") -> dict[str, str]:
    """The variables that keep numeric libraries to instructions that other machines have too; nothing but on x86-64."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return {}
    features = _numpy_features(python) if python else ""
    return {**KERNELS, **({NUMPY_KERNELS: features} if features else {})}


def with_seed(how: Determinism, seed: int = 0) -> Determinism:
    """The same, with every library seeded."""
    return replace(how, seed=seed, variables={**how.variables, SEED: str(seed)})


def with_hash_seed(how: Determinism, seed: int = 0) -> Determinism:
    """The same, with one order for sets of texts."""
    return replace(how, variables={**how.variables, "PYTHONHASHSEED": str(seed)})


def with_threads(how: Determinism, count: int) -> Determinism:
    """The same, with so many threads; with one also on one core."""
    cores = (min(os.sched_getaffinity(0)),) if count == 1 else ()
    return replace(how, variables={**how.variables, **threads(count)}, cores=cores)


def with_variables(how: Determinism, more: Mapping[str, str]) -> Determinism:
    """The same, with more variables set."""
    return replace(how, variables={**how.variables, **more})


def thread_count(how: Determinism, cores: int) -> int:
    """How many threads a run's numeric libraries had: what was set, else its cores."""
    written = how.variables.get("OMP_NUM_THREADS", "")
    return len(how.cores) or (int(written) if written.isdecimal() else cores)


def cpu(around: Surroundings | None = None) -> str:
    """The processor by its name, and those of its instructions that kernels are chosen by; empty where nobody knows.

    Of a run's surroundings, else (also where they do not tell) of this machine.
    """
    known = around if around and around.cpu else surroundings_here({})
    return f"{known.cpu} ({' '.join(flag for flag in FLAGS if flag in known.cpu_flags)})" if known.cpu else ""


def _epoch(folder: Path) -> dict[str, str]:
    """The time of the commit, which tools that pack files use in place of the present; nothing outside a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "show", "-s", "--format=%ct", "HEAD"],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except OSError:
        return {}
    return {"SOURCE_DATE_EPOCH": done.stdout.strip()} if done.returncode == 0 and done.stdout.strip() else {}


def _numpy_features(python: str) -> str:
    try:
        done = subprocess.run(
            [python, "-c", NUMPY_ASKED], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
