"""Projects, roles and tokens as a state machine: made, bound, disabled, ended, made anew; two servers decide alike."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from taut.callers import actor_of
from taut.errors import NotFound, Refused
from taut.govern import (
    bind_role,
    create_project,
    create_token,
    create_user,
    delete_project,
    delete_user,
    disable_user,
    end_token,
    get_project,
    open_session,
    unbind_role,
)
from taut.ground.access import PERMISSIONS, ROLES, Actor, grants_of, is_allowed, read_user
from taut.ground.access.projects import GIVEN
from taut.ground.settings import make_folder
from taut.home import Home, open_home

WORD = "correct horse battery"
USERS, PROJECTS = ("ada", "bea"), ("churn", "fraud")
users, projects = st.sampled_from(USERS), st.sampled_from(PROJECTS)
roles = st.sampled_from(["viewer", "approver", "dpo", "project-admin", "server-admin"])


@dataclass
class Person:
    """What the model knows of a user: the session that stands for them, and their roles by project."""

    session: str
    disabled: bool = False
    server: set[str] = field(default_factory=set)
    held: dict[str, set[str]] = field(default_factory=dict)


class Projects(RuleBasedStateMachine):
    """The same changes to a server with two projects at most, and to a few dicts; a second server only looks."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        make_folder(Path(self.folder.name))
        self.home = open_home(self.folder.name)
        self.other = open_home(self.folder.name)
        create_user(self.home, "root", WORD, role="owner")
        self.people: dict[str, Person] = {}
        self.projects: set[str] = set()
        self.machines: list[tuple[str, str, str]] = []  # Secret, id, and the project it is for.
        self.gone: list[str] = []  # Secrets of who is deleted, of tokens that ended and of projects that did.
        self.ids: set[str] = set()

    def teardown(self) -> None:
        self.home.close()
        self.other.close()
        self.folder.cleanup()

    @rule(name=users)
    def make_a_user(self, name: str) -> None:
        if name not in self.people:
            made = create_user(self.home, name, WORD, role="")
            with self.home.meta.read() as tx:
                grants = grants_of(tx, made.id)
            session = open_session(self.home.as_actor(Actor(name, "", grants))).secret
            self.people[name] = Person(session)

    @rule(name=users)
    def delete_a_user(self, name: str) -> None:
        if name in self.people:
            delete_user(self.home, name)
            self.gone.append(self.people.pop(name).session)

    @rule(name=users, disabled=st.booleans())
    def disable_a_user(self, name: str, disabled: bool) -> None:
        if name in self.people:
            disable_user(self.home, name, disabled=disabled)
            self.people[name].disabled = disabled

    @rule(name=projects)
    def make_a_project(self, name: str) -> None:
        if name not in self.projects:
            made = create_project(self.home, name)
            assert made.id not in self.ids, "an id came twice"
            self.ids.add(made.id)
            self.projects.add(name)

    @rule(name=projects)
    def end_a_project(self, name: str) -> None:
        if name in self.projects:
            delete_project(self.home, name)
            self.projects.discard(name)
            for person in self.people.values():
                person.held.pop(name, None)
            self.gone += [secret for secret, _, where in self.machines if where == name]
            self.machines = [one for one in self.machines if one[2] != name]

    @rule(name=users, role=roles, project=st.sampled_from(["default", *PROJECTS]))
    def bind(self, name: str, role: str, project: str) -> None:
        if name not in self.people or (project not in self.projects and project != "default"):
            return
        person = self.people[name]
        if role == "server-admin":
            bind_role(self.home, name, role)
            person.server.add(role)
            return
        held = person.held.setdefault(project, set())
        try:
            bind_role(self.home, name, role, project=project)
        except Refused:
            assert role in ("dpo", "project-admin") and held & {"dpo", "project-admin"} - {role}
        else:
            held.add(role)
            assert not {"dpo", "project-admin"} <= held

    @rule(name=users, role=roles, project=st.sampled_from(["default", *PROJECTS]))
    def unbind(self, name: str, role: str, project: str) -> None:
        if name not in self.people or (project not in self.projects and project != "default"):
            return
        person = self.people[name]
        held = person.server if role == "server-admin" else person.held.get(project, set())
        try:
            unbind_role(self.home, name, role, project=project)
        except NotFound:
            assert role not in held
        else:
            assert role in held
            held.discard(role)

    @rule(project=projects)
    def make_a_token(self, project: str) -> None:
        if project in self.projects:
            with self.home.entered(get_project(self.home, project)) as inner:
                made = create_token(inner, "ci", scopes=["log"])
            self.machines.append((made.secret, made.token.id, project))

    @rule()
    def end_a_token(self) -> None:
        if self.machines:
            secret, id, _ = self.machines.pop(0)
            end_token(self.home, id)
            self.gone.append(secret)

    def expected(self, person: Person, project: str) -> frozenset[str]:
        given = person.server | person.held.get(project, set())
        return frozenset({"self", "audit:head"}).union(*(ROLES[role] for role in given))

    def rights(self, home: Home, secret: str) -> frozenset[str] | None:
        actor = actor_of(home, f"Bearer {secret}")
        return None if actor is None else frozenset(one for one in PERMISSIONS if is_allowed(actor, one))

    @invariant()
    def both_servers_decide_as_the_dicts_do(self) -> None:
        for server in (self.home, self.other):
            if server is self.other:
                server.access._fresh_until = 0.0  # As half a second later.
            for project in ["default", *sorted(self.projects)]:
                with server.entered(get_project(self.home, project)) as home:
                    if server is self.other:
                        home.access._fresh_until = 0.0
                    for person in self.people.values():
                        wanted = None if person.disabled else self.expected(person, project)
                        assert self.rights(home, person.session) == wanted, project
                    for secret, _, where in self.machines:
                        wanted = ROLES["scope:log"] if where == project else frozenset({"self", "audit:head"})
                        assert self.rights(home, secret) == wanted
                    for secret in self.gone:
                        assert self.rights(home, secret) is None

    @invariant()
    def what_is_shown_is_what_is_held(self) -> None:
        for name, person in self.people.items():
            with self.home.meta.read() as tx:
                shown = set(read_user(tx, name).role.split("+")) - {""}
            assert shown == person.server | person.held.get("default", set())


def test_a_role_of_a_project_is_none_of_the_server_and_none_is_a_scope():
    assert not GIVEN & {"owner", "server-admin", "anonymous", "scope:read"}


TestProjects = Projects.TestCase
TestProjects.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
