"""`python -m taut.serve.log`: the process that seals what the fronts of a deployment wrote, out of their way."""

import argparse
import os
import select
import signal
import sys
from collections.abc import Sequence

from taut.errors import TautError, Unavailable
from taut.home import Home, open_home
from taut.serve.log.keeping import keep_in_order, policy_for
from taut.serve.log.learning import learn_answers

NICE = 19
ROUND_S, ROUND_AFAR_S = 10.0, 3.0
"""Between two rounds: of a home in a folder, whose journals are read as they are; and of a server, which sees segments
alone. With the time that a round takes, what is said is there within 10 s."""


def main(arguments: Sequence[str]) -> int:
    """Seal until SIGTERM, or the process that started this one is gone; then once more, what is left."""
    parser = argparse.ArgumentParser(prog="python -m taut.serve.log")
    parser.add_argument("--deployment", required=True)
    parser.add_argument("--home", default="")
    parser.add_argument("--project", default="")
    parser.add_argument("--learn", action="store_true", help="learn the ids that were answered before, then end")
    parser.add_argument("--once", action="store_true", help="one round, then end")
    given = parser.parse_args(arguments)
    os.nice(NICE)
    # Arrow's own memory comes in pages of 2 MiB, to be cleared whole; this process needs it for a second.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    sys.meta_path.insert(0, _NoPandas())
    ends, told = os.pipe()  # A lock that is waited for may be held when the signal comes.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(told, b"."))
    try:
        with open_home(given.home, project=given.project) as home:
            if given.learn:
                learn_answers(home, given.deployment, policy_for(home, given.deployment))
                return 0
            if not given.once:
                _go_on(home, given.deployment, ends)
            keep_in_order(home, given.deployment, also_written=home.remote is not None)
    except TautError as error:
        sys.stderr.write(f"taut: {error}\n" + (f"  try: {error.hint}\n" if error.hint else ""))
        return error.exit_status
    return 0


class _NoPandas:
    """Says that there is no pandas: Arrow would load it, to ask whether what it is given is one of its tables."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Raises ModuleNotFoundError for pandas."""
        if name == "pandas":
            raise ModuleNotFoundError("nothing here is of pandas", name=name)


def _go_on(home: Home, deployment: str, ends: int) -> None:
    parent, afar = os.getppid(), home.remote is not None
    round_s = ROUND_AFAR_S if afar else ROUND_S
    while not select.select([ends], [], [], round_s)[0] and os.getppid() == parent:
        try:
            keep_in_order(home, deployment, also_written=afar)
        except Unavailable as problem:  # A store is away; the journals wait for it.
            sys.stderr.write(f"taut: the prediction log of {deployment} is not sealed: {problem}\n")


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # All is closed; threads of Arrow that the interpreter would wait for were seen to abort it.
