"""`taut server`, `token`, `ledger` and `fsck`: the place where everything is kept."""

import sys

import click

from taut.errors import UsageError
from taut.faces.cli.shown import Group, json_option, shown, table
from taut.ground.clock import iso
from taut.home import open_home


@click.command(epilog="Example: taut server --port 5000")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; beyond loopback it asks for tokens."
)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=5000, show_default=True, help="Port to listen on; 0: a free one."
)
@json_option
def server(host: str, port: int, as_json: bool) -> None:
    """Serve this home over HTTP: taut's API, and MLflow's for its unchanged clients."""
    from taut.faces.http.server import serve_home

    with open_home() as home:
        if home.in_project is not None:
            raise UsageError("a server serves every project of its home", hint="leave out --project and TAUT_PROJECT")
        serve_home(home, host, port, when_ready=lambda url: shown({"url": url, "home": home.place}, as_json, _serving))


def _serving(ready: dict[str, str]) -> str:
    return f"taut serves {ready['home']} at {ready['url']}; MLFLOW_TRACKING_URI={ready['url']}"


@click.group(cls=Group, epilog="Example: taut token create ci --scope log")
def token() -> None:
    """Make, list and revoke tokens."""


@token.command(epilog="Example: taut token create ci --scope log --days 30")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, help="What it is for: read, log, predict or deploy; several times for more."
)
@click.option("--role", default="", help="In place of scopes: viewer, data-scientist, ml-engineer, …")
@click.option("--own", is_flag=True, help="A token of your own: it may what you may, at most what the scopes say.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 366), help="How long it works.")
@json_option
def create(name: str, scopes: tuple[str, ...], role: str, own: bool, days: int, as_json: bool) -> None:
    """Make a token for a machine in this project, or for yourself; its secret is shown this once."""
    from taut.govern import create_own_token, create_token

    if own and role:
        raise UsageError("a token of your own has your roles: leave out --role")
    if not own and bool(role) == bool(scopes):
        raise UsageError("say what the token is for: --scope, or --role, and not both")
    with open_home() as home:
        if own:
            made = create_own_token(home, name, days=days, scopes=list(scopes))
        else:
            made = create_token(home, name, role, days=days, scopes=list(scopes))
        given = made.token.role.replace("scope:", "") or "all that you may"
        shown(made, as_json, lambda m: f"token {m.token.id} for {name} ({given}); shown this once:\n{m.secret}")


@token.command("list", epilog="Example: taut token list")
@click.option("--own", is_flag=True, help="Your own tokens and sessions.")
@json_option
def list_tokens(own: bool, as_json: bool) -> None:
    """List the tokens of this project; never their secrets."""
    from taut.govern import show_own_tokens, show_tokens

    with open_home() as home:
        shown(show_own_tokens(home) if own else show_tokens(home), as_json, lambda found: table(
            ["id", "name", "kind", "role", "by", "made", "ends", "used", "revoked"],
            [(t.id, t.name, t.kind, t.role or "all", t.made_by or "-", _day(t.created_ms), _day(t.expires_ms),
              _day(t.used_ms), _day(t.revoked_ms)) for t in found],
            empty="no token yet; try: taut token create NAME --scope log",
        ))  # fmt: skip


@token.command(epilog="Example: taut token revoke 3fa1c2d4e5f6")
@click.argument("token_id")
@json_option
def revoke(token_id: str, as_json: bool) -> None:
    """End a token now."""
    from taut.govern import end_token

    with open_home() as home:
        end_token(home, token_id)
        shown({"revoked": token_id}, as_json, lambda _: f"token {token_id} works no more")


@click.command(epilog="Example: taut ledger --subject model:churn@3")
@click.option("--kind", default="", help="Only of this kind, as model.promoted.")
@click.option("--subject", default="", help="Only about this point, as model:churn@3.")
@click.option("--after", default=0, help="Only entries past this number.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@json_option
def ledger(kind: str, subject: str, after: int, limit: int, as_json: bool) -> None:
    """Read what was done, by whom, oldest first."""
    from taut.govern import show_ledger

    with open_home() as home:
        found = show_ledger(home, kind=kind, subject=subject, after=after, limit=limit)
        shown(found, as_json, lambda entries: table(
            ["entry", "when", "who", "what", "about", "body"],
            [(e.seq, iso(e.at_ms)[:19], e.actor, e.kind, e.subject[:40], e.body[:60]) for e in entries],
            empty="the ledger has no such entry",
        ))  # fmt: skip


@click.command(epilog="Example: taut fsck")
@click.option("--quick", is_flag=True, help="Only ask whether objects are there; do not read them.")
@json_option
def fsck(quick: bool, as_json: bool) -> None:
    """Check the ledger's chain and every object that anything refers to; exit status 14 where something is wrong."""
    from taut.govern import Health, check_home

    def told(health: Health) -> str:
        lines = [f"{problem.kind}: {problem.subject}: {problem.text}" for problem in health.problems]
        counted = f"{health.events} ledger entries, {health.objects} objects, {health.size_bytes} bytes"
        return "\n".join([*lines, f"{counted}: {len(lines) or 'no'} problem{'' if len(lines) == 1 else 's'}"])

    with open_home() as home:
        health = check_home(home, quick=quick)
        shown(health, as_json, told)
    if health.problems:
        sys.exit(14)


def _day(at_ms: int | None) -> str:
    return "-" if at_ms is None else iso(at_ms)[:10]
