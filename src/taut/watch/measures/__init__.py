"""Measures of how far two samples are apart: for the eye and for reports, never for the pager."""

from taut.watch.measures.binned import (
    chi_squared,
    chi_squared_p,
    cramers_v,
    jensen_shannon,
    kolmogorov_smirnov,
    kolmogorov_smirnov_p,
    pooled,
    wasserstein,
)
from taut.watch.measures.psi import psi, psi_of_feature
from taut.watch.measures.table import MEASURES, Measure, Measured, measured

__all__ = [
    "MEASURES",
    "Measure",
    "Measured",
    "chi_squared",
    "chi_squared_p",
    "cramers_v",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "kolmogorov_smirnov_p",
    "measured",
    "pooled",
    "psi",
    "psi_of_feature",
    "wasserstein",
]
