"""Figures as Prometheus reads them: families of samples in the text format 0.0.4, without a client library."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value and what tells it from the others of its family."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """Samples of one name; `text` says what they are, with their unit."""

    name: str
    kind: Kind
    text: str
    samples: tuple[Sample, ...]


def merged_families(found: Iterable[Family]) -> list[Family]:
    """The same with one family for each name, as the format wants it, in the order in which the names came first."""
    by_name: dict[str, Family] = {}
    for one in found:
        known = by_name.get(one.name)
        by_name[one.name] = one if known is None else replace(known, samples=(*known.samples, *one.samples))
    return list(by_name.values())


def family_lines(found: Iterable[Family]) -> Iterator[str]:
    """The lines of families; one without samples has none.

    >>> list(family_lines([Family("a_total", "counter", "What is.", (Sample({"of": "b"}, 2.0),))]))
    ['# HELP a_total What is.', '# TYPE a_total counter', 'a_total{of="b"} 2.0']
    """
    for family in merged_families(found):
        if family.samples:
            yield from head(family.name, family.kind, family.text)
            for sample in family.samples:
                yield f"{family.name}{written_labels(sample.labels)} {_number(sample.value)}"


def head(name: str, kind: str, text: str) -> tuple[str, str]:
    """The two lines before the samples of a family."""
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def written_labels(labels: Mapping[str, str]) -> str:
    r"""Labels in braces, their values escaped; nothing for none.

    >>> written_labels({"route": 'a"b', "le": "1"})
    '{route="a\\"b",le="1"}'
    """
    if not labels:
        return ""
    escaped = (
        (name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))
