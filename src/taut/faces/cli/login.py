"""`taut login` and `taut logout`: a session of a server in place of a password, kept in a file of this user alone."""

import sys

import click

from taut.errors import UsageError
from taut.faces.cli.shown import json_option, shown


@click.command(epilog="Example: taut login https://taut.example.org")
@click.argument("url")
@click.option("--user", default="", metavar="NAME", help="Who you are there.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")
@json_option
def login(url: str, user: str, password_stdin: bool, as_json: bool) -> None:
    """Log in to a server once; every command with its URL as home is you from then on."""
    from taut.ground.credentials import keep_token
    from taut.ground.remote import new_session

    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is no URL of a server", hint="taut login https://HOST")
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
