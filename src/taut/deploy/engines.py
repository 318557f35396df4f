"""The container engines of this machine, through their own commands: found, asked, and their refusals told."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taut.errors import Unavailable, UsageError

ANSWERS_WITHIN_S = 20.0
# In this order: who has a Docker engine expects it to be used; buildah builds and cannot run.
BUILDERS = ("docker", "podman", "buildah")
RUNNERS = ("docker", "podman")
WORDS_TOLD = 400  # As many characters of an engine's last words as an error shows.


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine whose command answers; all of them understand Docker's words."""

    name: str

    def run(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        within_s: float | None = 60.0,
        errors: bool = False,
    ) -> str:
        """Run the engine's command; returns what it printed, on standard error too where asked for.

        Raises Unavailable with its last words.
        """
        return run_program([self.name, *arguments], environment=environment, within_s=within_s, errors=errors)

    def build(self, context: Path, tag: str) -> str:
        """Build the context's Dockerfile as `tag`; returns the image's id. It may take minutes."""
        words = {
            "docker": ["build", "--quiet"],
            # An image in the OCI format has no health check; Docker's has.
            "podman": ["build", "--quiet", "--format", "docker"],
            "buildah": ["bud", "--quiet", "--format", "docker"],
        }[self.name]
        said = self.run(*words, *pip_secret(context), "--tag", tag, str(context), within_s=None)
        return said.strip().splitlines()[-1].removeprefix("sha256:")


def pip_secret(context: Path) -> list[str]:
    """The words that lend pip's settings of this user to a build that asks for them; none for one that does not."""
    if "--mount=type=secret,id=pip" not in (context / "Dockerfile").read_text():
        return []
    places = [os.environ.get("PIP_CONFIG_FILE", ""), str(Path.home() / ".config/pip/pip.conf"), "/etc/pip.conf"]
    found = next((place for place in places if place and Path(place).is_file()), None)
    return ["--secret", f"id=pip,src={found}"] if found else []


def find_engine(names: Sequence[str] = BUILDERS) -> Engine | None:
    """The first engine that is installed and answers; TAUT_ENGINE names one that is to be taken. None without one.

    Raises UsageError for a TAUT_ENGINE that cannot do what is asked, Unavailable where the named one does not answer.
    """
    wanted = os.environ.get("TAUT_ENGINE", "")
    if wanted and wanted not in names:
        raise UsageError(f"TAUT_ENGINE is {wanted!r}; here it may be {', '.join(names)}", hint="unset TAUT_ENGINE")
    if wanted:
        run_program([wanted, "info"], within_s=ANSWERS_WITHIN_S)
        return Engine(wanted)
    return next((Engine(name) for name in names if shutil.which(name) and _answers(name)), None)


def require_engine() -> Engine:
    """An engine that runs containers. Raises UsageError where there is none."""
    found = find_engine(RUNNERS)
    if found is None:
        raise UsageError(
            "no container engine answers: neither docker nor podman",
            hint="docker info, or deploy with --target process",
        )
    return found


def run_program(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    within_s: float | None = 60.0,
    errors: bool = False,
    fine: tuple[int, ...] = (),
) -> str:
    """Run a program to its end; returns its standard output, with `errors` its standard error too.

    Exit statuses in `fine` are no failure, beside 0.

    Raises UsageError where it is not installed, Unavailable where it fails (with its last words) or takes too long.
    """
    try:
        done = subprocess.run(
            command,
            check=False,  # Its refusal is told below, in its own words.
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors else subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=within_s,
        )
    except FileNotFoundError:
        raise UsageError(f"the program {command[0]} is not installed", hint=f"install {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"`{_shown(command)}` took longer than {within_s:.0f} s") from None
    if done.returncode and done.returncode not in fine:
        said = ((done.stderr or "").strip() or done.stdout.strip() or f"exit status {done.returncode}")[-WORDS_TOLD:]
        raise Unavailable(f"`{_shown(command)}` failed: {' '.join(said.split())}", hint=_whole(command))
    return done.stdout


def _answers(name: str) -> bool:
    try:
        run_program([name, "info"], within_s=ANSWERS_WITHIN_S)
    except Unavailable:
        return False  # Installed, but its daemon is not up: the next one may be.
    return True


def _shown(command: Sequence[str]) -> str:
    return " ".join(command[:2])


def _whole(command: Sequence[str]) -> str:
    import shlex

    return shlex.join(command)
