"""The repositories that data was imported from: whether they have moved on since."""

import os
from typing import Any

from taut.errors import Unavailable

GIT_S = 60.0


def is_outdated(repo: dict[str, Any], folder: str) -> bool:
    """Whether a repository's branch or tag, its HEAD where none was said, is another commit than the one imported.

    `repo` is what a pointer says of it; a path in it begins in `folder`. A commit that was asked for by its name is
    never outdated. Raises Unavailable where git cannot read it.
    """
    url, rev, locked = (str(repo.get(key) or "") for key in ("url", "rev", "rev_lock"))
    if rev and locked.startswith(rev):
        return False
    place = os.path.normpath(os.path.join(folder, os.path.expanduser(url)))
    listed = _listed(place if "://" not in url and os.path.isdir(place) else url)
    for name in (f"refs/heads/{rev}", f"refs/tags/{rev}^{{}}", f"refs/tags/{rev}") if rev else ("HEAD",):
        if name in listed:
            return bool(locked) and listed[name] != locked
    return False


def _listed(url: str) -> dict[str, str]:
    """The commit of every branch and tag, asked of git without a clone."""
    import subprocess  # A status that asks nobody is over before this would be loaded.

    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", "ls-remote", "--", url],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=GIT_S, env=environment,
        )  # fmt: skip
    except FileNotFoundError:
        raise Unavailable("another repository is read through git, which is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{url} did not answer within {GIT_S:.0f} s", hint="taut data status --no-updates") from None
    if done.returncode:
        said = (done.stderr.strip() or "nothing").splitlines()[-1]
        raise Unavailable(f"{url} cannot be read: {said}", hint="taut data status --no-updates")
    pairs = (line.partition("\t")[::2] for line in done.stdout.splitlines())
    return {name: commit for commit, name in pairs}
