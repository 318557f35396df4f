"""`taut demo`: the story, told in a folder."""

import tempfile
import time
from pathlib import Path

import click

from taut.errors import UsageError
from taut.faces.cli.shown import json_option, shown

PICTURE = "taut-demo.html"


@click.command(epilog="Example: taut demo --keep flights")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Leave the project in this folder to play with."
)
@json_option
def demo(keep: Path | None, as_json: bool) -> None:
    """Watch a workflow grow up on the flights that left New York in 2013: will this one arrive 15 minutes late?

    With --keep the project stays, and a demo that was interrupted goes on.
    """
    try:
        from taut.faces.demo import tell
    except ImportError as missing:
        raise UsageError(f"the demo needs {missing.name}", hint="pip install 'taut[demo]'") from None
    started = time.monotonic()
    if keep is not None:
        keep = keep.absolute()
        keep.mkdir(parents=True, exist_ok=True)
        tell(keep, lambda line: click.echo(line, err=as_json))
        picture = keep / "late.html"
    else:
        with tempfile.TemporaryDirectory(prefix="taut-demo-") as folder:
            tell(Path(folder), lambda line: click.echo(line, err=as_json))
            picture = Path(PICTURE).absolute()
            picture.write_text((Path(folder) / "late.html").read_text())
    took_s = round(time.monotonic() - started, 1)
    shown({"picture": str(picture), "seconds": took_s}, as_json, lambda _: _closing(picture, keep, took_s))


def _closing(picture: Path, keep: Path | None, took_s: float) -> str:
    first = f"cd {keep}" if keep is not None else "taut demo --keep flights && cd flights"
    return "\n".join([
        "",
        f"The year in a picture: {picture}   ({took_s:.0f} s in all)",
        "Three commands to try next:",
        f"  {first} && taut deploy late",
        "  taut runs list",
        "  taut why flights-2013-07-04-06h.5",
    ])  # fmt: skip
