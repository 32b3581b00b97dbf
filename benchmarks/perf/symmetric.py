"""Mirror-symmetric photos: how often a crop can be made to contain a region beside the middle, and what that takes.

    python benchmarks/perf/symmetric.py --osie osie/ --weights fastgaze.vxm

Of a folder of photos those that the deployed cropper takes for mirror-symmetric are found; of each, a box of 28% x 30%
at the left and one at the right, which the centred crops of ratio 1 miss, are asked for. Success is that of the written
PNG.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import art_crop
from art_crop.models.cropper import asymmetry, read_as_cropper
from art_crop.pipeline import CropView, show_region

REGIONS = ("0.02,0.3,0.3,0.6", "0.7,0.3,0.98,0.6")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osie", type=Path, required=True, help="folder of photos")
    parser.add_argument("--weights", type=Path, required=True, help="fastgaze.vxm")
    arguments = parser.parse_args()
    photos = sorted(arguments.osie.rglob("*.jpg"))
    symmetric = [photo for photo in photos if float(asymmetry(read_as_cropper(photo)[0])[0]) < 0]
    print(f"{len(symmetric)} of {len(photos)} photos are mirror-symmetric to the cropper\n")
    print("| model | reached at PSNR >= 40 dB | symmetry broken | median PSNR (dB) | least |\n|---|---|---|---|---|")
    for name, options in (("gaze-lite", {}), ("fastgaze", {"weights": arguments.weights})):
        model = art_crop.load_model(name, **options)
        records = []
        with tempfile.TemporaryDirectory() as folder:
            for photo in symmetric:
                for region in REGIONS:
                    records.append(
                        show_region(
                            photo,
                            region,
                            estimator=model,
                            ratios=(1.0,),
                            out=folder,
                            png=True,
                            figure=False,
                            overwrite=True,
                        )
                    )
        open_ = [record for record in records if not record.success_before]
        good = [r for r in open_ if r.success and r.change.psnr_db is not None and r.change.psnr_db >= 40]
        broken = [r for r in good if isinstance(r.after, CropView) and not r.after.symmetric]
        values = [r.change.psnr_db for r in good if r.change.psnr_db is not None] or [0.0]
        print(
            f"| {name} | {len(good)} of {len(open_)} | {len(broken)} of {len(good)} | "
            f"{statistics.median(values):.1f} | {min(values):.1f} |"
        )


if __name__ == "__main__":
    main()
