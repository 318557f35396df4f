"""What of an answer is kept, for how long and how safely: the `log:` section of a deployment in taut.yaml."""

import hashlib
from dataclasses import dataclass

from taut.errors import Invalid
from taut.ground.clock import duration_ms
from taut.project import LogSpec


@dataclass(frozen=True, slots=True)
class Policy:
    """`sample` is the share of requests that is kept, `redact` the input columns that never reach a disk.

    `encrypt` None: where the home has a key. `fsync`: whether an answer waits for the disk, so that it outlives the
    machine and not the process alone. `delay_ms` above 0: an answer waits for nothing; then a crash loses what was
    said in so many milliseconds before it, and never more than `delay_records` records. `retain_ms` 0: for good.
    """

    sample: float = 1.0
    redact: frozenset[str] = frozenset()
    encrypt: bool | None = None
    fsync: bool = False
    delay_ms: int = 0
    delay_records: int = 1000
    retain_ms: int = 0

    def keeps(self, request_id: str) -> bool:
        """Whether a request is in the sample: its id alone decides, so that it can be told at any later time."""
        if self.sample >= 1.0:
            return True
        drawn = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
        return int.from_bytes(drawn, "big") < self.sample * 2**64


def policy_of(spec: LogSpec) -> Policy:
    """What a section of taut.yaml asks for. Raises Invalid for a share that is none, or a bad duration."""
    if not 0.0 <= spec.sample <= 1.0:
        raise Invalid(f"log: sample: is {spec.sample:g}; it is the share of requests to keep, from 0 to 1")
    if spec.asynchronous_records < 1:
        raise Invalid("log: asynchronous_records: must be 1 at least")
    return Policy(
        sample=spec.sample, redact=frozenset(spec.redact), encrypt=spec.encrypt, fsync=spec.fsync == "batch",
        delay_ms=duration_ms(spec.asynchronous) if spec.asynchronous else 0, delay_records=spec.asynchronous_records,
        retain_ms=duration_ms(spec.retain) if spec.retain else 0,
    )  # fmt: skip
