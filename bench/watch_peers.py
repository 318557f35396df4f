"""What another tool's defaults say of a stream, in an interpreter that has it: run by `bench/watch.py`.

    PYTHON bench/watch_peers.py tools                    the tools that it has, as JSON
    PYTHON bench/watch_peers.py stream TOOL DIR          for each window of DIR whether it alarms, as JSON
    PYTHON bench/watch_peers.py check TOOL DIR           seconds and MiB of one check of current.parquet, as JSON

DIR holds `reference.parquet` and `w00000.parquet` and so on. Columns `score` and `target` are no features.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

LABELS = ("score", "target")
TOOLS = ("evidently", "evidently_dataset", "nannyml", "river")


def features(path: Path) -> Any:
    """The columns that are watched."""
    import pandas as pd

    table = pd.read_parquet(path)
    return table[[name for name in table.columns if name not in LABELS]]


def evidently(folder: Path, windows: list[Path], *, dataset: bool = False) -> list[bool]:
    """Its preset for drift: any column beyond its threshold; with `dataset` half of them, its own verdict."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    reference, found = features(folder / "reference.parquet"), []
    for path in windows:
        metrics = Report([DataDriftPreset()]).run(features(path), reference).dict()["metrics"]
        drifted = next(one["value"] for one in metrics if one["metric_name"].startswith("DriftedColumnsCount"))
        found.append(bool(drifted["share"] >= 0.5 if dataset else drifted["count"] > 0))
    return found


def nannyml(folder: Path, windows: list[Path]) -> list[bool]:
    """Its univariate calculator: any column outside three standard deviations of the reference's own parts."""
    import nannyml as nml

    reference = features(folder / "reference.parquet")
    words = [name for name in reference.columns if reference[name].dtype == object]
    rows = len(features(windows[0]))
    # Its default makes ten parts of the reference; a window is one part.
    calculator = nml.UnivariateDriftCalculator(
        column_names=list(reference.columns), treat_as_categorical=words, chunk_size=min(rows, len(reference) // 10)
    )
    calculator.fit(reference)
    found = []
    for path in windows:
        told = calculator.calculate(features(path)).filter(period="analysis").to_df()
        alerts = [name for name in told.columns if name[-1] == "alert"]
        found.append(bool(told[alerts].to_numpy().any()))
    return found


def river(folder: Path, windows: list[Path]) -> list[bool]:
    """ADWIN on each numeric column, which needs no reference and is given its rows to begin with."""
    from river import drift

    reference = features(folder / "reference.parquet").select_dtypes("number")
    detectors = {name: drift.ADWIN() for name in reference.columns}
    found = []
    for place, path in enumerate([folder / "reference.parquet", *windows]):
        table, alarms = features(path), False
        for name, detector in detectors.items():
            for value in table[name].dropna().tolist():
                detector.update(value)
                alarms = alarms or detector.drift_detected
        if place:
            found.append(alarms)
    return found


def says(tool: str, folder: Path, windows: list[Path]) -> list[bool]:
    """For each window whether the tool alarms."""
    if tool == "nannyml":
        return nannyml(folder, windows)
    if tool == "river":
        return river(folder, windows)
    return evidently(folder, windows, dataset=tool == "evidently_dataset")


def main() -> None:
    """Print what was asked for."""
    warnings.simplefilter("ignore")
    asked = sys.argv[1]
    if asked == "tools":
        print(json.dumps([tool for tool in TOOLS if importlib.util.find_spec(tool.partition("_")[0])]))
        return
    tool, folder = sys.argv[2], Path(sys.argv[3])
    if asked == "stream":
        print(json.dumps(says(tool, folder, sorted(folder.glob("w*.parquet")))))
        return
    begun_s = time.perf_counter()
    says(tool, folder, [folder / "current.parquet"])
    seconds = time.perf_counter() - begun_s
    status = Path("/proc/self/status").read_text().splitlines()
    peak_mib = int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib}))


if __name__ == "__main__":
    main()
