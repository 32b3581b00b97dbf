"""``art-crop demo``: the main job on a real photo, from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from art_crop.cli.console import FAILED, errors_as_sentences, out
from art_crop.cli.options import DeviceOption, ModelOption, WeightsOption, load_cropper, plain

if TYPE_CHECKING:
    from art_crop.pipeline import Record

EXAMPLES = """
Examples:

  art-crop demo

  art-crop demo --model fastgaze --out demo-fastgaze
"""

REGION = "130px,335px,330px,425px"
RATIO = 0.56
WHAT = "the mission patch and the name tag"


def demo(
    out_path: Annotated[Path, typer.Option("--out", help="Folder for the demonstration.")] = Path("art-crop-demo"),
    model: ModelOption = "gaze-lite",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Do the main job on a photo of the astronaut Eileen Collins (NASA), which comes with scikit-image.

    An automatic wide preview shows her face and cuts off the mission patch and the name tag. The photo is changed so
    that the preview shows those. Exit code: 0 where it worked, 1 where it did not.
    """
    with errors_as_sentences():
        from art_crop.pipeline import Outputs, make_folder, read_record, show_region

        folder = out_path.expanduser()
        make_folder(folder)
        source, result = folder / "astronaut.png", Outputs(folder / "astronaut-shown.png")
        _save_photo(source)
        record = show_region(
            source,
            REGION,
            estimator=load_cropper(model, weights, device),
            ratios=(RATIO,),
            out=result.photo,
            overwrite=read_record(result.record) is not None,  # an earlier demonstration's
        )
        _tell(source, result, record)
        if not record.success:
            raise typer.Exit(FAILED)


def _save_photo(path: Path) -> None:
    """Write the photo, unless it is there.

    Raises:
        OutputError: Another file has its name.
    """
    from skimage import data

    from art_crop.errors import OutputError
    from art_crop.images import encode_png, write_atomic

    photo = encode_png(data.astronaut())
    if path.exists() and (not path.is_file() or path.read_bytes() != photo):
        raise OutputError(f"{path} exists already and is another file; name another folder with --out")
    write_atomic(path, photo)


def _tell(source: Path, result: object, record: Record) -> None:
    from art_crop.pipeline import CropView, Outputs

    assert isinstance(result, Outputs)
    assert isinstance(record.before, CropView)
    assert isinstance(record.after, CropView)
    before, after = record.before.crops[0], record.after.crops[0]
    change = record.change
    size = "nothing" if record.unchanged else f"at most {change.linf * 255:.0f} of 255 grey levels, L2 {change.l2:.2f}"
    psnr = "" if change.psnr_db is None else f", PSNR {change.psnr_db:.1f} dB"
    lines = (
        ("photo", f"{plain(source)} ({record.width}x{record.height} px; NASA, public domain, from scikit-image)"),
        ("wanted", f"{WHAT} ({REGION}) in the wide preview, ratio {RATIO:g}"),
        ("before", f"the preview shows rows {_rows(before)}: {'shown' if record.before.success else 'hidden'}"),
        ("after", f"the preview shows rows {_rows(after)}: {'shown' if record.success else 'hidden'}"),
        ("changed", f"{size}{psnr}; {record.gradients} gradients of {record.model}, {record.seconds:.1f} s"),
        ("result", plain(result.photo if record.success else result.failed)),
        ("figure", plain(result.figure)),
        ("record", plain(result.record)),
    )
    for name, text in lines:
        out.print(f"{name:<8} {text}", markup=False)
    out.print(record.message, style="green" if record.success else "red", markup=False)
    out.print("Now with a photo of yours: art-crop attack PHOTO --show x0,y0,x1,y1", markup=False)


def _rows(window: tuple[int, ...]) -> str:
    return f"{window[1]} to {window[1] + window[3] - 1}"
