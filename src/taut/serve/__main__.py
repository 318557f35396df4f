"""`python -m taut.serve`: what the process target starts; the same as `taut serve --deployment`, without the CLI."""

import argparse
import sys
from collections.abc import Sequence

from taut.errors import TautError
from taut.home import open_home
from taut.serve.server import serve_deployment


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; an error is two lines on stderr and its exit status."""
    parser = argparse.ArgumentParser(prog="python -m taut.serve")
    parser.add_argument("--deployment", required=True)
    parser.add_argument("--revision", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        with open_home() as home:
            serve_deployment(home, given.deployment, given.revision, given.host, given.port)
    except TautError as error:
        sys.stderr.write(f"taut: {error.message}\n" + (f"  try: {error.hint}\n" if error.hint else ""))
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
