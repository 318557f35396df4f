"""GPU work: what the kernel and torch tell in files, in the words of real machines."""

from pathlib import Path

import pytest

from taut.records import Library
from taut.runs.capture.accelerators import accelerators, version_in

CLOSED = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023
GCC version:  gcc version 11.4.0 (Ubuntu 11.4.0-1ubuntu1~22.04)
"""
OPEN = """NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build  (builder@u16)
GCC version:  gcc version 12.3.0
"""
ARM = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  550.54.15  Release Build\n"
TESLA = """Model: \t\t Tesla T4
IRQ:   \t\t 63
GPU UUID: \t GPU-5b5f0c3e-0000-0000-0000-000000000000
Video BIOS: \t 90.04.38.00.03
Bus Type: \t PCIe
GPU Firmware: \t 535.129.03
GPU Excluded:\t No
"""
ASLEEP = "Model: \t\t NVIDIA A100-SXM4-40GB\nVideo BIOS: \t ??.??.??.??.??\nGPU Firmware: \t N/A\n"
CUDA_BUILD = """from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip', 'xpu']
__version__ = '2.5.1+cu124'
debug = False
cuda: Optional[str] = '12.4'
git_version = 'a8d6afb511a69687bbb2b7e88a3cf67917e1697e'
hip: Optional[str] = None
xpu: Optional[str] = None
"""
OLD_BUILD = "__version__ = '1.4.0'\ndebug = False\ncuda = '10.1'\ngit_version = '7404463'\n"
ROCM_BUILD = "__version__ = '2.4.0+rocm6.1'\ncuda: Optional[str] = None\nhip: Optional[str] = '6.1.40091-a8dbc0c19'\n"
CPU_BUILD = "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n"


@pytest.mark.parametrize(("text", "version"), [(CLOSED, "535.129.03"), (OPEN, "560.35.03"), (ARM, "550.54.15")])
def test_the_driver_of_the_kernel_is_told_by_its_version(tmp_path: Path, text: str, version: str):
    (tmp_path / "version").write_text(text)
    assert accelerators((), tmp_path) == (Library("driver", "nvidia", version),)


@pytest.mark.parametrize("text", ["", "NVRM version:", "NVRM version: Kernel Module\n", "\0\0"])
def test_words_of_a_driver_that_name_no_version_are_none(tmp_path: Path, text: str):
    (tmp_path / "version").write_text(text)
    assert accelerators((), tmp_path) == ()


def test_each_gpu_is_told_by_model_and_firmware_and_not_by_what_is_its_own(tmp_path: Path):
    for bus, text in (("0000:00:1e.0", TESLA), ("0000:00:1f.0", ASLEEP), ("0000:00:20.0", "Bus Type: PCI\n")):
        (tmp_path / "gpus" / bus).mkdir(parents=True)
        (tmp_path / "gpus" / bus / "information").write_text(text)
    assert accelerators((), tmp_path) == (
        Library("gpu", "Tesla T4", "535.129.03"),
        Library("gpu", "NVIDIA A100-SXM4-40GB", ""),
    )


@pytest.mark.parametrize(
    ("text", "built"),
    [
        (CUDA_BUILD, [("torch.version.cuda", "12.4")]),
        (OLD_BUILD, [("torch.version.cuda", "10.1")]),
        (ROCM_BUILD, [("torch.version.hip", "6.1.40091-a8dbc0c19")]),
        (CPU_BUILD, []),
        ("", []),
    ],
)
def test_a_torch_that_was_loaded_says_what_it_was_built_for(tmp_path: Path, text: str, built: list[tuple[str, str]]):
    torch = tmp_path / "site-packages" / "torch"
    (torch / "lib").mkdir(parents=True)
    (torch / "version.py").write_text(text)
    loaded = [str(torch / "lib" / name) for name in ("libtorch_cpu.so", "libc10.so")]
    found = accelerators([*loaded, "/data/torch/x.csv"], tmp_path / "no-driver")
    assert found == tuple(Library("cuda", name, version, str(torch)) for name, version in built)
    assert accelerators([str(torch / "__init__.py")], tmp_path / "no-driver") == ()


def test_a_driver_library_has_its_version_in_its_name():
    assert [version_in(f"/usr/lib/libcuda.so{end}") for end in ("", ".1", ".535.129.03")] == ["", "", "535.129.03"]
