"""`taut login` and `taut logout`: a session of a server in place of a password, kept in a file of this user alone."""

import sys

import click

from taut.errors import UsageError
from taut.faces.cli.shown import json_option, shown


@click.command(epilog="Example: taut login https://taut.example.org")
@click.argument("url")
@click.option("--user", default="", metavar="NAME", help="Who you are there.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")
@click.option("--oidc", is_flag=True, help="Log in at your organisation's provider, in a browser.")
@click.option("--no-browser", is_flag=True, help="With --oidc: only print the page to open.")
@click.option(
    "--oidc-token-file", default="", metavar="FILE", envvar="TAUT_OIDC_TOKEN_FILE", show_envvar=True,
    help="Exchange the ID token of a CI job in FILE, - for stdin, for a token of 15 minutes.",
)  # fmt: skip
@click.option("--show-token", is_flag=True, help="With --oidc-token-file: print the token, and keep it nowhere.")
@json_option
def login(
    url: str, user: str, password_stdin: bool, oidc: bool, no_browser: bool, oidc_token_file: str, show_token: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Log in to a server once; every command with its URL as home is you from then on."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is no URL of a server", hint="taut login https://HOST")
    ways = [name for name, asked in (
        ("--oidc", oidc), ("--user or --password-stdin", user or password_stdin),
        ("--show-token", show_token and not oidc_token_file), ("--no-browser", no_browser and not oidc),
    ) if asked]  # fmt: skip
    if len(ways) > 1 or (ways and ways[0] in ("--show-token", "--no-browser")):
        raise UsageError(f"{' and '.join(ways)}: this is no way to log in", hint="taut login --help")
    if oidc:
        _by_browser(url, no_browser, as_json)
    elif ways or not oidc_token_file:
        _by_password(url, user, password_stdin, as_json)
    else:
        _by_token(url, oidc_token_file, show_token, as_json)


def _by_password(url: str, user: str, password_stdin: bool, as_json: bool) -> None:
    from taut.ground.credentials import keep_token
    from taut.ground.remote import new_session

    if not password_stdin and not sys.stdin.isatty():
        raise UsageError("nobody is there to ask for a password", hint="add --password-stdin")
    name = user or click.prompt("User", err=True)
    password = (
        sys.stdin.readline().rstrip("\r\n") if password_stdin else click.prompt("Password", hide_input=True, err=True)
    )
    session = new_session(url, name, password)
    kept = keep_token(url, session.secret)
    answer = {"url": url, "user": name, "expires_ms": session.expires_ms, "kept_in": str(kept)}
    shown(answer, as_json, lambda _: f"{name} is logged in to {url}; the session is in {kept}")


def _by_browser(url: str, no_browser: bool, as_json: bool) -> None:
    import webbrowser

    from taut.ground.credentials import keep_token
    from taut.ground.oidc import hosts_for, provider_of
    from taut.ground.oidc.browser import code_by_browser, id_token_by_browser
    from taut.ground.remote import login_provider, session_for, session_for_code

    def show(page: str) -> None:
        opened = not no_browser and webbrowser.open(page)
        click.echo(f"{'if no browser opened, open' if opened else 'open'} this page to log in:\n{page}", err=True)

    provider = login_provider(url)
    if provider.takes_codes:
        found = provider_of(provider, allowed=hosts_for("", provider.issuer))
        session = session_for_code(url, *code_by_browser(provider, found, show))
    else:
        session = session_for(url, *id_token_by_browser(provider, show))
    kept = keep_token(url, session.secret)
    answer = {"url": url, "user": session.user, "expires_ms": session.expires_ms, "kept_in": str(kept)}
    shown(answer, as_json, lambda _: f"{session.user} is logged in to {url}; the session is in {kept}")


def _by_token(url: str, file: str, show_token: bool, as_json: bool) -> None:
    import os

    from taut.ground.credentials import keep_token
    from taut.ground.remote import exchange_id_token

    if file == "-":
        id_token = sys.stdin.read().strip()
    else:
        with open(file, encoding="utf-8", errors="replace") as opened:
            id_token = opened.read().strip()
    given = exchange_id_token(url, id_token, project=os.environ.get("TAUT_PROJECT", ""))
    answer = {"url": url, "project": given.project, "scopes": given.scope.split(), "life_s": given.expires_in}
    if show_token:
        shown({**answer, "token": given.access_token}, as_json, lambda _: given.access_token)
        return
    kept = keep_token(url, given.access_token)
    shown({**answer, "kept_in": str(kept)}, as_json, lambda _: (
        f"logged in to {url} for {given.project} ({given.scope}) for {given.expires_in // 60} minutes; "
        f"the token is in {kept}"
    ))  # fmt: skip


@click.command(epilog="Example: taut logout https://taut.example.org")
@click.argument("url")
@click.option("--everywhere", is_flag=True, help="End your sessions on other machines too.")
@json_option
def logout(url: str, everywhere: bool, as_json: bool) -> None:
    """End the session of a server, there and here."""
    from taut.errors import Denied
    from taut.govern import close_sessions
    from taut.ground.credentials import drop_token
    from taut.home import open_home

    try:
        with open_home(url) as home:
            ended = close_sessions(home, everywhere=everywhere)
    except Denied:  # It had ended there already.
        ended = 0
    drop_token(url)
    shown({"url": url, "ended": ended}, as_json, lambda _: f"logged out of {url}")
