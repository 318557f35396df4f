"""`taut user`: who can log in with a password, in which role, and what was granted to them beside it."""

import sys
from dataclasses import dataclass

import click

from taut.errors import Invalid, NotFound, UsageError
from taut.faces.cli.shown import json_option, shown, table
from taut.ground.access import User
from taut.ground.clock import iso
from taut.home import Home, open_home

GENERATED = "shown this once"


@dataclass(frozen=True, slots=True)
class WithPassword:
    """A user, and the password where it was made up here: it is shown this once."""

    user: User
    password: str | None


@click.group(epilog="Example: taut user create ada --admin")
def user() -> None:
    """Make users, give them roles and passwords, and grant them single experiments, models and deployments."""


@user.command(epilog="Example: taut user create ada --admin")
@click.argument("name")
@click.option("--admin", is_flag=True, help="An owner of this home; the first user has to be one.")
@click.option("--role", default="", help="viewer, data-scientist, ml-engineer, approver, …, or none  [default: viewer]")
@click.option("--begins", is_flag=True, help="May begin experiments and models of their own, whatever the role.")
@click.option("--generate", is_flag=True, help="Make up a password and show it.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")
@json_option
def create(
    name: str, admin: bool, role: str, begins: bool, generate: bool, password_stdin: bool, as_json: bool
) -> None:
    """Make a user; the password is asked for, read from stdin or made up."""
    from taut.govern import create_user

    if admin and role not in ("", "owner"):
        raise UsageError("--admin is the role owner; leave out one of the two")
    password = _password(generate, password_stdin)
    given = "owner" if admin else "" if role == "none" else role or "viewer"
    with open_home() as home:
        made = create_user(home, name, password, role=given, begins=begins)
        shown(WithPassword(made, password if generate else None), as_json, _told)


@user.command("list", epilog="Example: taut user list")
@json_option
def list_users(as_json: bool) -> None:
    """List users with their roles."""
    from taut.govern import show_users

    with open_home() as home:
        shown(show_users(home), as_json, lambda found: table(
            ["user", "role", "made"],
            [(one.name, "disabled" if one.disabled else one.role or "-", iso(one.created_ms)[:10]) for one in found],
            empty="no user yet; try: taut user create NAME --admin",
        ))  # fmt: skip


@user.command(epilog="Example: taut user show ada")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a user's role and everything that was granted to them."""
    from taut.govern import get_user, list_permissions, show_links

    with open_home() as home:
        found, granted, links = get_user(home, name), list_permissions(home, name), show_links(home, name)
        elsewhere = "".join(f"\nalso {one.subject} of {one.issuer}" for one in links)
        lines = table(
            ["on", "permission", "by"],
            [(f"{one.kind}:{one.resource}", one.level, one.set_name) for one in granted],
            empty="nothing was granted beside the role",
        )
        answer = {"user": found, "granted": granted, "links": links}
        shown(answer, as_json, lambda _: f"{name} is {found.role or 'none'}{elsewhere}\n{lines}")


@user.command(epilog="Example: taut user password ada --generate")
@click.argument("name")
@click.option("--generate", is_flag=True, help="Make up a password and show it.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")
@json_option
def password(name: str, generate: bool, password_stdin: bool, as_json: bool) -> None:
    """Give a user another password; whoever is logged in with the old one is asked again."""
    from taut.govern import get_user, set_password

    chosen = _password(generate, password_stdin)
    with open_home() as home:
        set_password(home, name, chosen)
        shown(WithPassword(get_user(home, name), chosen if generate else None), as_json, _told)


@user.command(epilog="Example: taut user role ada ml-engineer")
@click.argument("name")
@click.argument("role")
@json_option
def role(name: str, role: str, as_json: bool) -> None:
    """Give a user another role; owner is an admin."""
    from taut.govern import set_user_role

    with open_home() as home:
        shown(set_user_role(home, name, role), as_json, lambda found: f"{found.name} is {found.role}")


@user.command(epilog="Example: taut user link ada https://login.example.org 00u1a2b3c4")
@click.argument("name")
@click.argument("issuer")
@click.argument("subject")
@json_option
def link(name: str, issuer: str, subject: str, as_json: bool) -> None:
    """Let whoever your provider calls SUBJECT log in as this user; a name alone never does."""
    from taut.govern import link_user

    with open_home() as home:
        shown(link_user(home, name, issuer, subject), as_json, lambda one: f"{one.subject} of {one.issuer} is {name}")


@user.command(epilog="Example: taut user unlink ada https://login.example.org 00u1a2b3c4")
@click.argument("name")
@click.argument("issuer")
@click.argument("subject")
@json_option
def unlink(name: str, issuer: str, subject: str, as_json: bool) -> None:
    """Let a subject of your provider be this user no more; their sessions end."""
    from taut.govern import unlink_user

    with open_home() as home:
        unlink_user(home, name, issuer, subject)
        unlinked = {"user": name, "issuer": issuer, "subject": subject}
        shown(unlinked, as_json, lambda _: f"{subject} of {issuer} is {name} no more")


@user.command(epilog="Example: taut user disable ada")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let them in again.")
@json_option
def disable(name: str, undo: bool, as_json: bool) -> None:
    """Let a user log in no more, by password, token or session; with --undo they are who they were."""
    from taut.govern import disable_user

    with open_home() as home:
        found = disable_user(home, name, disabled=not undo)
        shown(found, as_json, lambda one: f"{one.name} can log in {'no more' if one.disabled else 'again'}")


@user.command(epilog="Example: taut user delete ada --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(name: str, yes: bool, as_json: bool) -> None:
    """Take a user away, with all that was granted to them; what they did stays in the ledger."""
    from taut.govern import delete_user, get_user, list_permissions

    with open_home() as home:
        found, granted = get_user(home, name), list_permissions(home, name)
        if not yes:
            click.confirm(f"delete {name} ({found.role}) and {len(granted)} grants", abort=True, err=True)
        delete_user(home, name)
        shown({"deleted": name, "grants": len(granted)}, as_json, lambda _: f"{name} can log in no more")


@user.command(epilog="Example: taut user grant ada experiment:flights EDIT")
@click.argument("name")
@click.argument("resource")
@click.argument("permission")
@json_option
def grant(name: str, resource: str, permission: str, as_json: bool) -> None:
    """Grant a level on experiment:NAME, model:NAME, deployment:NAME or all of a kind (experiment:*).

    Levels are READ, USE, EDIT, MANAGE and NO_PERMISSIONS. On its resource a grant takes the place of the role: USE of a
    deployment lets ask it, USE of the whole home (home:*) begin things.
    """
    from taut.govern import grant_permission

    with open_home() as home:
        kind, which = _resource(home, resource)
        made = grant_permission(home, name, kind, which, permission.upper())
        shown(made, as_json, lambda one: f"{name} has {one.level} on {one.kind}:{one.resource}")


@user.command(epilog="Example: taut user revoke ada experiment:flights")
@click.argument("name")
@click.argument("resource")
@json_option
def revoke(name: str, resource: str, as_json: bool) -> None:
    """Take a grant away, so that the role decides again."""
    from taut.govern import revoke_permission

    with open_home() as home:
        kind, which = _resource(home, resource)
        revoke_permission(home, name, kind, which)
        revoked = {"user": name, "kind": kind, "resource": which}
        shown(revoked, as_json, lambda _: f"{name} has their role again on {kind}:{which}")


def _told(made: WithPassword) -> str:
    line = f"{made.user.name} is {made.user.role or 'none'}"
    return line if made.password is None else f"{line}; password, {GENERATED}:\n{made.password}"


def _password(generate: bool, from_stdin: bool) -> str:
    """What a password is to be: made up, read, or asked for twice on a terminal. It never stands in an argument."""
    from taut.ground.access import new_password

    if generate and from_stdin:
        raise UsageError("--generate makes a password up and --password-stdin reads one; leave out one of the two")
    if generate:
        return new_password()
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to ask for a password", hint="add --generate or --password-stdin")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _resource(home: Home, written: str) -> tuple[str, str]:
    """Kind and name of `KIND:NAME`; an experiment by its name or its id. Raises Invalid, NotFound."""
    from taut.runs import find_experiment, get_experiment

    kind, colon, name = written.partition(":")
    if not colon or not name:
        raise Invalid(f"{written!r} names nothing; write experiment:NAME, model:NAME, deployment:NAME or home:*")
    if kind != "experiment" or name == "*":
        return kind, name
    try:
        return kind, find_experiment(home, name).id
    except NotFound as missing:
        try:
            return kind, get_experiment(home, name).id
        except NotFound:
            raise missing from None
