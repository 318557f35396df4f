"""The `taut` command: its commands in groups along the line, and the one place where errors become two lines."""

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from taut import __version__
from taut.errors import Denied, Invalid, NotFound, TautError, Unavailable
from taut.faces.cli.shown import Group

# Heading -> command -> (where it is, what it does). The words stand here so that `taut --help` imports nothing.
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Start": {
        "demo": ("demo:demo", "Watch a workflow grow up, on real flights, in two minutes"),
        "init": ("start:init", "Make a taut project in this folder"),
        "audit": ("audit:audit", "Say which MLOps principles a workflow misses, the risk and the remedy"),
        "status": ("start:status", "Show the whole line with its lights, and what to do next"),
    },
    "The line": {
        "data": ("data:data", "Snapshot data, compare versions, get one back"),
        "run": ("runs:run", "Run a command and record all it takes to run it again"),
        "reproduce": ("reproduce:reproduce", "Run a run again and say how far both agree"),
        "runs": ("runs:runs", "List, show and compare runs"),
        "traces": ("traces:traces", "List and show traces of applications"),
        "model": ("model:model", "Register, list, show and promote models"),
        "gate": ("model:gate", "Ask whether a model version may go live"),
        "deploy": ("deploy:deploy", "Put a model version behind an endpoint, all of it or a part"),
        "rollback": ("rollout:rollback", "Take back what was deployed last"),
        "deployments": ("rollout:deployments", "List deployments, or the revisions of one"),
        "serve": ("deploy:serve", "Serve one model in this terminal"),
        "predict": ("deploy:predict", "Ask a deployment"),
        "batch": ("batch:batch", "Score files of any size, each row once"),
        "predictions": ("predictions:predictions", "Query and export what a deployment answered"),
        "labels": ("predictions:labels", "Tell what turned out to be true of predictions"),
        "watch": ("watch:watch", "See windows, alerts and the picture of a deployment"),
        "why": ("trace:why", "Trace a prediction back to the bytes, and on to all they reached"),
    },
    "Automation": {
        "up": ("loop:up", "Keep the loop closed: watch, retrain, gate, roll out"),
        "plan": ("loop:plan", "Show what taut.yaml would change"),
        "apply": ("loop:apply", "Make it so"),
        "image": ("deploy:image", "Write a Dockerfile for a model and build it"),
        "ci": ("ci:ci", "Write a workflow for GitHub Actions or Jenkins"),
    },
    "The place": {
        "server": ("place:server", "Serve this home to a team: taut's own API and MLflow's"),
        "login": ("login:login", "Log in to a server, once"),
        "logout": ("login:logout", "End the session of a server"),
        "project": ("access:project", "Make and list projects, each a home of its own"),
        "access": ("access:access", "Say who may do what in which project"),
        "user": ("user:user", "Make users, and grant them single things"),
        "import": ("moving:import_", "Move in: copy a whole MLflow store into this home"),
        "export": ("moving:export", "Move out: copy this home to an MLflow server or an mlruns folder"),
        "token": ("place:token", "Make, list and revoke tokens"),
        "ledger": ("ledger:ledger", "Read, prove and anchor what was done, by whom"),
        "fsck": ("place:fsck", "Check that nothing is lost, torn or altered"),
        "backup": ("keeping:backup", "Copy everything, while others write"),
        "restore": ("keeping:restore", "Fill an empty place from a backup"),
        "gc": ("keeping:gc", "Remove for good what was deleted, and what nothing refers to"),
    },
}


class LineGroup(Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the line."""
        return [name for commands in COMMANDS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        for commands in COMMANDS.values():
            if cmd_name in commands:
                module, _, attribute = commands[cmd_name][0].partition(":")
                command = getattr(import_module(f"taut.faces.cli.{module}"), attribute)
                assert isinstance(command, click.Command)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under their headings."""
        for heading, commands in COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, says) for name, (_, says) in commands.items()])


@click.group(
    cls=LineGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: taut demo",
)
@click.version_option(__version__, message="taut %(version)s")
@click.option(
    "--home", metavar="PLACE", help="Project folder or server URL  [default: TAUT_HOME, else the nearest project]"
)
@click.option("--project", metavar="NAME", help="A project of that place  [default: TAUT_PROJECT, else 'default']")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def taut(home: str | None, project: str | None, debug: bool) -> None:
    """One line pulled tight from the bytes a model learned from to each prediction it makes, and back again."""
    if home is not None:
        os.environ["TAUT_HOME"] = home  # Commands that a command starts open the same home.
    if project is not None:
        os.environ["TAUT_PROJECT"] = project


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; ends the process with the exit status that `docs/errors.md` lists."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Words after `--`, or behind `taut run`, may be options of another program.
    ours = given[: min((given.index(word) for word in ("--", "run") if word in given), default=len(given))]
    debug = "--debug" in ours
    try:
        words = [word for word in ours if word != "--debug"] + given[len(ours) :]
        status = taut.main(words, prog_name="taut", standalone_mode=False)
    except TautError as error:
        status = _told(error, given, debug=debug)
    except click.exceptions.Exit as ended:
        status = ended.exit_code
    except click.ClickException as mistake:
        status = _told_usage(mistake, given)
    except (KeyboardInterrupt, click.Abort):
        click.echo("taut: interrupted; nothing is half done", err=True)
        status = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Whoever read our output has had enough.
        status = 0
    except OSError as problem:
        if problem.filename is None:
            raise
        status = _told(_about_file(problem), given, debug=debug)
    sys.exit(status if isinstance(status, int) else 0)


def _about_file(problem: OSError) -> TautError:
    """What the system said of a file that a command was to read or write."""
    kind: type[TautError] = Unavailable
    if problem.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        kind = Denied
    elif problem.errno == errno.ENOENT:
        kind = NotFound
    elif problem.errno in {errno.EISDIR, errno.ENOTDIR, errno.EEXIST}:
        kind = Invalid
    return kind(f"{problem.filename}: {(problem.strerror or str(problem)).lower()}")


def _told(error: TautError, given: list[str], *, debug: bool) -> int:
    if debug:
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    click.echo(f"taut: {error}", err=True)
    # Rooms leave the hint out where only whoever typed the words knows better; their help says what may stand there.
    click.echo(f"  try: {error.hint or f'{_command_in(given)} --help'}", err=True)
    return error.exit_status


def _command_in(given: list[str]) -> str:
    """The words of a command line that name its command: `taut runs show` of `taut --home X runs show 3fa1`."""
    context = click.Context(taut, info_name="taut")
    named, command = ["taut"], context.command
    for word in given:
        found = command.get_command(context, word) if isinstance(command, click.Group) else None
        if found is not None:
            named, command = [*named, word], found
    return " ".join(named)


def _told_usage(mistake: click.ClickException, given: list[str]) -> int:
    message = mistake.format_message().rstrip(".")
    if isinstance(mistake, click.NoSuchOption):
        close = f"; did you mean {mistake.possibilities[0]!r}?" if mistake.possibilities else ""
        message = f"there is no option {mistake.option_name!r}{close}"
    click.echo(f"taut: {message[:1].lower()}{message[1:]}", err=True)
    context: Any = getattr(mistake, "ctx", None)
    click.echo(f"  try: {context.command_path if context else _command_in(given)} --help", err=True)
    return 2
