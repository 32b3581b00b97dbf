"""Runs that were never run: folders in the store's layout with results drawn from known distributions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

METHODS = {"Gaussian noise": 0.03, "Grad-CAM × FGM": 0.5, "proposed (3 steps, Grad-CAM)": 0.8}
MODELS = {
    "gaze-lite": {"weights_sha256": "a" * 64, "distribution": "art-crop", "version": "0.1.0", "licence": "MIT"},
    "fastgaze": {"weights_sha256": "b" * 64, "distribution": "art-crop", "version": "0.1.0", "licence": "Apache-2.0"},
}
TABLE = {
    "title": "Table 1: shift toward the target",
    "rows": "method",
    "columns": "eps",
    "values": ["mean shift", "share-at-target", "median l2"],
    "paper": {"proposed (3 steps, Grad-CAM)": {"10": [0.5], "20": [0.658]}, "Gaussian noise": {"10": [0.042]}},
}


def row(i: int, **fields: Any) -> dict[str, Any]:
    """One result that succeeded, other fields as given."""
    base: dict[str, Any] = {
        "key": hashlib.sha256(json.dumps([i, fields], default=str).encode()).hexdigest(),
        "unit": f"unit-{i // 8}",
        "photo": f"photo-{i:04}.jpg",
        "photo_sha256": f"{i:064x}",
        "width": 640,
        "height": 480,
        "group": "osie",
        "attacked": "gaze-lite",
        "scored": "fastgaze",
        "attack": "saliency-peak-fgm",
        "method": "proposed (3 steps, Grad-CAM)",
        "params": "{}",
        "eps": 10.0,
        "norm": "2",
        "seed": 0,
        "success": True,
        "success_before": False,
        "l2": 9.99,
        "linf": 0.04,
        "gradients": 3,
        "queries": 4,
        "seconds": 0.5,
        "metrics": {"shift": 1.0, "shift-over-width": 0.4, "psnr": 38.0},
        "curve": [],
        "curve_of": "",
        "facts": "{}",
        "image": "",
        "original": "",
        "error": "",
        "error_kind": "",
    }
    return {**base, **fields}


def results(photos: int, eps: tuple[float, ...] = (10.0, 20.0), *, better: float = 0.0, seed: int = 0) -> list[Any]:
    """Bimodal shifts as in the paper's figure 3, for every method, budget and photo."""
    random = np.random.default_rng(seed)
    rows = []
    for method, share in METHODS.items():
        for budget in eps:
            for i in range(photos):
                hit = random.random() < min(1.0, share + better) * (0.6 + 0.4 * budget / max(eps))
                shift = random.normal(1.0, 0.03) if hit else random.normal(0.0, 0.05)
                rows.append(
                    row(
                        i,
                        method=method,
                        attacked="" if method == "Gaussian noise" else "gaze-lite",
                        eps=budget,
                        success=bool(abs(shift - 1) <= 0.1),
                        l2=budget * random.uniform(0.9, 1.0),
                        seconds=random.uniform(0.2, 0.9),
                        metrics={"shift": shift, "shift-over-width": 0.4 * shift, "psnr": 52 - budget / 2},
                        curve=list(np.minimum.accumulate(random.normal(0, 1, 12))) if method[0] == "p" else [],
                        curve_of="loss" if method[0] == "p" else "",
                        facts=json.dumps({"ratio": 0.5 + i / photos / 2, "target": [30, 7], "peak": [10, 7]}),
                    )
                )
    return rows


def write_run(folder: Path, rows: list[dict[str, Any]], **info: Any) -> Path:
    """A folder as the runner leaves it, by pyarrow alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from art_crop.bench.store import SCHEMA

    suite: dict[str, Any] = {"name": "table", "title": "Tables 1 and 2", "paper": "ICIP 2022", "tables": [TABLE]}
    suite["attacks"] = [{"method": method} for method in METHODS]
    content: dict[str, Any] = {
        "suite": "table",
        "suite_sha256": "c" * 64,
        "suite_content": suite,
        "art_crop": "0.1.0",
        "versions": {"torch": "2.13.0", "numpy": "2.4.6", "python": "3.11.7"},
        "machine": {"system": "Linux", "processor": "x86_64", "cores": 2, "gpu": None},
        "started": "2026-11-20T12:00:00+00:00",
        "command": "art-crop bench run table.toml --images osie --out run",
        "models": MODELS,
        "data": {"dataset": "osie", "photos": len({r["photo"] for r in rows})},
        "schema": 1,
    }
    (folder / "results").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({**content, **info}), encoding="utf-8")
    half = len(rows) // 2
    for part, some in enumerate((rows[:half], rows[half:])):
        if some:
            path = folder / "results" / f"part-{part}.parquet"
            pq.write_table(pa.Table.from_pylist(some, schema=SCHEMA), path)
            path.rename(path.with_name(f"part-{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}.parquet"))
    return folder


def keep_images(folder: Path, rows: list[dict[str, Any]], count: int = 6, width: int = 64) -> None:
    """Give some rows their photos, in colours that tell before from after, with everything the gallery draws."""
    random = np.random.default_rng(1)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0 : width * 3 // 4, 0:width]
    for n, chosen in enumerate(rows[:: max(1, len(rows) // count)][:count]):
        before = np.stack([x * 255 // width, y * 255 // width, (x + y + 40 * n) % 256], -1).astype(np.uint8)
        after = np.clip(before.astype(int) + random.integers(-30, 30, before.shape), 0, 255).astype(np.uint8)
        chosen["original"], chosen["image"] = f"images/{n}-before.png", f"images/{n}-after.png"
        Image.fromarray(before).save(folder / chosen["original"])
        Image.fromarray(after).save(folder / chosen["image"])
        chosen["facts"] = json.dumps(
            {
                "ratio": 0.8,
                "target": [30, 7],
                "peak": [10, 7],
                "ratios": [1.0, 2.0],
                "crops_before": [[0, 0, 480, 480], [0, 100, 640, 320]],
                "crops_after": [[160, 0, 480, 480], [0, 160, 640, 320]],
                "salient_point_before": [168, 120],
                "salient_point_after": [488, 300],
            }
        )
