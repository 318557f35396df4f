"""A batch whose home is a server's URL: files, workers and parts here, the model and the record of the job there."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from taut.errors import NotFound
from taut.faces.http.embedded import embedded_server
from taut.ground.ledger import upstream
from taut.home import Home, open_home
from taut.serve.batch.job import run_batch
from taut.serve.batch.jobs import list_batches
from taut.serve.batch.plan import Options
from tests.serve.batch.scenes import read_parts, table, willing


@pytest.mark.slow
def test_a_batch_is_recorded_at_the_server_and_done_here(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    willing(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    pq.write_table(table(30), "rows.parquet")
    with embedded_server(home) as url, open_home(url) as far:
        result = run_batch(far, "late@1", "rows.parquet", "scored", options=Options(part_rows=20), workers=1)
        with pytest.raises(NotFound, match="there is no deployment 'late'"):
            run_batch(far, "late", "rows.parquet", "other")
    assert read_parts(Path("scored"))["prediction"].to_pylist() == [2.0 * row for row in range(30)]
    (job,) = list_batches(home)
    assert (job.id, job.status, job.scored, job.parts) == (result.job, "FINISHED", 30, 2)
    assert job.source == str(tmp_path / "elsewhere" / "rows.parquet")
    with home.meta.read() as tx:
        assert "model:late@1" in {arrow.source for arrow in upstream(tx, job.point)}
