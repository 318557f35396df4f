"""`taut project` and `taut access`: homes of their own on one server, and who may do what in each."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from taut.errors import UsageError
from taut.faces.cli.shown import Group, json_option, shown, table
from taut.ground.clock import iso
from taut.home import open_home

if TYPE_CHECKING:
    from taut.govern import Change, Explained, WantedAccess
    from taut.ground.access import Trust

project_option = click.option("--project", default="", metavar="NAME", help="Another project than this one.")
file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group(cls=Group, epilog="Example: taut project create churn --admin ada")
def project() -> None:
    """Make and list projects: each has members, models, objects and a ledger of its own."""


@project.command("create", epilog="Example: taut project create churn --admin ada")
@click.argument("name")
@click.option("--description", default="", help="What it is about.")
@click.option("--admin", default="", metavar="USER", help="Who says who is a member.")
@json_option
def create_project(name: str, description: str, admin: str, as_json: bool) -> None:
    """Make a project; `taut --project NAME` and `taut access bind` go on from there."""
    from taut.govern import bind_role, create_project, get_user

    with open_home() as home:
        if admin:
            get_user(home, admin)  # Before anything is made.
        made = create_project(home, name, description=description)
        if admin:
            bind_role(home, admin, "project-admin", project=name)
        shown(made, as_json, lambda one: f"project {one.name}; try: taut --project {one.name} status")


@project.command("list", epilog="Example: taut project list")
@json_option
def list_projects(as_json: bool) -> None:
    """List the projects that you are a member of."""
    from taut.govern import show_projects

    with open_home() as home:
        shown(show_projects(home), as_json, lambda found: table(
            ["project", "made", "about"],
            [(one.name, iso(one.created_ms)[:10] if one.created_ms else "-", one.description) for one in found],
            empty="you are a member of no project",
        ))  # fmt: skip


@project.command("delete", epilog="Example: taut project delete churn --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def delete_project(name: str, yes: bool, as_json: bool) -> None:
    """End a project: its members and tokens with it; its name is free, and `taut gc` removes what it holds."""
    from taut.govern import delete_project, get_project, show_bindings

    with open_home() as home:
        get_project(home, name)
        members = show_bindings(home, project=name)
        if not yes:
            click.confirm(f"end project {name} with {len(members)} bindings", abort=True, err=True)
        shown(delete_project(home, name), as_json, lambda _: f"project {name} is no more")


@project.command("restore", epilog="Example: taut project restore churn")
@click.argument("name")
@json_option
def restore_project(name: str, as_json: bool) -> None:
    """Have a project back that ended, as long as `taut gc` has not removed it; its members are to be bound anew."""
    from taut.govern import restore_project

    with open_home() as home:
        shown(restore_project(home, name), as_json, lambda one: f"project {one.name} is back; nobody is a member yet")


@click.group(cls=Group, epilog="Example: taut access bind ada ml-engineer --project churn")
def access() -> None:
    """Say who may do what: roles in projects, from commands or from a file under git."""


@access.command(epilog="Example: taut access bind ada ml-engineer --project churn")
@click.argument("user")
@click.argument("role")
@project_option
@json_option
def bind(user: str, role: str, project: str, as_json: bool) -> None:
    """Give a user a role beside those they have; server-admin and owner are roles of the whole server."""
    from taut.govern import bind_role

    with open_home() as home:
        bound = bind_role(home, user, role, project=project)
        shown(bound, as_json, lambda one: f"{one.user} is {one.role} {_in(one.project)}")


@access.command(epilog="Example: taut access unbind ada ml-engineer --project churn")
@click.argument("user")
@click.argument("role")
@project_option
@json_option
def unbind(user: str, role: str, project: str, as_json: bool) -> None:
    """Take a role away from a user."""
    from taut.govern import unbind_role

    with open_home() as home:
        unbound = unbind_role(home, user, role, project=project)
        shown(unbound, as_json, lambda one: f"{one.user} is no {one.role} {_in(one.project)} any more")


@access.command("list", epilog="Example: taut access list --project '*'")
@project_option
@json_option
def list_bindings(project: str, as_json: bool) -> None:
    """List who is bound to what here, or with `--project '*'` everywhere."""
    from taut.govern import show_bindings

    with open_home() as home:
        shown(show_bindings(home, project=project), as_json, lambda found: table(
            ["project", "user", "role", "by"], [(one.project, one.user, one.role, one.by) for one in found],
            empty="nobody is bound to a role; try: taut access bind USER ROLE",
        ))  # fmt: skip


@access.command(epilog="Example: taut access matrix")
@json_option
def matrix(as_json: bool) -> None:
    """Print every permission and the roles that have it."""
    from taut.govern import show_matrix

    def told(found: dict[str, dict[str, str]]) -> str:
        roles = list(next(iter(found.values())))
        rows = [(permission, *(marks[role] for role in roles)) for permission, marks in found.items()]
        return table(["permission", *roles], rows, empty="")

    with open_home() as home:
        shown(show_matrix(home), as_json, told)


@access.command(epilog="Example: taut access explain ada run:write experiment:3")
@click.argument("user")
@click.argument("permission")
@click.argument("resource", default="")
@project_option
@json_option
def explain(user: str, permission: str, resource: str, project: str, as_json: bool) -> None:
    """Say whether a user may do something, and which binding or grant decides."""
    from taut.govern import explain_access

    def told(one: "Explained") -> str:
        return f"{one.user} {'may' if one.allowed else 'may not'} {one.permission} {_in(one.project)}: {one.because}"

    with open_home() as home:
        shown(explain_access(home, user, permission, resource=resource, project=project), as_json, told)


@access.command(epilog="Example: taut access log --subject user:ada")
@click.option("--subject", default="", help="Only about this one, as user:ada.")
@click.option("--after", default=0, help="Only entries past this number.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@json_option
def log(subject: str, after: int, limit: int, as_json: bool) -> None:
    """Read what was done to users, tokens, projects and roles, oldest first; nothing of what is in a project."""
    from taut.govern import show_access_log

    with open_home() as home:
        shown(show_access_log(home, subject=subject, after=after, limit=limit), as_json, lambda found: table(
            ["entry", "when", "who", "what", "about", "body"],
            [(e.seq, iso(e.at_ms)[:19], e.actor, e.kind, e.subject[:40], e.body[:60]) for e in found],
            empty="the server's log has no such entry",
        ))  # fmt: skip


@access.group(cls=Group, epilog="Example: taut access trust list")
def trust() -> None:
    """Say whose ID tokens are exchanged for tokens of a project: CI needs no stored secret then."""


@trust.command("add", epilog=(
    "Example: taut access trust add https://token.actions.githubusercontent.com --audience https://taut.example.org "
    "--subject repo:acme/churn:ref:refs/heads/main --scope log"
))  # fmt: skip
@click.argument("issuer")
@click.option("--audience", required=True, help="Whom the tokens are for: what your CI is told to ask for.")
@click.option("--subject", required=True, metavar="PATTERN", help="The whole subject; * stands for anything.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=VALUE", help="A claim that must be there exactly so.")
@click.option("--scope", "scopes", multiple=True, required=True, help="read, log, predict or deploy; more than once.")
@project_option
@json_option
def add_trust(
    issuer: str, audience: str, subject: str, claims: tuple[str, ...], scopes: tuple[str, ...], project: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Take an issuer's ID tokens, by subject and claims, for tokens of this project."""
    from taut.govern import add_trust

    named = {}
    for claim in claims:
        name, sign, value = claim.partition("=")
        if not sign or name in named:
            raise UsageError(f"--claim {claim!r} is no NAME=VALUE of its own", hint="--claim repository_id=123")
        named[name] = value
    with open_home() as home:
        made = add_trust(home, issuer, audience, subject, list(scopes), claims=named, project=project)
        shown(made, as_json, lambda one: f"trust {one.id}: {_trusted(one)}")


@trust.command("list", epilog="Example: taut access trust list --project '*'")
@project_option
@json_option
def list_trusts(project: str, as_json: bool) -> None:
    """List whom this project trusts, or with `--project '*'` every one."""
    from taut.govern import show_trusts

    with open_home() as home:
        shown(show_trusts(home, project=project), as_json, lambda found: table(
            ["trust", "project", "scopes", "issuer", "subject", "audience", "claims"],
            [(
                one.id, one.project, _scopes(one.role), one.issuer, one.subject, one.audience,
                " ".join(f"{name}={value}" for name, value in one.claims.items()),
            ) for one in found],
            empty="nobody is trusted here; try: taut access trust add --help",
        ))  # fmt: skip


@trust.command("remove", epilog="Example: taut access trust remove 3fa1c2d4e5f6")
@click.argument("trust_id", metavar="TRUST")
@json_option
def remove_trust(trust_id: str, as_json: bool) -> None:
    """Trust somebody no more; the tokens that they were given end at once."""
    from taut.govern import remove_trust

    with open_home() as home:
        shown(remove_trust(home, trust_id), as_json, lambda one: f"trusted no more: {_trusted(one)}")


@access.group(cls=Group, epilog="Example: taut access client list")
def client() -> None:
    """Give the server the secret of the client that was made for it at your provider of logins."""


@client.command("set", epilog="Example: taut access client set https://login.example.org taut --secret-file secret")
@click.argument("issuer")
@click.argument("client_id")
@click.option(
    "--secret-file", default="", metavar="FILE",
    help="Where the secret stands, - for stdin; TAUT_OIDC_CLIENT_SECRET where none is said.",
)  # fmt: skip
@click.option("--method", default="", help="client_secret_basic or client_secret_post  [default: as the provider says]")
@json_option
def set_client(issuer: str, client_id: str, secret_file: str, method: str, as_json: bool) -> None:
    """Keep a client's secret, sealed; it is shown to the provider alone, with each login."""
    import os

    from taut.govern import set_client_secret

    if secret_file:
        with click.open_file(secret_file, encoding="utf-8", errors="replace") as opened:
            secret = opened.read().strip()
    elif not (secret := os.environ.get("TAUT_OIDC_CLIENT_SECRET", "")):
        raise UsageError("no secret is said", hint="--secret-file FILE, or TAUT_OIDC_CLIENT_SECRET")
    with open_home() as home:
        made = set_client_secret(home, issuer, client_id, secret, method=method)
        shown(made, as_json, lambda one: f"the secret of {one.client_id} at {one.issuer} is kept, sealed")


@client.command("list", epilog="Example: taut access client list")
@json_option
def list_clients(as_json: bool) -> None:
    """List the clients that have a secret here; never the secrets."""
    from taut.govern import show_clients

    with open_home() as home:
        shown(show_clients(home), as_json, lambda found: table(
            ["issuer", "client", "shown by", "since", "set by"],
            [(one.issuer, one.client_id, one.method or "-", iso(one.set_ms)[:10], one.set_by) for one in found],
            empty="no client has a secret here: logins are those of a public one",
        ))  # fmt: skip


@client.command("remove", epilog="Example: taut access client remove https://login.example.org taut")
@click.argument("issuer")
@click.argument("client_id")
@json_option
def remove_client(issuer: str, client_id: str, as_json: bool) -> None:
    """Forget a client's secret; logins are those of a public client again."""
    from taut.govern import remove_client_secret

    with open_home() as home:
        remove_client_secret(home, issuer, client_id)
        removed = {"issuer": issuer, "client_id": client_id}
        shown(removed, as_json, lambda _: f"the secret of {client_id} at {issuer} is forgotten")


@access.command("rotate-key", epilog="Example: taut access rotate-key")
@json_option
def rotate_key(as_json: bool) -> None:
    """Seal the secrets of webhooks and clients with a new key, in every project; run it where the home lies."""
    from taut.govern import rotate_secret_key

    with open_home() as home:
        shown(rotate_secret_key(home), as_json, lambda one: f"{one.secrets} secrets are sealed with the key {one.key}")


@access.command(epilog="Example: taut access plan access.yaml")
@file_argument
@json_option
def plan(file: Path, as_json: bool) -> None:
    """Show what a file of projects and roles would change."""
    from taut.govern import plan_access

    with open_home() as home:
        shown(plan_access(home, _wanted(file)), as_json, lambda found: _changes(found, "would"))


@access.command(epilog="Example: taut access apply access.yaml --yes")
@file_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def apply(file: Path, yes: bool, as_json: bool) -> None:
    """Make it so: all of it or nothing, and never without anybody left who administers the server."""
    from taut.govern import apply_access, plan_access

    wanted = _wanted(file)
    with open_home() as home:
        changes = plan_access(home, wanted)
        if changes and not yes:
            click.echo(_changes(changes, "would"), err=True)
            click.confirm("make it so", abort=True, err=True)
        shown(apply_access(home, wanted, changes), as_json, lambda found: _changes(found, "did"))


def _wanted(file: Path) -> "WantedAccess":
    from taut.govern import WantedAccess
    from taut.ground.yaml import read_yaml

    return read_yaml(file, WantedAccess)


def _changes(changes: "list[Change]", word: str) -> str:
    return "\n".join(_change(one) for one in changes) or f"nothing {word} change"


def _change(one: "Change") -> str:
    if one.does == "make":
        return f"make project {one.project}"
    if one.group:
        return f"{one.does} group {one.group} to {one.role} {_in(one.project)}"
    if one.trusted:
        said = one.trusted
        claims = "" if said["claims"] == "{}" else f" with {said['claims']}"
        who = f"{said['subject']} of {said['issuer']} for {said['audience']}{claims}"
        return f"{one.does} {who}: {_scopes(one.role)} {_in(one.project)}"
    return f"{one.does} {one.user} {one.role} {_in(one.project)}"


def _trusted(one: "Trust") -> str:
    return f"{one.subject} of {one.issuer} may {_scopes(one.role)} {_in(one.project)}"


def _scopes(role: str) -> str:
    return role.replace("scope:", "")


def _in(project: str) -> str:
    return "on the server" if project == "*" else f"in {project}"
