"""SIGKILL while spans are logged: each call is whole or absent, and what was acknowledged is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from taut.home import open_home
from taut.runs.traces import page_of_traces, trace_details
from tests.parts import eventually

PER_CALL = 40
# Logs traces of many spans one after another, and writes down each that was acknowledged.
WRITER = f"""
import sys
from taut.home import open_home
from taut.runs import ensure_experiment
from taut.runs.traces import Span, log_spans
with open_home(sys.argv[1]) as home, open(sys.argv[2], "a", buffering=1) as acknowledged:
    ensure_experiment(home)
    for number in range(1, 100_000):
        trace = f"tr-{{number:032x}}"
        spans = [Span(trace, f"{{one:016x}}", "s", one, one + 1, "" if one == 1 else "1".rjust(16, "0"))
                 for one in range(1, {PER_CALL} + 1)]
        log_spans(home, "0", spans)
        acknowledged.write(trace + "\\n")
"""


@pytest.mark.parametrize("after", [1, 7, 30])
def test_a_killed_writer_leaves_whole_traces_and_every_one_that_was_acknowledged(project: Path, after: int):
    told = project / "acknowledged"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(project), str(told)])
    eventually(lambda: told.exists() and told.read_text().count("\n") >= after, within=60, what="traces")
    writer.kill()
    writer.wait()
    acknowledged = told.read_text().split("\n")[:-1]
    with open_home(project) as home:
        found, token = [], ""
        while True:
            page = page_of_traces(home, ["0"], page_token=token)
            found += [trace.id for trace in page.traces]
            token = page.next_page
            if not token:
                break
        assert set(acknowledged) <= set(found) and len(found) <= len(acknowledged) + 1
        for start in range(0, len(found), 100):
            for detail in trace_details(home, found[start : start + 100]):
                assert len(detail.spans) == PER_CALL and detail.trace.state == "OK"
