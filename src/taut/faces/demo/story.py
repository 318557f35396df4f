"""The story: acts of ordinary commands, each shown with what it answered, each skipped where it is done already.

There is no file that says how far the story got: what is done is asked of the project itself. So it may be killed
anywhere, and told again it goes on.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from taut.errors import Unavailable
from taut.faces.demo.reached import first_run, has_champion, is_committed, is_judged
from taut.faces.demo.year import fly, last_prediction, told_alert
from taut.home import open_home

Say = Callable[[str], None]
LINES_MAX = 12  # More output than this is a page, not an answer.
FILES = ("prepare.py", "train.py", "taut.yaml")
TRAIN = "python train.py data/train.csv --holdout data/holdout.csv"


@dataclass(frozen=True, slots=True)
class Step:
    """A command as a reader would type it; `done` says whether it needs no repeating, `lines` how much is shown."""

    command: str
    done: Callable[[Path], bool] = lambda project: False
    lines: int = LINES_MAX
    statuses: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Act:
    """A part of the story: its heading, why it is told, and its commands."""

    title: str
    says: str
    steps: tuple[Step, ...]


BEFORE = Act(
    "The workflow that everyone has",
    "A model is trained on a laptop, copied to a server and never looked at again. What does that miss?",
    (Step("taut audit --text before/WORKFLOW.txt", lines=17), Step("taut audit before", lines=17)),
)
GROWING = (
    Act(
        "1. Reproducibility",
        "Code under version control, data snapshot by content, and a run that records all it took.",
        (
            Step("git init --quiet", lambda project: (project / ".git").is_dir()),
            Step("taut init", lambda project: (project / ".taut").is_dir(), lines=2),
            Step("python prepare.py", lambda project: (project / "data/train.csv").exists()),
            Step("taut data add data/train.csv"),
            Step("taut data add data/holdout.csv"),
            Step("git add --all && git commit --quiet -m 'Predict late flights'", is_committed),
            Step(f"taut run --name first -- {TRAIN}", lambda project: first_run(project) != ""),
        ),
    ),
    Act(
        "2. Automation",
        "A version becomes champion through a gate, not by a copy; one file says what shall serve and be watched.",
        (
            Step("taut model register late --run {run}"),
            Step("taut gate late@1", is_judged),
            Step("taut model promote late@1", has_champion),
            Step("taut plan"),
            Step("taut apply"),
            Step("taut ci github", lambda project: (project / ".github/workflows/taut.yml").exists()),
        ),
    ),
)
AFTER = Act(
    "5. Why?",
    "Any prediction is pulled back to the bytes, any bytes forward to all they reached, and any page tells its story.",
    (
        Step("taut why {prediction}", lines=60),
        Step("taut why {alert}", lines=60),
        Step("taut watch status late", lines=4),
        Step("taut watch alerts late"),
        Step("taut watch report late --out late.html"),
        Step("taut fsck"),
        Step("taut audit .", lines=14),
        Step("taut status"),
        Step("taut deploy late --stop"),
    ),
)


def tell(project: Path, say: Say) -> None:
    """Tell the whole story in a folder, from wherever it stands there. Raises Unavailable where a command fails."""
    _lay_out(project)
    _play(project, BEFORE, say)
    for act in GROWING:
        _play(project, act, say)
    _head("3. Scale, and 4. Monitoring", "The rest of the year arrives in time order; labels come a day later.", say)
    with open_home(project) as home:
        fly(home, project, say)
    _play(project, AFTER, say)


def _lay_out(project: Path) -> None:
    """Write the demo's files, those that are there left as they are."""
    source = files("taut.faces.demo").joinpath("flights")
    for name in FILES:
        _copy(source.joinpath(name).read_text(), project / name)
    for entry in source.joinpath("before").iterdir():
        if entry.is_file():
            # Nobody should take for ours what stands there as an example of what not to do: hence `train.py.txt`.
            _copy(entry.read_text(), project / "before" / entry.name.replace(".py.txt", ".py"))
    _copy("live/\nbefore/\n.venv/\n__pycache__/\n*.part\nlate.html\n", project / ".gitignore")


def _copy(text: str, path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_text(text)
        part.replace(path)


def _play(project: Path, act: Act, say: Say) -> None:
    _head(act.title, act.says, say)
    for step in act.steps:
        command = _filled(project, step.command)
        if step.done(project):
            say(f"$ {command}   (done before)")
            continue
        say(f"$ {command}")
        for line in _run(project, command, step.statuses, step.lines):
            say(f"  {line}")


def _head(title: str, says: str, say: Say) -> None:
    say("")
    say(f"== {title}")
    say(says)


def _filled(project: Path, command: str) -> str:
    """The command with the ids that only a running story knows."""
    if "{run}" in command:
        return command.replace("{run}", first_run(project)[:8])
    if "{prediction}" in command:
        with open_home(project) as home:
            return command.replace("{prediction}", last_prediction(home))
    if "{alert}" in command:
        with open_home(project) as home:
            return command.replace("{alert}", told_alert(home))
    return command


def _run(project: Path, command: str, statuses: Sequence[int], lines_max: int) -> list[str]:
    """Run a command as a shell would in the project, with this very taut and Python first on the path."""
    folder = os.fspath(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
        "TAUT_HOME": os.fspath(project),
        **{f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in GIT_IDENTITY.items()},
    }
    ended = subprocess.run(
        ["/bin/sh", "-c", command], cwd=project, env=environment, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    lines = ended.stdout.rstrip().splitlines()
    if ended.returncode not in statuses:
        raise Unavailable(
            f"`{command}` ended with {ended.returncode}: {' / '.join(lines[-3:])}", hint=f"cd {project} && {command}"
        )
    hidden = len(lines) - lines_max
    return lines if hidden <= 1 else [*lines[: lines_max - 1], f"… {hidden + 1} more lines"]


GIT_IDENTITY = {"NAME": "Ada", "EMAIL": "ada@example.org"}  # So that the demo commits on a machine without one.
