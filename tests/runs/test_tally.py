"""Laws of counting: order does not matter, what is there twice does, and sums of parts are the sum of the whole."""

from hypothesis import given
from hypothesis import strategies as st

from taut.runs import Artifact, Count, MetricPoint, add_up, count_all, file_tally
from taut.runs.tally import count_pairs, count_points

things = st.lists(st.binary(max_size=5), max_size=20)
values = st.floats(allow_nan=True, allow_infinity=True)
points = st.lists(
    st.builds(MetricPoint, st.sampled_from("ab"), values, st.integers(-3, 3), st.integers(0, 3)), max_size=10
)


@given(things, st.randoms())
def test_a_count_does_not_care_in_which_order_things_stand(some, random):
    mixed = list(some)
    random.shuffle(mixed)
    assert count_all(mixed) == count_all(some)


@given(things, st.binary(max_size=5))
def test_one_more_is_never_the_same(some, another):
    assert count_all([*some, another]) != count_all(some)


@given(things, things)
def test_sums_of_parts_are_the_sum_of_the_whole(some, others):
    whole = {"x": count_all(some + others)} if some or others else {"x": Count()}
    assert add_up([{"x": count_all(some)}, {"x": count_all(others)}]) == whole


@given(points)
def test_a_point_that_follows_itself_counts_once(some):
    doubled = [point for point in some for _ in range(2)]
    assert count_points(doubled) == count_points(some)


def test_a_zero_counts_alike_with_either_sign_and_is_no_missing_number():
    zero, negative, missing = (count_points([MetricPoint("a", value)]) for value in (0.0, -0.0, None))
    assert zero == negative != missing


def test_a_point_counts_whichever_model_it_judges():
    assert count_points([MetricPoint("a", 1.0, model_id="m-1")]) == count_points([MetricPoint("a", 1.0)])


def test_files_count_by_path_content_and_size():
    one = file_tally([Artifact("a", "11", 3), Artifact("b", "22", 4)])
    assert (one["files"].number, one["bytes"].number) == (2, 7)
    assert one["files"] != file_tally([Artifact("b", "11", 3), Artifact("a", "22", 4)])["files"]


def test_nothing_has_no_digest():
    assert count_all([]) == count_pairs({}) == Count(0, "")
    assert add_up([{"x": Count()}, {"x": Count(1, "0f")}]) == {"x": Count(1, "0f")}
