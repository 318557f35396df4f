"""Grants on single experiments and models, at the verbs: what is let in, what is refused, what is not shown."""

import io
from collections.abc import Callable

import pytest

from taut.errors import Conflict, Denied, Invalid, NotFound, TautError
from taut.govern import (
    add_grant,
    assign_set,
    change_grant,
    change_set,
    create_set,
    create_user,
    find_level,
    get_permission,
    get_set,
    grant_permission,
    holders_of,
    list_permissions,
    remove_grant,
    remove_set,
    revoke_permission,
    sets_of,
    show_sets,
    unassign_set,
)
from taut.ground.access import Actor, grants_of, read_user
from taut.ground.ledger import events
from taut.home import Home
from taut.models import (
    create_model,
    delete_model,
    describe_model,
    list_models,
    list_versions,
    promote_model,
    record_gate,
    record_model,
    register_model,
    rename_model,
    search_models,
    search_versions,
    set_alias,
    show_model,
    tag_model,
)
from taut.records import GateCheck, TreeFile
from taut.runs import (
    all_artifacts,
    create_experiment,
    create_logged_model,
    delete_artifacts,
    delete_experiment,
    ensure_experiment,
    find_artifact,
    find_experiment,
    get_experiment,
    get_logged_model,
    list_artifacts,
    list_experiments,
    put_artifact,
    rename_experiment,
    restore_experiment,
    search_logged_models,
    tag_experiment,
    tag_logged_model,
)

WORD = "correct horse battery"
MLMODEL = b"flavors: {sklearn: {pickled_model: m}}\n"


def user(home: Home, name: str, role: str = "viewer", *, begins: bool = False) -> Home:
    """The home in the hands of a new user."""
    create_user(home, name, WORD, role=role, begins=begins)
    with home.meta.read() as tx:
        return home.as_actor(Actor(name, role, grants_of(tx, read_user(tx, name).id)))


def stored(home: Home, data: bytes = MLMODEL) -> TreeFile:
    return TreeFile("MLmodel", home.objects.put(io.BytesIO(data)), "", len(data))


def anew(home: Home) -> None:
    """As a server that was told that access changed."""
    assert home.actor.grants is not None
    home.actor.grants.reload(home.meta)


@pytest.fixture
def team(home: Home) -> Home:
    """A home with an owner, an experiment `mine`, another one `theirs` with a logged model, and two models."""
    create_user(home, "olga", WORD, role="owner")
    for name in ("mine", "theirs"):
        create_experiment(home, name)
    for name in ("late", "early"):
        record_model(home, name, [stored(home)], source="test")
    return home


def id_of(home: Home, name: str) -> str:
    return find_experiment(home, name).id


def allowed(act: Callable[[], object]) -> bool:
    """Whether a verb lets pass; what it says of the thing itself, once it did, is another question."""
    try:
        act()
    except Denied:
        return False
    except TautError:
        return True
    return True


def acts_on_experiment(home: Home, experiment_id: str) -> dict[str, Callable[[], object]]:
    root = f"{experiment_id}/r/artifacts"
    return {
        "read": lambda: get_experiment(home, experiment_id),
        "list-artifacts": lambda: list_artifacts(home, root),
        "all-artifacts": lambda: all_artifacts(home, root),
        "find-artifact": lambda: find_artifact(home, root, "x"),
        "tag": lambda: tag_experiment(home, experiment_id, "a", "b"),
        "log-model": lambda: create_logged_model(home, experiment_id, name="m"),
        "put": lambda: put_artifact(home, root, "x", "0" * 64, 1),
        "delete-artifacts": lambda: delete_artifacts(home, root),
        "delete": lambda: delete_experiment(home, experiment_id),
        "restore": lambda: restore_experiment(home, experiment_id),
    }


READS = {"read", "list-artifacts", "all-artifacts", "find-artifact"}
EDITS = READS | {"tag", "log-model", "put", "delete-artifacts"}
EXPERIMENT_LEVELS = {
    "NO_PERMISSIONS": set(), "DENY": set(), "READ": READS, "USE": READS, "EDIT": EDITS,
    "MANAGE": EDITS | {"delete", "restore"},
}  # fmt: skip


@pytest.mark.parametrize("role", ["viewer", "data-scientist", "serving"])
@pytest.mark.parametrize("level", EXPERIMENT_LEVELS)
def test_a_grant_on_an_experiment_opens_and_closes_exactly_its_verbs(team: Home, role: str, level: str):
    mine, theirs = id_of(team, "mine"), id_of(team, "theirs")
    vera = user(team, "vera", role)
    before = {name for name, act in acts_on_experiment(vera, theirs).items() if allowed(act)}
    grant_permission(team, "vera", "experiment", mine, level)
    anew(vera)
    assert {name for name, act in acts_on_experiment(vera, mine).items() if allowed(act)} == EXPERIMENT_LEVELS[level]
    after = {name for name, act in acts_on_experiment(vera, theirs).items() if allowed(act)}
    assert after == before


def acts_on_model(home: Home, name: str) -> dict[str, Callable[[], object]]:
    return {
        "read": lambda: show_model(home, name),
        "versions": lambda: list_versions(home, name),
        "describe": lambda: describe_model(home, name, "x"),
        "tag": lambda: tag_model(home, name, "a", "b"),
        "gate": lambda: record_gate(home, name, 1, checks=[GateCheck("rows", True, 1.0, 0.0, "fine")]),
        "alias": lambda: set_alias(home, name, "a", 1),
        "promote": lambda: promote_model(home, name, 1),
        "delete": lambda: delete_model(home, name),
    }


MODEL_READS = {"read", "versions"}
MODEL_EDITS = MODEL_READS | {"describe", "tag"}
MODEL_LEVELS = {
    "NO_PERMISSIONS": set(), "DENY": set(), "READ": MODEL_READS, "USE": MODEL_READS, "EDIT": MODEL_EDITS,
    "MANAGE": MODEL_EDITS | {"delete"},
}  # fmt: skip
BY_ROLE = {"viewer": set(), "data-scientist": {"gate"}, "ml-engineer": {"gate", "alias", "promote"}}


@pytest.mark.parametrize("role", BY_ROLE)
@pytest.mark.parametrize("level", MODEL_LEVELS)
def test_a_grant_on_a_model_opens_its_verbs_and_leaves_going_live_to_the_role(team: Home, role: str, level: str):
    vera = user(team, "vera", role)
    grant_permission(team, "vera", "model", "late", level)
    anew(vera)
    passed = {name for name, act in acts_on_model(vera, "late").items() if allowed(act)}
    assert passed == MODEL_LEVELS[level] | (BY_ROLE[role] if level in ("EDIT", "MANAGE") else set())


def test_a_refusal_on_a_resource_is_in_the_ledger_and_names_it(team: Home):
    vera, mine = user(team, "vera"), id_of(team, "mine")
    grant_permission(team, "vera", "experiment", mine, "DENY")
    anew(vera)
    with pytest.raises(Denied) as refused:
        get_experiment(vera, mine)
    assert f"experiment:{mine}" in refused.value.message
    with team.meta.read() as tx:
        entry = events(tx, kind="access.denied")[-1]
    assert (entry.actor, mine in entry.body) == ("vera", True)


def test_searches_leave_out_what_may_not_be_seen(team: Home):
    mine, theirs = id_of(team, "mine"), id_of(team, "theirs")
    create_logged_model(team, theirs, name="hidden")
    vera = user(team, "vera")
    grant_permission(team, "vera", "experiment", theirs, "NO_PERMISSIONS")
    grant_permission(team, "vera", "model", "early", "NO_PERMISSIONS")
    anew(vera)
    assert {one.name for one in list_experiments(vera)} == {"mine"}
    assert search_logged_models(vera, [mine, theirs]).models == ()
    assert [one.name for one in list_models(vera)] == ["late"]
    assert [one.name for one in search_models(vera).models] == ["late"]
    assert {one.name for one in search_versions(vera).versions} == {"late"}
    assert {one.name for one in list_versions(vera)} == {"late"}
    for act in (lambda: find_experiment(vera, "theirs"), lambda: list_versions(vera, "early")):
        with pytest.raises(Denied):
            act()


def test_who_may_see_nothing_by_role_sees_what_was_granted(team: Home):
    sam = user(team, "sam", "serving")
    with pytest.raises(Denied):
        list_experiments(sam)
    grant_permission(team, "sam", "experiment", id_of(team, "mine"), "READ")
    assert [one.name for one in list_experiments(sam)] == ["mine"]


def test_a_new_grant_works_at_once_also_for_who_was_known_before(team: Home):
    vera, mine = user(team, "vera"), id_of(team, "mine")
    with pytest.raises(Denied):
        rename_experiment(vera, mine, "ours")
    grant_permission(team, "vera", "experiment", mine, "EDIT")
    assert rename_experiment(vera, mine, "ours").name == "ours"


def test_whoever_begins_a_thing_manages_it_and_may_share_it(team: Home):
    vera, dora = user(team, "vera", begins=True), user(team, "dora")
    made = create_experiment(vera, "hers")
    create_model(vera, "hers")
    assert get_permission(vera, "vera", "experiment", made.id).level == "MANAGE"
    assert find_level(team, "vera", "model", "hers") == "MANAGE"
    with pytest.raises(Denied):
        tag_experiment(dora, made.id, "a", "b")
    grant_permission(vera, "dora", "experiment", made.id, "EDIT")
    tag_experiment(dora, made.id, "a", "b")
    for act in (
        lambda: grant_permission(dora, "dora", "experiment", made.id, "MANAGE"),
        lambda: grant_permission(vera, "dora", "experiment", id_of(team, "mine"), "READ"),
        lambda: grant_permission(vera, "dora", "experiment", "*", "READ"),
        lambda: grant_permission(vera, "vera", "home", "*", "MANAGE"),
        lambda: delete_experiment(dora, made.id),
    ):
        with pytest.raises(Denied):
            act()
    delete_experiment(vera, made.id)


def test_a_viewer_begins_nothing_and_owners_collect_no_grants(team: Home):
    vera = user(team, "vera")
    for act in (lambda: create_experiment(vera, "x"), lambda: create_model(vera, "x"), lambda: ensure_experiment(vera)):
        with pytest.raises(Denied):
            act()
    olga = user(team, "root", "owner")
    create_experiment(olga, "y")
    assert list_permissions(team, "root") == []


def test_no_name_of_an_experiment_is_a_way_around_its_grant(team: Home):
    vera = user(team, "vera", begins=True)
    grant_permission(team, "vera", "experiment", id_of(team, "theirs"), "DENY")
    anew(vera)
    with pytest.raises(Denied):
        ensure_experiment(vera, "theirs")
    with pytest.raises(Conflict):
        create_experiment(vera, "theirs")


def test_nothing_is_registered_from_where_it_may_not_be_read(team: Home):
    theirs = id_of(team, "theirs")
    logged = create_logged_model(team, theirs, name="m")
    put_artifact(team, f"{theirs}/models/{logged.id}/artifacts", "MLmodel", stored(team).oid, len(MLMODEL))
    from taut.runs import finish_logged_model

    finish_logged_model(team, logged.id, "READY")
    vera = user(team, "vera", "data-scientist")
    grant_permission(team, "vera", "experiment", theirs, "NO_PERMISSIONS")
    grant_permission(team, "vera", "model", "early", "NO_PERMISSIONS")
    anew(vera)
    with pytest.raises(Denied):
        register_model(vera, "mine", model_id=logged.id)
    with pytest.raises(Denied):
        register_model(vera, "mine", source="models:/early/1")
    register_model(vera, "mine", source="models:/late/1")
    with pytest.raises(Denied):
        get_logged_model(vera, logged.id)
    with pytest.raises(Denied):
        tag_logged_model(vera, logged.id, {"a": "b"})


def test_grants_follow_a_model_to_its_new_name_and_end_with_it(team: Home):
    user(team, "vera")
    grant_permission(team, "vera", "model", "late", "EDIT")
    rename_model(team, "late", "later")
    assert [(one.resource, one.level) for one in list_permissions(team, "vera")] == [("later", "EDIT")]
    delete_model(team, "later")
    create_model(team, "later")
    assert list_permissions(team, "vera") == []


def test_a_grant_is_new_known_or_either_as_it_was_asked(team: Home):
    user(team, "vera")
    mine = id_of(team, "mine")
    with pytest.raises(NotFound):
        grant_permission(team, "vera", "experiment", mine, "READ", only="known")
    first = grant_permission(team, "vera", "experiment", mine, "READ", only="new")
    with pytest.raises(Conflict):
        grant_permission(team, "vera", "experiment", mine, "EDIT", only="new")
    assert grant_permission(team, "vera", "experiment", mine, "EDIT").id == first.id
    assert get_permission(team, "vera", "experiment", mine).level == "EDIT"
    revoke_permission(team, "vera", "experiment", mine)
    for act in (revoke_permission, get_permission):
        with pytest.raises(NotFound):
            act(team, "vera", "experiment", mine)


@pytest.mark.parametrize(
    ("kind", "resource", "level"),
    [
        ("scorer", "x", "READ"), ("run", "*", "READ"), ("model", "late", "read"), ("model", "late", "ALL"),
        ("model", "", "READ"), ("home", "x", "USE"), ("home", "*", "READ"), ("", "x", "READ"),
    ],
)  # fmt: skip
def test_a_grant_that_would_mean_nothing_is_refused(team: Home, kind: str, resource: str, level: str):
    user(team, "vera")
    with pytest.raises(Invalid):
        grant_permission(team, "vera", kind, resource, level)


def test_nothing_is_granted_on_or_to_what_is_not_there(team: Home):
    user(team, "vera")
    for name, kind, resource in (("vera", "experiment", "77"), ("vera", "model", "none"), ("nobody", "model", "late")):
        with pytest.raises(NotFound):
            grant_permission(team, name, kind, resource, "READ")


def test_the_level_that_holds_is_told_by_grant_else_by_role(team: Home):
    mine = id_of(team, "mine")
    for name, role, on_experiment, on_model in (
        ("v", "viewer", "READ", "READ"), ("d", "data-scientist", "EDIT", "EDIT"), ("e", "ml-engineer", "EDIT", "EDIT"),
        ("p", "project-admin", "MANAGE", "MANAGE"), ("s", "serving", "NO_PERMISSIONS", "READ"),
        ("o", "owner", "MANAGE", "MANAGE"),
    ):  # fmt: skip
        user(team, name, role)
        told = (find_level(team, name, "experiment", mine), find_level(team, name, "model", "late"))
        if role == "ml-engineer":
            assert told[0] in ("EDIT", "MANAGE")
        else:
            assert told == (on_experiment, on_model), role
    grant_permission(team, "d", "experiment", mine, "NO_PERMISSIONS")
    assert find_level(team, "d", "experiment", mine) == "NO_PERMISSIONS"
    assert find_level(team, "d", "experiment", "77") == "NO_PERMISSIONS"


# Sets that several hold


def test_a_set_of_grants_is_held_by_several_and_taken_from_one(team: Home):
    vera, dora, mine = user(team, "vera"), user(team, "dora"), id_of(team, "mine")
    made = create_set(team, "writers", description="of all")
    added = add_grant(team, made.id, "experiment", "*", "EDIT")
    for name in ("vera", "dora"):
        assign_set(team, name, made.id)
    assert [holding.set_id for holding in holders_of(team, made.id)] == [made.id] * 2
    for one in (vera, dora):
        tag_experiment(one, mine, "a", "b")
    assert [each.name for each in sets_of(vera, "vera")] == ["writers"]
    change_grant(team, added.id, "READ")
    anew(vera)
    with pytest.raises(Denied):
        tag_experiment(vera, mine, "a", "c")
    change_grant(team, added.id, "EDIT")
    unassign_set(team, "vera", made.id)
    for one in (vera, dora):
        anew(one)
    with pytest.raises(Denied):
        tag_experiment(vera, mine, "a", "c")
    tag_experiment(dora, mine, "a", "c")
    remove_set(team, made.id)
    anew(dora)
    with pytest.raises(Denied):
        tag_experiment(dora, mine, "a", "d")


def test_a_set_is_named_once_changed_and_emptied(team: Home):
    first, second = create_set(team, "one"), create_set(team, "two")
    assert [each.name for each in show_sets(team)] == ["one", "two"]
    with pytest.raises(Conflict):
        create_set(team, "one")
    with pytest.raises(Conflict):
        change_set(team, second.id, name="one")
    assert change_set(team, first.id, description="d").description == "d"
    assert change_set(team, first.id, name="first").name == "first"
    added = add_grant(team, first.id, "model", "*", "READ")
    with pytest.raises(Conflict):
        add_grant(team, first.id, "model", "*", "EDIT")
    remove_grant(team, added.id)
    assert get_set(team, first.id).grants == ()
    for act in (lambda: remove_grant(team, added.id), lambda: get_set(team, 99), lambda: remove_set(team, 99)):
        with pytest.raises(NotFound):
            act()


def test_what_belongs_to_one_user_is_given_to_no_other(team: Home):
    user(team, "vera"), user(team, "dora")
    grant_permission(team, "vera", "model", "late", "EDIT")
    own = sets_of(team, "vera")[0]
    assert own.name == f"__user_{own.account_id}__"
    for act in (
        lambda: assign_set(team, "dora", own.id),
        lambda: change_set(team, own.id, name="mine"),
        lambda: create_set(team, "__user_99__"),
        lambda: create_set(team, " "),
    ):
        with pytest.raises(Invalid):
            act()
    made = create_set(team, "all")
    assign_set(team, "dora", made.id)
    with pytest.raises(Conflict):
        assign_set(team, "dora", made.id)
    unassign_set(team, "dora", made.id)
    with pytest.raises(NotFound):
        unassign_set(team, "dora", made.id)


def test_only_who_administers_access_sees_others_and_changes_sets(team: Home):
    vera, _ = user(team, "vera"), user(team, "dora")
    assert list_permissions(vera, "vera") == []
    assert find_level(vera, "vera", "model", "late") == "READ"
    for act in (
        lambda: list_permissions(vera, "dora"),
        lambda: sets_of(vera, "dora"),
        lambda: find_level(vera, "dora", "model", "late"),
        lambda: create_set(vera, "x"),
        lambda: show_sets(vera),
    ):
        with pytest.raises(Denied):
            act()
    grant_permission(team, "vera", "model", "late", "READ")
    grant = create_set(team, "managers")
    add_grant(team, grant.id, "home", "*", "MANAGE")
    assign_set(team, "vera", grant.id)
    assert [each.name for each in show_sets(vera)][-1] == "managers"
