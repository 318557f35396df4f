"""A supervisor far from its home's server: what it answered is there when it has ended, for a container takes all."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.home import Home, open_home
from taut.serve import list_predictions
from taut.serve.log.keeping import keep_in_order
from tests.faces.serving import served
from tests.relay import relayed
from tests.serve.scenes import make_home, record, register
from tests.serve.supervising.scenes import supervised


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    with make_home(tmp_path / "project") as made:
        register(made)
        record(made)
        yield made


@pytest.mark.parametrize("after_s", [0.0, 3.0])
def test_what_was_answered_is_at_the_server_when_the_supervisor_has_ended(home: Home, after_s: float):
    with served(home) as url, open_home(url) as far, supervised(far, workers=2) as late:
        assert [late.infer() for _ in range(20)] == [200] * 20
        time.sleep(after_s)  # So that the process which seals has begun, or not.
        assert late.infer() == 200
        late.process.send_signal(signal.SIGTERM)
        assert late.process.wait(30) == 0
        assert len(list_predictions(home, "late", limit=100)) == 21


def test_a_server_that_says_nothing_holds_up_the_end_for_a_while_alone(home: Home):
    with served(home) as url, relayed(url) as relay, open_home(relay.endpoint) as far:
        with supervised(far, workers=1, seal_s=1.0) as late:
            assert late.infer() == 200
            with relay.held():
                begun_s = time.monotonic()
                late.process.send_signal(signal.SIGTERM)
                assert late.process.wait(30) == 0
                assert 0.9 < time.monotonic() - begun_s < 15
        assert list_predictions(home, "late") == []
        keep_in_order(far, "late")  # As the next one on the machine does.
    assert len(list_predictions(home, "late")) == 1
