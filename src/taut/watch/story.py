"""What an alert tells: when its change began and by which events it shows, as plain records that are kept with it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StrongEvent:
    """An event whose share has changed: `hits` of `trials` rows since the onset, against the reference's share.

    `text` says it in words and figures. `log_bayes` is the natural logarithm of how much likelier the rows since the
    onset are under a share of their own than under that of all rows before.
    """

    feature: str
    event: str
    hits: int
    trials: int
    share: float
    reference_share: float
    reference_trials: int
    log_bayes: float
    text: str


@dataclass(frozen=True, slots=True)
class Onset:
    """Checks before the change, counted from 0: the likeliest `at`, and the range that holds `held` of the weight."""

    at: int
    first: int
    last: int
    held: float


@dataclass(frozen=True, slots=True)
class Suspect:
    """A feature with its e-value now; `is_named` by e-BH, else it is shown for its evidence alone."""

    name: str
    e_value: float
    is_named: bool
    events: tuple[StrongEvent, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """What a detector in alarm knows at one window; the suspects are in order, the strongest first."""

    e_value: float
    bound: float
    suspects: tuple[Suspect, ...]
    onset: Onset


@dataclass(frozen=True, slots=True)
class Begun:
    """The onset as windows: the start of the likeliest, and of the first and last of the range that holds `held`."""

    start_ms: int
    first_ms: int
    last_ms: int
    held: float
