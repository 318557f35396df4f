"""Floods, crowds and models that do harm: all slow cases, each against a server of its own."""

from pathlib import Path

import pytest

from tests.faults.serving_cases import SLOW, Case, judged
from tests.faults.serving_stand import taut_stand


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW, ids=lambda case: case.name)
def test_the_others_do_not_notice(tmp_path: Path, case: Case):
    with taut_stand(tmp_path) as stand:
        assert judged(case, stand) == ""
