"""How long `art-crop demo` takes beside other busy processes, as a share of what it takes alone.

    python benchmarks/perf/busy_machine.py --busy 2 --repeats 3

The demo runs as a user starts it, alone and beside processes that compute without a pause, in turns within one run, and
the written photo must be the same to the byte. Printed are medians with the smallest and the largest: the clock's
seconds, and the processor's seconds of the demo and of all that it starts. Two busy processes on two cores take half of
them, so that twice the wall time is what a program that wastes nothing needs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DEMO = "from art_crop.cli.main import main; main()"
BUSY = "while True: sum(i * i for i in range(10_000))"


def demo(model: list[str], folder: Path) -> tuple[float, float, str]:
    """Wall seconds, processor seconds, and the written photo's hash of one demo in its own process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-c", DEMO, "demo", "--out", str(folder), *model]
    subprocess.run(command, capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    written = b"".join(path.read_bytes() for path in sorted(folder.glob("*.png")) if ".figure." not in path.name)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, hashlib.sha256(written).hexdigest()


def main() -> None:
    """Run the demo alone and beside the busy processes in turns; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=2, help="busy processes beside the demo")
    parser.add_argument("--repeats", type=int, default=3, help="demos of each kind")
    parser.add_argument("--model", default="gaze-lite", help="the demo's model")
    parser.add_argument("--weights", help="the model's weight file")
    options = parser.parse_args()
    model = ["--model", options.model, *(["--weights", options.weights] if options.weights else [])]
    rows: dict[int, list[tuple[float, float, str]]] = {0: [], options.busy: []}
    with tempfile.TemporaryDirectory() as temporary:
        demo(model, Path(temporary) / "first")  # compiles Python's byte code, fills the disk cache
        for repeat in range(options.repeats):
            for count, results in rows.items():
                others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
                try:
                    results.append(demo(model, Path(temporary) / f"{repeat}-{count}"))
                finally:
                    for process in others:
                        process.kill()
                        process.wait()
    hashes = {row[2] for results in rows.values() for row in results}
    print(f"`art-crop demo --model {options.model}`, {os.cpu_count()} cores ({platform.machine()}), ", end="")
    print(f"n = {options.repeats} each; load before: {os.getloadavg()[0]:.1f}")
    print(f"\n| {options.model} | wall, s | processor, s |\n|---|---|---|")
    medians = {}
    for count, results in rows.items():
        cells = []
        for column in (0, 1):
            values = [row[column] for row in results]
            cells.append(f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        medians[count] = [statistics.median(row[column] for row in results) for column in (0, 1)]
        print(f"| beside {count} busy processes | {cells[0]} | {cells[1]} |")
    ratios = [busy / alone for busy, alone in zip(medians[options.busy], medians[0], strict=True)]
    print(f"| ratio | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    print(f"\nThe written photo is {'the same' if len(hashes) == 1 else 'NOT the same'} in all of them.")
    sys.exit(len(hashes) != 1)


if __name__ == "__main__":
    main()
