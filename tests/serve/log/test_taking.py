"""Records that a machine far away sends: taken once, refused where they are none, joined; there no Arrow is needed."""

import os
import subprocess
import sys

import msgspec
import pytest

from taut.errors import Conflict, Invalid
from taut.home import Home
from taut.serve import find_prediction
from taut.serve.log import log_place
from taut.serve.log.compacting import TOGETHER
from taut.serve.log.journal import journals_in
from taut.serve.log.said import Said, pack
from taut.serve.log.sealing import seal
from taut.serve.log.segments import Sealing, sealing_progress, segments_of
from taut.serve.log.taking import Taken, take_records
from tests.faces.serving import served
from tests.serve.log.scenes import ids_in, said, say


def test_records_become_a_segment_once_however_often_they_are_sent(home: Home):
    sent = [pack(said("a", "b", given=True)), pack(said("c", counts=[3]))]
    parts = [Sealing("0-1-x.journal", 0, 500), Sealing("0-2-x.journal", 0, 90)]
    assert take_records(home, "late", sent, parts, 2) == Taken(1, 5)
    with pytest.raises(Conflict, match="sealed already"):
        take_records(home, "late", sent, parts, 2)
    assert ids_in(home) == ["a", "c", "b"]
    again, more = [pack(said("a", given=True))], [Sealing("0-1-x.journal", 500, 600)]
    assert take_records(home, "late", again, more) == Taken(0, 0)
    assert sealing_progress(home, "late", [one.journal for one in parts]).sealed == {
        "0-1-x.journal": 600,
        "0-2-x.journal": 90,
    }


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (b"\xc1", "cannot be read"),
        (b"", "cannot be read"),
        (msgspec.msgpack.encode(["a"]), "cannot be read"),
        (pack(said("a"))[:-3], "cannot be read"),
        (pack(msgspec.structs.replace(said("a"), counts=[2])), "differ in length"),
        (pack(msgspec.structs.replace(said("a"), counts=[0])), "cannot be read"),
        (pack(msgspec.structs.replace(said("a"), digests=[b"1", b"2"])), "as many digests"),
        (pack(msgspec.structs.replace(said("a"), event_ms=[2**63])), "what no column can"),
        (pack(said("a", x=[b"bytes"])), ""),
    ],
)
def test_what_is_no_record_is_refused_and_nothing_is_stored(home: Home, record: bytes, why: str):
    part = [Sealing("0-1-x.journal", 0, 10)]
    if why:
        with pytest.raises(Invalid, match=why):
            take_records(home, "late", [pack(said("good")), record], part)
        assert ids_in(home) == []
        assert take_records(home, "late", [pack(said("good"))], part).rows == 1
    else:  # Bytes are no cell of a request, and are kept as they came.
        assert take_records(home, "late", [record], part).rows == 1


def test_many_small_segments_are_joined_where_they_are_taken(home: Home):
    for number in range(TOGETHER + 1):
        part = [Sealing("0-1-x.journal", number * 10, number * 10 + 10)]
        take_records(home, "late", [pack(said(f"r{number:02}"))], part)
    with home.meta.read() as tx:
        assert len(segments_of(tx, "late")) == 1
    assert ids_in(home) == [f"r{number:02}" for number in range(TOGETHER + 1)]


def test_of_ids_that_others_answer_meanwhile_the_first_answer_is_kept(home: Home, monkeypatch: pytest.MonkeyPatch):
    from taut.serve.log import taking

    made = taking.made_of
    others = iter([said("a", given=True, delay=1.0)])

    def late(*arguments, **more):
        found = made(*arguments, **more)
        for other in others:
            say(home, other)
            seal(home, "late")
        return found

    monkeypatch.setattr(taking, "made_of", late)
    mine: Said = said("a", "b", given=True, delay=2.0)
    assert take_records(home, "late", [pack(mine)], [Sealing("0-9-x.journal", 0, 10)]) == Taken(2, 1)
    assert find_prediction(home, "a").inputs["delay"] == [1.0]


def test_a_machine_without_arrow_seals_at_its_server(home: Home, tmp_path):
    program = (
        "import sys\n"
        "sys.modules['pyarrow'] = sys.modules['numpy'] = None\n"
        "from taut.serve.log.__main__ import main\n"
        "sys.exit(main(['--deployment', 'late', '--once']))\n"
    )
    with served(home) as url:
        around = {**os.environ, "TAUT_HOME": url, "XDG_STATE_HOME": str(tmp_path / "state")}
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
            from taut.home import open_home

            with open_home(url) as far:
                say(far, said("a", given=True), said("b", event_ms=[9_000]))
                folder = log_place(far).folder / "late"
        done = subprocess.run([sys.executable, "-c", program], env=around, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert journals_in(folder) == []
    assert ids_in(home) == ["a", "b"]
