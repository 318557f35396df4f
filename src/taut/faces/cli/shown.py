"""How commands stand together and show what a verb answered: JSON for programs, a table or sentences for people."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

LIGHTS = {"ok": ("●", "green"), "warning": ("●", "yellow"), "failing": ("●", "red"), "missing": ("○", "white")}


class Group(click.Group):
    """Commands under one word; a misspelt one is told with the nearest."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which was probably meant."""
        if args and self.get_command(ctx, args[0]) is None:
            import difflib

            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            ctx.fail(f"there is no command {args[0]!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)


def json_option(command: F) -> F:
    """`--json`: the result on stdout as JSON whose fields stay."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def shown(value: T, as_json: bool, render: Callable[[T], str]) -> None:
    """Print a result: as JSON, or as `render` tells it."""
    if as_json:
        from taut.ground import wire  # Here alone: `taut --help` needs no JSON.

        click.echo(wire.encode(value))
    elif text := render(value):
        click.echo(text)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> str:
    """Columns aligned to their widest cell; numbers to the right. `empty` is said where there are no rows.

    >>> print(table(["name", "rows"], [["flights", 80789]], empty="nothing"))
    name      rows
    flights  80789
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return empty
    widths = [max(len(row[i]) for row in [list(headings), *cells]) for i in range(len(headings))]
    right = [all(_is_number(row[i]) for row in cells) for i in range(len(headings))]
    lines = ["  ".join(_padded(word, widths[i], right[i]) for i, word in enumerate(row)) for row in [headings, *cells]]
    return "\n".join(line.rstrip() for line in lines)


def plain(word: str | None) -> str | None:
    r"""Foreign text on one line of a terminal: what would move its cursor or colour it is written as an escape.

    >>> plain("a\x1b[31m") == "a" + chr(92) + "x1b[31m", plain("ä")
    (True, 'ä')
    """
    if word is None or word.isprintable():
        return word
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in word)


def light(state: str) -> str:
    """A coloured dot for `ok`, `warning`, `failing` or `missing`."""
    sign, colour = LIGHTS[state]
    return click.style(sign, fg=colour)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(".", "", 1).replace("-", "", 1).replace("e", "", 1).isdigit()


def _padded(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)
