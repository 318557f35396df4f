"""What a model writes, line by line behind its name, and not more of it than a log is meant to hold."""

import asyncio
import os

import pytest

from taut.serve.processes.echo import BYTES_A_SECOND, LINE_MAX, Echo


def echoed(*written: bytes, capfd: pytest.CaptureFixture[str]) -> list[str]:
    async def main() -> None:
        reads, writes = os.pipe()
        echo = Echo(reads, "m")
        for one in written:
            os.write(writes, one)
            await asyncio.sleep(0.001)
        os.close(writes)
        echo.close()
        echo.close()
        os.close(reads)

    asyncio.run(main())
    return capfd.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        ([b"one\ntwo\n"], ["m: one", "m: two"]),
        ([b"on", b"e\r\ntw", b"o"], ["m: one", "m: two"]),
        ([b"\xff\n"], ["m: \\xff"]),
        ([b"\n"], ["m: "]),
        ([], []),
    ],
)
def test_each_line_stands_behind_the_name(written: list[bytes], lines: list[str], capfd: pytest.CaptureFixture[str]):
    assert echoed(*written, capfd=capfd) == lines


def test_a_line_without_end_is_cut(capfd: pytest.CaptureFixture[str]):
    lines = echoed(b"x" * (LINE_MAX * 2), capfd=capfd)
    assert lines[0] == "m: " + "x" * LINE_MAX


def test_what_comes_too_fast_is_counted_and_left_out(capfd: pytest.CaptureFixture[str]):
    line = b"x" * 999 + b"\n"
    lines = echoed(*[line * 50] * (BYTES_A_SECOND * 4 // len(line) // 50), capfd=capfd)
    told = [one for one in lines if one == "m: " + "x" * 999]
    noted = [int(one.split()[1]) for one in lines if one.endswith("lines that came too fast were left out")]
    assert len(told) + sum(noted) == BYTES_A_SECOND * 4 // len(line) // 50 * 50
    assert len(told) < BYTES_A_SECOND * 4 // len(line) // 50 * 50
