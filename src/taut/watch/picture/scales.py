"""From values to places: linear, logarithmic and time scales, and ticks that people would choose."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, floor, log10

DAY = timedelta(days=1)
HOURS = (1, 3, 6, 12)
DAYS = (1, 2, 7, 14)
MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)


@dataclass(frozen=True, slots=True)
class Scale:
    """A line from `low` at the place `begin` to `high` at `end`, in pixels; what lies beyond stays on the edge."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)


def value_ticks(low: float, high: float, *, most: int = 5) -> list[float]:
    """Round values at equal steps of 1, 2 or 5 times a power of ten, that enclose a range; at most `most` + 2 of them.

    >>> value_ticks(0.61, 0.79, most=4)
    [0.6, 0.65, 0.7, 0.75, 0.8]
    >>> value_ticks(3, 3)
    [2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 3.6]
    """
    if low == high:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def decades(low: float, high: float, *, most: int = 5) -> list[int]:
    """Exponents of ten that enclose a range of positive values, 0 among the possible ones, at equal steps.

    >>> decades(0.02, 50_000)
    [-2, 0, 2, 4, 6]
    """
    first, last = floor(log10(low)), ceil(log10(high))
    step = max(1, ceil((last - first) / most))
    return list(range(floor(first / step) * step, ceil(last / step) * step + 1, step))


def time_ticks(from_ms: int, until_ms: int, *, most: int) -> list[tuple[int, str]]:
    """Moments within a range and their names, at most about `most`: whole hours, days, months or years, in UTC.

    The year is named at the first tick and wherever it is new.

    >>> [name for _, name in time_ticks(1364774400000, 1377820800000, most=9)]
    ['Apr 2013', 'May', 'Jun', 'Jul', 'Aug']
    """
    begin, end = _moment(from_ms), _moment(until_ms)
    hours = (end - begin) / timedelta(hours=1)
    for size in HOURS:
        if hours / size <= most:
            return _every(begin, end, timedelta(hours=size), hourly=True)
    for size in DAYS:
        if hours / 24 / size <= most:
            return _every(begin, end, size * DAY, hourly=False)
    months = hours / 24 / 30.4
    return _months(begin, end, next((size for size in MONTHS if months / size <= most), MONTHS[-1]))


def day_name(at_ms: float) -> str:
    """A day as people write it.

    >>> day_name(1364774400000)
    '1 Apr 2013'
    """
    moment = _moment(int(at_ms))
    return f"{moment.day} {moment:%b %Y}"


def moment_name(at_ms: int) -> str:
    """A moment as people write it: the day, and the time where it is not midnight.

    >>> moment_name(1364774400000), moment_name(1364796000000)
    ('1 Apr 2013', '1 Apr 2013, 06:00')
    """
    moment = _moment(at_ms)
    return day_name(at_ms) if at_ms % 86_400_000 == 0 else f"{day_name(at_ms)}, {moment:%H:%M}"


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _every(begin: datetime, end: datetime, step: timedelta, *, hourly: bool) -> list[tuple[int, str]]:
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    moment = midnight + ceil((begin - midnight) / step) * step
    ticks: list[tuple[int, str]] = []
    while moment <= end:
        day = f"{moment.day} {moment:%b}"
        if not ticks and not hourly:
            day = f"{day} {moment:%Y}"
        ticks.append((_ms(moment), f"{moment:%H:%M}" if hourly and moment.hour and ticks else day))
        moment += step
    return ticks


def _months(begin: datetime, end: datetime, step: int) -> list[tuple[int, str]]:
    """The first of every `step`th month, counted from January."""
    number = begin.year * 12 + begin.month - 1
    ticks: list[tuple[int, str]] = []
    for at in range(ceil(number / step) * step, end.year * 12 + end.month, step):
        moment = datetime(at // 12, at % 12 + 1, 1, tzinfo=UTC)
        if moment < begin or moment > end:
            continue
        if step >= 12:
            name = f"{moment:%Y}"
        else:
            name = f"{moment:%b %Y}" if not ticks or moment.month <= step else f"{moment:%b}"
        ticks.append((_ms(moment), name))
    return ticks
