"""What git knows of a folder, asked in a way that runs nothing which the repository brings along."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ASK_TIMEOUT_S = 10.0
"""Git answers these questions in milliseconds; a repository that takes longer is left unknown."""

COMMITS_MAX = 100
"""Commits that are looked at; more would not change an answer."""

_HARMLESS = (
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false",
    "-c", "protocol.allow=never", "-c", "safe.directory=*", "-c", "core.pager=cat", "-c", "diff.external=",
)  # fmt: skip
"""A repository's own settings may name programs; these take each of those that our questions could reach away."""


@dataclass(frozen=True, slots=True)
class History:
    """What git says: is there a repository, which files it tracks or sees, and how its history looks.

    `state` is "none" without a repository, "unread" where git is missing or failed (`reason` says which), "empty"
    before the first commit, else "commits". `shallow` is only asked where one commit is seen. `merges` counts
    commits with two parents or a pull request's number.
    """

    state: str
    reason: str = ""
    tracked: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    commits: int = 0
    merges: int = 0
    shallow: bool = False


def read_history(root: Path) -> History:
    """Ask git about the folder; a folder that merely lies below some repository's root counts as part of it."""
    if not _has_repository(root):
        return History("none")
    if shutil.which("git") is None:
        return History("unread", "git is not installed here")
    listed = _ask(root, "ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard")
    if listed is None:
        return History("unread", "git could not read the repository")
    tagged = [(one[:1], one[2:]) for one in listed.split("\0") if len(one) > 2]
    log = _ask(root, "log", f"--max-count={COMMITS_MAX}", "--format=%P%x00%s%x01", "HEAD", "--", ".") or ""
    commits = [line.strip("\n").split("\0", 1) for line in log.split("\x01") if "\0" in line]
    return History(
        "commits" if commits else "empty",
        "",
        tuple(dict.fromkeys(path for tag, path in tagged if tag != "?")),
        tuple(path for tag, path in tagged if tag == "?" and not path.endswith("/")),
        len(commits),
        sum(" " in parents or "(#" in subject or subject.startswith("Merge ") for parents, subject in commits),
        len(commits) == 1 and _is_shallow(root),
    )


def _is_shallow(root: Path) -> bool:
    return (_ask(root, "rev-parse", "--is-shallow-repository") or "").strip() == "true"


def _has_repository(root: Path) -> bool:
    return any((folder / ".git").exists() for folder in (root, *root.parents))


def _ask(root: Path, *question: str) -> str | None:
    """Git's answer, or None where it has none."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    surroundings |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", os.fspath(root), *_HARMLESS, "--no-pager", *question],
            env=surroundings, stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None
