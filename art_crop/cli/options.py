"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from art_crop.cli.console import err, plain

if TYPE_CHECKING:
    from art_crop.estimators.saliency import PyTorchSaliencyRegressor

__all__ = [
    "DefenceOption",
    "DeviceOption",
    "MaxPixelsOption",
    "ModelOption",
    "NoFigureOption",
    "OverwriteOption",
    "RecordsOption",
    "SeedOption",
    "WeightsOption",
    "literal",
    "load_cropper",
    "plain",
    "say_error",
]

ModelOption = Annotated[str, typer.Option(help="The cropper: a name that `art-crop models list` shows.")]
WeightsOption = Annotated[
    Path | None, typer.Option(help="The model's weight file, such as one that `art-crop distil` made.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
DefenceOption = Annotated[
    list[str] | None,
    typer.Option(help="A defence before it, NAME or NAME:key=value,key=value; may be repeated.", metavar="NAME"),
]
SeedOption = Annotated[int, typer.Option(help="Start of every random stream.")]
NoFigureOption = Annotated[bool, typer.Option("--no-figure", help="Do not draw NAME.figure.png.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")]
MaxPixelsOption = Annotated[
    int | None, typer.Option(help="Largest photo accepted, in pixels.", show_default="50 million")
]
RecordsOption = Annotated[bool, typer.Option("--json", help="Print the records, one JSON object a line.")]


def load_cropper(model: str, weights: Path | None, device: str) -> PyTorchSaliencyRegressor:
    """The model that the options name.

    Raises:
        ArtCropError: No such model, no weights for it, or no such device.
    """
    from art_crop.pipeline.run import job_model

    options: dict[str, Any] = {"device": device} | ({} if weights is None else {"weights": weights.expanduser()})
    cropper: PyTorchSaliencyRegressor = job_model(model, white_box=False, **options)
    return cropper


def literal(text: object) -> Text:
    """The same for rich, to which brackets then mean nothing."""
    return Text(plain(text))


def say_error(error: object) -> None:
    """One line on the error stream."""
    err.print(Text.assemble(("error:", "red"), " ", plain(error)))
