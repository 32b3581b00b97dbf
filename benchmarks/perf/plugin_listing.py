"""How long `art-crop plugins` takes as a whole process, with other people's plugins installed.

    python benchmarks/perf/plugin_listing.py --plugins 5 --repeats 21

The plugins are real distributions (metadata, an entry point, a module with hooks) in a temporary folder on PYTHONPATH.
The commands take turns within one run; printed are medians with the smallest and the largest, and the processor's time,
which other programs on the machine stretch less than the clock's. The first two rows are what Python and the
command-line libraries cost before anything of this project runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions
from pathlib import Path

MODULE = """\
from art_crop.plugins import AttackSpec, MetricSpec, ModelSpec, hookimpl


@hookimpl
def art_crop_models():
    yield ModelSpec(name="model-{n}", target="plugin_{n}_model:load", summary="a model", task="saliency", licence="MIT")


@hookimpl
def art_crop_attacks():
    yield AttackSpec(name="attack-{n}", target="plugin_{n}_attack:Attack", summary="an attack")


@hookimpl
def art_crop_metrics():
    for i in range(3):
        yield MetricSpec(name=f"metric-{n}-{{i}}", target="plugin_{n}_metric:METRIC", summary="a metric")
"""
COMMAND = "from art_crop.cli.main import main; main()"


def install(folder: Path, count: int) -> None:
    """Write the distributions as pip leaves them."""
    for n in range(count):
        info = folder / f"listed_plugin_{n}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: listed-plugin-{n}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[art_crop.plugins]\nmain = listed_plugin_{n}\n")
        (folder / f"listed_plugin_{n}.py").write_text(MODULE.format(n=n))


def seconds(arguments: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Of one process from its start to its end: wall time, processor time, and what it printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, env=environment)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main() -> None:
    """Install, run in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugins", type=int, default=5, help="how many to install")
    parser.add_argument("--repeats", type=int, default=21, help="process starts of each command")
    options = parser.parse_args()
    jobs = {
        "python, nothing else": ["-c", "pass"],
        "typer and rich": ["-c", "import typer, rich.table, rich.progress"],
        "`art_crop.list_plugins()`": ["-c", "import art_crop; art_crop.list_plugins()"],
        "`art-crop plugins`": ["-c", COMMAND, "plugins"],
        "`art-crop plugins --json`": ["-c", COMMAND, "plugins", "--json"],
    }
    walls: dict[str, list[float]] = {name: [] for name in jobs}
    busy: dict[str, list[float]] = {name: [] for name in jobs}
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder), options.plugins)
        project = str(Path(__file__).resolve().parents[2])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, project])}
        environment.pop("ART_CROP_PLUGINS", None)
        listing = json.loads(seconds(jobs["`art-crop plugins --json`"], environment)[2])
        found = sum(plugin["distribution"].startswith("listed-plugin-") for plugin in listing["plugins"])
        if found != options.plugins:
            sys.exit(f"{found} of {options.plugins} plugins were listed")
        for turn in range(options.repeats + 1):
            for name, arguments in jobs.items():
                wall, processor, _ = seconds(arguments, environment)
                if turn:  # the first round writes byte code
                    walls[name].append(wall)
                    busy[name].append(processor)
    installed = len({distribution.name for distribution in distributions()})
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ", end="")
    print(f"{installed} distributions installed, {options.plugins} plugins, {options.repeats} process starts each\n")
    print(f"Processes that wanted a core meanwhile (load average): {os.getloadavg()[0]:.1f}\n")
    print("| command | seconds: median (smallest to largest) | processor seconds, median |\n|---|---|---|")
    for name, values in walls.items():
        spread = f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
        print(f"| {name} | {spread} | {statistics.median(busy[name]):.3f} |")


if __name__ == "__main__":
    main()
