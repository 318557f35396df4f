"""`python -m taut.serve`: what targets start: a recorded deployment, or in an image the model that lies in it."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from taut.errors import TautError
from taut.project import WORKERS_MAX
from taut.serve.supervising import Packed, Recorded, Source, serve


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; an error is two lines on stderr and its exit status."""
    parser = argparse.ArgumentParser(prog="python -m taut.serve")
    served = parser.add_mutually_exclusive_group(required=True)
    served.add_argument("--deployment", help="serve this deployment of the home, and log what it says")
    served.add_argument("--model-folder", type=Path, help="serve the model in this folder, without any home")
    parser.add_argument("--revision", type=int, default=0)
    parser.add_argument("--model", default="", help="what the folder holds, as NAME@NUMBER")
    parser.add_argument("--digest", default="", help="the digest that the folder must have")
    parser.add_argument("--graph", type=Path, help="the compiled model that answers in its place")
    parser.add_argument("--graph-digest", default="", help="the digest that the graph must have")
    parser.add_argument("--token-file", type=Path, help="with a model folder: callers must show the token in this file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--workers", type=int, default=os.environ.get("TAUT_WORKERS"),
        help="processes that answer; 0: one a core  [default: TAUT_WORKERS, else what the deployment asks for]",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    if given.workers is not None and not 0 <= given.workers <= WORKERS_MAX:
        parser.error(f"there are 0 to {WORKERS_MAX} workers, not {given.workers}")
    if given.token_file is not None and given.model_folder is None:
        parser.error("--token-file goes with --model-folder; a deployment asks its home who calls")
    source: Source = Recorded("", "", given.deployment, given.revision)
    if given.model_folder is not None:
        source = Packed(
            given.model_folder, given.model, given.digest, given.graph, given.graph_digest, given.token_file
        )
    try:
        serve(source, given.host, given.port, workers=given.workers)
    except TautError as error:
        sys.stderr.write(f"taut: {error}\n" + (f"  try: {error.hint}\n" if error.hint else ""))
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
