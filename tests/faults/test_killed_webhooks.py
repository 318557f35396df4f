"""Deliveries of webhooks when the server dies: before, while and after it sends, on both databases."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest

from taut.govern import create_webhook, tell_webhooks
from taut.home import Home
from taut.models import create_model
from tests.faces.receiving import Receiver, receiving
from tests.parts import eventually

TELL = "import sys; from taut.home import open_home; from taut.govern import tell_webhooks; "
TELL += "tell_webhooks(open_home(sys.argv[1]))"
YEARS_MS = 100 * 31_536_000_000


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as one:
        monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", f"127.0.0.1:{one.port}")
        yield one


def teller(home: Home) -> subprocess.Popen[bytes]:
    """A process of its own that tells the webhooks of a home once."""
    return subprocess.Popen([sys.executable, "-c", TELL, home.place], env=dict(os.environ))


def test_what_a_killed_server_had_sent_is_sent_again_under_its_id(home: Home, receiver: Receiver):
    create_webhook(home, "hook", receiver.url, ["registered_model.created"], secret="s")
    for name in ("first", "second"):
        create_model(home, name)
    receiver.held.clear()  # The request arrives and is not answered: the sender is in the middle of it.
    sender = teller(home)
    receiver.await_count(1)
    sender.send_signal(signal.SIGKILL)
    assert sender.wait(20) == -signal.SIGKILL
    receiver.held.set()
    assert tell_webhooks(home) == 0  # Its claim still holds, and what comes later waits behind it.
    home.clock.pass_ms(YEARS_MS)  # type: ignore[attr-defined]  # The process claimed by the machine's clock.
    receiver.answers = lambda _: 200
    with home.meta.transaction() as tx:  # Nor is it old news: the test's clock jumped, not time.
        tx.execute("UPDATE webhook_delivery SET at_ms = :now", {"now": home.clock.now_ms()})
    tell_webhooks(home)
    ids = [heard.headers["x-mlflow-delivery-id"] for heard in receiver.heard]
    assert [heard.told["data"]["name"] for heard in receiver.heard] == ["first", "first", "second"]
    assert ids[0] == ids[1] != ids[2]


def test_what_happened_while_no_server_ran_is_told_by_the_next(home: Home, receiver: Receiver):
    create_webhook(home, "hook", receiver.url, ["registered_model.created"])
    for number in range(3):
        create_model(home, f"m{number}")
    sender = teller(home)
    assert sender.wait(60) == 0
    assert [heard.told["data"]["name"] for heard in receiver.heard] == ["m0", "m1", "m2"]


def test_a_server_tells_by_itself_and_goes_on_after_it_was_killed(home: Home, receiver: Receiver, free_port: int):
    create_webhook(home, "hook", receiver.url, ["registered_model.created"])
    command = [sys.executable, "-m", "taut", "--home", home.place, "server", "--port", str(free_port)]
    for number in (1, 2):
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            create_model(home, f"m{number}")
            # Killed between an answer and its note, the next one would wait for the claim to run out.
            eventually(partial(done, home, number), what=f"delivery {number}")
        finally:
            server.kill()
            server.wait(20)
    assert [heard.told["data"]["name"] for heard in receiver.heard] == ["m1", "m2"]


def done(home: Home, number: int) -> bool:
    """Whether so many deliveries have ended well."""
    with home.meta.read() as tx:
        return tx.row("SELECT count(*) FROM webhook_delivery WHERE status = 'done'") == (number,)
