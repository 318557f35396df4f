"""How good versions are by the labels that came, with bounds that hold at any time, and what to expect without them."""

from taut.watch.performance.comparing import Arm, Comparison, compare_versions
from taut.watch.performance.estimates import ASSUMPTION, Estimates
from taut.watch.performance.figures import Figure
from taut.watch.performance.measuring import Measured, Performance, measure_performance
from taut.watch.performance.slices import Slice, Sliced, measure_slices

__all__ = [
    "ASSUMPTION",
    "Arm",
    "Comparison",
    "Estimates",
    "Figure",
    "Measured",
    "Performance",
    "Slice",
    "Sliced",
    "compare_versions",
    "measure_performance",
    "measure_slices",
]
