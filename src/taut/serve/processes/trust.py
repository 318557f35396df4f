"""Whether requests may go together: only a model that says the same of a row alone and beside others is asked so."""

PROVED_BY = 64
"""Requests that were asked both ways. Where sums are taken in another order, one row in ten or more shows it."""

FIRST_TOGETHER = 8  # While it is not proved each request costs a call of its own, so few wait for each other.
LOOK_EVERY = 256  # Calls; one request of such a call is asked alone too: 0.3 % of the work.


class Trust:
    """What is known of a model. With `exact` off nothing is compared, and requests always go together."""

    def __init__(self, *, exact: bool) -> None:
        self._exact = exact
        self._proved = 0
        self._calls = 0
        self.is_broken = False

    @property
    def requests_max(self) -> int:
        """How many requests the next call may hold."""
        if self.is_broken:
            return 1
        return FIRST_TOGETHER if self._is_proving else 1 << 30

    def compare(self, requests: int) -> int:
        """How many requests of a call are to be asked alone too."""
        if requests == 1 or not self._exact:
            return 0
        if self._is_proving:
            return requests
        self._calls += 1
        return int(self._calls % LOOK_EVERY == 0)

    def learn(self, compared: int, same: bool | None) -> None:
        """What a comparison found; None says nothing."""
        if same:
            self._proved += compared
        elif same is False:
            self.is_broken = True

    @property
    def _is_proving(self) -> bool:
        return self._exact and self._proved < PROVED_BY
