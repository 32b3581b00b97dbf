"""What the query-only search costs beside its model, and what a second worker on one study gains.

    python benchmarks/perf/query_search.py --out benchmarks/results/query-search.md
    python benchmarks/perf/query_search.py --storage postgresql+psycopg2://user:password@localhost/db

The model is a service that takes a given time for a photo and needs no processor meanwhile, so that the time that is
left is the search's own. The photo is scikit-image's astronaut at 640 x 640.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import stamp

from art_crop.attacks import TPEPixelSearch
from art_crop.estimators import BlackBoxSaliencyRegressor
from art_crop.geometry import Region

FAR = Region(0.0, 0.0, 0.05, 0.05)
"""Where this model's peak never comes, so that every search makes all of its queries."""
Array = np.ndarray[Any, Any]


class Service:
    """A map of coarse brightness, in a given time for each photo or batch; it writes down what it is asked."""

    def __init__(self, seconds: float, log: Path | None = None, *, of_batch: bool = False) -> None:
        self.seconds, self.log, self.of_batch = seconds, log, of_batch

    def __call__(self, x: Array) -> Array:
        """Answer with maps (N, 20, 20)."""
        until = time.perf_counter() + self.seconds * (1 if self.of_batch else len(x))
        maps = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(x).mean(1, keepdim=True), 20)[:, 0].numpy()
        maps = np.where(np.indices(maps.shape[1:]).sum(0) < 4, 0.0, maps).astype(np.float32)
        if self.log is not None:
            with self.log.open("a") as file:
                file.writelines(f"{zlib.crc32(photo.tobytes())}\n" for photo in x)
        time.sleep(max(0.0, until - time.perf_counter()))
        return maps


def photo() -> Array:
    """The photo as a batch of one."""
    from PIL import Image
    from skimage import data

    pixels: Array = (
        np.asarray(Image.fromarray(data.astronaut()).resize((640, 640)), np.float32).transpose(2, 0, 1)[None] / 255
    )
    return pixels


def search(seconds: float, queries: int, **options: Any) -> float:
    """Seconds of one search."""
    log, of_batch, eps = options.pop("log", None), options.pop("of_batch", False), options.pop("eps", 2.0)
    model = BlackBoxSaliencyRegressor(Service(seconds, log, of_batch=of_batch))
    attack = TPEPixelSearch(model, eps=eps, max_queries=queries, **options)
    x, started = photo(), time.perf_counter()
    attack.generate(x, FAR)
    assert attack.results[0].queries >= queries
    return time.perf_counter() - started


def _worker(seconds: float, queries: int, storage: str, log: Path, ready: Any, eps: float) -> None:
    torch.set_num_threads(1)
    search(0.0, 2)  # what is imported and made once is no part of the time
    ready.wait()
    search(seconds, queries, storage=storage, log=log, eps=eps)


def shared(workers: int, seconds: float, queries: int, storage: str) -> tuple[float, int, int]:
    """Seconds of some workers on one study, photos that were asked about, and how many different ones."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        log, ready = Path(folder) / "asked", context.Barrier(workers + 1)
        running = [
            context.Process(target=_worker, args=(seconds, queries, storage, log, ready, 2 + workers / 100))
            for _ in range(workers)
        ]
        for one in running:
            one.start()
        ready.wait()
        started = time.perf_counter()
        for one in running:
            one.join()
        asked = log.read_text().splitlines()
    return time.perf_counter() - started, len(asked), len(set(asked))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milliseconds", type=float, default=30.0, help="of the model for a photo")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--shared-queries", type=int, default=201, help="of searches that workers share")
    parser.add_argument("--storage", action="append", default=[], help="further databases, which must be empty")
    parser.add_argument("--out", type=Path, default=None, help="Markdown file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seconds = args.milliseconds / 1000
    search(0.0, 20)
    lines = [
        stamp(f"python benchmarks/perf/query_search.py --queries {args.queries} --milliseconds {args.milliseconds:g}"),
        "",
        f"A model of {args.milliseconds:g} ms a photo, {args.queries} queries of one photo of 640 x 640, batches of 8.",
        "",
        "| search | s | the model's own s | overhead |",
        "|---|---|---|---|",
    ]
    for name, options in (
        ("TPE", {}),
        ("TPE, patches alone", {"combine": False}),
        ("random, patches alone", {"combine": False, "sampler": "random"}),
        ("CMA-ES, patches alone", {"combine": False, "sampler": "cma-es"}),
    ):
        took, own = search(seconds, args.queries, **options), seconds * args.queries
        lines.append(f"| {name} | {took:.1f} | {own:.1f} | {(took - own) / took:.0%} of the total |")
        print(lines[-1], flush=True)
    one, eight = (search(seconds, 101, batch=batch, of_batch=True) for batch in (1, 8))
    lines += [
        "",
        f"Where the model takes as long for 8 as for one: {one / eight:.1f} times as fast in batches of 8.",
        "",
    ]
    lines += ["| storage | workers | trials a second | gain | asked about twice |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        kinds = [
            ("SQLite", "sqlite:///{}/{}.db"),
            ("journal file", "{}/{}.log"),
            *((s.split(":")[0], s) for s in args.storage),
        ]
        for name, pattern in kinds:
            rates = []
            for workers in (1, 2):
                storage = pattern.format(folder, workers) if "{}" in pattern else pattern
                took, asked, different = shared(workers, seconds, args.shared_queries, storage)
                rates.append((different - 1) / took)
                gain = f"{rates[-1] / rates[0]:.2f}" if workers > 1 else ""
                lines.append(f"| {name} | {workers} | {rates[-1]:.1f} | {gain} | {asked - different} |")
                print(lines[-1], flush=True)
    print("\n".join(lines))
    if args.out is not None:
        args.out.write_text("# The query-only search beside its model\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
