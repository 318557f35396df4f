"""Python's collector of reference cycles, set for a process that answers requests."""

import gc

# Containers that are born and not yet gone before the youngest of them are looked through. A request has about a
# hundred and makes no cycle, so that counting references frees all of it: with the usual 700 the collector took a
# fifth of the time, and a pause of some 50 ms whenever it looked at everything.
YOUNG, MIDDLE, OLD = 50_000, 20, 50


def settle() -> None:
    """Set what was loaded so far apart, for it lives as long as the process; look for cycles seldom from now on.

    To be called once models and libraries are loaded; before a fork, it also keeps their pages shared.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
