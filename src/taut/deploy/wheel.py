"""The installed taut as a wheel, whatever it was installed from: what goes into an image is what runs here."""

import base64
import hashlib
import importlib.metadata
import zipfile
from collections.abc import Iterator
from pathlib import Path

import taut
from taut.runs import OBSERVER

# The earliest moment that a zip file can name: a wheel of the same files is the same bytes whenever it is made.
MOMENT = (1980, 1, 1, 0, 0, 0)
METADATA_FILES = ("METADATA", "entry_points.txt")
WHEEL_FILE = b"Wheel-Version: 1.0\nGenerator: taut\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
DISTRIBUTION = "taut"


def write_wheel(folder: Path) -> Path:
    """Write `taut-VERSION-py3-none-any.whl` into the folder; the same installation gives the same bytes.

    Format: Binary distribution format 1.0 (packaging.python.org), with the digest of every file in its RECORD. The
    files are stored, not compressed, for compressors differ between machines and an image compresses its layers anyway.
    """
    distribution = importlib.metadata.distribution(DISTRIBUTION)
    information = f"{DISTRIBUTION}-{distribution.version}.dist-info"
    files = dict(_package_files())
    files |= {f"{information}/{name}": data for name, data in _information(distribution)}
    record = f"{information}/RECORD"
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    target = folder / f"{DISTRIBUTION}-{distribution.version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return target


def _package_files() -> Iterator[tuple[str, bytes]]:
    """Every file of the package by its place in the wheel, in order.

    Caches of the interpreter are left out, and what was compiled: it is of this machine, and the image may be of
    another kind, while a wheel without it fits all.
    """
    package = Path(taut.__file__).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path != OBSERVER and path.suffix != ".so":
            yield f"{DISTRIBUTION}/{path.relative_to(package).as_posix()}", path.read_bytes()


def _information(distribution: importlib.metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    for name in METADATA_FILES:
        text = distribution.read_text(name)
        assert text is not None, f"the installed taut has no {name}"
        yield name, text.encode()
    yield "WHEEL", WHEEL_FILE


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
