"""Measures of how far two samples are apart: for the eye and for reports, never for the pager."""

from taut.watch.measures.psi import psi, psi_of_feature

__all__ = ["psi", "psi_of_feature"]
