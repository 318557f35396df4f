"""Logins: slow once and quick after, counted when they fail, and ended by a change before half a second is over."""

import base64
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from taut.callers import MISS, actor_of, cached_actor_of
from taut.errors import Denied, Invalid, Throttled
from taut.govern import (
    create_token,
    create_user,
    delete_user,
    end_token,
    get_user,
    grant_permission,
    set_password,
    set_user_role,
)
from taut.ground.access import (
    Access,
    Actor,
    Allowance,
    Throttle,
    has_logins,
    is_allowed,
    is_password,
)
from taut.ground.access.remembered import CALLERS_MAX, FRESH_S, PROOF_S
from taut.ground.access.throttle import BY_USER, KEYS_MAX
from taut.ground.bounded import Bounded
from taut.ground.meta import Figure, Metadata, Row, Tx
from taut.home import Home, open_home

WORD = "correct horse battery"
OTHER = "staple of a donkey"


class Steady:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
def steady() -> Steady:
    return Steady()


@pytest.fixture
def place(home: Home, steady: Steady) -> Home:
    """A home with an owner and a viewer, as a server with a clock of its own sees it."""
    create_user(home, "olga", WORD, role="owner")
    create_user(home, "vera", WORD)
    return replace(home, access=Access(steady))


@pytest.fixture
def elsewhere(home: Home) -> Iterator[Home]:
    """The same home as another server has it open."""
    with open_home(home.project, actor=home.actor, clock=home.clock) as opened:
        yield opened


class Untouchable:
    """A metadata store that nobody may ask."""

    url, dialect = "nowhere", "sqlite"

    def __init__(self) -> None:
        self.asked = 0

    @contextmanager
    def read(self) -> Iterator[Tx]:
        self.asked += 1
        assert not self.asked, "the database was asked"
        yield self.nothing()

    transaction = read

    def ask(self, sql: str, parameters: object = None) -> Sequence[Row]:
        raise AssertionError(sql)

    def nothing(self) -> Tx:
        raise AssertionError

    def figures(self) -> dict[str, Figure]:
        raise AssertionError

    def close(self) -> None:
        pass


def blind(home: Home) -> Home:
    meta: Metadata = Untouchable()
    return replace(home, meta=meta)


# Logins


def test_a_name_and_a_password_are_their_user(place: Home):
    assert actor_of(place, basic("vera", WORD)) == Actor("vera", "viewer")
    for name, password in (
        ("vera", OTHER),
        ("nobody", WORD),
        ("vera", ""),
        ("", WORD),
        ("VERA", WORD),
        ("vera ", WORD),
    ):
        assert actor_of(place, basic(name, password)) is None, (name, password)


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !!!", "Basic dmVyYQ==", "Bearer", "Bearer x", "Digest vera", "Basic /w==", "x" * 5000],
)
def test_what_is_no_login_is_nobody(place: Home, header: str):
    assert actor_of(place, header) is None


def test_a_token_passes_as_bearer_and_as_a_password_under_any_name(place: Home):
    secret = create_token(place, "ci", "ml-engineer").secret
    for header in (
        f"Bearer {secret}",
        f"bearer {secret}",
        basic("", secret),
        basic("vera", secret),
        basic("x", secret),
    ):
        assert actor_of(place, header) == Actor("ci", "ml-engineer"), header
    assert actor_of(place, f"Bearer {WORD}") is None


def test_who_was_let_in_a_moment_ago_costs_no_database(place: Home, steady: Steady):
    secret = create_token(place, "ci", "viewer").secret
    for header in (basic("vera", WORD), f"Bearer {secret}"):
        assert cached_actor_of(place, header) is MISS
        actor = actor_of(place, header)
        steady.now_s += FRESH_S / 4
        assert actor is not None
        assert cached_actor_of(blind(place), header) is actor
        assert actor_of(blind(place), header) is actor
    assert cached_actor_of(blind(place), "") is None
    assert cached_actor_of(blind(place), basic("vera", OTHER)) is MISS
    steady.now_s += FRESH_S
    assert cached_actor_of(blind(place), basic("vera", WORD)) is MISS


def test_a_password_is_worked_on_once_and_then_known_by_its_hash(place: Home, steady: Steady, monkeypatch):
    worked: list[str] = []

    def counted(stored: str, password: str) -> bool:
        worked.append(password)
        return is_password(stored, password)

    monkeypatch.setattr("taut.callers.is_password", counted)
    for _ in range(20):
        steady.now_s += FRESH_S + 0.01
        assert actor_of(place, basic("vera", WORD)) == Actor("vera", "viewer")
    assert worked == [WORD]
    steady.now_s += PROOF_S
    place.clock.pass_ms(int(PROOF_S * 1000))  # type: ignore[attr-defined]  # The clock of the tests.
    assert actor_of(place, basic("vera", WORD)) is not None
    assert worked == [WORD, WORD]


def test_an_unknown_name_costs_as_much_work_as_a_wrong_password(place: Home, monkeypatch):
    worked: list[bool] = []

    def noted(stored: str, _: str) -> bool:
        worked.append(bool(stored))
        return False

    monkeypatch.setattr("taut.callers.is_password", noted)
    assert actor_of(place, basic("vera", OTHER)) is None
    assert actor_of(place, basic("nobody", OTHER)) is None
    assert worked == [True, False]


def changes_of_vera(home: Home) -> dict[str, Callable[[], object]]:
    return {
        "password": lambda: set_password(home, "vera", OTHER),
        "role": lambda: set_user_role(home, "vera", "auditor"),
        "deleted": lambda: delete_user(home, "vera"),
        "denied": lambda: grant_permission(home, "vera", "experiment", "*", "DENY"),
    }


@pytest.mark.parametrize("change", ["password", "role", "deleted", "denied"])
@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_change_of_a_user_is_felt_here_at_once_and_elsewhere_within_half_a_second(
    place: Home, elsewhere: Home, steady: Steady, change: str, where: str
):
    before = actor_of(place, basic("vera", WORD))
    changes_of_vera(place if where == "here" else elsewhere)[change]()
    if where == "elsewhere":
        assert cached_actor_of(blind(place), basic("vera", WORD)) is before
        steady.now_s += FRESH_S
    assert cached_actor_of(place, basic("vera", WORD)) is MISS
    after = actor_of(place, basic("vera", WORD))
    if change in ("password", "deleted"):
        assert after is None
    else:
        assert after is not None
        assert (after.role, is_allowed(after, "run:read", "experiment:1")) == (
            ("auditor", True) if change == "role" else ("viewer", False)
        )


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_revoked_token_ends_here_at_once_and_elsewhere_within_half_a_second(
    place: Home, elsewhere: Home, steady: Steady, where: str
):
    made = create_token(place, "ci", "viewer")
    assert actor_of(place, f"Bearer {made.secret}") is not None
    end_token(place if where == "here" else elsewhere, made.token.id)
    steady.now_s += FRESH_S if where == "elsewhere" else 0
    assert actor_of(place, f"Bearer {made.secret}") is None


def test_a_token_that_ends_by_itself_is_not_remembered_past_its_end(place: Home):
    made = create_token(place, "ci", "viewer", days=1)
    assert actor_of(place, f"Bearer {made.secret}") is not None
    place.clock.pass_ms(86_400_000)  # type: ignore[attr-defined]  # The clock of the tests.
    assert cached_actor_of(place, f"Bearer {made.secret}") is MISS
    assert actor_of(place, f"Bearer {made.secret}") is None


def test_a_login_that_was_read_before_a_change_is_not_kept_after_it(place: Home):
    """What a slow look-up found is thrown away where access changed under it."""
    access, seal = place.access, place.access.sealed("x")
    actor_of(place, basic("vera", WORD))
    changes = access.changes
    with place.meta.read() as tx:
        from taut.ground.access import Caller, read_state

        state = read_state(tx)
    access.confirm(state, began_s=access.steady(), changes=access.changes)
    set_user_role(place, "vera", "auditor")
    access.remember(seal, Caller(Actor("vera", "viewer"), None), state=state, changes=changes)
    assert access.caller(seal, 0) is None


def test_once_somebody_could_log_in_nobody_passes_unasked_again(home: Home, steady: Steady):
    place = replace(home, access=Access(steady))
    assert actor_of(place, "") is place.actor
    made = create_token(place, "ci", "owner")
    assert actor_of(place, "") is None
    end_token(place, made.token.id)
    assert actor_of(place, "") is None
    with place.meta.read() as tx:
        assert not has_logins(tx, now_ms=place.clock.now_ms())


def test_a_first_login_made_elsewhere_ends_the_open_door_within_half_a_second(
    home: Home, elsewhere: Home, steady: Steady
):
    place = replace(home, access=Access(steady))
    assert actor_of(place, "") is place.actor
    create_user(elsewhere, "olga", WORD, role="owner")
    steady.now_s += FRESH_S
    assert actor_of(place, "") is None


def test_a_trusted_secret_lets_in_its_bearer_and_nobody_else(place: Home):
    assert actor_of(blind(place), "Bearer inside", trusted="inside") is place.actor
    for header in ("", "Bearer outside", basic("vera", WORD), "Bearer insidé"):
        assert cached_actor_of(blind(place), header, trusted="inside") is None


def test_the_memory_of_callers_keeps_no_secret(place: Home):
    actor_of(place, basic("vera", WORD))
    access = place.access
    held = str(access._callers._held) + str(access._proofs._held) + str(access.throttle._levels)
    assert WORD not in held
    assert basic("vera", WORD).split()[1] not in held
    assert access.sealed("a") != Access().sealed("a")


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first():
    held: Bounded[int] = Bounded(3)
    for number in range(10):
        held.put(str(number), number)
    assert [held.get(str(number)) for number in range(10)] == [None] * 7 + [7, 8, 9]
    assert CALLERS_MAX <= 100_000


def test_what_is_remembered_may_be_bounded_by_its_weight():
    held: Bounded[str] = Bounded(5, weigh=len)
    for key, value in (("a", "12"), ("b", "123"), ("a", "1234"), ("c", "1")):
        held.put(key, value)
    assert [held.get(key) for key in "abc"] == ["1234", None, "1"]
    held.drop("c")
    held.drop("nobody")
    held.put("d", "123456")  # Too much for all of them, and the last is kept all the same.
    assert [held.get(key) for key in "acd"] == [None, None, "123456"]


# Wrong passwords


def test_wrong_passwords_are_counted_by_user_and_end_in_a_wait(place: Home, steady: Steady):
    for _ in range(BY_USER.burst):
        assert actor_of(place, basic("vera", OTHER)) is None
    with pytest.raises(Throttled) as refused:
        actor_of(place, basic("vera", WORD))
    assert refused.value.http_status == 429
    assert 1 <= refused.value.retry_after_s <= BY_USER.refill_s
    assert actor_of(place, basic("olga", WORD)) is not None
    steady.now_s += refused.value.retry_after_s
    assert actor_of(place, basic("vera", WORD)) == Actor("vera", "viewer")


def test_who_is_logged_in_stays_so_while_others_try_passwords(place: Home, steady: Steady):
    assert actor_of(place, basic("vera", WORD)) is not None
    for _ in range(BY_USER.burst):
        actor_of(place, basic("vera", OTHER))
    steady.now_s += FRESH_S + 0.01
    assert actor_of(place, basic("vera", WORD)) == Actor("vera", "viewer")
    with pytest.raises(Throttled):
        actor_of(place, basic("vera", OTHER))


def test_an_address_that_tries_many_names_waits_and_another_does_not(place: Home, monkeypatch):
    monkeypatch.setattr("taut.callers.is_password", lambda stored, password: password == WORD and bool(stored))
    with pytest.raises(Throttled):
        for number in range(1000):
            actor_of(place, basic(f"name{number}", OTHER), address="192.0.2.1")
    assert number == 30
    assert actor_of(place, basic("vera", WORD), address="192.0.2.2") is not None


def test_a_stranger_keeps_nobody_out_of_where_they_have_logged_in_before(place: Home, steady: Steady, monkeypatch):
    """Who knows a name could else keep its owner waiting for as long as they went on."""
    monkeypatch.setattr("taut.callers.is_password", lambda stored, password: password == WORD)
    assert actor_of(place, basic("vera", WORD), address="192.0.2.2") is not None
    for _ in range(BY_USER.burst):
        assert actor_of(place, basic("vera", OTHER), address="192.0.2.1") is None
    place.access._proofs.clear()
    steady.now_s += FRESH_S + 0.01
    for address in ("192.0.2.1", "192.0.2.3"):  # Nor do many addresses try more of one user than one does.
        with pytest.raises(Throttled):
            actor_of(place, basic("vera", OTHER), address=address)
    assert actor_of(place, basic("vera", WORD), address="192.0.2.2") == Actor("vera", "viewer")
    for _ in range(BY_USER.burst):
        assert actor_of(place, basic("vera", OTHER), address="192.0.2.2") is None
    with pytest.raises(Throttled):  # There too wrong ones are counted.
        actor_of(place, basic("vera", OTHER), address="192.0.2.2")


def test_right_passwords_are_not_counted(place: Home, steady: Steady):
    for _ in range(BY_USER.burst * 2):
        place.access._proofs.clear()
        steady.now_s += 0.51
        assert actor_of(place, basic("vera", WORD)) is not None


def test_attempts_at_once_are_no_way_round_the_bound(place: Home, monkeypatch):
    tried: list[str] = []

    def noted(_: str, password: str) -> bool:
        tried.append(password)
        return False

    monkeypatch.setattr("taut.callers.is_password", noted)

    def attempt(number: int) -> bool:
        try:
            actor_of(place, basic("vera", f"guess number {number}"))
        except Throttled:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        passed = list(pool.map(attempt, range(200)))
    assert sum(passed) == len(tried) == BY_USER.burst


def test_the_counts_of_failures_are_bounded():
    throttle, allowance = Throttle(), Allowance(5, 1.0)
    for number in range(KEYS_MAX + 100):
        throttle.take({("user", str(number).encode()): allowance}, now_s=0.0)
    assert len(throttle) == KEYS_MAX


# One's own password


def test_a_user_changes_their_own_password_by_showing_the_one_they_have(place: Home):
    vera = actor_of(place, basic("vera", WORD))
    assert vera is not None
    own = place.as_actor(vera)
    for current, new in (("", OTHER), (OTHER, OTHER), (WORD, WORD), (WORD, "short")):
        with pytest.raises(Invalid):
            set_password(own, "vera", new, current=current)
    with pytest.raises(Denied):
        set_password(own, "olga", OTHER, current=WORD)
    set_password(own, "vera", OTHER, current=WORD)
    assert actor_of(place, basic("vera", WORD)) is None
    assert actor_of(place, basic("vera", OTHER)) == vera


def test_guessing_ones_own_password_is_counted_like_any_guess(place: Home):
    vera = actor_of(place, basic("vera", WORD))
    assert vera is not None
    own = place.as_actor(vera)
    for _ in range(BY_USER.burst):
        with pytest.raises(Invalid):
            set_password(own, "vera", OTHER, current="wrong, wrong, wrong")
    with pytest.raises(Throttled):
        set_password(own, "vera", OTHER, current=WORD)


def test_a_token_of_the_same_name_is_not_the_user(place: Home):
    token = create_token(place, "vera", "viewer")
    same = actor_of(place, f"Bearer {token.secret}")
    assert same is not None
    with pytest.raises(Denied):
        set_password(place.as_actor(same), "vera", OTHER, current=WORD)
    with pytest.raises(Denied):
        get_user(place.as_actor(same), "vera")
