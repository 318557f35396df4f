"""What ids, keys and values of experiments and runs may look like: MLflow's rules, so its clients meet no other."""

import re
from functools import lru_cache

from taut.errors import Invalid

KEY_MAX = 250
EXPERIMENT_NAME_MAX = 500
EXPERIMENT_TAG_MAX = 20_000
PARAM_VALUE_MAX = 6000
TAG_VALUE_MAX = 8000

ID = re.compile(r"[a-zA-Z0-9][\w-]{0,255}")
KEY = re.compile(r"[/\w.\- :]+")


def check_run_id(run_id: str) -> None:
    """Raises Invalid where this can be no run's id.

    >>> check_run_id("a1-b2")
    """
    if not ID.fullmatch(run_id):
        raise Invalid(f"{run_id[:80]!r} cannot be the id of a run: letters, digits, _ and -, at most 256")


@lru_cache(maxsize=1 << 14)  # A training loop logs the same few keys again and again.
def check_key(key: str, *, of: str) -> None:
    """Raises Invalid where a param, metric or tag cannot be called so: it must be safe as a relative path too.

    >>> check_key("train/loss", of="metric")
    """
    if not key or len(key) > KEY_MAX:
        raise Invalid(f"the key of a {of} has 1 to {KEY_MAX} characters, this has {len(key)}: {key[:40]!r}")
    if not KEY.fullmatch(key):
        raise Invalid(f"{key[:80]!r} cannot be the key of a {of}: letters, digits, spaces and _ - . : / are allowed")
    if key.startswith("/") or any(part in {"", ".", ".."} for part in key.split("/")):
        raise Invalid(f"{key[:80]!r} cannot be the key of a {of}: as a path it would leave its folder")


def check_tag(key: str, value: str) -> None:
    """Raises Invalid where an experiment cannot carry this tag."""
    check_key(key, of="tag")
    if len(value) > EXPERIMENT_TAG_MAX:
        raise Invalid(f"a tag of an experiment has at most {EXPERIMENT_TAG_MAX} characters, {key!r} has {len(value)}")


def check_experiment_name(name: str) -> None:
    """Raises Invalid where an experiment cannot be called so."""
    if not name.strip() or len(name) > EXPERIMENT_NAME_MAX:
        raise Invalid(f"the name of an experiment has 1 to {EXPERIMENT_NAME_MAX} characters, this has {len(name)}")
