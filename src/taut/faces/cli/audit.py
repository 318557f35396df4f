"""`taut audit`: which principles a workflow misses."""

import sys
from pathlib import Path

import click

from taut.faces.cli.shown import json_option, shown

PROSE_BYTES_MAX = 1_000_000
"""So much of a description is read; the audit itself says how many characters it takes."""


@click.command(epilog="Example: taut audit . --strict 60")
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.option("--text", is_flag=True, help="PATH is a description of the workflow in prose; - reads it from stdin.")
@click.option(
    "--strict", type=click.IntRange(0, 100), help="Exit with status 3 where the lowest principle scores below this."
)
@json_option
def audit(path: Path, text: bool, strict: int | None, as_json: bool) -> None:
    """Say which of the five MLOps principles a workflow misses, what that risks, and how to mend it."""
    from taut.audit import audit_path, audit_text, render_report
    from taut.ground.progress import progress

    if text:
        report = audit_text(_prose(path))
    else:
        with progress("audit", unit="step") as bar:
            report = audit_path(path, progress=bar)
    shown(report, as_json, lambda found: render_report(found, colour=sys.stdout.isatty()))
    scores = [principle.score for principle in report.principles if principle.score is not None]
    if strict is not None and scores and min(scores) * 100 < strict:
        sys.exit(3)


def _prose(path: Path) -> str:
    """The words of a description. Raises NotFound where there is none, Invalid where it cannot be read as words."""
    from taut.errors import Invalid, NotFound

    stdin = "echo '1. We train on a laptop.' | taut audit --text -"
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(PROSE_BYTES_MAX).decode("utf-8-sig")
        with path.open("rb") as opened:
            return opened.read(PROSE_BYTES_MAX).decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", hint=stdin) from None
    except IsADirectoryError:
        raise Invalid(f"{path} is a folder; --text reads a description in words", hint=f"taut audit {path}") from None
    except UnicodeDecodeError as error:
        told = "what came in on stdin" if str(path) == "-" else str(path)
        hint = stdin if str(path) == "-" else f"file {path}"
        raise Invalid(f"{told} is not UTF-8 text at byte {error.start:,}", hint=hint) from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise Invalid(f"{str(path)!r} cannot be read: {reason}", hint=f"ls -l {path}") from error
