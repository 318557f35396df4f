"""The real DVC, unchanged, imported once and forked for each command: a command costs 0.1 s instead of one.

Run by DVC's own interpreter it is the server; imported by a test it is the client.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def serve() -> None:
    """Answer commands, a line each, until the input ends."""
    import importlib

    import dvc.cli  # type: ignore[import-not-found, unused-ignore]  # Of the other interpreter.

    known: set[str] = set()
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryDirectory() as folder:
            child = os.fork()
            if child == 0:
                told = [os.open(f"{folder}/{name}", os.O_RDWR | os.O_CREAT) for name in ("out", "err")]
                os.dup2(told[0], 1)
                os.dup2(told[1], 2)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.chdir(asked["folder"])
                os.environ.clear()
                os.environ.update(asked["environment"])
                os.environ["PWD"] = asked["folder"]
                sys.argv = ["dvc", *asked["arguments"]]
                code = dvc.cli.main(asked["arguments"])
                sys.stdout.flush()
                sys.stderr.flush()
                Path(folder, "modules").write_text("\n".join(sys.modules))
                os._exit(code & 0xFF)
            _, status = os.waitpid(child, 0)
            modules = Path(folder, "modules")
            for name in sorted(set(modules.read_text().split("\n")) - known if modules.exists() else ()):
                known.add(name)
                try:
                    importlib.import_module(name)
                except Exception:  # noqa: BLE001  # It is only a head start.
                    continue
            answer = {name: Path(folder, name).read_text(errors="replace") for name in ("out", "err")}
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), **answer}), flush=True)


class WarmDvc:
    """A server of DVC commands, started at the first."""

    def __init__(self, program: str) -> None:
        first = Path(program).read_bytes().split(b"\n", 1)[0].decode()
        self._interpreter = first.removeprefix("#!").strip()
        self._server: subprocess.Popen[str] | None = None

    def __call__(self, folder: Path, *arguments: str) -> str:
        """What a command prints. Fails where it does."""
        done = self.run(folder, *arguments)
        assert done["code"] == 0, f"dvc {' '.join(arguments)}: {done['out']}{done['err']}"
        return str(done["out"])

    def run(self, folder: Path, *arguments: str) -> dict[str, Any]:
        """Exit status and both streams of a command."""
        if self._server is None:
            command = [self._interpreter, __file__]
            self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        environment = {**os.environ, "DVC_TEST": "true", "DVC_NO_ANALYTICS": "1"}
        for name in ("PYTHONPATH", "PYTHONHOME"):
            environment.pop(name, None)
        asked = {"folder": str(folder), "arguments": arguments, "environment": environment}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        done: dict[str, Any] = json.loads(self._server.stdout.readline())
        return done

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            assert self._server.stdin is not None
            assert self._server.stdout is not None
            self._server.stdin.close()
            self._server.wait(10)
            self._server.stdout.close()


if __name__ == "__main__":
    serve()
