"""What ids, keys, tags and experiment names may look like: at each border, and one past it."""

import pytest

from taut.errors import Invalid
from taut.runs.names import (
    EXPERIMENT_NAME_MAX,
    EXPERIMENT_TAG_MAX,
    KEY_MAX,
    check_experiment_name,
    check_key,
    check_run_id,
    check_tag,
)


def test_the_limits_are_those_that_mlflow_clients_know():
    assert (KEY_MAX, EXPERIMENT_NAME_MAX, EXPERIMENT_TAG_MAX) == (250, 500, 20_000)


@pytest.mark.parametrize("run_id", ["a", "0", "Z9", "a_b-c", "a" + "-" * 255, "f" * 256])
def test_an_id_of_letters_digits_and_dashes_is_taken_up_to_256_characters(run_id):
    check_run_id(run_id)


@pytest.mark.parametrize(
    "run_id",
    ["", "f" * 257, "-a", "_a", ".", "..", "a/b", "a b", "a.b", "a\n", "\na", "a\x00", "äb"],
)
def test_an_id_that_is_too_long_or_could_leave_its_folder_is_refused(run_id):
    with pytest.raises(Invalid, match="cannot be the id of a run"):
        check_run_id(run_id)


def test_a_refused_id_is_shown_only_in_part():
    with pytest.raises(Invalid) as caught:
        check_run_id("/" * 10_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "key",
    ["a", "0", "_", "train/loss", "a.b", "a-b", "a:b", "a b", " ", "...", "a/..b", "a../b", ".a", "größe", "x" * 250],
)
def test_a_key_of_allowed_characters_is_taken_up_to_its_border(key):
    check_key(key, of="metric")


@pytest.mark.parametrize("key", ["", "x" * 251, "ä" * 251, "a/" * 125 + "b"])
def test_a_key_one_past_its_border_is_refused_with_its_length(key):
    with pytest.raises(Invalid, match=f"1 to 250 characters, this has {len(key)}"):
        check_key(key, of="param")


@pytest.mark.parametrize("char", list("\\\"'`$%&()[]{}<>|;,*?!@#=+~^\n\t\r\x00"))
def test_a_key_with_a_character_that_is_not_allowed_is_refused(char):
    with pytest.raises(Invalid, match="are allowed"):
        check_key(f"a{char}b", of="tag")
    with pytest.raises(Invalid, match="are allowed"):
        check_key(f"a{char}", of="tag")


@pytest.mark.parametrize("key", ["/", "/a", "a/", "a//b", ".", "..", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b"])
def test_a_key_that_is_no_plain_relative_path_is_refused(key):
    with pytest.raises(Invalid, match="would leave its folder"):
        check_key(key, of="metric")


@pytest.mark.parametrize("of", ["metric", "param", "tag"])
def test_a_refusal_says_what_the_key_was_meant_for(of):
    for bad in ("", "a*", "../a"):
        with pytest.raises(Invalid, match=f"of a {of}"):
            check_key(bad, of=of)


@pytest.mark.parametrize("value", ["", " ", "x", "line\nline", "x" * 20_000, "ä" * 20_000])
def test_a_tag_of_an_experiment_carries_any_text_up_to_its_border(value):
    check_tag("k", value)


@pytest.mark.parametrize("value", ["x" * 20_001, "ä" * 20_001])
def test_a_tag_of_an_experiment_one_past_its_border_is_refused(value):
    with pytest.raises(Invalid, match="'k' has 20001"):
        check_tag("k", value)


@pytest.mark.parametrize("key", ["", "x" * 251, "../k", "a*"])
def test_a_tag_of_an_experiment_keeps_to_the_rules_of_keys(key):
    with pytest.raises(Invalid, match="of a tag"):
        check_tag(key, "v")


@pytest.mark.parametrize("name", ["a", "/a/b", "with space", "größe", " a ", "x" * 500, "ä" * 500])
def test_an_experiment_may_be_called_anything_up_to_500_characters(name):
    check_experiment_name(name)


@pytest.mark.parametrize("name", ["", " ", "\t\n", "x" * 501, "ä" * 501])
def test_an_experiment_is_not_called_nothing_nor_one_character_too_much(name):
    with pytest.raises(Invalid, match=f"1 to 500 characters, this has {len(name)}"):
        check_experiment_name(name)
