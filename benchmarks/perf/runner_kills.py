"""Kill one benchmark run at random moments, go on each time, and compare its rows with an undisturbed run's.

    python benchmarks/perf/runner_kills.py --kills 20
    python benchmarks/perf/runner_kills.py --kills 20 --executor local --workers 2

The suite is a small one on photos that come with scikit-image and the embedded model. Each kill is a SIGKILL at a
random moment from shortly before the first photo to two seconds of work later.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from art_crop.bench.store import read_rows

SUITE = """
name = "kills"
protocol = "second-peak"
metrics = ["psnr"]
attacked = ["gaze-lite"]
scored = ["gaze-lite"]
[data]
dataset = "scikit-image"
width = 320
selection = "all"
[limits]
batch = 2
[models.gaze-lite]
[[attack]]
method = "steps"
plugin = "saliency-peak-fgm"
params = { max_iter = 3 }
grid = { eps = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0] }
[[attack]]
method = "noise"
plugin = "gaussian-noise"
attacked = []
grid = { eps = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0] }
"""


def command(suite: Path, out: Path, args: argparse.Namespace) -> list[str]:
    more = ["--executor", args.executor, *(["--workers", str(args.workers)] if args.workers else [])]
    start = [sys.executable, "-m", "art_crop.cli.main", "bench", "run", str(suite)]
    return [*start, "--out", str(out), "--device", "cpu", *more]


def rows(out: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_rows(out).to_pylist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--executor", default="in-process")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    moments = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        suite, whole, killed = (Path(folder) / name for name in ("kills.toml", "whole", "killed"))
        suite.write_text(SUITE)
        subprocess.run(command(suite, whole, args), check=True, stdout=subprocess.DEVNULL)
        start = time.perf_counter()  # with nothing left to do: how long until it would begin
        subprocess.run(command(suite, whole, args), check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        kept = []
        for _ in range(args.kills):
            process = subprocess.Popen(command(suite, killed, args), stdout=subprocess.DEVNULL)
            time.sleep(0.8 * seconds + moments.uniform(0, 2))
            process.send_signal(signal.SIGKILL)
            process.wait()
            kept.append(len(rows(killed)) if (killed / "run.json").exists() else 0)
        subprocess.run(command(suite, killed, args), check=True, stdout=subprocess.DEVNULL)
        expected, found = rows(whole), rows(killed)
    keys = Counter(row["key"] for row in found)
    lost = {row["key"] for row in expected} - keys.keys()
    print(f"{args.kills} kills, rows kept after each: {kept}")
    print(f"{len(expected)} rows undisturbed, {len(found)} after the kills")
    print(f"lost {len(lost)}, doubled {sum(n > 1 for n in keys.values())}, equal: {found == expected}")
    sys.exit(found != expected)


if __name__ == "__main__":
    main()
