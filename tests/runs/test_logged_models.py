"""Logged models: begun, finished, described, searched and hidden, on SQLite and PostgreSQL."""

import pytest

from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.runs import (
    MetricPoint,
    create_experiment,
    create_logged_model,
    create_run,
    delete_experiment,
    delete_logged_model,
    delete_run,
    finish_logged_model,
    get_logged_model,
    log_batch,
    log_model_params,
    search_logged_models,
    tag_logged_model,
)


@pytest.fixture
def place(home):
    """The id of an experiment to log in."""
    return create_experiment(home, "a").id


def names(home, place, **question):
    """The names that a search finds, in its order."""
    return [model.name for model in search_logged_models(home, [place], **question).models]


def test_a_logged_model_begins_pending_and_is_read_back_whole(home, place):
    run = create_run(home, experiment_id=place)
    made = create_logged_model(
        home, place, name="m", model_type="sklearn", run_id=run.id, params={"p": "1"}, tags={"t": "x"}
    )
    assert (made.name, made.model_type, made.status, made.run_id) == ("m", "sklearn", "PENDING", run.id)
    assert (made.params, made.tags, made.metrics) == ({"p": "1"}, {"t": "x"}, ())
    assert made.id.startswith("m-") and made.created_ms == made.updated_ms == home.clock.now_ms()
    assert get_logged_model(home, made.id) == made


def test_a_logged_model_that_nobody_named_gets_a_name_and_names_may_repeat(home, place):
    made = create_logged_model(home, place)
    assert made.name == f"model-{made.id[2:10]}" and made.run_id == ""
    assert create_logged_model(home, place, name="m").id != create_logged_model(home, place, name="m").id


def test_a_logged_model_needs_an_experiment_and_a_run_that_are_there(home, place):
    with pytest.raises(NotFound, match="77"):
        create_logged_model(home, "77")
    with pytest.raises(NotFound, match="nobody"):
        create_logged_model(home, place, run_id="nobody")
    run = create_run(home, experiment_id=place)
    delete_run(home, run.id)
    with pytest.raises(Invalid, match="deleted"):
        create_logged_model(home, place, run_id=run.id)
    delete_experiment(home, place)
    with pytest.raises(Invalid, match="restore"):
        create_logged_model(home, place)
    assert names(home, place) == []


@pytest.mark.parametrize("bad", ["a/b", "a:b", "a.b", "a%b", 'a"b', "a'b", "x" * 257])
def test_a_name_that_no_logged_model_may_have_is_refused(home, place, bad):
    with pytest.raises(Invalid, match="cannot name a logged model"):
        create_logged_model(home, place, name=bad)


def test_a_logged_model_at_the_border_of_names_and_keys_is_kept(home, place):
    made = create_logged_model(home, place, name="x" * 256, params={"p" * 250: "1"}, tags={"t" * 250: "2"})
    assert get_logged_model(home, made.id) == made and len(made.name) == 256


@pytest.mark.parametrize("key", ["", "k" * 251, "../k", "a*b"])
def test_a_bad_key_is_refused_wherever_it_is_written(home, place, key):
    made = create_logged_model(home, place)
    for call in (
        lambda: create_logged_model(home, place, params={key: "1"}),
        lambda: create_logged_model(home, place, tags={key: "1"}),
        lambda: log_model_params(home, made.id, {key: "1"}),
        lambda: tag_logged_model(home, made.id, {key: "1"}),
    ):
        with pytest.raises(Invalid):
            call()
    assert search_logged_models(home, [place]).models == (made,)


@pytest.mark.parametrize(("length", "kept"), [(5_999, 5_999), (6_000, 6_000), (6_001, 6_000)])
def test_a_long_param_is_cut_at_its_border(home, place, length, kept):
    made = create_logged_model(home, place, params={"p": "x" * length})
    assert len(made.params["p"]) == kept
    assert len(log_model_params(home, made.id, {"q": "x" * length}).params["q"]) == kept


@pytest.mark.parametrize(("length", "kept"), [(7_999, 7_999), (8_000, 8_000), (8_001, 8_000)])
def test_a_long_tag_is_cut_at_its_border(home, place, length, kept):
    made = create_logged_model(home, place, tags={"t": "x" * length})
    assert len(made.tags["t"]) == kept
    assert len(tag_logged_model(home, made.id, {"u": "x" * length}).tags["u"]) == kept


@pytest.mark.parametrize("status", ["READY", "UPLOAD_FAILED"])
def test_a_finished_logged_model_says_how_it_ended_and_when(home, place, status):
    made = create_logged_model(home, place)
    home.clock.pass_ms(1_000)
    done = finish_logged_model(home, made.id, status)
    assert (done.status, done.updated_ms) == (status, made.created_ms + 1_000)
    assert get_logged_model(home, made.id) == done


@pytest.mark.parametrize("status", ["DELETED", "ready", "", "DONE"])
def test_a_logged_model_is_not_finished_as_something_else_and_not_deleted_by_the_way(home, place, status):
    made = create_logged_model(home, place)
    with pytest.raises(Invalid, match="one of PENDING, READY, UPLOAD_FAILED"):
        finish_logged_model(home, made.id, status)
    body = wire.encode({"model_id": made.id, "status": status})
    with pytest.raises(Invalid, match="status"):
        finish_logged_model.receive(home, body)
    assert get_logged_model(home, made.id) == made


def test_params_are_added_and_written_once(home, place):
    made = create_logged_model(home, place, params={"p": "1"})
    assert log_model_params(home, made.id, {"p": "1", "q": "2"}).params == {"p": "1", "q": "2"}
    with pytest.raises(Invalid, match="written once"):
        log_model_params(home, made.id, {"p": "9", "r": "3"})
    assert get_logged_model(home, made.id).params == {"p": "1", "q": "2"}


def test_tags_are_set_and_taken_away_all_or_none(home, place):
    made = create_logged_model(home, place, tags={"t": "x"})
    assert tag_logged_model(home, made.id, {"t": "y", "u": "z"}).tags == {"t": "y", "u": "z"}
    assert tag_logged_model(home, made.id, {"u": None}).tags == {"t": "y"}
    with pytest.raises(NotFound, match="No tag with key 'u'"):
        tag_logged_model(home, made.id, {"t": "lost", "u": None})
    assert get_logged_model(home, made.id).tags == {"t": "y"}


def test_a_deleted_or_unknown_logged_model_is_not_found_by_any_verb(home, place):
    made = create_logged_model(home, place)
    delete_logged_model(home, made.id)
    for model_id in (made.id, "m-nobody"):
        for call in (
            lambda it: get_logged_model(home, it),
            lambda it: finish_logged_model(home, it, "READY"),
            lambda it: log_model_params(home, it, {"p": "1"}),
            lambda it: tag_logged_model(home, it, {"t": "x"}),
            lambda it: delete_logged_model(home, it),
        ):
            with pytest.raises(NotFound, match=model_id):
                call(model_id)
    assert names(home, place) == []


def test_the_latest_point_measured_on_a_logged_model_is_shown_with_it(home, place):
    run = create_run(home, experiment_id=place)
    made = create_logged_model(home, place, run_id=run.id)
    first, last = MetricPoint("auc", 0.9, 1, 10, made.id), MetricPoint("auc", 0.7, 2, 20, made.id)
    log_batch(home, run.id, metrics=[last, first, MetricPoint("loss", 1.0, 0, 5)])
    assert get_logged_model(home, made.id).metrics == (last,)
    assert search_logged_models(home, [place], filter="metrics.auc < 0.8").models[0].id == made.id
    assert names(home, place, filter="metrics.auc > 0.8") == []


def test_a_search_sees_only_the_experiments_it_is_asked_about(home, place):
    other = create_experiment(home, "b").id
    create_logged_model(home, place, name="here")
    create_logged_model(home, other, name="there")
    assert (names(home, place), names(home, other)) == (["here"], ["there"])
    assert len(search_logged_models(home, [place, other]).models) == 2
    assert search_logged_models(home, []).models == () == search_logged_models(home, ["77"]).models


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("", ["new", "old"]),
        ("name = 'old'", ["old"]),
        ("params.depth = '3'", ["old"]),
        ("tags.team = 'x'", ["new"]),
        ("status = 'READY'", ["new"]),
        ("name = 'old' AND status = 'READY'", []),
    ],
)
def test_a_search_finds_what_meets_its_filter_newest_first(home, place, question, found):
    create_logged_model(home, place, name="old", params={"depth": "3"})
    home.clock.pass_ms(1_000)
    new = create_logged_model(home, place, name="new", tags={"team": "x"})
    finish_logged_model(home, new.id, "READY")
    assert names(home, place, filter=question) == found


def test_a_search_keeps_the_order_it_is_told_with_the_missing_last(home, place):
    for name, depth in (("b", "2"), ("c", ""), ("a", "1")):
        create_logged_model(home, place, name=name, params={"depth": depth} if depth else None)
    assert names(home, place, order_by=["name"]) == ["a", "b", "c"]
    assert names(home, place, order_by=["name DESC"]) == ["c", "b", "a"]
    assert names(home, place, order_by=["params.depth DESC"]) == ["b", "a", "c"]


def test_a_search_gives_each_logged_model_on_exactly_one_page(home, place):
    for name in "abcde":
        create_logged_model(home, place, name=name)
    seen: list[str] = []
    token = ""
    for size in (2, 2, 1):
        page = search_logged_models(home, [place], order_by=["name"], max_results=2, page_token=token)
        assert len(page.models) == size
        seen, token = [*seen, *(model.name for model in page.models)], page.next_page
    assert (seen, token) == (list("abcde"), "")


@pytest.mark.parametrize(
    "question", [{"max_results": 0}, {"page_token": "?"}, {"filter": "name ="}, {"filter": "colour = 'x'"}]
)
def test_a_question_that_makes_no_sense_is_refused(home, place, question):
    create_logged_model(home, place)
    with pytest.raises(Invalid):
        search_logged_models(home, [place], **question)
