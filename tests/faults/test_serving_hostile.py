"""Hostile requests, inside and on the wire: each is refused as it should be, and harms nobody."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.serving_cases import Case, judged
from tests.faults.serving_content import CONTENTS
from tests.faults.serving_stand import Stand, taut_stand
from tests.faults.serving_wire import WIRE


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with taut_stand(tmp_path_factory.mktemp("stand")) as started:
        yield started


def failed(cases: Sequence[Case], stand: Stand, at_once: int) -> dict[str, str]:
    """What was wrong, by the names of cases; so many are under way together."""
    with ThreadPoolExecutor(at_once) as pool:
        wrong = dict(zip([case.name for case in cases], pool.map(lambda case: case(stand), cases), strict=True))
    return {name: words for name, words in wrong.items() if words}


class Everything:
    """All of some cases as one, so that the server is looked at once after them."""

    def __init__(self, name: str, cases: Sequence[Case]) -> None:
        self.name = name
        self._cases = cases

    def __call__(self, stand: Stand) -> str:
        return "; ".join(f"{name}: {words}" for name, words in failed(self._cases, stand, 12).items())


def test_wrong_contents_are_refused_and_right_ones_answered(stand: Stand):
    assert judged(Everything("contents", CONTENTS), stand) == ""


def test_wrong_bytes_are_refused_and_right_ones_answered(stand: Stand):
    assert judged(Everything("wire", WIRE), stand) == ""
