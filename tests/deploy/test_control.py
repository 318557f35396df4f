"""Asking a supervisor: what it says arrives whole, and whoever says nothing, or nonsense, is as good as not there."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taut.deploy.control import Asked, Failure, Told, ask_supervisor, is_heard, serve_revision
from taut.deploy.running import FrontState, Serving, open_door, publish, serving_now
from taut.errors import NotFound, Unavailable
from taut.ground import wire
from taut.ground.compute import handle_of

FRONT = FrontState(0, "7:1.2", 3, "ready", 4)


@pytest.fixture
def late(tmp_path: Path) -> Serving:
    (tmp_path / "late").mkdir()
    serving = Serving("late", 3, handle_of(os.getpid()), "http://127.0.0.1:1", "0.1", 1, (FRONT,), "a problem")
    publish(tmp_path, serving)
    return serving


@contextmanager
def behind_the_door(folder: Path, serving: Serving, answer: Callable[[bytes], bytes]) -> Iterator[None]:
    """Somebody who answers one visitor."""
    with open_door(folder, serving, "ctl") as door:
        door.setblocking(True)

        def once() -> None:
            line, _ = door.accept()
            with line:
                line.sendall(answer(line.recv(65_536)))

        thread = threading.Thread(target=once)
        thread.start()
        yield
        thread.join(10)


def test_what_is_asked_and_answered_arrives_as_it_was_said(tmp_path: Path, late: Serving):
    heard: list[Asked] = []

    def answer(said: bytes) -> bytes:
        assert said.endswith(b"\n")
        heard.append(wire.decode(said, Asked))
        return wire.encode(Told(late)) + b"\n"

    with behind_the_door(tmp_path, late, answer):
        told = ask_supervisor(tmp_path, late, Asked("serve", 4, 2))
    assert heard == [Asked("serve", 4, 2)]
    assert told == Told(late)


def test_a_refusal_is_an_error_that_names_the_revision_and_the_reason(tmp_path: Path, late: Serving):
    failure = Failure("Corrupt", "the model is damaged", "taut fsck")
    said = wire.encode(Told(late, failure)) + b"\n"
    with behind_the_door(tmp_path, late, lambda _: said), pytest.raises(Unavailable) as refused:
        serve_revision(tmp_path, late, 4, 2, within_s=5.0)
    assert refused.value.message == "deployment:late@4 did not come up: the model is damaged"
    assert refused.value.hint == "taut fsck"


def test_a_change_that_was_made_returns_what_serves_now(tmp_path: Path, late: Serving):
    with behind_the_door(tmp_path, late, lambda _: wire.encode(Told(late)) + b"\n"):
        assert serve_revision(tmp_path, late, 3, 2, within_s=5.0) == late


@pytest.mark.parametrize("said", [b"", b"\n", b"yes\n", b'{"serving": 1}\n', b'{"serving"'])
def test_nonsense_is_no_answer(tmp_path: Path, late: Serving, said: bytes):
    with behind_the_door(tmp_path, late, lambda _: said):
        assert ask_supervisor(tmp_path, late, Asked("look"), within_s=5.0) is None


def test_nobody_answers_for_the_dead_or_the_mute(tmp_path: Path, late: Serving):
    assert not is_heard(tmp_path, late)
    assert serve_revision(tmp_path, late, 4, 2, within_s=0.2) is None
    with open_door(tmp_path, late, "ctl"):  # It is open, and nobody comes to it: so does a supervisor that hangs.
        assert ask_supervisor(tmp_path, late, Asked("look"), within_s=0.2) is None


def test_a_door_that_a_dead_process_left_is_replaced(tmp_path: Path, late: Serving):
    open_door(tmp_path, late, "ctl").close()
    with behind_the_door(tmp_path, late, lambda _: wire.encode(Told(late)) + b"\n"):
        assert is_heard(tmp_path, late)


def test_a_door_does_not_block_whoever_looks_after_it(tmp_path: Path, late: Serving):
    with open_door(tmp_path, late, "ctl") as door, pytest.raises(BlockingIOError):
        door.accept()


@pytest.mark.parametrize("kind", ["NotFound", "SomethingOfAnotherVersion"])
def test_a_failure_becomes_the_error_that_it_was(kind: str):
    error = Failure(kind, "no such thing", "taut status").error
    assert (error.message, error.hint) == ("no such thing", "taut status")
    assert isinstance(error, NotFound) == (kind == "NotFound")


def test_files_of_an_older_taut_are_understood(tmp_path: Path):
    (tmp_path / "late").mkdir()
    old = {"deployment": "late", "revision": 2, "handle": handle_of(os.getppid()), "url": "http://127.0.0.1:1"}
    (tmp_path / "late" / f"2-{os.getppid()}.json").write_bytes(wire.encode(old))
    (found,) = serving_now(tmp_path, "late")
    assert (found.revision, found.taut, found.fronts) == (2, "", ())
