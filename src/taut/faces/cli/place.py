"""`taut server`, `token` and `fsck`: the place where everything is kept."""

import sys
from pathlib import Path
from typing import Literal

import click

from taut.errors import UsageError
from taut.faces.cli.shown import Group, json_option, shown, table
from taut.ground.clock import iso
from taut.home import open_home

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(epilog="Example: taut server --port 5000")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; beyond loopback it asks for tokens."
)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=5000, show_default=True, help="Port to listen on; 0: a free one."
)
@click.option("--tls-cert", type=FILE, help="Certificate in PEM, with those that signed it; read again on SIGHUP.")
@click.option("--tls-key", type=FILE, help="Its key in PEM.")
@click.option(
    "--drain-s", type=click.FloatRange(0, 3600), default=0, show_default=True,
    help="Seconds to go on after SIGTERM, while /ready says 503.",
)  # fmt: skip
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Of the log."
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning", show_default=True,
    help="From where on it is written; info writes a line for each request.",
)  # fmt: skip
@json_option
def server(
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    drain_s: float,
    log_format: Literal["text", "json"],
    log_level: str,
    as_json: bool,
) -> None:
    """Serve this home over HTTP: taut's API, and MLflow's for its unchanged clients."""
    from taut.faces.http.logs import write_logs
    from taut.faces.http.server import Tls, serve_home

    if (tls_cert is None) != (tls_key is None):
        raise UsageError("a certificate and its key come together", hint="taut server --tls-cert FILE --tls-key FILE")
    write_logs(log_format, log_level)
    tls = Tls(tls_cert, tls_key) if tls_cert is not None and tls_key is not None else None
    with open_home() as home:
        if home.in_project is not None:
            raise UsageError("a server serves every project of its home", hint="leave out --project and TAUT_PROJECT")
        serve_home(
            home, host, port, tls=tls, drain_s=drain_s,
            when_ready=lambda url: shown({"url": url, "home": home.place}, as_json, _serving),
        )  # fmt: skip


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


@click.command(epilog="Example: taut fsck")
@click.option("--quick", is_flag=True, help="Only ask whether objects are there; do not read them.")
@json_option
def fsck(quick: bool, as_json: bool) -> None:
    """Check the ledger and every object that anything refers to; exit status 14 where something is wrong."""
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
