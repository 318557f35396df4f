"""Deployments as processes of this machine: started to outlive us, ready before the old one goes, found again."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from taut import __version__
from taut.deploy.control import is_heard, serve_revision
from taut.deploy.deployments import patience_s
from taut.deploy.running import Serving, end_orphans, locked, log_path, reached, run_folder, serving_now
from taut.deploy.targets import Step
from taut.errors import Unavailable
from taut.ground.compute import is_alive, start_detached, stop_process
from taut.home import Home
from taut.project import DeploymentSpec
from taut.records import Deployment, DeploymentState

READY_WITHIN_S = 90.0  # Loading scikit-learn takes 2 to 4 s here; a loaded machine was seen to take ten times that.
ANSWER_WITHIN_S = 3.0  # A health check on an event loop that does nothing slow.
POLL_S = 0.02
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def plan(home: Home, deployment: Deployment, spec: DeploymentSpec) -> tuple[Step, ...]:
    """What `apply` would do to the processes of this machine; empty where the revision answers already."""
    folder = run_folder(home)
    living = serving_now(folder, deployment.name)
    same = next((one for one in living if one.revision == deployment.revision and _is_well(folder, one)), None)
    older = [one for one in living if same is None or one.handle != same.handle]
    fronts = f"{spec.workers} fronts" if spec.workers else "a front for each core"
    steps: list[Step] = []
    heir = None if same is not None else _adopting(folder, deployment, spec)
    if heir is not None:
        text = f"revision {deployment.revision} in the place of {heir.revision}, {fronts} at {heir.url}"
        steps.append(Step("change", f"process {heir.pid}", text))
    elif same is None:
        where = f"{spec.host}:{spec.port}" if spec.port else f"{spec.host}, on its last port or a free one"
        steps.append(Step("start", "process", f"revision {deployment.revision}, {fronts} at {where}"))
    ended = [one for one in older if heir is None or one.handle != heir.handle]
    steps += [
        Step("end", f"process {one.pid}", f"revision {one.revision}, after what it had accepted") for one in ended
    ]
    return tuple(steps)


def apply(home: Home, deployment: Deployment, spec: DeploymentSpec) -> DeploymentState:
    """Make this revision answer, then end every other process of the deployment; one that answers already is kept.

    A supervisor that serves another revision at the same address, of the same taut, changes its fronts in place.
    """
    folder = run_folder(home)
    with locked(folder, f"{deployment.name}.start"):
        current = _serving(folder, deployment)
        if current is not None and not _is_well(folder, current):
            stop_process(current.handle, grace_s=1.0)  # It lives and says nothing: it hangs.
            current = None
        if current is None:
            current = _adopted(home, folder, deployment, spec) or _spawn(home, folder, deployment, spec)
        for other in serving_now(folder, deployment.name):
            if other.handle != current.handle:
                stop_process(other.handle, grace_s=patience_s(home, other.deployment, other.revision))
    return DeploymentState(
        deployment.name, deployment.revision, "running", current.url, current.handle, home.clock.now_ms()
    )


def status(home: Home, state: DeploymentState) -> DeploymentState:
    """The state as it is now: running only where the process lives and answers."""
    if state.status == "stopped":
        return state
    lives = is_alive(state.handle) and answers(state.url)
    return replace(state, status="running" if lives else "failed", at_ms=home.clock.now_ms())


def remove(home: Home, state: DeploymentState) -> None:
    """End every process of the deployment, after the requests that it has accepted."""
    folder = run_folder(home)
    with locked(folder, f"{state.name}.start"):
        for serving in serving_now(folder, state.name):
            stop_process(serving.handle, grace_s=patience_s(home, serving.deployment, serving.revision))
        end_orphans(folder, state.name)


def logs(home: Home, state: DeploymentState, *, lines: int = 100) -> str:
    """The newest lines that the deployment's processes wrote."""
    try:
        written = log_path(run_folder(home), state.name).read_text(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(written.splitlines()[-lines:])


def answers(url: str) -> bool:
    """Whether a server says at the URL that it is ready."""
    import urllib3

    try:
        answer = urllib3.request(
            "GET", f"{url}/v2/health/ready", timeout=urllib3.Timeout(total=ANSWER_WITHIN_S), retries=False
        )
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == 200


def _is_well(folder: Path, serving: Serving) -> bool:
    """Whether its fronts answer, and the supervisor itself that keeps them."""
    return serving.url != "" and answers(serving.url) and is_heard(folder, serving)


def _adopting(folder: Path, deployment: Deployment, spec: DeploymentSpec) -> Serving | None:
    """The living supervisor that can change its fronts for this revision; None where a new one is needed.

    Its memory holds the taut that it was started with, and its socket has one address.
    """
    for one in serving_now(folder, deployment.name):
        older = one.url and one.revision < deployment.revision and one.taut == __version__
        if older and _is_at(one.url, spec) and is_heard(folder, one):
            return one
    return None


def _adopted(home: Home, folder: Path, deployment: Deployment, spec: DeploymentSpec) -> Serving | None:
    heir = _adopting(folder, deployment, spec)
    if heir is None:
        return None
    within_s = READY_WITHIN_S + patience_s(home, heir.deployment, heir.revision)
    return serve_revision(folder, heir, deployment.revision, spec.workers, within_s=within_s)


def _is_at(url: str, spec: DeploymentSpec) -> bool:
    """Whether a server at the URL listens where the deployment wants it."""
    place = urlsplit(url)
    return place.hostname == reached(spec.host) and spec.port in (0, place.port)


def _serving(folder: Path, deployment: Deployment) -> Serving | None:
    """The process that serves this very revision, once it does; None where there is none or it died loading."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        same = [s for s in serving_now(folder, deployment.name) if s.revision == deployment.revision]
        if not same or same[0].url:
            return same[0] if same else None
        time.sleep(POLL_S)  # Somebody started it and was killed while it loaded: it is worth waiting for.
    stop_process(same[0].handle, grace_s=1.0)
    return None


def _spawn(home: Home, folder: Path, deployment: Deployment, spec: DeploymentSpec) -> Serving:
    log = log_path(folder, deployment.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    written = log.stat().st_size if log.exists() else 0
    command = [
        sys.executable, "-m", "taut.serve", "--deployment", deployment.name, "--revision", str(deployment.revision),
        "--host", spec.host, "--port", str(spec.port), "--workers", str(spec.workers),
    ]  # fmt: skip
    handle = start_detached(command, log=log, folder=home.project, environment=_environment(home))
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        found = [s for s in serving_now(folder, deployment.name) if s.revision == deployment.revision and s.url]
        if found:
            return found[0]
        if not is_alive(handle):
            raise _unavailable(deployment, "did not come up", log, written)
        time.sleep(POLL_S)
    stop_process(handle, grace_s=1.0)
    raise _unavailable(deployment, f"was not ready within {READY_WITHIN_S:.0f} s", log, written)


def _environment(home: Home) -> dict[str, str]:
    """What the process gets beside our own: its home, and one thread a model call, for requests are the parallelism."""
    threads = {name: "1" for name in THREAD_SETTINGS if name not in os.environ}
    return {"TAUT_HOME": home.place, "TAUT_PROJECT": home.project_name, "PYTHONUNBUFFERED": "1", **threads}


def _unavailable(deployment: Deployment, what: str, log: Path, start: int) -> Unavailable:
    """The failure, in the words that the process wrote last."""
    with log.open("rb") as output:
        output.seek(start)
        lines = [line.strip() for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    told = [line.removeprefix("taut: ") for line in lines if line.startswith("taut: ")] or lines[-1:]
    return Unavailable(f"{deployment.point} {what}: {told[-1] if told else 'it said nothing'}", hint=f"tail {log}")
