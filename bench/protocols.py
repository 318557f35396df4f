"""What reading a request and writing an answer cost: one row of 20 columns in each form, beside plain JSON.

`python bench/protocols.py` prints CPU time of this process a call, the least of several rounds, and how many times as
long it is as parsing the same bytes into plain lists and objects by the same JSON library, which checks nothing.
"""

import time
from collections.abc import Callable

import msgspec

from taut.models.signature import Signature, SignatureColumn
from taut.records import Prediction
from taut.serve.requests import InvocationReader, Request, infer_answer, invocation_answer, read_infer

NAMES = [f"column_{place}" for place in range(20)]
ROW = [1.5 + place for place in range(14)] + ["abc"] * 6
SIGNATURE = Signature(
    tuple(
        SignatureColumn(name, "string" if isinstance(value, str) else "double")
        for name, value in zip(NAMES, ROW, strict=True)
    )
)
FORMS: dict[str, object] = {
    "dataframe_split": {"columns": NAMES, "data": [ROW]},
    "dataframe_records": [dict(zip(NAMES, ROW, strict=True))],
    "instances": [ROW],
    "inputs": {name: [value] for name, value in zip(NAMES, ROW, strict=True)},
}
TENSORS = [
    {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
    for name, value in zip(NAMES, ROW, strict=True)
]
ANSWERED = Prediction(
    "late", "0123456789abcdef" * 2, 3, "late", 2, 0, 0, 1, {}, {"prediction": [1], "probability": [0.25]}
)
ROUNDS, CALLS = 15, 5000


def cost_us(work: Callable[[], object]) -> float:
    """Microseconds of CPU a call, in the round that was disturbed least."""
    least = float("inf")
    for _ in range(ROUNDS):
        begun_s = time.process_time()
        for _ in range(CALLS):
            work()
        least = min(least, time.process_time() - begun_s)
    return least / CALLS * 1e6


def main() -> None:
    """Print a line a form."""
    reader = InvocationReader(SIGNATURE)
    bodies = {form: msgspec.json.encode({form: value}) for form, value in FORMS.items()}
    reads: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
        form: (body, lambda body: reader.read(body, content_type="application/json")) for form, body in bodies.items()
    }
    reads["infer"] = (msgspec.json.encode({"inputs": TENSORS}), read_infer)
    print(f"{'':22}{'us':>8}{'of plain JSON':>16}")
    for form, (body, read) in reads.items():
        assert isinstance(read(body), Request)
        mine, plain = cost_us(lambda: read(body)), cost_us(lambda: msgspec.json.decode(body))  # noqa: B023  # Called at once.
        print(f"read {form:17}{mine:8.2f}{mine / plain:15.1f}x")
    plain_request = Request({})
    for name, write in (("invocations", invocation_answer), ("infer", infer_answer)):
        print(f"write {name:16}{cost_us(lambda: write(ANSWERED, plain_request)):8.2f}")  # noqa: B023  # The same.


if __name__ == "__main__":
    main()
