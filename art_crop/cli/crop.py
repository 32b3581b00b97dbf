"""``art-crop crop``: what a cropper makes of photos as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from art_crop.cli.console import BAD_INPUT, errors_as_sentences, out
from art_crop.cli.options import DeviceOption, ModelOption, WeightsOption, literal, load_cropper, plain, say_error

if TYPE_CHECKING:
    from art_crop.estimators.saliency import PyTorchSaliencyRegressor
    from art_crop.images import Photo
    from art_crop.models.cropper import FilePrediction
    from art_crop.objectives import SaliencyOutput

EXAMPLES = """
Examples:

  art-crop crop photo.jpg

  art-crop crop photo.jpg --model fastgaze --ratio 0.56 --ratio 1 --json

  art-crop crop photos/ --figure drawn/
"""


def crop(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.", metavar="PHOTO_OR_FOLDER")],
    model: ModelOption = "gaze-lite",
    weights: WeightsOption = None,
    ratio: Annotated[
        list[float] | None,
        typer.Option(help="Height / width of a crop; may be repeated.", show_default="0.56, 1, 1.14, 2"),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Folder for pictures of the crops, NAME.crops.png.", metavar="FOLDER")
    ] = None,
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line for each photo.")] = False,
) -> None:
    """Print the salient point and the crop windows that a cropper finds in photos; nothing is changed.

    Exit code: 0, or 2 where a photo could not be read.
    """
    with errors_as_sentences():
        from art_crop.errors import ArtCropError
        from art_crop.geometry import DEFAULT_RATIOS, check_ratios
        from art_crop.images import load_photo
        from art_crop.models.cropper import file_prediction
        from art_crop.pipeline import make_folder, sources_of
        from art_crop.pipeline.run import output_of_original

        ratios = check_ratios(ratio or DEFAULT_RATIOS)
        sources = sources_of(photos)
        cropper = load_cropper(model, weights, device)
        if figure is not None:
            make_folder(figure.expanduser())
        bad = False
        for source in sources:
            try:
                photo = load_photo(source)
                output = output_of_original(cropper, photo)
                seen = file_prediction(output, ratios)
                if figure is not None:
                    _draw(photo, output, seen, ratios, figure.expanduser())
            except ArtCropError as error:
                bad = True
                say_error(error)
                continue
            if as_json:
                typer.echo(json.dumps(_as_json(source, cropper, seen, ratios)))
            else:
                _table(source, seen, ratios)
        if bad:
            raise typer.Exit(BAD_INPUT)


def _as_json(
    source: Path, cropper: PyTorchSaliencyRegressor, seen: FilePrediction, ratios: tuple[float, ...]
) -> dict[str, object]:
    crops = [{"ratio": ratio, **window._asdict()} for ratio, window in zip(ratios, seen.crops, strict=True)]
    return {
        "photo": plain(source),
        "model": cropper.name,
        "weights_sha256": cropper.weights_sha256,
        "width": seen.size[0],
        "height": seen.size[1],
        "salient_point": list(seen.salient_point),
        "symmetric": seen.symmetric,
        "crops": crops,
    }


def _table(source: Path, seen: FilePrediction, ratios: tuple[float, ...]) -> None:
    from rich import box
    from rich.table import Table

    out.print(literal(source), style="bold")
    centred = "; mirror-symmetric to the cropper, so crops are centred" if seen.symmetric else ""
    point = f"salient point {seen.salient_point[0]}, {seen.salient_point[1]}"
    out.print(f"{seen.size[0]}x{seen.size[1]} px, {point}{centred}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("ratio", "left", "top", "width", "height"):
        table.add_column(title, justify="right")
    for ratio, window in zip(ratios, seen.crops, strict=True):
        table.add_row(f"{ratio:g}", *map(str, window))
    out.print(table)


def _draw(photo: Photo, output: SaliencyOutput, seen: FilePrediction, ratios: tuple[float, ...], folder: Path) -> None:
    from art_crop.images import write_atomic
    from art_crop.pipeline import draw_prediction, saliency_map

    data = draw_prediction(photo.pixels, seen, ratios, saliency_map(output), plain(photo.path.name))
    write_atomic(folder / f"{photo.path.stem}.crops.png", data)
