"""Quality camouflage on Kodak's photos: what the files' scores are, what platforms make of them, what can be seen.

    pip install ./plugins/art-crop-tflite
    python benchmarks/camouflage.py --kodak DIR --work DIR --nima technical_model.tflite --out FILE.md

Every photo is cropped to 512 x 384. Photos whose clean score is above the threshold are attacked: for quality-lite 50
and 30 of 100, for NIMA technical the photo's own score less 20% and 40% of the scale of 1 to 10. Files are written,
and read, scored and compared by another process, with Pillow. "Lost" is the photo's plain JPEG at quality 90, encoded
by Pillow as 4:2:0, less the file, both against the photo. With ai-edge-litert installed NIMA's scores are also those of
the runtime, whose layers round to 8 bits, where the attacked torch graph computes in float32. Seconds are processor
time of one thread.

Results are kept in the work folder, and a run goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

SIZE = (512, 384)
RESAVED = ((90, "4:4:4"), (90, "4:2:0"), (85, "4:2:0"), (75, "4:2:0"))
Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Score = Callable[[Pixels], float]


class Way(NamedTuple):
    """How files are made: the attack's parameters, and the file's suffix."""

    title: str
    params: dict[str, Any]
    suffix: str


WAYS = {
    "spatial": Way("spatial (2a), PNG", {"domain": "spatial"}, "png"),
    "dct": Way("coefficients (2b), JPEG", {}, "jpg"),
    "stretch": Way("the same, all four encoders in the gradient", {"resaved": RESAVED, "bound": 3}, "jpg"),
}
TARGETS = {"quality-lite": (50.0, 30.0), "nima-technical": (0.2, 0.4)}


def photo(path: Path) -> Pixels:
    """Read a photo, cropped to the size of the paper's."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.fit(image.convert("RGB"), SIZE, Image.Resampling.LANCZOS))


def bound_of(model: str, target: float, clean: float) -> float:
    """The score below which a photo is to fall."""
    return target if model == "quality-lite" else clean - target * 9


def craft(args: argparse.Namespace, model: str) -> None:
    """Write a file for each photo, target and way, and a record of the time."""
    import torch

    import art_crop

    torch.set_num_threads(1)
    options = {"weights": args.nima} if model == "nima-technical" else {}
    estimator = art_crop.load_model(model, device="cpu", **options)
    files = sorted(args.kodak.glob("*.png"))[: args.n]
    for number, path in enumerate(files):
        pixels = photo(path)
        x = pixels[None].transpose(0, 3, 1, 2).astype(np.float32) / 255
        clean = float(estimator.predict(x)[0])
        for target in TARGETS[model]:
            bound = bound_of(model, target, clean)
            for name in args.ways:
                record = args.work / f"{model}-{target:g}-{name}-{path.stem}.json"
                if record.exists():
                    continue
                row: dict[str, Any] = {"model": model, "target": target, "way": name, "photo": path.name}
                row |= {"clean": clean, "bound": bound}
                if clean > bound > estimator.score_range[0]:
                    row |= attacked(estimator, x, bound, WAYS[name], record)
                record.write_text(json.dumps(row))
                print(f"{model} {target:g} {name} {number + 1}/{len(files)}: {row.get('success')}", flush=True)


def attacked(estimator: Any, x: Any, bound: float, way: Way, record: Path) -> dict[str, Any]:
    """Attack one photo and write its file; what it took."""
    import art_crop

    attack = art_crop.load_attack("dct-quantization")(estimator, verbose=False, **way.params)
    first_step, spent = attack._step_one, [0.0]

    def timed(model: Any, levels: Any) -> Any:
        began = time.process_time()
        found = first_step(model, levels)
        spent[0] += time.process_time() - began
        return found

    attack._step_one = timed
    began = time.process_time()
    changed = attack.generate(x, [bound])
    seconds, result = time.process_time() - began, attack.results[0]
    file = record.with_suffix(f".{way.suffix}")
    if way.suffix == "jpg":
        file.write_bytes(attack.coefficients[0].to_bytes())
    else:
        Image.fromarray(np.rint(changed[0] * 255).astype(np.uint8).transpose(1, 2, 0)).save(file)
    found = {"success": bool(result.success), "seconds": seconds, "step_one": spent[0], "file": file.name}
    return {**found, "gradients": result.gradients, "queries": result.queries, "note": result.note}


def encoded(pixels: Pixels, quality: int, subsampling: str) -> Pixels:
    """Encode by Pillow and decode again."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB"))


def scorers(args: argparse.Namespace, model: str) -> dict[str, Score]:
    """The models that judge: the estimator's graph and, for NIMA, the runtime where it is installed."""
    import art_crop

    options = {"weights": args.nima} if model == "nima-technical" else {}
    estimator = art_crop.load_model(model, device="cpu", **options)

    def graph(pixels: Pixels) -> float:
        return float(estimator.predict(pixels[None].transpose(0, 3, 1, 2).astype(np.float32) / 255)[0])

    found: dict[str, Score] = {"torch": graph}
    if model != "nima-technical":
        return found
    try:
        runtimes = importlib.import_module("ai_edge_litert.interpreter")
    except ImportError:
        return found
    interpreter = runtimes.Interpreter(model_path=str(args.nima), num_threads=1)
    interpreter.allocate_tensors()
    given, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def runtime(pixels: Pixels) -> float:
        small = np.asarray(Image.fromarray(pixels).resize((224, 224), Image.Resampling.NEAREST))
        interpreter.set_tensor(given["index"], (small[None].astype(np.float32) / 127.5 - 1))
        interpreter.invoke()
        return float((interpreter.get_tensor(answer["index"])[0] * np.arange(1, 11)).sum())

    return {**found, "LiteRT": runtime}


def score(args: argparse.Namespace, model: str) -> None:
    """Read the files of a model, score them and what Pillow makes of them, and compare them with the photos."""
    from art_crop.metrics.image import psnr, ssim

    judges = scorers(args, model)
    for record in sorted(args.work.glob(f"{model}-*.json")):
        row = json.loads(record.read_text())
        if "file" not in row or "scores" in row:
            continue
        original = photo(args.kodak / row["photo"])
        with Image.open(args.work / row["file"]) as image:
            written = np.asarray(image.convert("RGB"))
        plain = encoded(original, 90, "4:2:0")
        views = {"file": written, **{f"{q} {s}": encoded(written, q, s) for q, s in RESAVED}}
        row["scores"] = {judge: {view: ask(pixels) for view, pixels in views.items()} for judge, ask in judges.items()}
        row["clean_scores"] = {judge: ask(original) for judge, ask in judges.items()}
        for name, measure in (("psnr", psnr), ("ssim", ssim)):
            row[name] = [measure(original, written), measure(original, plain)]
        record.write_text(json.dumps(row))


def table(args: argparse.Namespace) -> list[str]:
    """Shares and means of all records."""
    rows = [json.loads(path.read_text()) for path in sorted(args.work.glob("*.json"))]
    views = ["file", *(f"{q} {s}" for q, s in RESAVED)]
    lines = [
        f"| model | below | way | judge | n | {' | '.join(views)} | PSNR dB | PSNR lost dB, mean and worst "
        "| SSIM lost | DCT part s, median and worst | step 1 s | gradients | queries |",
        "|" + "---|" * (14 + len(RESAVED)),
    ]
    for model, targets in TARGETS.items():
        for target in targets:
            for name, way in WAYS.items():
                some = [row for row in rows if (row["model"], row["target"], row["way"]) == (model, target, name)]
                some = [row for row in some if "scores" in row]
                if not some:
                    continue
                below = f"{target:g}" if model == "quality-lite" else f"clean - {target:.0%}"
                lost, similarity = (np.array([row[k][1] - row[k][0] for row in some]) for k in ("psnr", "ssim"))
                seconds = np.array([row["seconds"] - row["step_one"] for row in some])
                for judge in some[0]["scores"]:
                    shares = [shared_below(some, judge, model, view) for view in views]
                    cells = [model, below, way.title, judge, str(len(some)), *(f"{share:.1%}" for share in shares)]
                    cells.append(f"{np.mean([row['psnr'][0] for row in some]):.1f}")
                    cells.append("-" if name == "spatial" else f"{lost.mean():.2f}, {lost.max():.2f}")
                    cells.append("-" if name == "spatial" else f"{similarity.mean():.4f}")
                    cells.append(f"{np.median(seconds):.1f}, {seconds.max():.1f}")
                    cells += [
                        f"{np.mean([row[key] for row in some]):.1f}" for key in ("step_one", "gradients", "queries")
                    ]
                    lines.append("| " + " | ".join(cells) + " |")
    return lines


def shared_below(rows: list[dict[str, Any]], judge: str, model: str, view: str) -> float:
    """Share of the files that a judge gives less than the bound; NIMA's moves with the judge's own clean score."""
    hits = [row["scores"][judge][view] < bound_of(model, row["target"], row["clean_scores"][judge]) for row in rows]
    return float(np.mean(hits))


def main() -> None:
    """Craft, score in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kodak", type=Path, required=True, help="folder of Kodak's photos")
    parser.add_argument("--work", type=Path, required=True, help="folder for files and records")
    parser.add_argument("--nima", type=Path, default=None, help="technical_model.tflite; without: quality-lite only")
    parser.add_argument("--models", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--n", type=int, default=24, help="photos")
    parser.add_argument("--out", type=Path, default=None, help="Markdown file to write")
    parser.add_argument("--score", action="store_true", help="only score what has been written")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for model in args.models:
        if model == "nima-technical" and args.nima is None:
            continue
        if args.score:
            score(args, model)
            continue
        craft(args, model)
        again = [sys.executable, __file__, "--kodak", str(args.kodak), "--work", str(args.work), "--score"]
        again += [] if args.nima is None else ["--nima", str(args.nima)]
        subprocess.run([*again, "--models", model], check=True)
    if args.score:
        return
    text = "\n".join(table(args))
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
