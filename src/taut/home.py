"""The opened place: rows, objects, ledger, clock and actor in one value; and the verb, one function, three faces."""

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints

from taut.errors import Corrupt, Denied, Ended, NotFound, UsageError
from taut.ground import wire
from taut.ground.access import (
    ABOUT_SERVER,
    ANY,
    DEFAULT,
    SERVER,
    Access,
    Actor,
    Kind,
    Project,
    Sight,
    ended_projects,
    has_grants,
    insert_grant,
    is_allowed,
    is_member,
    list_projects,
    local_actor,
    may_as_before,
    no_project,
    own_set,
    read_project,
    read_version,
    sight_of,
)
from taut.ground.clock import Clock, SystemClock
from taut.ground.folders import remove_folder
from taut.ground.leased import Leased
from taut.ground.ledger import Turn, append_event, take_turn
from taut.ground.meta import Metadata, Tx, connect_metadata, remove_metadata
from taut.ground.meta.within import Within
from taut.ground.objects import Objects, connect_objects, remove_objects
from taut.ground.settings import FOLDER, Settings, find_folder, read_settings
from taut.ground.whole import check_deep, check_whole, is_past

if TYPE_CHECKING:
    from taut.ground.remote import Remote

P = ParamSpec("P")
R = TypeVar("R")

PROJECT_ID = re.compile(r"[0-9a-f]{16}")
REFUSED_FIRST = 3  # Refusals of one kind and caller that are written one by one, before others are only counted.
REFUSED_MAX = 250  # Of one caller in a window, and one: more than there are verbs.
OPEN_MAX = 16  # Projects that stay open while nobody uses them: some MB each, and up to four connections of PostgreSQL.


@dataclass(frozen=True, slots=True)
class Home:
    """What a verb takes first.

    `folder` is the `.taut` folder, None where only a server's URL is known; `remote` is set where verbs are forwarded.
    """

    place: str
    folder: Path | None
    meta: Metadata
    objects: Objects
    actor: Actor
    clock: Clock = field(default_factory=SystemClock)
    remote: "Remote | None" = None
    access: Access = field(default_factory=Access)
    """What this process remembers of callers; shared by all that `as_actor` makes."""
    in_project: Project | None = None
    """The project that this is the home of; None for the server's own, which is `default`."""
    server: "Home | None" = None
    """The home that users, tokens and projects stand in; None where it is this one."""
    projects: "Leased[Home]" = field(default_factory=lambda: Leased(OPEN_MAX, Home.close))
    """The homes of projects that are open."""
    is_alone: bool = False
    """Whether nobody else uses the server's home, so that it is closed with this one."""
    then: list[Callable[[], None]] | None = None
    """What is to be done once the transaction around all of this is committed; None where there is none around."""

    @property
    def project(self) -> Path:
        """The project's own folder: that which holds `.taut`; the current one for a server's URL."""
        return Path.cwd() if self.folder is None else self.folder.parent

    @property
    def own_folder(self) -> Path | None:
        """Where what works for this home leaves its files: `.taut`, a folder in it for a project; None from afar."""
        if self.folder is None or self.in_project is None:
            return self.folder
        return self.folder / "projects" / self.in_project.id

    @property
    def project_id(self) -> str:
        """The id of the project that this is the home of."""
        return DEFAULT if self.in_project is None else self.in_project.id

    @property
    def project_name(self) -> str:
        """Its name, as people and MLflow's clients say it."""
        return DEFAULT if self.in_project is None else self.in_project.name

    @property
    def root(self) -> "Home":
        """The home that users, tokens and projects stand in, in this actor's hands."""
        return self if self.server is None else self.server.as_actor(self.actor)

    @contextmanager
    def entered(self, project: Project) -> Iterator["Home"]:
        """The home of a project of this server while the block runs, in this actor's hands; no right is asked for."""
        if project.id == DEFAULT:
            yield self.root
            return
        root = self.root
        # It stays open for others, who must not find it in the hands of whoever came first.
        opened = root.projects.take(project.id, lambda: open_project(root.as_actor(local_actor()), project))
        try:
            yield opened.as_actor(self.actor)
        finally:
            root.projects.give_back(project.id)

    def everywhere(self) -> Iterator["Home"]:
        """The home of each project of this server, one after the other, its own first."""
        root = self.root
        yield root
        with root.meta.read() as tx:
            found = [project for project in list_projects(tx) if project.id != DEFAULT]
        for project in found:
            with self.entered(project) as home:
                yield home

    def as_actor(self, actor: Actor) -> "Home":
        """The same place, in somebody else's hands."""
        return replace(self, actor=actor)

    def append(self, tx: Tx, kind: str, *, subject: str, body: object = None) -> None:
        """Write to the ledger, in this actor's name, inside the caller's transaction.

        Raises Ended where something that the actor was let in with was taken from them since.
        """
        (ended,) = self.ended(self.tell(tx, kind, subject=subject, body=body), [self.actor])
        if ended is not None:
            raise ended

    def tell(self, tx: Tx, kind: str, *, subject: str, body: object = None) -> Turn:
        """The same for what is so already, as a refusal, whatever the actor may do by now."""
        actor = self.actor
        return append_event(
            tx, kind, subject=subject, actor=actor.name, at_ms=self.clock.now_ms(), body=body, asked=actor.asked
        )

    def ended(self, turn: Turn, actors: Sequence[Actor]) -> list[Ended | None]:
        """For each actor what to raise where they have less by now than when they were let in, else None.

        For whoever has a turn at the ledger. Most often nothing changed: then it costs a comparison, in a project one
        look at the server's own home besides.
        """
        server = turn.access
        if self.server is not None and any(actor.seen is not None for actor in actors):
            server = read_version(_committed(self.server.meta))
        return [None if self._may_still(actor, server, turn.access) else self._told(actor) for actor in actors]

    def _may_still(self, actor: Actor, server: int, inner: int) -> bool:
        seen = actor.seen
        if seen is None:
            return True
        is_there = self.server is not None and seen.project == self.project_id
        if server == seen.server and (inner == seen.inner or not is_there):
            return True
        # What is committed is read, for what this transaction itself takes away, be it from the actor, it may.
        with _committed(self.root.meta).read() as tx:
            if not may_as_before(tx, actor, now_ms=self.clock.now_ms()):
                return False
        if self.project_id != seen.project:
            return True
        with _committed(self.meta).read() as tx:
            return has_grants(tx, actor)

    def _told(self, actor: Actor) -> Ended:
        self.access.forget()
        return Ended(
            f"{actor.name} may less than when this was asked, so nothing of it was done",
            hint="ask again: what you still may is let in", refusal={"because": "it was taken away meanwhile"},
        )  # fmt: skip

    def after_commit(self, work: Callable[[], None]) -> None:
        """Do something now, or, inside a transaction of somebody else's, once that is committed."""
        if self.then is None:
            work()
        else:
            self.then.append(work)

    def access_changed(self, *ended_in: str) -> None:
        """Remember no callers any more; for who has just committed a change of who may do what.

        `ended_in` are projects, by id or name, in which somebody may less by it, `*` for all: it returns once whoever
        was let in there before has written or never will. In the home that was changed all is in order anyway.
        """
        self.after_commit(lambda: self._end_access(frozenset(ended_in)))

    def _end_access(self, ended_in: frozenset[str]) -> None:
        self.access.forget()
        root = self.root
        # In PostgreSQL all projects of a server take turns at one lock; each SQLite file has its own.
        if root.meta.dialect != "sqlite" or not ended_in - {DEFAULT}:
            return
        with root.meta.read() as tx:
            found = [*list_projects(tx), *ended_projects(tx)]
        for project in found:
            if project.id != DEFAULT and not ended_in.isdisjoint((SERVER, project.id, project.name)):
                with self.entered(project) as inner, inner.meta.transaction() as tx:
                    take_turn(tx)

    def own(self, tx: Tx, kind: Kind, resource: str) -> None:
        """Let the user who has just made something manage it; owners, machines and the folder's owner need no grant."""
        grants = self.actor.grants
        if grants is not None and self.actor.role != "owner":
            insert_grant(tx, own_set(tx, grants.account_id).id, kind, resource, "MANAGE")

    def close(self) -> None:
        """Give back what is open."""
        self.projects.close()
        self.meta.close()
        if self.remote is not None:
            self.remote.close()
        if self.is_alone and self.server is not None:
            self.server.close()

    def __enter__(self) -> "Home":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_home(
    place: str | Path = "", *, actor: Actor | None = None, clock: Clock | None = None, project: str = ""
) -> Home:
    """Open a folder or a server's URL; with nothing said, TAUT_HOME, else the nearest project at or above this folder.

    `project` is one of the projects of that place, with nothing said TAUT_PROJECT, else `default`. A server is asked
    nothing before the first verb. Raises NotFound where there is no project, Denied where it may not be written,
    Unavailable where a store does not answer, UsageError for another kind of URL.
    """
    chosen = str(place) or os.environ.get("TAUT_HOME", "")
    named = project or os.environ.get("TAUT_PROJECT", "") or DEFAULT
    if chosen.startswith(("http://", "https://")):
        return _open_server(_within(chosen, named), None, actor, clock)
    if "://" in chosen:
        raise UsageError(
            f"{chosen!r} is no home: it is a folder, or the http:// or https:// of a server",
            hint="taut init --help says how a folder names its database and its objects",
        )
    folder = find_folder(Path.cwd()) if not chosen else _folder_of(Path(chosen))
    settings = read_settings(folder)
    if settings.server:
        return _open_server(_within(settings.server, named), folder, actor, clock)
    meta, objects = _stores(folder, settings)
    home = Home(str(folder.parent), folder, meta, objects, actor or local_actor(), clock or SystemClock())
    if named == DEFAULT:
        return home
    try:
        with home.meta.read() as tx:
            found = read_project(tx, named)
        return replace(open_project(home, found), is_alone=True)
    except BaseException:
        home.close()
        raise


def remove_project(root: Home, project: Project) -> None:
    """Remove the stores of a project that ended, and its folder; what is gone already is no error.

    Raises what opening and removing does, Corrupt for an id that is none, which must name no folder.
    """
    assert root.folder is not None, "a project is removed where its stores are"
    if PROJECT_ID.fullmatch(project.id) is None:
        raise Corrupt(f"{project.id[:40]!r} is the id of no project", hint="taut ledger verify")
    root.projects.drop(project.id)
    settings = read_settings(root.folder)
    remove_objects(_objects_url(root.folder, settings), project.id)
    remove_metadata(_metadata_url(root.folder, settings), project.id)
    remove_folder(root.folder / "projects" / project.id)


def open_project(root: Home, project: Project) -> Home:
    """Open the home of a project of a server's home. Raises what opening its stores does."""
    assert root.folder is not None, "a project is opened where its stores are"
    meta, objects = _stores(root.folder, read_settings(root.folder), project.id)
    return replace(
        root, meta=meta, objects=objects, access=Access(beside=root.access), in_project=project, server=root,
        projects=Leased(0, Home.close),
    )  # fmt: skip


def _stores(folder: Path, settings: Settings, space: str = "") -> tuple[Metadata, Objects]:
    meta = connect_metadata(_metadata_url(folder, settings), space)
    try:
        return meta, connect_objects(_objects_url(folder, settings), space)
    except BaseException:
        meta.close()
        raise


def _metadata_url(folder: Path, settings: Settings) -> str:
    return settings.metadata or f"sqlite://{folder / 'meta.db'}"


def _objects_url(folder: Path, settings: Settings) -> str:
    return settings.objects or f"file://{folder / 'objects'}"


def _within(url: str, project: str) -> str:
    """The URL of a project of a server. Raises UsageError where it names another one already."""
    _, names_one, named = url.rstrip("/").partition("/projects/")
    if project == DEFAULT or (names_one and named == project):
        return url
    if names_one:
        raise UsageError(f"the URL names the project {named!r} already, not {project!r}", hint="leave out --project")
    return f"{url.rstrip('/')}/projects/{project}"


def _folder_of(path: Path) -> Path:
    """A project folder or its `.taut`, said outright: never looked for above."""
    path = path.absolute()
    if path.name == FOLDER and path.is_dir():
        return path
    if not (path / FOLDER).is_dir():
        raise NotFound(f"no taut project in {path}", hint=f"taut --home {path} init")
    return path / FOLDER


def _open_server(url: str, folder: Path | None, actor: Actor | None, clock: Clock | None) -> Home:
    from taut.ground.remote import Remote, RemoteMetadata, RemoteObjects, remote_token

    remote = Remote(url, remote_token(url))
    return Home(
        url, folder, RemoteMetadata(url), RemoteObjects(remote), actor or local_actor(), clock or SystemClock(), remote
    )


Resource = Callable[..., str]
"""Given what a verb is given, says which resource it is about."""


class Verb(Generic[P, R]):
    """A function of a room that faces may call: it checks one permission, or forwards itself to a server."""

    def __init__(self, function: Callable[Concatenate[Home, P], R], name: str, needs: str, on: Resource | str) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.needs = needs
        self.on = on

    def __call__(self, home: Home, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it here or there; the result and the errors are the same."""
        if home.remote is None:
            require(home, self.needs, verb=self.name, resource=ANY if self.on else "")
        self._check(args, kwargs)
        if home.remote is not None:
            return self._forward(home.remote, args, kwargs)
        if callable(self.on) and home.actor.is_bound:
            require(home, self.needs, verb=self.name, resource=self.on(home, *args, **kwargs))
        return self.function(home, *args, **kwargs)

    def receive(self, home: Home, body: bytes) -> bytes:
        """Run it for a caller over HTTP: JSON arguments, checked against the signature, and a JSON result."""
        # Before anything is read: a refusal says nothing of the arguments.
        require(home, self.needs, verb=self.name, resource=ANY if self.on else "")
        arguments = wire.decode(body or b"{}", self._arguments, what=f"the arguments of {self.name}")
        given = {name: getattr(arguments, name) for name in self._arguments.__struct_fields__}
        for name, value in given.items():
            check_deep(name, value, body=body)
        return wire.encode(self(home, **given))  # type: ignore[call-arg]  # Checked against the signature by the decoder.

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise Invalid for a whole number that no store can keep, before a driver says so in words of its own."""
        if any(is_past(value) for value in (*args, *kwargs.values())):
            for name, value in inspect.signature(self.function).bind(None, *args, **kwargs).arguments.items():
                check_whole(name, value)

    def _forward(self, remote: "Remote", args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        bound = inspect.signature(self.function).bind(None, *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(list(bound.arguments.items())[1:])
        answer = remote.call(self.name, arguments)
        returned: R = wire.decode(answer, self._hints["return"], what=f"the answer of {self.name}")
        return returned

    @functools.cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.function)

    @functools.cached_property
    def _arguments(self) -> Any:
        import msgspec

        fields: list[Any] = []
        for parameter in list(inspect.signature(self.function).parameters.values())[1:]:
            hint = self._hints[parameter.name]
            has_default = parameter.default is not inspect.Parameter.empty
            fields.append((parameter.name, hint, parameter.default) if has_default else (parameter.name, hint))
        return msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)


def verb(
    name: str, *, needs: str, on: Resource | str = ""
) -> Callable[[Callable[Concatenate[Home, P], R]], Verb[P, R]]:
    """Make a room's function a verb: `name` is `noun.verb`, `needs` the one permission it asks for.

    `on` is given the same arguments and says which resource they mean (`experiment:ID`, `model:NAME`, `new:KIND`), so
    that what a user was granted there counts; `*` says that the function itself shows no resource that the actor may
    not see, or asks `require` for each. Without it the role alone decides.
    Its arguments and result must be JSON-able: scalars, lists, dicts, data classes.
    """

    def made(function: Callable[Concatenate[Home, P], R]) -> Verb[P, R]:
        return Verb(function, name, needs, on)

    return made


def require(home: Home, permission: str, *, verb: str, resource: str = "") -> None:
    """Let the actor pass, or write the refusal to the ledger and raise Denied.

    With a `resource` what was granted there counts, see `is_allowed`; `*` lets pass who has the permission on any, for
    a gate in front of verbs that ask again. Who is no member of the project is told that there is none, NotFound. Not
    for the inside of a transaction: a refusal is one of its own.
    """
    actor = home.actor
    if is_allowed(actor, permission, resource):
        return
    if actor.grants is not None:
        actor.grants.reload(home.meta)  # A refusal is never out of date.
        if is_allowed(actor, permission, resource):
            return
    told = f" on {resource}" if ":" in resource else ""
    refusal = {"permission": permission, "verb": verb, **({"resource": resource} if told else {})}
    note_refusal(home, refusal)
    if permission not in ABOUT_SERVER and not is_member(actor.role):
        raise no_project(home.project_name)
    raise Denied(
        f"{actor.name} ({actor.role}) may not do {verb}{told}: it needs {permission}",
        hint="ask an owner of this home for another role",
        refusal=refusal,
    )


def note_refusal(home: Home, refusal: Mapping[str, str]) -> None:
    """Write to the ledger what the actor may not do, in a transaction of its own.

    The first `REFUSED_FIRST` of a kind in a window are written; more of the same are counted, and the number is told
    as `others` with the next one that is written.
    """
    source = f"{home.project_id}\0{home.actor.name}"
    is_first, others = home.access.repeats.take(
        source, "\0".join(refusal.values()), now_s=home.access.steady(), first=REFUSED_FIRST, kinds=REFUSED_MAX
    )
    if not is_first:
        return
    body = {**refusal, "others": others} if others else refusal
    with home.meta.transaction() as tx:
        home.tell(tx, "access.denied", subject=f"actor:{home.actor.name}", body=body)


def _committed(meta: Metadata) -> Metadata:
    """A store to read what is committed from, also in the middle of a transaction."""
    return meta.outside if isinstance(meta, Within) else meta


def sight(home: Home, kind: Kind, permission: str) -> Sight:
    """Which experiments (by id) or models (by name) the actor may see; searches leave out all others."""
    return sight_of(home.actor, kind, permission)
