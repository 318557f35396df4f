"""What a run's GPU work rests on: the kernel's driver, the GPUs, and the CUDA that torch was built for.

All of it is read from files; nothing is loaded and no GPU is woken.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from taut.records import Library

NVIDIA = Path("/proc/driver/nvidia")
# "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 ..."; the open one names its machine after it.
KERNEL_MODULE = re.compile(r"^NVRM version:.*Kernel Module(?: for \S+)?\s+([\d.]+)", re.MULTILINE)
FACT = re.compile(r"^([A-Z][\w .]*?):[ \t]*(.+?)[ \t]*$", re.MULTILINE)
VERSIONED = re.compile(r"\.so\.(\d+(?:\.\d+)+)$")
TORCH = re.compile(r"^(.*/torch)/lib/lib(?:torch|c10)[^/]*$")
BUILT_FOR = re.compile(r"""^(cuda|hip)\b[^=\n]*=\s*["']([^"']+)["']""", re.MULTILINE)


def accelerators(loaded: Iterable[str], nvidia: Path = NVIDIA) -> tuple[Library, ...]:
    """Facts of those that a run could use, by the libraries that it loaded; nothing where there are none."""
    folders = {found[1]: None for path in sorted(loaded) if (found := TORCH.match(path))}
    torch = [built for folder in folders for built in _built_for(_text(Path(folder, "version.py")), folder)]
    gpus = [gpu for place in sorted(nvidia.glob("gpus/*/information")) for gpu in _gpu(_text(place))]
    return (*_driver(_text(nvidia / "version")), *gpus, *torch)


def version_in(path: str) -> str:
    """The version that the name of a shared library ends with, where it is more than the number of its interface.

    >>> version_in("/usr/lib/libcuda.so.535.129.03"), version_in("/usr/lib/libcudart.so.12")
    ('535.129.03', '')
    """
    found = VERSIONED.search(path)
    return found[1] if found else ""


def _driver(text: str) -> Iterator[Library]:
    """The NVIDIA driver in the kernel, from /proc/driver/nvidia/version."""
    if found := KERNEL_MODULE.search(text):
        yield Library("driver", "nvidia", found[1])


def _gpu(text: str) -> Iterator[Library]:
    """A GPU, from its `information`; what tells one of a model from another is left out."""
    facts = {name: value for name, value in FACT.findall(text) if "?" not in value and value != "N/A"}
    if "Model" in facts:
        yield Library("gpu", facts["Model"], facts.get("GPU Firmware", "") or facts.get("Video BIOS", ""))


def _built_for(text: str, folder: str) -> Iterator[Library]:
    """The CUDA or HIP that a torch was built for, from its version.py; a build for CPUs names none."""
    for name, version in BUILT_FOR.findall(text):
        yield Library("cuda", f"torch.version.{name}", version, folder)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # No such driver or torch.
