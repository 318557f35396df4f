"""Users, roles, grants and sets of grants against a plain model of them: after any history, both decide alike."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from taut.errors import TautError
from taut.govern import (
    add_grant,
    assign_set,
    create_set,
    create_user,
    delete_user,
    grant_permission,
    list_permissions,
    remove_set,
    revoke_permission,
    set_user_role,
    show_users,
    unassign_set,
)
from taut.ground.access import LEVELS, ROLES, Actor, grants_of, is_allowed, read_user, sight_of
from taut.ground.access.grants import BY_ROLE_TOO, GIVES
from taut.ground.settings import make_folder
from taut.home import open_home
from taut.models import create_model, delete_model, rename_model
from taut.runs import create_experiment

WORD = "correct horse battery"
NAMES = ("ada", "bea", "cyd")
SETS = ("writers", "readers")
MODELS = ("late", "early")
PERMISSIONS = {
    "experiment": ("run:read", "run:write", "run:delete", "artifact:read"),
    "model": ("model:read", "model:write", "model:delete", "model:promote"),
}

names, sets = st.sampled_from(NAMES), st.sampled_from(SETS)
levels, roles = st.sampled_from(LEVELS), st.sampled_from(["viewer", "data-scientist", "ml-engineer", "serving"])
kinds = st.sampled_from(["experiment", "model"])


@dataclass
class Person:
    """What the model knows of a user."""

    role: str
    own: dict[tuple[str, str], str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)


@dataclass
class Table:
    """The whole model: people, sets, and which models there are."""

    people: dict[str, Person] = field(default_factory=dict)
    sets: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)

    def levels(self, name: str, kind: str, resource: str) -> Iterator[str]:
        person = self.people[name]
        for grants in [person.own, *(self.sets[each] for each in person.held)]:
            for which in {resource, "*"}:
                if (kind, which) in grants:
                    yield grants[kind, which]

    def allows(self, name: str, permission: str, kind: str, resource: str) -> bool:
        held = list(self.levels(name, kind, resource))
        by_role = permission in ROLES[self.people[name].role]
        if not held:
            return by_role
        best = "DENY" if "DENY" in held else max(held, key=LEVELS.index)
        return permission in GIVES[kind].get(best, ()) and (by_role or permission not in BY_ROLE_TOO)


class Grants(RuleBasedStateMachine):
    """The same changes to a home and to a table."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        make_folder(Path(self.folder.name))
        self.home = open_home(self.folder.name)
        self.table = Table()
        self.ids: dict[str, int] = {}
        self.seen: set[int] = set()
        create_user(self.home, "root", WORD, role="owner")
        self.experiments = [create_experiment(self.home, f"e{number}").id for number in range(2)]

    def teardown(self) -> None:
        self.home.close()
        self.folder.cleanup()

    def resource(self, kind: str, place: int) -> str:
        known = self.experiments if kind == "experiment" else MODELS
        return "*" if place == 2 else known[place]

    def there(self, kind: str, resource: str) -> bool:
        return kind == "experiment" or resource == "*" or resource in self.table.models

    @rule(name=names, role=roles)
    def make_a_user(self, name: str, role: str) -> None:
        if name in self.table.people:
            return
        made = create_user(self.home, name, WORD, role=role)
        assert made.id not in self.seen, "a number came twice"
        self.seen.add(made.id)
        self.table.people[name] = Person(role)

    @rule(name=names)
    def delete_a_user(self, name: str) -> None:
        if name in self.table.people:
            delete_user(self.home, name)
            del self.table.people[name]

    @rule(name=names, role=roles)
    def change_a_role(self, name: str, role: str) -> None:
        if name in self.table.people:
            set_user_role(self.home, name, role)
            self.table.people[name].role = role

    @rule(name=names, kind=kinds, place=st.integers(0, 2), level=levels)
    def grant(self, name: str, kind: str, place: int, level: str) -> None:
        resource = self.resource(kind, place)
        if name in self.table.people and self.there(kind, resource):
            grant_permission(self.home, name, kind, resource, level)
            self.table.people[name].own[kind, resource] = level

    @rule(name=names, kind=kinds, place=st.integers(0, 2))
    def revoke(self, name: str, kind: str, place: int) -> None:
        resource = self.resource(kind, place)
        was = name in self.table.people and self.table.people[name].own.pop((kind, resource), None) is not None
        try:
            revoke_permission(self.home, name, kind, resource)
        except TautError:
            assert not was
        else:
            assert was

    @rule(name=sets)
    def make_a_set(self, name: str) -> None:
        if name not in self.table.sets:
            self.ids[name] = create_set(self.home, name).id
            self.table.sets[name] = {}

    @rule(name=sets, kind=kinds, place=st.integers(0, 2), level=levels)
    def add_to_a_set(self, name: str, kind: str, place: int, level: str) -> None:
        resource = self.resource(kind, place)
        if name in self.table.sets and (kind, resource) not in self.table.sets[name] and self.there(kind, resource):
            add_grant(self.home, self.ids[name], kind, resource, level)
            self.table.sets[name][kind, resource] = level

    @rule(name=sets)
    def remove_a_set(self, name: str) -> None:
        if self.table.sets.pop(name, None) is not None:
            remove_set(self.home, self.ids.pop(name))
            for person in self.table.people.values():
                person.held.discard(name)

    @rule(name=names, held=sets)
    def hold(self, name: str, held: str) -> None:
        if name in self.table.people and held in self.table.sets and held not in self.table.people[name].held:
            assign_set(self.home, name, self.ids[held])
            self.table.people[name].held.add(held)

    @rule(name=names, held=sets)
    def let_go(self, name: str, held: str) -> None:
        if name in self.table.people and held in self.table.people[name].held:
            unassign_set(self.home, name, self.ids[held])
            self.table.people[name].held.discard(held)

    @rule(model=st.sampled_from(MODELS))
    def make_a_model(self, model: str) -> None:
        if model not in self.table.models:
            try:
                create_model(self.home, model)
            except TautError:
                return
            self.table.models.add(model)

    @rule(model=st.sampled_from(MODELS))
    def delete_a_model(self, model: str) -> None:
        if model in self.table.models:
            delete_model(self.home, model)
            self.table.models.discard(model)
            for grants in self.all_grants():
                grants.pop(("model", model), None)

    @precondition(lambda self: len(self.table.models) == 1)
    @rule()
    def rename_a_model(self) -> None:
        (old,) = self.table.models
        new = next(each for each in MODELS if each != old)
        try:
            rename_model(self.home, old, new)
        except TautError:  # The name was another's once.
            return
        self.table.models = {new}
        for grants in self.all_grants():
            grants.pop(("model", new), None)
            if ("model", old) in grants:
                grants["model", new] = grants.pop(("model", old))

    def all_grants(self) -> list[dict[tuple[str, str], str]]:
        return [person.own for person in self.table.people.values()] + list(self.table.sets.values())

    def actor(self, name: str) -> Actor:
        with self.home.meta.read() as tx:
            user = read_user(tx, name)
            return Actor(name, user.role, grants_of(tx, user.id))

    @invariant()
    def both_decide_alike(self) -> None:
        assert {user.name for user in show_users(self.home)} == {*self.table.people, "root"}
        for name in self.table.people:
            actor = self.actor(name)
            for kind, permissions in PERMISSIONS.items():
                for resource in self.experiments if kind == "experiment" else MODELS:
                    for permission in permissions:
                        expected = self.table.allows(name, permission, kind, resource)
                        said = is_allowed(actor, permission, f"{kind}:{resource}")
                        assert said == expected, (name, permission, resource)
                    read = permissions[0]
                    sees = sight_of(actor, kind, read).sees(resource)  # type: ignore[arg-type]  # Of the two kinds.
                    assert sees == self.table.allows(name, read, kind, resource)

    @invariant()
    def what_is_listed_is_what_is_held(self) -> None:
        for name, person in self.table.people.items():
            held: dict[tuple[str, str, str], str] = {("", *key): level for key, level in person.own.items()}
            for each in person.held:
                held |= {(each, *key): level for key, level in self.table.sets[each].items()}
            listed = {
                ("" if one.set_name.startswith("__user_") else one.set_name, one.kind, one.resource): one.level
                for one in list_permissions(self.home, name)
            }
            assert listed == held


TestGrants = Grants.TestCase
TestGrants.settings = settings(
    max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
