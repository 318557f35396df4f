"""Which project a request means, found before anything else looks at it; whoever is no member is told there is none.

A token that is bound to a project decides; else the header of MLflow's workspaces, or `/projects/NAME` in front of
the path; else it is `default`, the server's own home.
"""

from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from taut.callers import MISS, cached_caller_of, caller_of, look
from taut.errors import Invalid, TautError
from taut.faces.http.exchange import again_after, answer, in_thread
from taut.faces.http.guard import App, Receive, Scope, Send
from taut.faces.mlflow.errors import send_coded, send_error
from taut.faces.mlflow.face import NOBODY
from taut.ground import wire
from taut.ground.access import DEFAULT, AccessState, Caller, Project, list_projects, no_project, role_in
from taut.ground.remote import LOGIN, TOKEN
from taut.home import OPEN_MAX, Home, note_refusal, open_project

PREFIX = "/projects/"
HEADER = b"x-mlflow-workspace"
OPEN = frozenset({
    "/health", "/ready", "/version", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info", LOGIN, TOKEN,
})  # fmt: skip
"""What is told to anybody, whichever project they name."""


class Projects:
    """An ASGI application over one for each project, which `make` builds of its home when it is first asked for."""

    def __init__(self, home: Home, pool: ThreadPoolExecutor, make: Callable[[Home], App], *, trusted: str = "") -> None:
        self._home = home
        self._pool = pool
        self._make = make
        self._trusted = trusted
        self._own = make(home)
        self._apps: dict[str, tuple[Home, App]] = {}
        self._known: tuple[AccessState | None, dict[str, Project], dict[str, Project]] = (None, {}, {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on to the project that it means."""
        if scope["type"] != "http":
            await self._own(scope, receive, send)
            return
        named = authorization = ""
        for key, value in scope["headers"]:
            if key == HEADER:
                named = value.decode("latin-1").strip()
            elif key == b"authorization":
                authorization = value.decode("latin-1")
        if not named and not scope["path"].startswith(PREFIX) and not self._may_be_bound(authorization):
            await self._own(scope, receive, send)
            return
        try:
            scope, named = _without_prefix(scope, named)
            if scope["path"] in OPEN:
                await self._own(scope, receive, send)
                return
            project = await self._project(scope, authorization, named)
            if project is None:
                await _ask(scope, send)
            elif project.id == self._home.project_id:
                await self._own(scope, receive, send)
            else:
                await self._pass_on(project, scope, receive, send)
        except TautError as error:
            await _tell(scope, send, error)

    def _may_be_bound(self, authorization: str) -> bool:
        """Whether who shows this may hold a token of another project than this one: not where there is no other."""
        if not authorization or self._trusted:
            return False
        access = self._home.root.access
        return not access.is_fresh or access.state is None or access.state.projects > 1

    async def _project(self, scope: Scope, authorization: str, named: str) -> Project | None:
        """The project that a request means; None where nobody says who they are. Raises NotFound, Invalid."""
        caller = await self._caller(scope, authorization)
        if caller is None:
            return None
        by_name, by_id = await self._directory()
        identity = caller.identity
        bound = "" if identity is None else identity.project
        if bound and bound in by_id:
            if named and named != by_id[bound].name:
                raise Invalid(f"the token is for another project than {named[:80]!r}, which the request names")
            return by_id[bound]
        wanted = named or self._home.project_name
        found = by_name.get(wanted)
        is_theirs = identity is None or (not bound and found is not None and role_in(identity.roles, found.id) != "")
        # Whoever is no member of `default` still administers what is their own there, and is told 404 of the rest.
        if found is None or not (is_theirs or found.id == DEFAULT) or self._is_beside(found):
            theirs = self._home.root.as_actor(caller.actor)
            verb = f"{scope['method']} {scope['path'][:200]}"
            await in_thread(self._pool, note_refusal, theirs, {"project": wanted[:80], "verb": verb})
            raise no_project(wanted)
        return found

    def _is_beside(self, project: Project) -> bool:
        """Whether this application is that of one project alone, and it is another."""
        return self._home.server is not None and project.id != self._home.project_id

    async def _caller(self, scope: Scope, authorization: str) -> Caller | None:
        root, trusted = self._home.root, self._trusted
        known = cached_caller_of(root, authorization, trusted=trusted)
        if known is not MISS:
            return known
        address = (scope.get("client") or ("",))[0]
        return await in_thread(self._pool, caller_of, root, authorization, trusted=trusted, address=address)

    async def _directory(self) -> tuple[dict[str, Project], dict[str, Project]]:
        """Every project by its name and by its id, as they stood when access was last looked at."""
        state = self._home.root.access.state
        if state is None or self._trusted or state is not self._known[0]:
            self._known = await in_thread(self._pool, self._read)
        return self._known[1], self._known[2]

    def _read(self) -> tuple[AccessState | None, dict[str, Project], dict[str, Project]]:
        root = self._home.root
        look(root)
        state = root.access.state
        with root.meta.read() as tx:
            found = list_projects(tx)
        for ended in set(root.projects.opened()).difference(project.id for project in found):
            root.projects.drop(ended)  # Its files are removed some day, and go only once nobody has them open.
        return state, {project.name: project for project in found}, {project.id: project for project in found}

    async def _pass_on(self, project: Project, scope: Scope, receive: Receive, send: Send) -> None:
        projects = self._home.root.projects
        home = projects.take_open(project.id)
        if home is None:
            opened = partial(open_project, self._home.root, project)
            home = await in_thread(self._pool, projects.take, project.id, opened)
        try:
            held = self._apps.get(project.id)
            if held is None or held[0].meta is not home.meta:
                held = self._apps[project.id] = home, await in_thread(self._pool, self._make, home)
                self._drop_closed()
            await held[1](scope, receive, send)
        finally:
            if len(projects) > OPEN_MAX:
                await in_thread(self._pool, projects.give_back, project.id)
            else:
                projects.give_back(project.id)

    def _drop_closed(self) -> None:
        still = set(self._home.root.projects.opened())
        self._apps = {key: held for key, held in self._apps.items() if key in still}


def _without_prefix(scope: Scope, named: str) -> tuple[Scope, str]:
    """The request as the project's own application sees it, and the name of that. Raises Invalid for two names."""
    path: str = scope["path"]
    if not path.startswith(PREFIX):
        return scope, named
    name, slash, rest = path.removeprefix(PREFIX).partition("/")
    if named and named != name:
        raise Invalid(f"the path names the project {name[:80]!r} and the header {named[:80]!r}: name one")
    inner: MutableMapping[str, object] = {**scope, "path": slash + rest or "/"}
    if raw := scope.get("raw_path"):
        inner["raw_path"] = b"/" + raw.removeprefix(PREFIX.encode()).partition(b"/")[2]
    return inner, name


async def _ask(scope: Scope, send: Send) -> None:
    """Say that a login is needed, as the application behind would."""
    if not scope["path"].startswith("/api/taut/"):
        await send_coded(send, "UNAUTHENTICATED", NOBODY, 401)
        return
    body = wire.encode({"error": "Denied", "message": "this server asks for a token", "hint": "set TAUT_TOKEN"})
    await answer(send, body, 401, (b"www-authenticate", b"Bearer"))


async def _tell(scope: Scope, send: Send, error: TautError) -> None:
    if not scope["path"].startswith("/api/taut/"):
        await send_error(send, error)
        return
    body = wire.encode({"error": error.kind, "message": error.message, "hint": error.hint})
    await answer(send, body, error.http_status, *again_after(error))
