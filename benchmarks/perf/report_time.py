"""How long `art-crop bench report`, `compare` and `leaderboard` take, as whole processes, for a run of 100,000 rows.

    python benchmarks/perf/report_time.py --rows 100000

The run is drawn at random: six methods, six budgets, two scored models, bimodal shifts, eight metrics, query curves of
60 values for a third of the rows. Nothing of it is attacked; what is measured is reading, statistics, plots, writing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from art_crop.bench.store import SCHEMA

METHODS = ("white noise", "Grad-CAM x noise", "FGM", "Grad-CAM x FGM", "proposed", "ours")
BUDGETS = (0.5, 1.0, 2.0, 10.0, 20.0, 30.0)
SCORED = ("fastgaze", "gaze-lite")
METRICS = ("shift", "shift-over-width", "ratio", "psnr", "ssim", "ciede2000-mean", "ciede2000-p95", "linf-levels")
COMMAND = "from art_crop.cli.main import main; main()"


def write(folder: Path, rows: int, seed: int) -> None:
    """A run of about so many rows, in ten parts."""
    random = np.random.default_rng(seed)
    photos = max(1, rows // (len(METHODS) * len(BUDGETS) * len(SCORED)))
    grid = [(m, e, s, i) for s in SCORED for m in METHODS for e in BUDGETS for i in range(photos)]
    n = len(grid)
    methods, eps, scored, photo = (list(column) for column in zip(*grid, strict=True))
    hit = random.random(n) < np.array([METHODS.index(m) for m in methods]) / 5
    shift = np.where(hit, random.normal(1, 0.03, n), random.normal(0, 0.05, n))
    values = [shift, 0.3 * shift, random.uniform(0.5, 1, n), *(random.uniform(0, 1, n) for _ in METRICS[3:])]
    table = {
        "key": [f"{k:064x}" for k in range(n)],
        "unit": [f"{k // 8:064x}" for k in range(n)],
        "photo": [f"photos/{i:06}.jpg" for i in photo],
        "photo_sha256": [f"{i:064x}" for i in photo],
        "width": [640] * n,
        "height": [480] * n,
        "group": ["drawn"] * n,
        "attacked": ["" if m == "white noise" else "gaze-lite" for m in methods],
        "scored": scored,
        "attack": ["saliency-peak-fgm"] * n,
        "method": methods,
        "params": [json.dumps({"eps": e}) for e in eps],
        "eps": eps,
        "norm": ["2"] * n,
        "seed": [0] * n,
        "success": list(np.abs(shift - 1) <= 0.1),
        "success_before": [False] * n,
        "l2": np.array(eps) * random.uniform(0.9, 1, n),
        "linf": random.uniform(0, 0.2, n),
        "gradients": [3] * n,
        "queries": [4] * n,
        "seconds": random.uniform(0.1, 0.9, n),
        "metrics": [list(zip(METRICS, row, strict=True)) for row in np.column_stack(values).tolist()],
        "curve": [list(np.minimum.accumulate(random.normal(size=60))) if k % 3 == 0 else [] for k in range(n)],
        "curve_of": ["loss" if k % 3 == 0 else "" for k in range(n)],
        "facts": ['{"columns":40,"peak":10,"target":30}'] * n,
        "image": [""] * n,
        "original": [""] * n,
        "error": [""] * n,
        "error_kind": [""] * n,
    }
    (folder / "results").mkdir(parents=True)
    whole = pa.table([pa.array(table[field.name], field.type) for field in SCHEMA], schema=SCHEMA)
    for k in range(10):
        part = whole.slice(k * n // 10, (k + 1) * n // 10 - k * n // 10)
        pq.write_table(part, folder / "results" / f"part-{k}.parquet", compression="zstd")
    info = {
        "suite": "drawn",
        "suite_sha256": "0" * 64,
        "suite_content": {"title": "Drawn at random", "attacks": [{"method": m} for m in METHODS], "tables": []},
        "art_crop": "0",
        "versions": {},
        "machine": {},
        "started": "2026-01-01T00:00:00+00:00",
        "command": "",
        "models": {name: {} for name in SCORED},
        "data": {"photos": photos},
        "schema": 1,
    }
    (folder / "run.json").write_text(json.dumps(info))


def timed(arguments: list[str]) -> tuple[float, float, float]:
    """One command as a process of its own: wall seconds, processor seconds, and largest memory in MiB so far."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", COMMAND, *arguments], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024


def main() -> None:
    """Draw two runs, time the commands, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory() as name:
        a, b = Path(name, "a"), Path(name, "b")
        write(a, options.rows, 0)
        write(b, options.rows, 1)
        commands = {
            "report": ["bench", "report", str(a)],
            "compare": ["bench", "compare", str(a), str(b), "--json"],
            "leaderboard": ["bench", "leaderboard", str(a), "--out", str(Path(name, "board"))],
        }
        rows = sum(pq.read_metadata(path).num_rows for path in (a / "results").iterdir())
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"{machine}, numpy {np.__version__}, pyarrow {pa.__version__}")
        print(f"\nProcesses that wanted a core meanwhile (load average): {os.getloadavg()[0]:.1f}\n")
        print(f"| command, {rows:,} rows | seconds: median (smallest to largest) | processor seconds | memory, MiB |")
        print("|---|---|---|---|")
        for command, arguments in commands.items():
            found = np.array([timed(arguments) for _ in range(options.repeats)])
            wall, busy = np.median(found[:, 0]), np.median(found[:, 1])
            spread = f"{wall:.1f} ({found[:, 0].min():.1f} to {found[:, 0].max():.1f})"
            print(f"| `art-crop bench {command}` | {spread} | {busy:.1f} | {found[:, 2].max():.0f} |")
        size = (a / "report.html").stat().st_size / 1e6
        print(f"\nThe page has {size:.1f} MB, all rows in it.")


if __name__ == "__main__":
    main()
