"""How far sensitivity maps are from where people look, on OSIE's held-out photos (every fifth, 140).

    python benchmarks/sensitivity_network.py --osie DIR --weights FILE

Mean squared error to the density of a photo's fixations (24 px of blur), divided by its peak, at 160x120; a network's
map is clamped to [0, 1], a saliency model's density is divided by its peak, as the attack of paper 004 takes them. The
constant is the mean of the training maps' values. Differences are taken photo by photo.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osie", type=Path, required=True, help="OSIE's folder: stimuli/ and fixations.mat")
    parser.add_argument("--weights", type=Path, required=True, help="what art-crop train-sensitivity wrote")
    args = parser.parse_args()

    import art_crop
    from art_crop.datasets.osie import OSIE
    from art_crop.metrics.saliency import mean_interval
    from art_crop.models.sensitivity import load_fcn_vgg16
    from art_crop.training.sensitivity import MAP_SIZE, held_out_errors, osie_parts, squared_errors

    net = load_fcn_vgg16(args.weights)
    parts = osie_parts(args.osie, net.long_side)
    errors = held_out_errors(net, parts)
    errors["fcn-vgg16-sensitivity"] = errors.pop("network")
    for name in ("gaze-lite-human", "gaze-lite"):
        model = art_crop.load_model(name, device="cpu")
        maps = torch.cat([as_the_attack_takes_it(model, item, MAP_SIZE) for item in OSIE(args.osie).held_out])
        errors[name] = squared_errors(maps, parts.held_out.maps)

    def cell(values: Any) -> str:
        interval = mean_interval(values.double().numpy())
        return f"{interval.estimate:.5f} [{interval.low:.5f}, {interval.high:.5f}]"

    constant = errors["constant predictor"]
    print(f"{len(parts.learnt.levels)} photos learnt from, {len(parts.held_out.levels)} held out\n")
    print("| map | mean squared error | less than the constant predictor's |\n|---|---|---|")
    for name, error in errors.items():
        print(f"| {name} | {cell(error)} | {'-' if error is constant else cell(constant - error)} |")


def as_the_attack_takes_it(model: Any, item: Any, size: tuple[int, int]) -> torch.Tensor:
    """The density of a saliency model, divided by its peak, at a size (width, height): (1, h, w)."""
    x = torch.from_numpy(item.load().transpose(2, 0, 1).copy())[None].float() / 255
    raw = torch.from_numpy(model.predict(x.numpy()))
    density = (raw - raw.max()).exp()
    fine = torch.nn.functional.interpolate(density[None], (size[1], size[0]), mode="bilinear", align_corners=False)
    return fine[0]


if __name__ == "__main__":
    main()
