"""What writing a JPEG costs in L2: the same photo and region as PNG, as JPEG of its own coefficients, encoded anew.

    python benchmarks/perf/jpeg_budget.py --images IMAGES

IMAGES holds `osie/stimuli/*.jpg`, which are JPEGs of quality 75, and `kodak/*.png`, which are saved as JPEGs first.
What is asked for is a box of 18% x 30% at that end of the photo which the square crop of gaze-lite hides.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

import art_crop
from art_crop.geometry import Region
from art_crop.pipeline import show_region

WAYS: dict[str, dict[str, Any]] = {
    "PNG (`--png`)": {"png": True},
    "own coefficients (default)": {},
    "anew, quality 90 (`--jpeg 90`)": {"jpeg_quality": 90},
}
KODAK = ((92, "4:2:0"), (90, "4:2:2"), (95, "4:4:4"))


def hidden_box(model: Any, photo: Path) -> Region:
    """The box at the end of the photo that is further from what the square crop shows."""
    seen = model.predict_file(photo, (1.0,))
    window, (width, height) = seen.crops[0], seen.size
    if width > height:
        return Region(0.02, 0.3, 0.2, 0.6) if 2 * window.left > width - window.width else Region(0.8, 0.3, 0.98, 0.6)
    return Region(0.3, 0.02, 0.6, 0.2) if 2 * window.top > height - window.height else Region(0.3, 0.8, 0.6, 0.98)


def main() -> None:
    """Attack every photo in every way, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder with osie/ and kodak/")
    parser.add_argument("--photos", type=int, default=10, help="of OSIE; of Kodak's as many as that, 24 at most")
    options = parser.parse_args()
    model = art_crop.load_model("gaze-lite")
    osie = sorted((options.images / "osie" / "stimuli").glob("*.jpg"))
    kodak = sorted((options.images / "kodak").glob("*.png"))[: options.photos]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = {"OSIE, quality 75, 4:2:0": osie[:: max(1, len(osie) // options.photos)][: options.photos]}
        for quality, subsampling in KODAK:
            photos = [folder / f"{path.stem}-{quality}.jpg" for path in kodak]
            for path, photo in zip(kodak, photos, strict=True):
                Image.open(path).save(photo, quality=quality, subsampling=subsampling)
            sets[f"Kodak, quality {quality}, {subsampling}"] = photos
        print(f"art_crop {art_crop.__version__}, Pillow {version('pillow')}, torch {version('torch')}\n")
        print("| photos | written as | n | shown | L2 | times the PNG's L2 |\n|---|---|---|---|---|---|")
        for title, photos in sets.items():
            sizes: dict[str, list[float]] = {way: [] for way in WAYS}
            shown = dict.fromkeys(WAYS, 0)
            for photo in photos:
                for number, (way, how) in enumerate(WAYS.items()):
                    record = show_region(
                        photo,
                        hidden_box(model, photo),
                        estimator=model,
                        ratios=(1.0,),
                        out=folder / str(number),
                        figure=False,
                        **how,
                    )
                    sizes[way].append(record.change.l2)
                    shown[way] += record.success
            for way, found in sizes.items():
                times = [one / png for one, png in zip(found, next(iter(sizes.values())), strict=True)]
                row = f"{shown[way]} | {_spread(found)} | {_spread(times)}"
                print(f"| {title} | {way} | {len(photos)} | {row} |", flush=True)


def _spread(values: list[float]) -> str:
    """Median, smallest and largest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
