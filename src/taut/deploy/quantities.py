"""Amounts as Kubernetes writes them, `500m` cores and `1Gi` of memory, in plain numbers for engines that do not."""

import re

from taut.errors import Invalid

MEMORY = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def bytes_of(written: str) -> int:
    """An amount of memory in bytes. Raises Invalid.

    >>> bytes_of("512Mi"), bytes_of("1G")
    (536870912, 1000000000)
    """
    found = re.fullmatch(r"(\d{1,18})([kMGT]|[KMGT]i)?", written)
    if found is None or not int(found[1]):
        raise Invalid(f"{written!r} is no amount of memory; write it as 512Mi or 1Gi")
    return int(found[1]) * MEMORY[found[2] or ""]


def cores_of(written: str) -> float:
    """An amount of processor time in cores. Raises Invalid.

    >>> cores_of("1"), cores_of("500m"), cores_of("0.25")
    (1.0, 0.5, 0.25)
    """
    found = re.fullmatch(r"(\d{1,18})m|(\d{1,18}(?:\.\d{1,18})?)", written)
    cores = 0.0 if found is None else int(found[1]) / 1000 if found[1] else float(found[2])
    if not cores:
        raise Invalid(f"{written!r} is no amount of cores; write it as 1 or 500m")
    return cores
