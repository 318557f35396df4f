"""Data quality: whether a window's rows are fit to be looked at and learned from, by fixed rules and counts alone."""

from typing import TYPE_CHECKING

from taut.ground.late import names_of

if TYPE_CHECKING:
    from taut.watch.quality.checks import quality_of, quality_of_rows
    from taut.watch.quality.facts import Facts, facts_of, total_of
    from taut.watch.quality.finding import Finding, is_broken, staleness_of, volume_of
    from taut.watch.quality.window import WindowQuality, window_quality

__all__ = [
    "Facts",
    "Finding",
    "WindowQuality",
    "facts_of",
    "is_broken",
    "quality_of",
    "quality_of_rows",
    "staleness_of",
    "total_of",
    "volume_of",
    "window_quality",
]

PLACES = {
    "checks": ("quality_of", "quality_of_rows"),
    "facts": ("Facts", "facts_of", "total_of"),
    "finding": ("Finding", "is_broken", "staleness_of", "volume_of"),
    "window": ("WindowQuality", "window_quality"),
}
__getattr__ = names_of("taut.watch.quality", PLACES)
