"""A supervisor from its start to its end: look, follow the predecessor on its socket, fork, leave nothing behind."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from taut.deploy.running import Serving, announce, end_orphans, take_over, withdraw
from taut.errors import UsageError
from taut.ground import wire
from taut.ground.compute import handle_of
from taut.serve.supervising.children import answer_of, share_memory, threads
from taut.serve.supervising.fleet import Patience
from taut.serve.supervising.listening import listener_at
from taut.serve.supervising.sources import Looked, Recorded, Source
from taut.serve.supervising.supervisor import Supervisor, Told

# Fronts are the parallelism: a library that starts threads of its own would have them contend for the same cores.
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def serve(
    source: Source,
    host: str,
    port: int,
    *,
    workers: int | None = None,
    told: Told = lambda _: None,
    patience: Patience | None = None,
) -> None:
    """Serve a source with so many `workers` (None: what it asks for; 0: one a core) until SIGTERM or Ctrl-C.

    `told` hears the URL once every front answers there. Where the supervisor of an older revision of the same
    deployment lives, its socket is taken over, so that no connection is lost. Port 0 takes the deployment's last port
    where it is free, else any. Raises what keeps the source from being served, Conflict where this revision is served
    already or the port is taken, UsageError in a process that has threads: it could not fork safely.
    """
    if threads() != 1:
        raise UsageError(
            "only a process with a single thread can serve, for it forks the processes that answer",
            hint="taut serve --help, in a process of its own",
        )
    for name in THREAD_SETTINGS:
        os.environ.setdefault(name, "1")
    looked = wire.decode(answer_of(lambda: wire.text(source.look())), Looked, what="what was found in the home")
    folder = Path(looked.folder) if looked.folder else None
    mine = Serving(looked.name, looked.revision, handle_of(os.getpid()), "")
    if folder is not None:
        mine = announce(folder, looked.name, looked.revision)
    if isinstance(source, Recorded):
        source = source.at(looked.revision)
    try:
        taken = None
        if folder is not None:
            end_orphans(folder, looked.name)  # Before the port is asked for, which they may still hold.
            taken = take_over(folder, looked.name)
        with listener_at(taken, host, port, looked.last_port) as listener:
            _prepare(looked)
            wanted = looked.workers if workers is None else workers
            Supervisor(
                source, mine, listener, workers=wanted, folder=folder, told=told, patience=patience or Patience()
            ).run()
    finally:
        if folder is not None:
            withdraw(folder, mine)


def _prepare(looked: Looked) -> None:
    """Import what all fronts need, so that their memory is one; what starts threads is left to the fronts."""
    if looked.compiled and all(os.environ[name] == "1" for name in THREAD_SETTINGS):
        with suppress(ImportError):  # Then the fronts will say what is missing.
            import numpy  # noqa: F401
    from cryptography.hazmat.primitives.ciphers import aead  # noqa: F401  # For the log.

    if threads() != 1:
        sys.stderr.write(f"{threads()} threads before the first fork: a library started them as it was imported\n")
    share_memory()
