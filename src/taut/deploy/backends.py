"""The versions behind an endpoint as plain data: who is live, who tries, who only listens, and what goes together."""

from dataclasses import replace

from taut.errors import Conflict, Invalid, UsageError
from taut.records import Backend

SHADOWS_MAX = 3  # Each is asked everything that is asked: three cost as much as serving four times.
SEVERAL = frozenset({"process"})
"""Targets that keep several versions behind one endpoint; the others run an image of one."""

Backends = tuple[Backend, ...]


def behind(live: Backend, others: Backends) -> Backends:
    """All of a revision, live first with the share that the canary leaves it, then the canary, then shadows."""
    canary = [one for one in others if one.role == "canary"]
    share = round(1.0 - sum(one.weight for one in canary), 12)
    shadows = [replace(one, weight=0.0) for one in others if one.role == "shadow"]
    return (replace(live, weight=share, role="live"), *canary, *shadows)


def check_others(name: str, target: str, live: Backend, others: Backends) -> None:
    """Raises Invalid for shares, parts or versions that cannot be, UsageError for a target of one version."""
    if not others:
        return
    if target not in SEVERAL:
        raise UsageError(
            f"target {target} runs one version, and {name!r} has {1 + len(others)}", hint="set target: process"
        )
    canaries = [one for one in others if one.role == "canary"]
    shadows = [one for one in others if one.role == "shadow"]
    if len(canaries) > 1 or len(shadows) > SHADOWS_MAX or len(canaries) + len(shadows) < len(others):
        raise Invalid(f"{name!r} takes one canary and {SHADOWS_MAX} shadows beside its live version")
    for one in canaries:
        if not 0.0 < one.weight < 1.0:
            raise Invalid(
                f"a canary answers more than none and less than all requests, not {100 * one.weight:g} %",
                hint=f"taut deploy {name} --promote",
            )
    versions = [one.version for one in (live, *others)]
    if twice := next((one for one in versions if versions.count(one) > 1), ""):
        raise Conflict(f"{twice} stands behind {name!r} already", hint=f"taut deployments {name}")


def with_canary(backends: Backends, canary: Backend) -> Backends:
    """The others of a revision in which this is the canary, in place of the one before and of its own shadow."""
    return (canary, *(one for one in backends if one.role == "shadow" and one.version != canary.version))


def with_shadow(backends: Backends, shadow: Backend) -> Backends:
    """The others of a revision that has this shadow too."""
    if any(one.role == "shadow" and one.version == shadow.version for one in backends):
        return backends[1:]
    return (*backends[1:], shadow)


def without(backends: Backends, version: str) -> Backends:
    """The others of a revision without one of them, `late@4`."""
    return tuple(one for one in backends[1:] if one.version != version)


def told(backends: Backends) -> str:
    """Who stands behind an endpoint, in words.

    >>> told((Backend("late", 3, 0.95), Backend("late", 4, 0.05, "canary"), Backend("late", 5, 0.0, "shadow")))
    'late@3 95 %, canary late@4 5 %, shadow late@5'
    """
    if len(backends) == 1:
        return backends[0].version
    return ", ".join(
        ("" if one.role == "live" else f"{one.role} ")
        + one.version
        + ("" if one.role == "shadow" else f" {round(100 * one.weight, 6):g} %")
        for one in backends
    )
