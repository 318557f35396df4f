"""When requests may go together: once as many as it takes were seen to be answered the same either way."""

from taut.serve.processes.trust import FIRST_TOGETHER, LOOK_EVERY, PROVED_BY, Trust


def proved() -> Trust:
    trust = Trust(exact=True)
    for _ in range(PROVED_BY // FIRST_TOGETHER):
        trust.learn(FIRST_TOGETHER, same=True)
    return trust


def test_at_first_few_go_together_and_each_is_compared():
    trust = Trust(exact=True)
    assert trust.requests_max == FIRST_TOGETHER
    assert [trust.compare(requests) for requests in (1, 2, 8)] == [0, 2, 8]


def test_once_proved_any_number_goes_together_and_a_few_are_looked_at():
    trust = proved()
    assert trust.requests_max > 10_000
    looked = [trust.compare(64) for _ in range(LOOK_EVERY * 3)]
    assert sum(looked) == 3 and set(looked) == {0, 1}


def test_one_difference_ends_it_for_good():
    for trust in (Trust(exact=True), proved()):
        trust.learn(1, same=False)
        assert trust.is_broken and trust.requests_max == 1
        trust.learn(1_000, same=True)
        assert trust.requests_max == 1


def test_a_comparison_that_found_nothing_proves_nothing():
    trust = Trust(exact=True)
    for _ in range(1_000):
        trust.learn(8, same=None)
    assert trust.requests_max == FIRST_TOGETHER and not trust.is_broken


def test_without_the_wish_to_be_exact_nothing_is_compared():
    trust = Trust(exact=False)
    assert trust.requests_max > 10_000 and trust.compare(64) == 0
