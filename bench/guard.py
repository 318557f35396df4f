"""What the guard of an endpoint costs a request: a known token, an open endpoint, a rate; in microseconds of CPU."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from taut.govern import create_token, create_user
from taut.ground.settings import make_folder
from taut.home import open_home
from taut.serve.http.asking import OfHome
from taut.serve.http.guard import Doorkeeper, hosts_for
from taut.serve.http.rates import Rate, Rates

MANY = 200_000


def cost_us(act: Callable[[], object]) -> float:
    """The least of five rounds."""
    rounds = []
    for _ in range(5):
        began_s = time.process_time()
        for _ in range(MANY // 5):
            act()
        rounds.append((time.process_time() - began_s) / (MANY // 5) * 1e6)
    return min(rounds)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder))
        with open_home(folder) as home:
            create_user(home, "olga", "correct horse battery", role="owner")
            secret = create_token(home, "client", scopes=["predict"]).secret
            headers = {b"host": b"127.0.0.1:8080", b"authorization": f"Bearer {secret}".encode()}
            asks = OfHome(home, "deployment:late")
            asks.ask(f"Bearer {secret}", "deployment:predict", "127.0.0.1")
            hosts, rate = hosts_for("127.0.0.1"), Rate(1e9, 1_000_000)
            kept = OfHome(home, "deployment:late", secret="x" * 32)
            owner = {**headers, b"authorization": b"Bearer " + b"x" * 32}
            rates = Rates()
            timed = {
                "nothing at all": lambda: None,
                "open": _asked(Doorkeeper(None, hosts=hosts), headers),
                "a token known for good": _asked(Doorkeeper(kept, hosts=hosts), owner),
                "with a rate": _asked(Doorkeeper(kept, hosts=hosts, rate=rate), owner),
                "the rate alone": lambda: rates.take("client", rate),
                "a look into what the home remembers": lambda: (asks.recall(
                    f"Bearer {secret}", "deployment:predict", "127.0.0.1"
                ) or asks.ask(f"Bearer {secret}", "deployment:predict", "127.0.0.1")),
            }  # fmt: skip
            for name, act in timed.items():
                print(f"{name:40} {cost_us(act):6.2f} us")


def _asked(guard: Doorkeeper, headers: dict[bytes, bytes]) -> Callable[[], object]:
    return lambda: guard("POST", "/invocations", headers, "127.0.0.1")


if __name__ == "__main__":
    main()
