"""Open things lent out: opened once, shared, closed when they are too many, never while somebody uses them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from taut.errors import Unavailable
from taut.ground.leased import Leased


class Thing:
    """Something that is open until it is closed."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.is_open = True

    def close(self) -> None:
        assert self.is_open
        self.is_open = False


def pool(most: int) -> Leased[Thing]:
    return Leased(most, Thing.close)


def test_what_is_open_is_shared_and_stays_open_for_the_next():
    lent = pool(2)
    one = lent.take("a", lambda: Thing("a"))
    assert lent.take("a", lambda: Thing("another")) is one
    lent.give_back("a")
    lent.give_back("a")
    assert one.is_open
    assert lent.take_open("a") is one
    assert lent.take_open("b") is None
    assert lent.opened() == ["a"]


def test_the_longest_unused_is_closed_first_and_nothing_in_use():
    lent = pool(2)
    held = {key: lent.take(key, partial(Thing, key)) for key in "abcd"}
    assert all(thing.is_open for thing in held.values())
    for key in "bacd":
        lent.give_back(key)
    assert [key for key, thing in held.items() if thing.is_open] == ["c", "d"]


def test_one_that_cannot_be_opened_is_tried_again():
    lent = pool(1)

    def fails() -> Thing:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        lent.take("a", fails)
    assert len(lent) == 0
    assert lent.take("a", lambda: Thing("a")).is_open


def test_many_who_ask_at_once_open_it_once_and_find_it_open():
    lent, opened, gate = pool(3), list[Thing](), threading.Barrier(8)

    def open_it(key: str) -> Thing:
        opened.append(Thing(key))
        return opened[-1]

    def work(number: int) -> None:
        gate.wait(5)
        for turn in range(200):
            key = "abcdef"[(number * turn) % 6]
            thing = lent.take(key, partial(open_it, key))
            assert thing.is_open and thing.key == key
            lent.give_back(key)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert len(lent) <= 3
    assert sum(thing.is_open for thing in opened) == len(lent.opened())
    lent.close()
    assert not any(thing.is_open for thing in opened)
