"""Do two models say the same of the sample that was saved with them? Asked in the interpreter of the run."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from taut.runs.reproducing.outcomes import Outcome

PREDICT = Path(__file__).parent.parent / "capture" / "shim" / "predict.py"
TIMEOUT_S = 600.0
SAID_MAX = 300


@dataclass(frozen=True, slots=True)
class Predictions:
    """How far two models are apart on a sample; `gap` is None where they could not be compared, for `problem`."""

    gap: float | None
    rows: int = 0
    problem: str = ""


def compare_predictions(
    model: str, first: Outcome, second: Outcome, *, python: str, scratch: Path, environment: dict[str, str]
) -> Predictions:
    """Write both models (`models/NAME`) into folders of `scratch`, and ask them."""
    folders = []
    for number, outcome in enumerate((first, second)):
        folder = scratch / f"model-{number}"
        for name in outcome.digests:
            if name.startswith(f"{model}/"):
                data = outcome.read(name)
                if data is None:
                    return Predictions(None, problem=f"{name} was not kept")
                place = folder / name.removeprefix(f"{model}/")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        folders.append(str(folder))
    try:
        done = subprocess.run(
            [python, str(PREDICT), *folders],
            capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, cwd=scratch, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            return Predictions(None, problem=(done.stderr.strip() or "it said nothing").splitlines()[-1][:SAID_MAX])
        answer = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as problem:
        return Predictions(None, problem=f"{type(problem).__name__}: {problem}"[:SAID_MAX])
    if answer["gap"] is None:
        return Predictions(None, answer["rows"], "what they answer is not the same")
    return Predictions(float(answer["gap"]), int(answer["rows"]))
