"""What a running endpoint has counted of its live version and its canary, read off `/metrics` as Prometheus would."""

import re
from collections.abc import Iterable, Iterator
from math import inf, isfinite, isnan, nan

from taut.errors import Invalid
from taut.records import Backend, Deployment
from taut.serve.rollout.canaries import Tally
from taut.serve.rollout.judging import Counts

SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)\{(.*)\} (\S+)(?: -?\d+)?")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
REQUESTS, BUCKETS = "taut_requests_total", "taut_request_seconds_bucket"
WITHIN_S = 5.0
FAULT_FROM = 500  # What a caller asked wrongly is no fault of the version that was asked.

Sample = tuple[str, dict[str, str], float]


def read_tally(url: str, deployment: Deployment, source: str) -> Tally | None:
    """What the endpoint at a URL has counted since `source` began; None where it does not answer, or has no canary."""
    import urllib3

    try:
        answer = urllib3.request("GET", f"{url}/metrics", timeout=WITHIN_S, retries=False)
    except urllib3.exceptions.HTTPError:
        return None  # It is down: the target sees to that.
    return tally_of(answer.data.decode(errors="replace"), deployment, source) if answer.status == 200 else None


def tally_of(exposed: str, deployment: Deployment, source: str) -> Tally | None:
    """The counts of one revision in the text exposition format 0.0.4; None where it has no canary or counts none.

    Samples of one version are added up, whatever other labels tell them apart. Raises Invalid for what cannot be read.
    """
    canary = deployment.canary
    if canary is None:
        return None
    samples = [one for one in _samples(exposed) if one[1].get("revision") == str(deployment.revision)]
    bounds = sorted({float(labels["le"]) for name, labels, _ in samples if name == BUCKETS})
    if not bounds:
        return None
    live, tried = (_counts(samples, one, bounds) for one in (deployment.backends[0], canary))
    bounds_ms = tuple(1000.0 * bound for bound in bounds if bound < inf)
    return Tally(source, deployment.revision, bounds_ms, live, tried)


def _counts(samples: Iterable[Sample], backend: Backend, bounds: list[float]) -> Counts:
    requests = errors = 0
    below = dict.fromkeys(bounds, 0)
    for name, labels, value in samples:
        if (labels.get("model"), labels.get("version")) != (backend.model, str(backend.number)):
            continue
        if name == REQUESTS:
            code = labels.get("code", "")
            requests += int(value)
            errors += int(value) if code.isdecimal() and int(code) >= FAULT_FROM else 0
        elif name == BUCKETS:
            below[float(labels["le"])] += int(value)
    counts = list(below.values())
    between = tuple(max(0, now - before) for before, now in zip([0, *counts], counts, strict=False))
    return Counts(requests, errors, between)


def _samples(exposed: str) -> Iterator[Sample]:
    for line in exposed.splitlines():
        found = SAMPLE.fullmatch(line)
        if found is None or found[1] not in (REQUESTS, BUCKETS):
            continue
        labels = {name: _unescaped(value) for name, value in LABEL.findall(found[2])}
        try:
            value, bound = float(found[3]), float(labels.get("le", "nan"))
        except ValueError:
            value = bound = nan
        if isfinite(value) and isnan(bound) == (found[1] == REQUESTS):
            yield found[1], labels, value
        else:
            raise Invalid(f"a counter of an endpoint cannot be read: {line[:200]!r}")


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], value)
