"""The evidence of each feature, out of the detectors' memory."""

from dataclasses import dataclass
from math import exp

from taut.ground import wire

EVIDENCE_MAX = 700.0  # Of a natural logarithm; beyond it there is no float.


@dataclass(frozen=True, slots=True)
class FeatureEvidence:
    """The e-value of one feature under one budget."""

    budget: str
    name: str
    e_value: float


def features_of(states: str) -> tuple[FeatureEvidence, ...]:
    """The evidence of each feature in the detectors' memory, strongest first."""
    from taut.watch.detectors.ewin import EwinState

    known = wire.decode(states, dict[str, EwinState], what="the detectors' state") if states else {}
    found = [
        FeatureEvidence(budget, name, round(exp(min(evidence, EVIDENCE_MAX)), 6))
        for budget, state in known.items()
        for name, evidence in state.log_e.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.e_value, one.budget, one.name)))
